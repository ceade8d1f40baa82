"""Stage graph: statements -> triples with splits; the order of entities and relations. One process, numpy columns."""

import dataclasses
import itertools
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.records import read_record_batches, read_records
from pipelines.transforms import split
from pipelines.transforms.align import flatten_statements
from schemas.hashing import hash_strings, random_u64
from schemas.triples import TRIPLES

I64 = npt.NDArray[np.int64]


@dataclasses.dataclass(frozen=True)
class Statements:
    """Triples by item and property numbers, shape (N,) each."""

    heads: I64
    relations: I64
    tails: I64

    def where(self, rows: npt.NDArray[np.bool_] | I64) -> "Statements":
        """The triples that a mask keeps, or those of the row numbers."""
        return Statements(self.heads[rows], self.relations[rows], self.tails[rows])

    def __len__(self) -> int:
        return len(self.heads)


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
    inductive: npt.NDArray[np.int8]
    """Code of each entity's side in the inductive setting, shape (E,)."""
    relation_frequency: I64
    heads: I64
    relations: I64
    tails: I64
    codes: npt.NDArray[np.int8]
    """Transductive split of each triple, shape (N,); triples are sorted by head, relation, tail."""
    inductive_codes: npt.NDArray[np.int8]

    def save(self, folder: Path) -> None:
        """One .npy per column."""
        folder.mkdir(parents=True, exist_ok=True)
        for field in dataclasses.fields(self):
            np.save(folder / f"{field.name}.npy", getattr(self, field.name))

    @classmethod
    def load(cls, folder: Path) -> "Graph":
        """Memory-mapped."""
        names = [field.name for field in dataclasses.fields(cls)]
        return cls(**{name: np.load(folder / f"{name}.npy", mmap_mode="r") for name in names})

    def entity_index(self, items: npt.ArrayLike) -> I64:
        """Item numbers -> entity indices; every item must be one of the graph's."""
        order = np.argsort(self.items, kind="stable")
        return order[np.searchsorted(self.items, items, sorter=order)]


def read_statements(
    wikidata: Sequence[Path],
    winning_items: Sequence[npt.NDArray[np.bool_]],
    kept: I64,
    *,
    labelled_only: bool,
    excluded: Statements,
    drops: Counter[str],
) -> Statements:
    """The statements of kept items, filtered; each reason that drops one is counted.

    `winning_items` masks each range's item records, `kept` are sorted item numbers; `labelled_only` drops relations
    without a label in this dump (Wikidata5M's rule).
    """
    labelled = _labelled_relations(wikidata) if labelled_only else None
    pieces = [Statements(*(np.empty(0, np.int64) for _ in range(3)))]
    for path, winning in zip(wikidata, winning_items, strict=True):
        row = 0
        for batch in read_record_batches(path / "items.arrow", ["item", "relations", "tails"]):
            own = winning[row : row + batch.num_rows]
            row += batch.num_rows
            table = pa.Table.from_batches([batch]).filter(pa.array(own))
            drops["item_not_kept"] += int((~np.isin(table["item"].to_numpy(), kept)).sum())
            triples = Statements(*flatten_statements(table))
            for reason, fine in (
                ("head_not_kept", lambda t: np.isin(t.heads, kept)),
                ("tail_not_kept", lambda t: np.isin(t.tails, kept)),
                ("relation_without_label", lambda t: labelled is None or np.isin(t.relations, labelled)),
            ):
                mask = np.broadcast_to(fine(triples), len(triples))
                drops[reason] += int((~mask).sum())
                triples = triples.where(mask)
            pieces.append(triples)
    whole = Statements(*(np.concatenate([getattr(p, f.name) for p in pieces]) for f in dataclasses.fields(Statements)))
    return _exclude(whole, excluded, drops)


def winning_items(wikidata: Sequence[Path], drops: Counter[str]) -> list[npt.NDArray[np.bool_]]:
    """For each range, which of its item records count: of two records of one item, the one with the larger hash."""
    tables = [read_records(path / "items.arrow", ["item", "content"]) for path in wikidata]
    if not tables:
        return []
    whole = pa.concat_tables(tables)
    winning = winners(whole["item"].to_numpy(), whole["content"].to_numpy())
    drops["duplicate_item"] += int((~winning).sum())
    edges = np.cumsum([0, *(table.num_rows for table in tables)])
    return [winning[start:end] for start, end in itertools.pairwise(edges)]


def make_graph(triples: Statements, kept: I64, mentions: I64, *, seed: int, valid: int, test: int) -> Graph:
    """Split the triples, then number entities and relations by frequency, most frequent first.

    `kept` are the entities' item numbers, sorted; `mentions`, shape (len(kept),), how often train pages link to each.
    """
    codes = split.transductive(triples.heads, triples.relations, triples.tails, seed=seed, valid=valid, test=test)
    train = codes == split.TRAIN
    heads, tails = np.searchsorted(kept, triples.heads), np.searchsorted(kept, triples.tails)
    out_degree = np.bincount(heads[train], minlength=len(kept))
    in_degree = np.bincount(tails[train], minlength=len(kept))
    properties, relations = np.unique(triples.relations, return_inverse=True)
    relation_frequency = np.bincount(relations[train], minlength=len(properties))
    order = np.lexsort((kept, -(mentions + in_degree + out_degree)))
    relation_order = np.lexsort((properties, -relation_frequency))
    heads, relations, tails = np.argsort(order)[heads], np.argsort(relation_order)[relations], np.argsort(order)[tails]
    hashes = random_u64(seed, "inductive", kept[order])
    wanted = max(min(valid, test, int(split.MAX_SHARE * len(heads))), 0)
    sides, inductive_codes = split.inductive(heads, relations, tails, hashes, wanted=wanted)
    rows = np.lexsort((tails, relations, heads))
    return Graph(
        items=kept[order],
        properties=properties[relation_order],
        mention_count=mentions[order],
        in_degree=in_degree[order],
        out_degree=out_degree[order],
        inductive=sides,
        relation_frequency=relation_frequency[relation_order],
        heads=heads[rows],
        relations=relations[rows],
        tails=tails[rows],
        codes=codes[rows],
        inductive_codes=inductive_codes[rows],
    )


def triple_rows(graph: Graph) -> pa.Table:
    """The triples table, sorted by indices."""
    return pa.table(
        {
            "head": names("Q", graph.items[graph.heads]),
            "relation": names("P", graph.properties[graph.relations]),
            "tail": names("Q", graph.items[graph.tails]),
            "head_index": pa.array(graph.heads, pa.int32()),
            "relation_index": pa.array(graph.relations, pa.int32()),
            "tail_index": pa.array(graph.tails, pa.int32()),
            "label": pa.array(np.ones(len(graph.heads), bool)),
            "split": pa.array(split.NAMES).take(pa.array(graph.codes)),
            "inductive_split": pa.array(split.NAMES).take(pa.array(graph.inductive_codes)),
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


def _labelled_relations(wikidata: Sequence[Path]) -> I64:
    """Sorted numbers of the properties that have a label."""
    tables = [read_records(path / "properties.arrow", ["relation", "label"]) for path in wikidata]
    if not tables:
        return np.empty(0, np.int64)
    whole = pa.concat_tables(tables)
    whole = whole.filter(whole["label"].is_valid())
    return np.unique(whole["relation"].to_numpy().astype(np.int64))


def winners(numbers: I64, content: npt.NDArray[np.uint64]) -> npt.NDArray[np.bool_]:
    """One row per number: the one with the largest content hash, so that order decides nothing."""
    order = np.lexsort((-np.arange(len(numbers)), content, numbers))
    last = np.concatenate([numbers[order][1:] != numbers[order][:-1], [True]]) if len(numbers) else []
    winning = np.zeros(len(numbers), bool)
    winning[order[np.asarray(last, bool)]] = True
    return winning


def _exclude(triples: Statements, excluded: Statements, drops: Counter[str]) -> Statements:
    """Sorted, distinct triples without the excluded ones; self triples are kept and counted."""
    order = np.lexsort((triples.tails, triples.relations, triples.heads))
    triples = triples.where(order)
    same = np.ones(len(triples), bool)
    for column in (triples.heads, triples.relations, triples.tails):
        same[1:] &= column[1:] == column[:-1]
    same[:1] = False
    drops["duplicate_triple"] += int(same.sum())
    triples = triples.where(~same)
    banned = set(zip(excluded.heads.tolist(), excluded.relations.tolist(), excluded.tails.tolist(), strict=True))
    if banned:
        rows = zip(triples.heads.tolist(), triples.relations.tolist(), triples.tails.tolist(), strict=True)
        out = np.fromiter((row in banned for row in rows), bool, len(triples))
        drops["excluded"] += int(out.sum())
        triples = triples.where(~out)
    return triples
