"""The neighbours of an entity in the train graph, and the samples of them that word-knowledge graphs take."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.transforms import split
from pipelines.transforms.graph import Graph, load_columns, save_columns, stable_ids
from pipelines.transforms.titles import find
from schemas.hashing import hash_strings, random_u64

I64 = npt.NDArray[np.int64]
U64 = npt.NDArray[np.uint64]

CANDIDATES = 2**20
"""Triples drawn from at a time, about: those of a hot entity are drawn from on every page that names it."""


@dataclasses.dataclass(frozen=True)
class Neighbourhood:
    """Train triples by head as a CSR, and the stable ids that samples are drawn by. E entities, T train triples."""

    keys: npt.NDArray[Any]
    """What entities are found by, sorted, shape (E,): item numbers, or hashes of their ids (uint64)."""
    index: I64
    """Entity index of each of them."""
    entity_ids: U64
    relation_ids: U64
    offsets: I64
    """Entity i's triples are [offsets[i], offsets[i + 1]), shape (E + 1,)."""
    relations: I64
    tails: I64

    @classmethod
    def of(cls, graph: Graph) -> "Neighbourhood":
        """The train triples of a graph of items."""
        ids = stable_ids("Q", graph.items), stable_ids("P", graph.properties)
        return cls.of_train(graph, graph.codes == split.TRAIN, graph.items, *ids)

    @classmethod
    def of_train(
        cls, graph: Graph, train: npt.NDArray[np.bool_], keys: npt.NDArray[Any], entity_ids: U64, relation_ids: U64
    ) -> "Neighbourhood":
        """Some triples of a graph; `keys` are those of its entities by index."""
        order = np.argsort(keys, kind="stable")
        return cls(
            keys=keys[order],
            index=order,
            entity_ids=entity_ids,
            relation_ids=relation_ids,
            offsets=np.searchsorted(graph.heads[train], np.arange(len(entity_ids) + 1)),
            relations=graph.relations[train],
            tails=graph.tails[train],
        )

    def save(self, folder: Path) -> None:
        """One .npy per column."""
        save_columns(self, folder)

    @classmethod
    def load(cls, folder: Path) -> "Neighbourhood":
        """Memory-mapped."""
        return cls(**load_columns(cls, folder))

    def find(self, names: pa.Array) -> I64:
        """Ids of entities -> indices, -1 for those that are none of ours, and for null."""
        if self.keys.dtype == np.uint64:
            distinct = names.dictionary_encode()
            found = hash_strings(distinct.dictionary.to_pylist())
            keys = np.append(found, np.uint64(0))[pc.fill_null(distinct.indices, len(found)).to_numpy()]
        else:
            keys = pc.fill_null(pc.utf8_slice_codeunits(names, 1).cast(pa.int64()), -1).to_numpy()
        return np.where(names.is_valid().to_numpy(zero_copy_only=False), self.find_keys(keys), -1)

    def find_keys(self, keys: npt.NDArray[Any]) -> I64:
        """Item numbers, or hashes of ids -> indices, -1 for those that are none of ours."""
        return find(self.keys, self.index, keys, missing=-1)

    def sample(self, page_ids: I64, anchors: I64, seed: int, most: int) -> tuple[I64, I64]:
        """At most `most` triples of each (page, anchor), shape (P,): the smallest hashes of (seed, page, anchor,
        relation, tail), in index order. Returns how many each gets, shape (P,), and their rows, one after the other.
        """
        counts, rows = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
        total = np.cumsum(self.offsets[anchors + 1] - self.offsets[anchors])
        cuts = np.searchsorted(total, np.arange(CANDIDATES, total[-1] + 1, CANDIDATES)) + 1 if len(total) else []
        for pairs in np.split(np.arange(len(anchors)), cuts):
            some_counts, some_rows = self._sample(page_ids[pairs], anchors[pairs], seed, most)
            counts.append(some_counts)
            rows.append(some_rows)
        return np.concatenate(counts), np.concatenate(rows)

    def _sample(self, page_ids: I64, anchors: I64, seed: int, most: int) -> tuple[I64, I64]:
        lengths = self.offsets[anchors + 1] - self.offsets[anchors]
        rows = ranges(self.offsets[anchors], lengths)
        pair = np.repeat(np.arange(len(anchors)), lengths)
        crowded = np.flatnonzero(lengths[pair] > most)
        among = pair[crowded]
        ids = (self.relation_ids[self.relations[rows[crowded]]], self.entity_ids[self.tails[rows[crowded]]])
        hashes = random_u64(seed, "neighbours", page_ids[among], self.entity_ids[anchors[among]], *ids)
        order = np.lexsort((hashes, among))
        rank = np.arange(len(order)) - np.searchsorted(among, among)
        keep = np.ones(len(rows), bool)
        keep[crowded[order[rank >= most]]] = False
        return np.bincount(pair[keep], minlength=len(anchors)), rows[keep]


def ranges(starts: I64, lengths: I64) -> I64:
    """The numbers of [starts[i], starts[i] + lengths[i]) for all i, one after the other."""
    ends = np.cumsum(lengths)
    return np.arange(ends[-1] if len(ends) else 0) + np.repeat(starts - (ends - lengths), lengths)
