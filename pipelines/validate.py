"""Does a dataset keep its own promises? Every shard is read again; each broken promise is a line that says where.

Memory: a row group, the names of entities and relations, about 70 bytes an entity, 12 bytes a train triple, 16 bytes
a fact of P31, and 29 bytes a page and a word-knowledge graph.
"""

import itertools
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.checks.counts import check_counts, check_rejects
from pipelines.checks.examples import Examples
from pipelines.checks.files import check_card, check_files, check_unlisted, read_rows
from pipelines.checks.graph import Entities, Relations, Triples
from pipelines.checks.graph_texts import GraphTexts
from pipelines.checks.known import Known, may_repeat
from pipelines.checks.pages import Anchors, Pages
from pipelines.checks.problems import MAX_LINES, Checker, Order, Problem, where
from pipelines.checks.redirects import Redirects
from pipelines.checks.splits import check_page_splits
from pipelines.checks.tokens import TokenRows, check_tokens
from pipelines.checks.wk_graphs import PageIndex, WkGraphs
from pipelines.columns import values
from pipelines.facts import graph_texts
from pipelines.progress import Progress
from schemas.dataset import Dataset
from schemas.digest import TableDigest, dataset_digest
from schemas.errors import DataError
from schemas.manifest import check_seal
from schemas.tables import TABLES, TOKEN_TABLES


def validate(folder: Path) -> Iterator[str]:
    """Yield a line for each problem; nothing for a dataset that is whole. DataError where there is no dataset."""
    dataset = Dataset(folder)
    yield from check_seal(folder)
    whole = True
    for line in check_files(dataset):
        whole = False
        yield line
    yield from check_unlisted(dataset, [table.folder for table in TABLES.values()])
    yield from check_counts(dataset)
    yield from check_card(dataset)
    if not whole:
        return  # what can't be read can't be checked further
    try:
        yield from _check_rows(dataset)
        for tokens in sorted((folder / "tokens").glob("*/")):
            yield from _check_tokens(dataset, tokens.name)
    except DataError as error:
        yield str(error)


def _check_rows(dataset: Dataset) -> Iterator[str]:
    """Each table once, after those that its checks need: counts are made before they are compared."""
    known, index = Known(dataset), PageIndex()
    yield from _check_table(dataset, "rejects", Checker())
    yield from check_rejects(dataset)
    yield from _check_table(dataset, "redirects", Redirects(known))
    yield from _check_table(dataset, "triples", Triples(known))
    graphs = WkGraphs(known)
    yield from _check_table(dataset, "wk_graphs", graphs)
    table = graph_texts(dataset)
    texts = GraphTexts(known, graphs.passages(), table)
    yield from _check_table(dataset, "examples", Examples(known, texts if table == "examples" else None))
    yield from _check_table(dataset, "pages", Pages(known, texts if table == "pages" else None, index))
    index.close()
    yield from check_page_splits(dataset, index)
    yield from _check_table(dataset, "anchors", Anchors(known))
    yield from _check_table(dataset, "entities", Entities(known, index))
    yield from _check_table(dataset, "relations", Relations(known))
    yield from _check_digest(dataset)


def _check_digest(dataset: Dataset) -> Iterator[str]:
    digests = [(name, entry.digest) for name, entry in dataset.manifest.tables.items()]
    if dataset_digest(digests) != dataset.digest:
        yield f"{dataset.folder}/manifest.json: digest is not that of its tables"


def _check_tokens(dataset: Dataset, name: str) -> Iterator[str]:
    """tokens/NAME: a dataset of its own, made from this one."""
    tokens = dataset.tokens(name)
    yield from check_seal(tokens.folder)
    whole = True
    for line in check_files(tokens):
        whole = False
        yield line
    yield from check_unlisted(tokens, [table.folder for table in TOKEN_TABLES.values()])
    if whole:
        for table in tokens.manifest.tables:
            yield from _check_table(tokens, table, TokenRows(tokens, table))
        yield from check_tokens(dataset, tokens)
        yield from _check_digest(tokens)


def _check_table(dataset: Dataset, name: str, checker: Checker) -> Iterator[str]:
    """Read a table once: order, splits and digest, which every table has, and what its own checker knows."""
    table, entry = dataset.table(name), dataset.manifest.tables.get(name)
    if entry is None:
        return
    digest, order = TableDigest(table), Order(table, may_repeat=may_repeat(dataset, name))
    found: Counter[str] = Counter()
    with Progress(f"validate: {name}", sum(shard.row_groups for shard in entry.shards)) as progress:
        for done, (path, start, part, rows) in enumerate(_row_groups(dataset, name), start=1):
            digest.update(rows)
            checks = order.check(rows, part), _check_split(rows, part), checker.check(rows, part)
            for problem in itertools.chain(*checks):
                if found[problem.kind] < MAX_LINES:
                    yield f"{path}, row {start + problem.row}: {problem.text}"
                found[problem.kind] += 1 + problem.more
            progress.update(done)
    for kind, count in found.items():
        if count > MAX_LINES:
            yield f"{dataset.folder}, table {name}: {kind}: {count} problems, {MAX_LINES} of them above"
    yield from (f"{dataset.folder}, table {name}: {line}" for line in checker.finish())
    if (digest.hexdigest(), digest.rows) != (entry.digest, entry.rows):
        found_digest = digest.hexdigest()[:8]
        yield f"{dataset.folder}, table {name}: its rows have digest {found_digest}, the manifest {entry.digest[:8]}"


def _row_groups(dataset: Dataset, name: str) -> Iterator[tuple[Path, int, str, pa.Table]]:
    """(shard, row that the group begins with, part, rows) of a table in the order of its digest."""
    for part in dataset.table(name).parts:
        for shard in dataset.shards(name, part):
            start = 0
            for rows in read_rows(dataset.folder / shard.path):
                yield dataset.folder / shard.path, start, part, rows
                start += rows.num_rows


def _check_split(rows: pa.Table, part: str) -> Iterator[Problem]:
    if "split" in rows.column_names:
        column = values(rows, "split")
        wrong = pc.not_equal(column, part).to_numpy(zero_copy_only=False)
        yield from where(wrong, "split", lambda i: f"split is {column[i].as_py()!r}, the file's is {part!r}")
