"""A rank's rows of each global batch of one stream: whole windows are decoded, and put in the order of the batches."""

import dataclasses
import itertools
import threading
from collections.abc import Callable, Iterable, Iterator

import numpy as np
import pyarrow as pa
from jaxtyping import Int64

from training.data.batch import Columns, columns, joined
from training.data.faults import Damaged, Quarantine
from training.data.groups import RowGroups
from training.data.plan import Mix, Plan

Mapper = Callable[[Callable[[int], "pa.Table | Damaged"], Iterable[int]], Iterator["pa.Table | Damaged"]]
"""map, or that of a pool of threads."""


@dataclasses.dataclass(frozen=True)
class Rank:
    """Whose rows: the share of `rank` among `world` equal ones."""

    rank: int = 0
    world: int = 1

    def worker(self, number: int, workers: int) -> "Rank":
        """The rank that one of a rank's worker processes reads as; their shares in order are the rank's."""
        return Rank(self.rank * workers + number, self.world * workers)


SOLE = Rank()
"""The rank of a run that has one."""


@dataclasses.dataclass(frozen=True)
class Part:
    """Some rows of a stream's global batch. B rows."""

    columns: Columns
    epochs: Int64[np.ndarray, " B"]
    """Of each row: which time around the stream it comes from."""

    def cut(self, pieces: int) -> "list[Part]":
        """As many stretches, of lengths that differ by at most one row."""
        edges = [len(self.epochs) * piece // pieces for piece in range(pieces + 1)]
        return [
            Part(self.columns.slice(start, end), self.epochs[start:end]) for start, end in itertools.pairwise(edges)
        ]


@dataclasses.dataclass(frozen=True)
class _Window:
    """A rank's rows of one window, those of a batch together. N rows, S batches."""

    columns: Columns
    lanes: Int64[np.ndarray, " N"]
    first: int
    """The first batch that has rows in the window."""
    cuts: Int64[np.ndarray, " S1"]
    """Where each batch's rows begin."""
    epoch: int

    def part(self, step: int) -> tuple[Part, Int64[np.ndarray, " B"]]:
        """The rows of a batch, and their lanes."""
        start, end = (int(cut) for cut in self.cuts[step - self.first : step - self.first + 2])
        return Part(self.columns.slice(start, end), np.full(end - start, self.epoch)), self.lanes[start:end]


class Stream:
    """One stream as a rank reads it. Batches may be asked for in any order; in ascending order each row group is
    decoded once an epoch (but for the few at the cuts between lanes)."""

    def __init__(self, groups: RowGroups, plan: Plan, mix: Mix, rank: Rank, quarantine: Quarantine) -> None:
        self._groups, self.plan, self._mix, self._quarantine = groups, plan, mix, quarantine
        # In units of 1 / (lanes * world) of a round, lane l is [l, l + 1) * world and a rank [r, r + 1) * lanes.
        start, end = rank.rank * plan.lanes, (rank.rank + 1) * plan.lanes
        self._lanes = np.arange(start // rank.world, -(-end // rank.world))
        self._from = np.maximum(start - self._lanes * rank.world, 0)
        self._to = np.minimum(end - self._lanes * rank.world, rank.world)
        self._world = rank.world
        self._windows: dict[int, _Window] = {}
        self._decoded: dict[int, pa.Table] = {}
        self._lock = threading.Lock()
        self.decodes = 0
        """Row groups decoded so far."""

    def take(self, step: int, mapper: Mapper = map) -> Part:
        """The rank's rows of a global batch, lane by lane; `mapper` decodes."""
        start, end = self._mix.taken(self.plan.stream, np.array([step, step + 1])).tolist()
        if start == end:
            return Part(columns(self._groups.schema.empty_table()), np.empty(0, dtype=np.int64))
        first, last = (self.plan.window_of(position // self.plan.lanes) for position in (start, end - 1))
        with self._lock:
            self._windows = {number: window for number, window in self._windows.items() if number >= first}
            parts = []
            for number in range(first, last + 1):
                if number not in self._windows:
                    self._windows[number] = self._load(number, mapper)
                parts.append(self._windows[number].part(step))
        return parts[0][0] if len(parts) == 1 else _merged(parts)

    def _load(self, number: int, mapper: Mapper) -> _Window:
        first, order, lanes, cuts = self._schedule(number)
        group, row = (places.ravel()[order] for places in self.plan.places(number, self._lanes))
        group, row, needed = self._decode(number, group, row, mapper)
        begin = np.zeros(len(self._groups.sizes), dtype=np.int64)
        begin[needed] = np.cumsum(self._groups.sizes[needed]) - self._groups.sizes[needed]
        pieces = [self._decoded[piece] for piece in needed.tolist()] or [self._groups.schema.empty_table()]
        rows = pa.concat_tables(pieces).take(pa.array(begin[group] + row))
        again = self.plan.shared_with_next(number, self._lanes)
        self._decoded = {piece: table for piece, table in self._decoded.items() if piece in again}
        return _Window(columns(rows), lanes, first, cuts, number // self.plan.windows)

    def _schedule(
        self, window: int
    ) -> tuple[int, Int64[np.ndarray, " N"], Int64[np.ndarray, " N"], Int64[np.ndarray, " S1"]]:
        """The window's first batch; which of its rows (lane by lane, as they lie there) are the rank's, in the order of
        the batches; their lanes; where each batch begins among them."""
        plan, lanes = self.plan, self._lanes
        start, end = plan.lane_span(window)
        first, last = (
            self._mix.step_of(plan.stream, position) for position in (start * plan.lanes, end * plan.lanes - 1)
        )
        taken = self._mix.taken(plan.stream, np.arange(first, last + 2))
        rows = np.arange(start, end)
        step = np.searchsorted(taken, rows * plan.lanes + plan.turns[lanes][:, None], side="right") - 1
        mine = self._mine(rows, taken, step)
        lane = np.broadcast_to(lanes[:, None], step.shape)[mine]
        # Few batches lie in a window: so short a type is sorted in linear time.
        order = np.argsort(step[mine].astype(np.min_scalar_type(last - first)), kind="stable")
        cuts = np.searchsorted(step[mine][order], np.arange(last - first + 2))
        return first, np.flatnonzero(mine)[order], lane[order], cuts

    def _mine(
        self, rows: Int64[np.ndarray, " N"], taken: Int64[np.ndarray, " S1"], step: Int64[np.ndarray, "L N"]
    ) -> np.ndarray:
        """Which rows of the window are the rank's: all of its own lanes, of a shared lane a stretch of each batch."""
        mine = np.ones(step.shape, dtype=bool)
        for i in np.flatnonzero((self._from > 0) | (self._to < self._world)):
            lane = np.full(len(taken), self._lanes[i])
            begin = self.plan.taken(taken, lane)
            count, place = np.diff(begin)[step[i]], rows - begin[step[i]]
            mine[i] = (place >= count * self._from[i] // self._world) & (place < count * self._to[i] // self._world)
        return mine

    def _decode(
        self, window: int, group: Int64[np.ndarray, " N"], row: Int64[np.ndarray, " N"], mapper: Mapper
    ) -> tuple[Int64[np.ndarray, " N"], Int64[np.ndarray, " N"], Int64[np.ndarray, " K"]]:
        """Decode what the rows lie in; rows of a row group that is left out give way to those of its stand-in.

        Returns the rows as they are read, and the row groups that they lie in.
        """
        name, sizes = self.plan.stream, self._groups.sizes
        while True:
            read, place = group, row
            if bad := self._quarantine.groups.get(name):
                read = self.plan.stand_ins(window, bad)[group]
                place = row % sizes[read]
            needed = np.unique(read)
            missing = [number for number in needed.tolist() if number not in self._decoded]
            tables = dict(zip(missing, mapper(self._read, missing), strict=True))
            damaged = {number: table for number, table in tables.items() if isinstance(table, Damaged)}
            self.decodes += len(missing)
            self._decoded |= {number: table for number, table in tables.items() if number not in damaged}
            if not self._quarantine.grows(name, len(sizes), damaged):
                return read, place, needed

    def _read(self, group: int) -> pa.Table | Damaged:
        try:
            return self._groups.read(group)
        except Damaged as fault:
            return fault


def _merged(parts: list[tuple[Part, np.ndarray]]) -> Part:
    """The pieces of a batch that lies in several windows, lane by lane."""
    order = np.argsort(np.concatenate([lanes for _, lanes in parts]), kind="stable")
    rows = joined([part.columns for part, _ in parts]).take(order)
    return Part(rows, np.concatenate([part.epochs for part, _ in parts])[order])
