"""The proof that no graph holds a fact that training must not see."""

import dataclasses
from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from pipelines.audit.held import EXAMPLES, Vocabulary
from pipelines.columns import I64, elements, values
from pipelines.facts import INDICES, Facts
from pipelines.scan import scan_places
from schemas.dataset import Dataset
from schemas.errors import DataError


@dataclasses.dataclass(frozen=True)
class Proof:
    """One table of graphs: how many facts were compared with each set, and how many of them it holds."""

    table: str
    graphs: int
    facts: int
    found: dict[str, int]
    """valid, test, excluded -> facts of the set that stand in a graph, each time counted."""
    examples: list[str]


def prove(dataset: Dataset, held: dict[str, Facts], names: Vocabulary) -> Iterator[Proof]:
    """Compare every fact of every graph with every set, by exact search; the token graphs that models train on too."""
    yield _prove(dataset, "wk_graphs", held, names)
    for folder in sorted((dataset.folder / "tokens").glob("*/")):
        yield _prove(dataset.tokens(folder.name), f"tokens/{folder.name}/wk_graphs", held, names)


def _prove(dataset: Dataset, table: str, held: dict[str, Facts], names: Vocabulary) -> Proof:
    found, examples, facts = dict.fromkeys(held, 0), [], 0
    tokens = "anchors" in dataset.table("wk_graphs").schema.names
    columns = ["graph_id", "triples", *(["anchors"] if tokens else [])]
    for path, start, rows in scan_places(dataset, "wk_graphs", columns):
        graph_rows, triples = graph_facts(rows)
        facts += len(graph_rows)
        for name, held_facts in held.items():
            inside = np.flatnonzero(held_facts.find(*triples) >= 0)
            found[name] += len(inside)
            for place in inside[: EXAMPLES - len(examples)].tolist():
                row = int(graph_rows[place])
                fact = names.fact(*(column[place] for column in triples))
                examples.append(f"{path}, row {start + row} (graph {rows['graph_id'][row]}): {fact} is {name}")
    return Proof(table, dataset.rows("wk_graphs"), facts, found, examples)


def graph_facts(rows: pa.Table) -> tuple[I64, tuple[I64, I64, I64]]:
    """(row, (head, relation, tail)) of each fact of a row group of wk_graphs or of their tokens."""
    facts = elements(rows, "triples")
    if "head_index" in facts.fields:
        return facts.rows, tuple(facts.numbers(name) for name in INDICES)
    anchors = values(rows, "anchors")
    first = anchors.offsets.to_numpy()[:-1] - anchors.offsets[0].as_py()
    place = first[facts.rows] + facts.numbers("anchor")
    heads = anchors.flatten().to_numpy(zero_copy_only=False).astype(np.int64)
    if len(place) and not (place.min() >= 0 and place.max() < len(heads)):
        raise DataError("tokens: a fact hangs on no anchor. Run wikiloom validate.")
    return facts.rows, (heads[place], facts.numbers("relation_index"), facts.numbers("tail_index"))
