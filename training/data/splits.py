"""Which rows a stream trains on and which it is validated on."""

import dataclasses

import numpy as np
from jaxtyping import Int64

from schemas.hashing import random_u64
from training.data.plan import Plan


@dataclasses.dataclass(frozen=True)
class Rows:
    """Rows of one split that belong to a stream."""

    split: str
    count: int
    subset: Int64[np.ndarray, " N"] | None = None
    """Their numbers; None for the whole split."""

    def at(self, places: Int64[np.ndarray, " M"]) -> Int64[np.ndarray, " M"]:
        """Numbers in the split of the stream's rows at these places."""
        return places if self.subset is None else self.subset[places]


@dataclasses.dataclass(frozen=True)
class Parts:
    """The two sides of a stream, and the line to print where the dataset's own valid split does not serve."""

    train: Rows
    valid: Rows
    note: str | None


def train_and_valid(stream: str, train: int, valid: int, *, least: int, seed: int, digest: str) -> Parts:
    """The dataset's splits; where valid has fewer than `least` rows, a slice of train by hash, not trained on."""
    count = min(max(least, train // 50), train // 10)
    if valid >= min(least, max(count, 1)) or not count:
        return Parts(Rows("train", train), Rows("valid", valid), None)
    order = np.argsort(random_u64(seed, f"{stream}/{digest}/held-out", np.arange(train)), kind="stable")
    held, rest = np.sort(order[:count]), np.sort(order[count:])
    note = (
        f"{stream}: the valid split has {valid} rows, fewer than {least}: "
        f"validating on {count} of the {train} train rows, held out by hash and not trained on"
    )
    return Parts(Rows("train", train - count, rest), Rows("train", count, held), note)


@dataclasses.dataclass(frozen=True)
class Stream:
    """The order of a stream's rows: its plan, over the rows that belong to it."""

    plan: Plan
    rows: Rows

    def batch(self, step: int) -> tuple[int, Int64[np.ndarray, " N"]]:
        """(epoch, row numbers in the split) of global batch `step`."""
        epoch, places = self.plan.batch(step)
        return epoch, self.rows.at(places)
