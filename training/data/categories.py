"""The classes of entities: what JAKET's knowledge module learns to tell, and which entities are held out for it.

An entity's class is the one of its categories (P31) that most entities have; a class needs so many members. Which
labelled entities are valid and test depends on the entity's id alone, so that every run and every baseline, whatever
its seed, is asked about the same ones. E entities, C classes.
"""

import dataclasses

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Int64

from schemas.dataset import Dataset
from schemas.hashing import hash_strings, random_u64

INSTANCE_OF = "P31"
NONE = -1
SPLITS = ("train", "valid", "test")


@dataclasses.dataclass(frozen=True)
class Categories:
    """The class of each labelled entity."""

    names: list[str]
    """The classes, the most frequent one first."""
    labels: Int64[np.ndarray, " E"]
    """The place of each entity's class in `names`, or NONE."""
    splits: Int64[np.ndarray, " E"]
    """The place in SPLITS of each entity."""

    def of(self, split: str) -> Int64[np.ndarray, " E"]:
        """The labels of a split's entities, NONE for all others."""
        return np.where(self.splits == SPLITS.index(split), self.labels, NONE)


def read_categories(dataset: Dataset, least_members: int, held_out: float) -> Categories:
    """The classes of at least so many members. `held_out` is the share of entities that are valid, and as many are
    test."""
    table = dataset.read("entities", columns=["entity", "categories"]).combine_chunks()
    draws = random_u64(0, "categories/held-out", hash_strings(table["entity"].to_pylist())) * 2.0**-64
    splits = (draws < 2 * held_out).astype(np.int64) + (draws < held_out)
    lists = table["categories"].combine_chunks()
    flat = lists.flatten().dictionary_encode()
    owners = pc.list_parent_indices(lists).to_numpy(zero_copy_only=False).astype(np.int64)
    codes, values = flat.indices.to_numpy(zero_copy_only=False).astype(np.int64), flat.dictionary
    frequency = np.bincount(codes, minlength=len(values))
    # Of equally frequent ones the first by its bytes: no order of lines decides.
    by_name = np.argsort(np.array([value.encode() for value in values.to_pylist()], dtype=object), kind="stable")
    rank = np.empty(len(values), dtype=np.int64)
    rank[by_name[np.argsort(-frequency[by_name], kind="stable")]] = np.arange(len(values))
    best = np.full(table.num_rows, len(values))
    np.minimum.at(best, owners, rank[codes])
    members = np.bincount(best, minlength=len(values) + 1)[: len(values)]
    kept = np.flatnonzero(members >= least_members)
    kept = kept[np.argsort(-members[kept], kind="stable")]
    numbers = np.full(len(values) + 1, NONE)
    numbers[kept] = np.arange(len(kept))
    ranked = values.take(pa.array(np.argsort(rank))).to_pylist()
    return Categories([ranked[place] for place in kept], numbers[best], splits)
