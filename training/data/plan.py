"""Which rows make up global batch s: a pure function of (logical digest, seed, stream), so resuming costs O(1).

Each epoch the row groups are permuted, laid end to end, turned by a random distance and cut into lanes of equal length;
in a lane, windows of rows are shuffled. Position p of a stream is row p // lanes of lane p % lanes, epoch after epoch:
a batch is a stretch of positions, so it takes the next rows of every lane. Ranks own neighbouring lanes (and share one
where the lanes don't divide), so a row group is decoded by one rank, and neither ranks nor threads change what a batch
holds. An epoch leaves out the rows beyond lanes of equal length (fewer than `lanes`), others each time.
"""

import dataclasses
import functools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Int64, UInt64

from schemas.errors import DataError
from schemas.hashing import random_u64


@dataclasses.dataclass(frozen=True, eq=False)
class Plan:
    """The order of one stream. G row groups."""

    stream: str
    """Names the stream in every hash; with the digest, so that other data get another order."""
    digest: str
    seed: int
    sizes: Int64[np.ndarray, " G"]
    """Rows of each row group."""
    lanes: int
    window: int
    """Rows of a lane that are shuffled together."""

    def __post_init__(self) -> None:
        if not self.lane_rows:
            raise DataError(f"{self.stream} has {self.rows} rows, fewer than {self.lanes} lanes.")

    @functools.cached_property
    def rows(self) -> int:
        """Rows of the stream."""
        return int(self.sizes.sum())

    @functools.cached_property
    def lane_rows(self) -> int:
        """Rows of a lane."""
        return self.rows // self.lanes

    @property
    def epoch_rows(self) -> int:
        """Rows of an epoch: all but the remainder of equal lanes."""
        return self.lane_rows * self.lanes

    @property
    def windows(self) -> int:
        """Windows of a lane in an epoch; the last one may be shorter."""
        return -(-self.lane_rows // self.window)

    @functools.cached_property
    def turns(self) -> Int64[np.ndarray, " L"]:
        """When each lane's turn comes in a round of positions: in bit-reversed order, so that any stretch of a round
        takes from the lanes of all ranks alike."""
        bits = self.lanes.bit_length()
        order = sorted(range(self.lanes), key=lambda lane: f"{lane:0{bits}b}"[::-1])
        return np.argsort(np.array(order))

    def taken(self, positions: Int64[np.ndarray, "*#S"], lanes: Int64[np.ndarray, "*#S"]) -> Int64[np.ndarray, "*#S"]:
        """Rows that the first `positions` positions have taken from each of the lanes."""
        return -((self.turns[lanes] - positions) // self.lanes)

    def cuts(self, start: int, end: int, world: int) -> Int64[np.ndarray, " W1"]:
        """Where each rank's share of the positions from `start` to `end` begins, lane by lane."""
        lanes = np.arange(self.lanes)
        counts = self.taken(np.full(self.lanes, end), lanes) - self.taken(np.full(self.lanes, start), lanes)
        before = np.concatenate([[0], np.cumsum(counts)])
        lane, part = np.divmod(np.arange(world + 1) * self.lanes, world)
        return before[lane] + np.append(counts, 0)[lane] * part // world

    def window_of(self, lane_row: int) -> int:
        """The window of a lane's row; both are counted on through the epochs."""
        epoch, row = divmod(lane_row, self.lane_rows)
        return epoch * self.windows + row // self.window

    def lane_span(self, window: int) -> tuple[int, int]:
        """First row of a window, and the one after its last, as counted through the epochs."""
        epoch, number = divmod(window, self.windows)
        start, end = number * self.window, min((number + 1) * self.window, self.lane_rows)
        return epoch * self.lane_rows + start, epoch * self.lane_rows + end

    def places(
        self, window: int, lanes: Int64[np.ndarray, " L"]
    ) -> tuple[Int64[np.ndarray, "L N"], Int64[np.ndarray, "L N"]]:
        """(row group, row in it) of a window's rows in these lanes, shuffled."""
        epoch = window // self.windows
        offsets = np.arange(*self.lane_span(window)) - epoch * self.lane_rows
        # Lane by lane: what a lane needs stays in the processor's cache.
        pieces = [self._shuffled(epoch, lane, offsets) for lane in lanes.tolist()]
        group, row = (np.stack(side) for side in zip(*pieces, strict=True))
        return group, row

    def shared_with_next(self, window: int, lanes: Int64[np.ndarray, " L"]) -> set[int]:
        """The row groups that the next window of these lanes begins with; none at the end of an epoch."""
        epoch, end = window // self.windows, self.lane_span(window)[1]
        row = end - epoch * self.lane_rows
        if row == self.lane_rows:
            return set()
        return set(self._at(epoch, lanes * self.lane_rows + row)[0].tolist())

    def stand_ins(self, window: int, bad: Sequence[int]) -> Int64[np.ndarray, " G"]:
        """For every row group the one that is read in its place: itself, or the next in the epoch's order not in `bad`.

        DataError where none is left.
        """
        order = self._sequence(window // self.windows).order
        good = ~np.isin(order, np.array(bad, dtype=np.int64)) & (self.sizes[order] > 0)
        if not good.any():
            raise DataError(f"{self.stream}: all of its row groups are damaged. Build the dataset again.")
        after = np.searchsorted(np.flatnonzero(good), np.arange(len(order)), side="left") % int(good.sum())
        stand_in = np.empty_like(order)
        stand_in[order] = order[good][after]
        return stand_in

    def _shuffled(
        self, epoch: int, lane: int, offsets: Int64[np.ndarray, " N"]
    ) -> tuple[Int64[np.ndarray, " N"], Int64[np.ndarray, " N"]]:
        """(row group, row in it) of a lane's rows at these offsets, shuffled."""
        group, row = self._at(epoch, lane * self.lane_rows + offsets)
        # A sort of numbers that hold their own place is several times as fast as an argsort, and has no ties.
        bits = np.uint64(len(offsets).bit_length())
        keys = np.sort(
            (self._hash("window", epoch, lane, offsets) >> bits << bits) | np.arange(len(offsets), dtype=np.uint64)
        )
        order = (keys & ((np.uint64(1) << bits) - np.uint64(1))).astype(np.int64)
        return group[order], row[order]

    def _at(
        self, epoch: int, positions: Int64[np.ndarray, " N"]
    ) -> tuple[Int64[np.ndarray, " N"], Int64[np.ndarray, " N"]]:
        """Positions in the epoch's turned sequence of permuted row groups -> (row group, row in it)."""
        sequence = self._sequence(epoch)
        positions = positions + sequence.turn
        # A turn by a random distance, so that what falls off the end is new in each epoch.
        positions = np.where(positions < self.rows, positions, positions - self.rows)
        place = np.searchsorted(sequence.starts, positions, side="right") - 1
        return sequence.order[place], positions - sequence.starts[place]

    def _sequence(self, epoch: int) -> "_Sequence":
        return _sequence(self, epoch)

    def _hash(self, purpose: str, epoch: int, *ids: Any) -> UInt64[np.ndarray, "..."]:
        return random_u64(self.seed, f"{self.stream}/{self.digest}/{purpose}", epoch, *ids)


@dataclasses.dataclass(frozen=True, eq=False)
class _Sequence:
    """The row groups of an epoch, permuted."""

    order: Int64[np.ndarray, " G"]
    starts: Int64[np.ndarray, " G"]
    """Where each of `order` begins; an empty one begins where the next does, which is found in its stead."""
    turn: int


@functools.lru_cache(maxsize=8)
def _sequence(plan: Plan, epoch: int) -> _Sequence:
    order = np.argsort(plan._hash("groups", epoch, np.arange(len(plan.sizes))), kind="stable")
    sizes = plan.sizes[order]
    turn = int(plan._hash("turn", epoch) % np.uint64(plan.rows))
    return _Sequence(order, np.cumsum(sizes) - sizes, turn)


@dataclasses.dataclass(frozen=True)
class Mix:
    """How the rows of a batch are shared among streams: by weight, over all batches together.

    Slot g of the run belongs to one stream by g alone, in a pattern as long as the weights' sum, so what a stream has
    given after any number of steps costs O(1), and is off its share by less than two rows.
    """

    weights: dict[str, int]
    batch: int
    """Rows of a global batch, of all streams together."""

    @functools.cached_property
    def _pattern(self) -> tuple[int, dict[str, Int64[np.ndarray, " T1"]]]:
        """Slots until the pattern repeats, and how many of the first n are each stream's."""
        divisor = math.gcd(*self.weights.values())
        weights = {name: weight // divisor for name, weight in self.weights.items()}
        slots = np.concatenate([(np.arange(weight) + 0.5) / weight for weight in weights.values()])
        owner = np.repeat(np.arange(len(weights)), list(weights.values()))[np.argsort(slots, kind="stable")]
        counts = {
            name: np.concatenate([[0], np.cumsum(owner == number)]).astype(np.int64)
            for number, name in enumerate(weights)
        }
        return len(owner), counts

    def taken(self, stream: str, steps: Int64[np.ndarray, "*S"]) -> Int64[np.ndarray, "*S"]:
        """Rows of a stream in the first `steps` batches."""
        period, counts = self._pattern
        whole, rest = np.divmod(steps * self.batch, period)
        return np.asarray(whole * counts[stream][-1] + counts[stream][rest])
