"""Which rows a stream trains on and which it is validated on."""

import dataclasses

import numpy as np

from schemas.hashing import random_u64
from training.data.groups import RowGroups, SomeRows


@dataclasses.dataclass(frozen=True)
class Sides:
    """The two sides of a stream, and the line to print where the dataset's own valid split does not serve."""

    train: RowGroups
    valid: RowGroups
    note: str | None


def train_and_valid(name: str, train: RowGroups, valid: RowGroups, *, least: int, seed: int, digest: str) -> Sides:
    """The dataset's splits; where valid has fewer than `least` rows, a slice of train by hash, not trained on."""
    rows, valid_rows = int(train.sizes.sum()), int(valid.sizes.sum())
    count = min(max(least, rows // 50), rows // 10)
    if valid_rows >= min(least, max(count, 1)) or not count:
        return Sides(train, valid, None)
    order = np.argsort(random_u64(seed, f"{name}/{digest}/held-out", np.arange(rows)), kind="stable")
    note = (
        f"{name}: the valid split has {valid_rows} rows, fewer than {least}: "
        f"validating on {count} of the {rows} train rows, held out by hash and not trained on"
    )
    return Sides(SomeRows(train, np.sort(order[count:])), SomeRows(train, np.sort(order[:count])), note)
