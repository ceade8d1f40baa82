"""Which rows make up global batch s: a pure function of (logical digest, seed, stream), so resuming costs O(1).

Each epoch the rows, in their sort order, are cut into blocks of about a row group; the blocks are permuted, laid end to
end and cut into lanes of equal length; in a lane, windows of rows are shuffled. A batch takes the next rows of every
lane. Ranks share a global batch by contiguous slices, so neither their number nor threads change what it holds. The
rows that fill no batch at the end of an epoch (fewer than batch_size + lanes) are others in each epoch.
"""

import dataclasses
import functools

import numpy as np
from jaxtyping import Int64

from schemas.errors import DataError
from schemas.hashing import random_u64

BLOCK_ROWS = 1_024
"""Rows of a block: the row group of the token tables, so a block is one decode."""


@dataclasses.dataclass(frozen=True)
class Plan:
    """The order of one stream of `rows` rows."""

    stream: str
    """Names the stream in every hash; with the digest, so that other data get another order."""
    digest: str
    seed: int
    rows: int
    batch_size: int
    lanes: int
    window: int

    def __post_init__(self) -> None:
        if self.batch_size % self.lanes:
            raise DataError(f"A batch of {self.batch_size} rows can't be taken equally from {self.lanes} lanes.")
        if self.rows < self.batch_size:
            raise DataError(
                f"{self.stream} has {self.rows} rows, fewer than one batch of {self.batch_size}. "
                "Take a smaller batch (--set train.batch_size, kepler.blocks) or a larger dataset."
            )

    @property
    def lane_rows(self) -> int:
        """Rows of a lane."""
        return self.rows // self.lanes

    @property
    def steps_per_epoch(self) -> int:
        """Batches of an epoch."""
        return self.lane_rows // (self.batch_size // self.lanes)

    def batch(self, step: int, rank: int = 0, world: int = 1) -> tuple[int, Int64[np.ndarray, " N"]]:
        """(epoch, rows of global batch `step`), or a rank's share of them; rows are numbers in sort order."""
        epoch, index = divmod(step, self.steps_per_epoch)
        share = self.batch_size // self.lanes
        pieces = [_lane_slice(self, epoch, lane, index * share, (index + 1) * share) for lane in range(self.lanes)]
        rows = np.concatenate(pieces)
        return epoch, rows[self.batch_size * rank // world : self.batch_size * (rank + 1) // world]


def _lane_slice(plan: Plan, epoch: int, lane: int, start: int, end: int) -> Int64[np.ndarray, " N"]:
    windows = range(start // plan.window, (end - 1) // plan.window + 1)
    rows = np.concatenate([_window(plan, epoch, lane, number) for number in windows])
    first = start - windows[0] * plan.window
    return rows[first : first + end - start]


@functools.lru_cache(maxsize=512)
def _window(plan: Plan, epoch: int, lane: int, number: int) -> Int64[np.ndarray, " N"]:
    """The rows of one window of a lane, shuffled."""
    start = number * plan.window
    positions = np.arange(start, min(start + plan.window, plan.lane_rows))
    order = np.argsort(_hash(plan, "window", epoch, lane, positions), kind="stable")
    return _rows_at(plan, epoch, lane * plan.lane_rows + positions[order])


def _rows_at(plan: Plan, epoch: int, positions: Int64[np.ndarray, " N"]) -> Int64[np.ndarray, " N"]:
    """Positions in the epoch's sequence of permuted blocks -> rows."""
    starts, cumulative, shift = _sequence(plan, epoch)
    # The sequence is turned by a random distance, so that what falls off its end is new in each epoch.
    positions = (positions + shift) % plan.rows
    block = np.searchsorted(cumulative, positions, side="right") - 1
    return starts[block] + positions - cumulative[block]


@functools.lru_cache(maxsize=8)
def _sequence(plan: Plan, epoch: int) -> tuple[Int64[np.ndarray, " N"], Int64[np.ndarray, " N"], int]:
    """The permuted blocks of an epoch: first row of each, where each begins in the sequence, and the turn."""
    count = -(-plan.rows // BLOCK_ROWS)
    edges = np.arange(count + 1) * plan.rows // count
    order = np.argsort(_hash(plan, "blocks", epoch, 0, np.arange(count)), kind="stable")
    sizes = np.diff(edges)[order]
    shift = int(_hash(plan, "turn", epoch, 0, np.arange(1))[0] % np.uint64(plan.rows))
    return edges[:-1][order], np.cumsum(sizes) - sizes, shift


def _hash(plan: Plan, purpose: str, epoch: int, lane: int, ids: Int64[np.ndarray, " N"]) -> np.ndarray:
    return random_u64(plan.seed, f"{plan.stream}/{plan.digest}/{purpose}", epoch, lane, ids)
