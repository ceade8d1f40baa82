"""Sets of facts by index: exact, in three columns, so that no packed key can overflow."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from pipelines.scan import scan
from schemas.dataset import Dataset
from schemas.errors import DataError

I32 = npt.NDArray[np.int32]
I64 = npt.NDArray[np.int64]
INDICES = ("head_index", "relation_index", "tail_index")
TRUE_SPLITS = ("train", "valid", "test")
"""Splits of triples that are facts; the others are a benchmark's false ones."""


@dataclasses.dataclass(frozen=True)
class Facts:
    """Facts sorted by head, relation, tail; 12 bytes each."""

    heads: I32
    relations: I32
    tails: I32

    @classmethod
    def of(cls, heads: npt.ArrayLike, relations: npt.ArrayLike, tails: npt.ArrayLike) -> "Facts":
        """Sort facts in any order; a fact that is given twice stays twice."""
        columns = [np.asarray(column, np.int32) for column in (heads, relations, tails)]
        order = np.lexsort(columns[::-1])
        return cls(*(column[order] for column in columns))

    def __len__(self) -> int:
        return len(self.heads)

    def find(self, heads: npt.ArrayLike, relations: npt.ArrayLike, tails: npt.ArrayLike) -> I64:
        """The row of each of these facts, -1 where it is none of ours."""
        columns = [np.asarray(column, np.int32) for column in (heads, relations, tails)]
        order = np.argsort(columns[0], kind="stable")  # neighbours in memory one after the other: four times as fast
        wanted_heads, wanted_relations, wanted_tails = (column[order] for column in columns)
        low, high = (np.searchsorted(self.heads, wanted_heads, side) for side in ("left", "right"))
        end = high
        # Every head's rows are sorted by (relation, tail): a binary search in all of them at once.
        while (open_ := low < high).any():
            middle = np.where(open_, (low + high) // 2, 0)
            below = self.relations[middle] < wanted_relations
            below |= (self.relations[middle] == wanted_relations) & (self.tails[middle] < wanted_tails)
            low = np.where(open_ & below, middle + 1, low)
            high = np.where(open_ & ~below, middle, high)
        found = low < end
        place = np.where(found, low, 0)
        if len(self):
            found &= (self.relations[place] == wanted_relations) & (self.tails[place] == wanted_tails)
        rows = np.empty(len(order), np.int64)
        rows[order] = np.where(found, place, -1)
        return rows


def graph_split(dataset: Dataset) -> str:
    """The column of `triples` whose train facts the graphs may hold: split, or inductive_split."""
    return _told_of_graphs(dataset, "split_column", ("split", "inductive_split"))


def graph_texts(dataset: Dataset) -> str:
    """The table whose texts the graphs are cut from: pages, or examples."""
    return _told_of_graphs(dataset, "texts", ("pages", "examples"))


def _told_of_graphs(dataset: Dataset, name: str, known: tuple[str, str]) -> str:
    """What the manifest says of the graphs under `name`; the first of `known` where it says nothing."""
    found: Any = dataset.manifest.rest
    for key in ("graph", "wk_graphs", name):
        found = found.get(key, {}) if isinstance(found, dict) else {}
    if found not in ({}, *known):
        path = dataset.folder / "manifest.json"
        raise DataError(f"{path}: graph.wk_graphs.{name} {found!r}, expected {known[0]} or {known[1]}.")
    return found or known[0]


def read_facts(dataset: Dataset, wanted: Sequence[str], column: str = "split") -> Facts:
    """The true facts whose `column` (split or inductive_split) is one of `wanted`."""
    pieces: list[list[I32]] = [[np.empty(0, np.int32)] * 3]
    for part in wanted if column == "split" else TRUE_SPLITS:
        for rows in scan(dataset, "triples", [*INDICES, column], split=part):
            mask = np.isin(rows[column].to_numpy(), wanted)
            pieces.append([rows[name].to_numpy()[mask] for name in INDICES])
    return Facts.of(*(np.concatenate(parts) for parts in zip(*pieces, strict=True)))


def pair_codes(ones: npt.ArrayLike, others: npt.ArrayLike) -> npt.NDArray[np.uint64]:
    """(one, other) as one number: indices are int32, so both fit."""
    one, other = (np.asarray(column, np.int32).view(np.uint32).astype(np.uint64) for column in (ones, others))
    return (one << np.uint64(32)) | other
