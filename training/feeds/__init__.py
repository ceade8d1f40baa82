"""Each system's batches: the streams that it reads, what is made of their rows; here, what several systems share."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pyarrow as pa
from jaxtyping import Int64

from schemas.dataset import Dataset
from schemas.errors import DataError
from training.config import Config
from training.data.groups import MemoryGroups, RowGroups
from training.data.loader import Parts
from training.data.setting import Setting, as_array, read_triples
from training.data.splits import Sides, train_and_valid
from training.sources import Source

Build = Callable[[str, int, list[Parts]], list[Any]]
"""(train or valid, step, rows of each micro-batch) -> micro-batches."""
Feeds = tuple[dict[str, Sides], Build, dict[str, int]]
"""The streams, the first one leading; what is made of them; their rows in a batch."""


def sides_of(config: Config, source: Source, name: str, groups: Mapping[str, RowGroups]) -> Sides:
    """Train and valid of a stream; DataError where there is nothing to learn from."""
    if not groups["train"].sizes.sum():
        raise DataError(
            f"{source.dataset.folder} has no {name.rstrip('2')} in its train split, which {config.system} learns from. "
            "See wikiloom describe for what it holds."
        )
    least, digest = config.train.valid_rows, source.dataset.digest
    return train_and_valid(name, groups["train"], groups["valid"], least=least, seed=config.seed, digest=digest)


def triple_rows(dataset: Dataset, split: str, setting: Setting) -> MemoryGroups:
    """The split's triples, each with its number in the split."""
    table = read_triples(dataset, split, setting)
    rows = pa.array(np.arange(table.num_rows))
    return MemoryGroups(table.append_column("row", rows).combine_chunks(), f"{dataset.folder}/triples/{split}")


def trained_triples(config: Config, source: Source) -> Int64[np.ndarray, "T 3"]:
    """The triples that are learned from: train's, but for what is held out of it to validate on."""
    facts = {split: triple_rows(source.dataset, split, config.data.split) for split in ("train", "valid")}
    return all_triples(sides_of(config, source, "triples", facts).train)


def all_triples(groups: RowGroups) -> Int64[np.ndarray, "T 3"]:
    """(head, relation, tail) of all rows of all groups."""
    return as_array(pa.concat_tables([groups.read(group) for group in range(len(groups.sizes))]))
