"""Stage graph: statements -> triples with splits; the order of entities and relations. One process, numpy columns."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipelines import sinks
from pipelines.records import save_array
from pipelines.transforms import split
from pipelines.transforms.facts import Statements, Tally
from pipelines.transforms.inductive import SIDES, Inductive, Sizes, inductive
from schemas.hashing import hash_strings, random_u64
from schemas.manifest import Shard
from schemas.triples import TRIPLES

I64 = npt.NDArray[np.int64]
I8 = npt.NDArray[np.int8]

SPLIT_TRIPLES = 5_000
"""Triples of valid, and of test, where no number is asked; Wikidata5M has 5,163 and 5,133."""
MAX_SHARE = 0.05
"""Of all triples, at most so many where no number is asked."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class SplitRules:
    """How triples are split: how many valid and test want, whether the triples of a pair stay together."""

    seed: int
    valid: int | None
    test: int | None
    together: bool
    inductive: Sizes


@dataclasses.dataclass(frozen=True)
class Graph:
    """The knowledge graph by index: what the other stages memory-map. E entities, R relations, N triples."""

    items: I64
    """Item number of entity i, shape (E,)."""
    properties: I64
    """Property number of relation i, shape (R,)."""
    mention_count: I64
    in_degree: I64
    out_degree: I64
    inductive: I8
    """Code of each entity's side in the inductive setting (inductive.SIDES), shape (E,)."""
    relation_frequency: I64
    heads: I64
    relations: I64
    tails: I64
    codes: I8
    """Transductive split of each triple, shape (N,); triples are sorted by head, relation, tail."""
    inductive_codes: I8

    def save(self, folder: Path) -> None:
        """One .npy per column."""
        save_columns(self, folder)

    @classmethod
    def load(cls, folder: Path) -> "Graph":
        """Memory-mapped."""
        return cls(**load_columns(cls, folder))


def save_columns(record: Any, folder: Path) -> None:
    """A dataclass of arrays, one .npy per field."""
    for field in dataclasses.fields(record):
        save_array(folder / f"{field.name}.npy", getattr(record, field.name))


def load_columns(kind: type, folder: Path) -> dict[str, npt.NDArray[Any]]:
    """The fields that save_columns wrote, memory-mapped."""
    return {field.name: np.load(folder / f"{field.name}.npy", mmap_mode="r") for field in dataclasses.fields(kind)}


def make_graph(triples: Statements, kept: I64, mentions: I64, rules: SplitRules) -> tuple[Graph, str]:
    """(graph, why there is no inductive split or ""): splits the triples, numbers entities and relations.

    `kept` are the entities' item numbers, sorted; `mentions`, shape (len(kept),), how often train pages link to each.
    The most frequent come first; all counts are of train.
    """
    codes = split_triples(triples, rules)
    properties, relations = np.unique(triples.relations, return_inverse=True)
    facts = Statements(np.searchsorted(kept, triples.heads), relations, np.searchsorted(kept, triples.tails))
    hashes = random_u64(rules.seed, "inductive", kept)
    second = inductive(facts.heads, facts.relations, facts.tails, hashes, rules.inductive)
    return number(facts, kept, properties, mentions, codes, second), second.refused


def number(facts: Statements, items: I64, properties: I64, mentions: I64, codes: I8, second: Inductive) -> Graph:
    """The graph in its final order: the most frequent come first; all counts are of train.

    `facts` point into `items`, shape (E,), and `properties`, shape (R,), which are in the order of equals. `mentions`,
    the split `codes` and the inductive split `second` are in the same order as these and the facts.
    """
    train = codes == split.TRAIN
    out_degree = np.bincount(facts.heads[train], minlength=len(items))
    in_degree = np.bincount(facts.tails[train], minlength=len(items))
    relation_frequency = np.bincount(facts.relations[train], minlength=len(properties))
    order = np.argsort(-(mentions + in_degree + out_degree), kind="stable")
    relation_order = np.argsort(-relation_frequency, kind="stable")
    place, relation_place = np.argsort(order), np.argsort(relation_order)
    heads, relations, tails = place[facts.heads], relation_place[facts.relations], place[facts.tails]
    rows = np.lexsort((tails, relations, heads))
    return Graph(
        items=items[order],
        properties=properties[relation_order],
        mention_count=mentions[order],
        in_degree=in_degree[order],
        out_degree=out_degree[order],
        inductive=second.entities[order],
        relation_frequency=relation_frequency[relation_order],
        heads=heads[rows],
        relations=relations[rows],
        tails=tails[rows],
        codes=codes[rows],
        inductive_codes=second.triples[rows],
    )


def split_triples(triples: Statements, rules: SplitRules) -> I8:
    """The transductive split of the triples by stable ids; sizes that are not asked for are at most MAX_SHARE."""
    default = min(SPLIT_TRIPLES, int(MAX_SHARE * len(triples)))
    valid, test = (default if asked is None else asked for asked in (rules.valid, rules.test))
    columns = (triples.heads, triples.relations, triples.tails)
    return split.transductive(*columns, seed=rules.seed, valid=valid, test=test, together=rules.together)


def describe_graph(graph: Graph, refused: str, rules: SplitRules, tally: Tally) -> dict[str, Any]:
    """What the manifest says of the graph and its splits."""
    wanted = {"valid": rules.valid, "test": rules.test}
    second = _count(graph.inductive_codes, split.NAMES)
    return {
        "self_triples": int((graph.heads == graph.tails).sum()),
        "excluded_triples": dict(tally.excluded),
        "split": {"asked": wanted, "triples": _count(graph.codes, split.NAMES[:3])},
        "inductive_split": {
            "refused": refused or None,
            "triples": second,
            "entities": _count(graph.inductive, SIDES),
            "dropped_share": round(second["dropped"] / max(len(graph.heads), 1), 4),
        },
        "wk_graphs": {"split_column": "split"},
    }


def write_triples(graph: Graph, folder: Path, rows_per_shard: int) -> list[Shard]:
    """Write the triples table into `folder`, a row group at a time: whole, it is several times the graph."""
    of_split = {name: np.flatnonzero(graph.codes == code) for code, name in enumerate(split.NAMES[:3])}
    return sinks.write_parts(
        TRIPLES,
        {name: len(own) for name, own in of_split.items()},
        lambda name, start, end: triple_rows(graph, of_split[name][start:end]),
        folder,
        rows_per_shard,
    )


def triple_rows(graph: Graph, own: I64) -> pa.Table:
    """Some rows of the triples table; in ascending order they are sorted by indices."""
    heads, relations, tails = graph.heads[own], graph.relations[own], graph.tails[own]
    return pa.table(
        {
            "head": names("Q", graph.items[heads]),
            "relation": names("P", graph.properties[relations]),
            "tail": names("Q", graph.items[tails]),
            "head_index": pa.array(heads, pa.int32()),
            "relation_index": pa.array(relations, pa.int32()),
            "tail_index": pa.array(tails, pa.int32()),
            "label": pa.array(np.ones(len(own), bool)),
            "split": pa.array(split.NAMES).take(pa.array(graph.codes[own])),
            "inductive_split": pa.array(split.NAMES).take(pa.array(graph.inductive_codes[own])),
        },
        schema=TRIPLES.schema,
    )


def names(letter: str, numbers: I64) -> pa.Array:
    """Numbers as "Q42" or "P31"."""
    digits = pa.array(np.ascontiguousarray(numbers)).cast(pa.string())
    return pc.binary_join_element_wise(pa.scalar(letter), digits, "")


def stable_ids(letter: str, numbers: I64) -> npt.NDArray[np.uint64]:
    """xxh3_64 of the ids, shape (N,): what samples of neighbours are drawn by."""
    return hash_strings(f"{letter}{number}" for number in numbers.tolist())


def _count(codes: I8, names: Sequence[str]) -> dict[str, int]:
    return dict(zip(names, np.bincount(codes, minlength=len(names)).tolist(), strict=True))
