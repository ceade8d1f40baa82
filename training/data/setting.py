"""Which triples are train, valid and test: those of the dataset's transductive or of its inductive setting.

The files of a dataset are cut by the transductive `split`; the column `inductive_split` says the other one. There,
train has no triple of an entity of valid or test, so whoever learns from it must not meet those entities at all.
N triples, K entities.
"""

from collections.abc import Mapping
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Int64, Integer

from schemas.dataset import Dataset

Setting = Literal["transductive", "inductive"]
SPLITS = ("train", "valid", "test")
TRIPLE = ("head_index", "relation_index", "tail_index")


def read_triples(dataset: Dataset, split: str, setting: Setting) -> pa.Table:
    """The true triples of a split, columns TRIPLE; those of the inductive setting come from all of SPLITS' files.

    `split` may be `dropped` in the inductive setting: triples between entities of different splits.
    """
    if setting == "transductive":
        return dataset.read("triples", split, list(TRIPLE))
    parts = []
    for file in SPLITS:
        table = dataset.read("triples", file, [*TRIPLE, "inductive_split"])
        parts.append(table.filter(pc.equal(table["inductive_split"], split)).select(TRIPLE))
    return pa.concat_tables(parts)


def as_array(triples: pa.Table) -> Int64[np.ndarray, "N 3"]:
    """The rows (head, relation, tail)."""
    return np.stack([triples[name].to_numpy().astype(np.int64) for name in TRIPLE], axis=-1)


def as_triples(numbers: Mapping[str, Integer[np.ndarray, " N"]]) -> Int64[np.ndarray, "N 3"]:
    """The same of columns that were read already."""
    return np.stack([numbers[name].astype(np.int64) for name in TRIPLE], axis=-1)


def known_entities(train: Int64[np.ndarray, "N 3"]) -> Int64[np.ndarray, " K"]:
    """The entities that some train triple has, sorted: what the inductive setting may learn from."""
    return np.unique(train[:, [0, 2]])
