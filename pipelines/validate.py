"""Does a dataset keep its own promises? Every shard is read again; each broken promise is a line that says where."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipelines import sinks
from schemas.check import require_schema
from schemas.dataset import Dataset
from schemas.digest import TableDigest, dataset_digest
from schemas.errors import DataError
from schemas.hashing import row_order
from schemas.manifest import Shard
from schemas.tables import TABLES

I64 = npt.NDArray[np.int64]

MAX_ROW_GROUP_BYTES = 128 * 2**20
"""In memory; readers of nested columns and the Hub's viewer give up on larger ones."""
MAX_LINES = 5
"""Problems of one kind that are told one by one for a shard."""


def validate(folder: Path) -> Iterator[str]:
    """Yield a line for each problem; nothing for a dataset that is whole. DataError where there is no dataset."""
    dataset = Dataset(folder)
    damaged = [problem for name in dataset.manifest.tables for problem in _check_files(dataset, name)]
    yield from damaged
    yield from _unlisted(dataset)
    if damaged:
        return  # what can't be read can't be checked further
    yield from _check_digests(dataset)
    context = _Context(dataset)
    for name in dataset.manifest.tables:
        for shard in dataset.shards(name):
            offset = 0
            for rows in sinks.read_batches(folder / shard.path):
                for row, problem in _first(context.check(name, shard, rows)):
                    yield f"{folder / shard.path}, row {offset + row}: {problem}"
                offset += rows.num_rows
    yield from context.across_splits()


def _check_files(dataset: Dataset, name: str) -> Iterator[str]:
    """Presence, bytes, checksum, schema and row groups of a table's shards."""
    if name not in TABLES:
        yield f"{dataset.folder}/manifest.json: unknown table {name!r}"
        return
    for shard in dataset.shards(name):
        path = dataset.folder / shard.path
        try:
            metadata = require_schema(path, TABLES[name])
        except DataError as error:
            yield str(error)
            continue
        if sinks.file_digest(path) != shard.sha256:
            yield f"{path}: its bytes differ from the manifest's sha256. Copy it again, or build again."
        if metadata.num_rows != shard.rows:
            yield f"{path}: {shard.rows} rows in the manifest, {metadata.num_rows} in the file"
        for group in range(metadata.num_row_groups):
            size = metadata.row_group(group).total_byte_size
            if size > MAX_ROW_GROUP_BYTES:
                yield f"{path}, row group {group}: {size} bytes, more than {MAX_ROW_GROUP_BYTES}"
            if not metadata.row_group(group).num_rows:
                yield f"{path}, row group {group}: no rows in it"


def _unlisted(dataset: Dataset) -> Iterator[str]:
    """Parquet files in the tables' folders that the manifest does not know: a reader's glob would take them."""
    known = {shard.path for entry in dataset.manifest.tables.values() for shard in entry.shards}
    for name, table in TABLES.items():
        for path in sorted((dataset.folder / table.folder).glob("*.parquet")):
            if f"{table.folder}/{path.name}" not in known:
                yield f"{path}: not in the manifest (table {name}). Remove it."


def _check_digests(dataset: Dataset) -> Iterator[str]:
    digests = []
    for name, entry in dataset.manifest.tables.items():
        digest = TableDigest(TABLES[name])
        for shard in entry.shards:
            try:
                for rows in sinks.read_batches(dataset.folder / shard.path):
                    digest.update(rows)
            except (pa.ArrowException, OSError) as error:
                yield f"{dataset.folder / shard.path}: damaged ({str(error).splitlines()[0][:150]})"
        if digest.hexdigest() != entry.digest or digest.rows != entry.rows:
            yield f"{dataset.folder}, table {name}: its rows do not have the manifest's digest"
        digests.append((name, entry.digest))
    if dataset_digest(digests) != dataset.manifest.digest:
        yield f"{dataset.folder}/manifest.json: digest is not that of its tables"


def _first(problems: Iterator[tuple[int, str]]) -> Iterator[tuple[int, str]]:
    """The first MAX_LINES problems, and how many more there are."""
    for count, (row, problem) in enumerate(problems):
        if count < MAX_LINES:
            yield row, problem
        elif count == MAX_LINES:
            yield row, f"{problem} (and more of the kind)"


class _Context:
    """What the checks of one table need of the others."""

    def __init__(self, dataset: Dataset) -> None:
        self.dataset = dataset
        self.entities = dataset.read("entities", columns=["entity"])["entity"].combine_chunks()
        self.relations = dataset.read("relations", columns=["relation"])["relation"].combine_chunks()
        self.neighbors = dataset.manifest.rest.get("parameters", {}).get("neighbors")
        self.codes = {split: self._triple_codes(split) for split in TABLES["triples"].splits}
        pages = dataset.read("pages", columns=["page_id", "split"])
        self.page_split = dict(zip(pages["page_id"].to_pylist(), pages["split"].to_pylist(), strict=True))
        self._last: dict[str, object] = {}
        self._checks: dict[str, Callable[[pa.Table], Iterator[tuple[int, str]]]] = {
            "entities": self._entities,
            "relations": self._relations,
            "triples": self._triples,
            "pages": self._pages,
            "anchors": self._anchors,
            "wk_graphs": self._wk_graphs,
            "redirects": self._redirects,
        }

    def check(self, name: str, shard: Shard, rows: pa.Table) -> Iterator[tuple[int, str]]:
        """(row, problem) of one row group of a table."""
        if TABLES[name].splits:
            split = Path(shard.path).name.split("-")[0]
            self._part = split
            for row in np.flatnonzero(pc.not_equal(rows["split"], split).to_numpy()):
                yield int(row), f"split is {rows['split'][int(row)]}, the file's is {split}"
        else:
            self._part = name
        if name in self._checks:
            yield from self._checks[name](rows)

    def across_splits(self) -> Iterator[str]:
        """Triples in two splits; entities and relations of valid and test that train does not have."""
        folder = self.dataset.folder
        for one, other in (("train", "valid"), ("train", "test"), ("valid", "test")):
            both = np.intersect1d(self.codes[one], self.codes[other])
            if len(both):
                yield f"{folder}, table triples: {self._name(both[0])} is in {one} and in {other} ({len(both)} in all)"
        seen = [np.unique(column) for column in self._columns(self.codes["train"])]
        known = np.union1d(seen[0], seen[2])
        for split in ("valid", "test"):
            heads, relations, tails = self._columns(self.codes[split])
            for what, values, allowed in (
                ("head", heads, known),
                ("relation", relations, seen[1]),
                ("tail", tails, known),
            ):
                unseen = np.flatnonzero(~np.isin(values, allowed))
                if len(unseen):
                    code = self.codes[split][unseen[0]]
                    yield f"{folder}, table triples: {self._name(code)} in {split} has a {what} that train has not"

    def _triple_codes(self, split: str) -> I64:
        table = self.dataset.read("triples", split, ["head_index", "relation_index", "tail_index"])
        return self._encode(*(table[name].to_numpy().astype(np.int64) for name in table.column_names))

    def _encode(self, heads: I64, relations: I64, tails: I64) -> I64:
        return (heads * max(1, len(self.relations)) + relations) * max(1, len(self.entities)) + tails

    def _columns(self, codes: I64) -> tuple[I64, I64, I64]:
        pairs, tails = np.divmod(codes, max(1, len(self.entities)))
        heads, relations = np.divmod(pairs, max(1, len(self.relations)))
        return heads, relations, tails

    def _name(self, code: int) -> str:
        head, relation, tail = (int(column[0]) for column in self._columns(np.array([code])))
        return f"({self.entities[head]}, {self.relations[relation]}, {self.entities[tail]})"

    def _in_order(self, key: str, values: list, what: str) -> Iterator[tuple[int, str]]:
        """Strictly increasing over all row groups of a part."""
        key = f"{key}/{self._part}"
        for row, value in enumerate(values):
            last = self._last.get(key)
            if last is not None and not last < value:
                yield row, f"{what} {value!r} does not come after {last!r}"
            self._last[key] = value

    def _indices(self, column: pa.ChunkedArray, names: pa.Array, what: str) -> Iterator[tuple[int, str]]:
        values = column.to_numpy()
        for row in np.flatnonzero((values < 0) | (values >= len(names))):
            yield int(row), f"{what} {values[row]} is not one of {len(names)}"

    def _entities(self, rows: pa.Table) -> Iterator[tuple[int, str]]:
        start = self._last.setdefault("entity rows", 0)
        index = rows["entity_index"].to_numpy()
        for row in np.flatnonzero(index != np.arange(start, start + len(index))):
            yield int(row), f"entity_index {index[row]} is not the row's number {start + row}"
        self._last["entity rows"] = start + len(index)
        lengths = pc.utf8_length(rows["text"]).to_numpy()
        for row, mention in enumerate(rows["text_mention"].to_pylist()):
            if mention and not 0 <= mention["start"] < mention["end"] <= lengths[row]:
                yield row, f"text_mention {mention} is outside the text of {lengths[row]} code points"
        total = sum(rows[name].to_numpy() for name in ("mention_count", "in_degree", "out_degree"))
        for row in np.flatnonzero(total != rows["frequency"].to_numpy()):
            yield int(row), "frequency is not mention_count + in_degree + out_degree"

    def _relations(self, rows: pa.Table) -> Iterator[tuple[int, str]]:
        start = self._last.setdefault("relation rows", 0)
        index = rows["relation_index"].to_numpy()
        for row in np.flatnonzero(index != np.arange(start, start + len(index))):
            yield int(row), f"relation_index {index[row]} is not the row's number {start + row}"
        self._last["relation rows"] = start + len(index)

    def _triples(self, rows: pa.Table) -> Iterator[tuple[int, str]]:
        for part, names in (("head", self.entities), ("relation", self.relations), ("tail", self.entities)):
            index = rows[f"{part}_index"]
            problems = list(self._indices(index, names, f"{part}_index"))
            yield from problems
            if not problems:
                wrong = pc.not_equal(names.take(index.combine_chunks()), rows[part].combine_chunks())
                for row in np.flatnonzero(wrong.to_numpy(zero_copy_only=False)):
                    yield int(row), f"{part} is {rows[part][int(row)]}, its index is that of another"
        columns = (rows[name].to_pylist() for name in ("head_index", "relation_index", "tail_index"))
        yield from self._in_order("triples", list(zip(*columns, strict=True)), "triple")

    def _pages(self, rows: pa.Table) -> Iterator[tuple[int, str]]:
        known = set(self.entities.to_pylist()) if "entities" not in self._last else self._last["entities"]
        self._last["entities"] = known
        yield from self._in_order("pages", rows["page_id"].to_pylist(), "page_id")
        lengths = pc.utf8_length(rows["text"]).to_pylist()
        columns = (rows[name].to_pylist() for name in ("entity", "lead_end", "sections", "links"))
        for row, (length, entity, lead_end, sections, links) in enumerate(zip(lengths, *columns, strict=True)):
            if entity is not None and entity not in known:
                yield row, f"entity {entity} is not in table entities"
            if not 0 <= lead_end <= length:
                yield row, f"lead_end {lead_end} is outside the text of {length} code points"
            for section in sections:
                if not 0 <= section["start"] <= section["end"] <= length:
                    yield row, f"section {section['title']!r} is outside the text of {length} code points"
            yield from ((row, problem) for problem in _link_problems(links, length, known))

    def _anchors(self, rows: pa.Table) -> Iterator[tuple[int, str]]:
        yield from self._indices(rows["entity_index"], self.entities, "entity_index")
        surfaces = (surface.encode() for surface in rows["surface"].to_pylist())
        yield from self._in_order(
            "anchors", list(zip(surfaces, rows["entity_index"].to_pylist(), strict=True)), "anchor"
        )

    def _redirects(self, rows: pa.Table) -> Iterator[tuple[int, str]]:
        yield from self._in_order("redirects", [title.encode() for title in rows["title"].to_pylist()], "title")

    def _wk_graphs(self, rows: pa.Table) -> Iterator[tuple[int, str]]:
        yield from self._in_order("wk_graphs", row_order(rows["graph_id"].to_numpy()).tolist(), "hash of graph_id")
        lengths = pc.utf8_length(rows["text"]).to_pylist()
        columns = (rows[name].to_pylist() for name in ("page_id", "split", "start", "end", "mentions", "triples"))
        for row, (length, page_id, split, start, end, mentions, triples) in enumerate(
            zip(lengths, *columns, strict=True)
        ):
            if self.page_split.get(page_id) != split:
                yield row, f"split is {split}, that of page {page_id} is {self.page_split.get(page_id)}"
            if end - start != length:
                yield row, f"the text has {length} code points, start and end give {end - start}"
            yield from ((row, problem) for problem in self._graph_problems(mentions, triples, length))

    def _graph_problems(self, mentions: list[dict], triples: list[dict], length: int) -> Iterator[str]:
        last = 0
        for mention in mentions:
            if not last <= mention["start"] < mention["end"] <= length:
                yield f"mention {mention['start']}-{mention['end']} is outside the text, or not after the one before"
            last = mention["end"]
            if not 0 <= mention["entity_index"] < len(self.entities):
                yield f"entity_index {mention['entity_index']} is not one of {len(self.entities)}"
        if len({mention["entity_index"] for mention in mentions}) != len(mentions) or not mentions:
            yield "its mentions are not distinct entities, or there is none"
        for triple in triples:
            if not 0 <= triple["anchor"] < len(mentions):
                yield f"anchor {triple['anchor']} is not one of {len(mentions)} mentions"
            elif mentions[triple["anchor"]]["entity_index"] != triple["head_index"]:
                yield f"head_index {triple['head_index']} is not the entity of anchor {triple['anchor']}"
        yield from self._train_only(triples)
        counts = np.bincount([max(triple["anchor"], 0) for triple in triples] or [0])
        if self.neighbors is not None and triples and counts.max() > self.neighbors:
            yield f"an anchor has {counts.max()} triples, more than {self.neighbors}"

    def _train_only(self, triples: list[dict]) -> Iterator[str]:
        if not triples:
            return
        columns = (np.array([t[n] for t in triples], np.int64) for n in ("head_index", "relation_index", "tail_index"))
        codes = self._encode(*columns)
        train = self.codes["train"]
        places = np.minimum(np.searchsorted(train, codes), max(len(train) - 1, 0))
        wrong = train[places] != codes if len(train) else np.ones(len(codes), bool)
        if wrong.any():
            yield f"triple {triples[int(np.argmax(wrong))]} is not a train triple"


def _link_problems(links: list[dict], length: int, known: set[str]) -> Iterator[str]:
    last = 0
    for link in links:
        if not last <= link["start"] < link["end"] <= length:
            yield f"link {link['start']}-{link['end']} to {link['target']!r} is outside the text or out of order"
        last = link["end"]
        if link["entity"] is not None and link["entity"] not in known:
            yield f"link to {link['target']!r}: entity {link['entity']} is not in table entities"
        if link["source"] not in ("link", "self", "repeat"):
            yield f"link to {link['target']!r}: unknown source {link['source']!r}"
