"""A rank's rows of each global batch of one stream: whole windows are decoded, and put in the order of the batches."""

import dataclasses
import itertools
import threading
from collections.abc import Callable, Iterable, Iterator

import numpy as np
import pyarrow as pa
from jaxtyping import Int64

from training.data.batch import Columns, joined, offsets
from training.data.buffers import RowBuffers
from training.data.faults import Damaged, Quarantine
from training.data.groups import RowGroups
from training.data.plan import Mix, Plan

Mapper = Callable[[Callable[[int], "pa.Table | Damaged"], Iterable[int]], Iterator["pa.Table | Damaged"]]
"""map, or that of a pool of threads."""

STRIP_ROWS = 8_192
"""Rows that are copied out of the buffers at once: a call costs as much as some hundred of them."""


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

    def slice(self, start: int, end: int) -> "Part":
        """Rows start to end."""
        return Part(self.columns.slice(start, end), self.epochs[start:end])

    def take(self, rows: Int64[np.ndarray, " M"]) -> "Part":
        """These rows, in this order."""
        return Part(self.columns.take(rows), self.epochs[rows])

    def cut(self, pieces: int) -> "list[Part]":
        """As many stretches, of lengths that differ by at most one row."""
        edges = [len(self.epochs) * piece // pieces for piece in range(pieces + 1)]
        return [self.slice(start, end) for start, end in itertools.pairwise(edges)]


@dataclasses.dataclass(frozen=True)
class _Window:
    """Where the rows of the window in the buffers lie."""

    number: int
    first: int
    """The first row of every lane that is held, as counted through the epochs."""
    epoch: int
    places: Int64[np.ndarray, "L N"]
    """Of each lane's rows, in the order in which batches take them."""


@dataclasses.dataclass(frozen=True)
class _Strip:
    """The rank's rows of some batches in a row."""

    first: int
    cuts: Int64[np.ndarray, " S1"]
    """Where each batch's rows begin."""
    rows: Part

    def batch(self, step: int) -> Part | None:
        """A batch's rows, where they are in the strip."""
        if not 0 <= step - self.first < len(self.cuts) - 1:
            return None
        return self.rows.slice(*self.cuts[step - self.first : step - self.first + 2].tolist())


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
        self._buffers = RowBuffers(groups.schema)
        self._window: _Window | None = None
        self._strip: _Strip | None = None
        self._aside: dict[int, tuple[int, pa.Table]] = {}
        """Row groups that the next window begins with: their rows from the given one on."""
        self._lock = threading.Lock()
        self.decodes = 0
        """Row groups decoded so far."""

    def take(self, step: int, mapper: Mapper = map) -> Part:
        """The rank's rows of a global batch, lane by lane; `mapper` decodes."""
        with self._lock:
            batch = self._strip.batch(step) if self._strip else None
            if batch is None:
                self._strip = self._gather(step, mapper)
                batch = self._strip.batch(step)
            assert batch is not None
            return batch

    def _gather(self, first: int, mapper: Mapper) -> _Strip:
        """The batches from `first` on that make up a strip."""
        share = self._mix.batch * len(self._lanes) // self.plan.lanes + 1
        steps = np.arange(first, first + 1 + max(1, STRIP_ROWS // share))
        positions = self._mix.taken(self.plan.stream, steps)
        lanes = self.plan.lanes
        if positions[0] == positions[1]:
            return _Strip(first, np.zeros(2, dtype=np.int64), self._rows(np.empty(0, dtype=np.int64), 0))
        windows = range(
            self.plan.window_of(int(positions[0]) // lanes), self.plan.window_of(int(positions[1] - 1) // lanes) + 1
        )
        # A window is loaded when a batch needs it and not before, so that all ranks load it at the same one.
        inside = np.searchsorted(positions, self.plan.lane_span(windows[-1])[1] * lanes, side="right")
        positions = positions[: max(2, inside)]
        edges = self.plan.taken(positions[:, None], self._lanes[None])
        # Of a lane that ranks share, each takes a stretch of every batch.
        count = np.diff(edges, axis=0)
        begin, end = (edges[:-1] + count * part // self._world for part in (self._from, self._to))
        cuts = offsets((end - begin).sum(axis=1))
        return _Strip(first, cuts, _merged([self._piece(number, begin, end, mapper) for number in windows]))

    def _piece(
        self, number: int, begin: Int64[np.ndarray, "S L"], end: Int64[np.ndarray, "S L"], mapper: Mapper
    ) -> tuple[Part, np.ndarray]:
        """The rows of a window from `begin` to `end` of each batch's lanes, and which of these stretches each is of."""
        # After a resume the rows before the first batch are not read.
        first = max(int(begin.min()), self.plan.lane_span(number)[0])
        if self._window is None or self._window.number != number or first < self._window.first:
            self._window = self._load(number, first, mapper)
        window = self._window
        start, end = (np.clip(edge.ravel() - window.first, 0, window.places.shape[1]) for edge in (begin, end))
        stretch = np.repeat(np.arange(len(start)), end - start)
        before = np.cumsum(end - start) - (end - start)
        row = np.arange(len(stretch)) + (start - before)[stretch]
        places = window.places[stretch % len(self._lanes), row]
        return self._rows(places, window.epoch), stretch

    def _rows(self, places: Int64[np.ndarray, " B"], epoch: int) -> Part:
        return Part(self._buffers.take(places), np.full(len(places), epoch))

    def _load(self, number: int, first: int, mapper: Mapper) -> _Window:
        """Put a window, from the lanes' row `first` on, into the buffers, in place of the one before."""
        skipped = first - self.plan.lane_span(number)[0]
        group, row = (places[:, skipped:] for places in self.plan.places(number, self._lanes))
        again = self.plan.shared_with_next(number, self._lanes)
        while True:
            read, place = self._stand_ins(number, group, row)
            begin, damaged = self._fill(read, place, again, mapper)
            if not self._quarantine.grows(self.plan.stream, len(begin), damaged):
                break
        return _Window(number, first, number // self.plan.windows, begin[read] + place)

    def _fill(
        self, group: Int64[np.ndarray, "L N"], row: Int64[np.ndarray, "L N"], again: set[int], mapper: Mapper
    ) -> tuple[Int64[np.ndarray, " G"], dict[int, Damaged]]:
        """Put the rows between the first and the last that are asked for of each row group into the buffers, and aside
        what follows them in those that come `again`.

        Returns where the row groups would begin in the buffers, and those that are damaged.
        """
        sizes = self._groups.sizes
        first, end = sizes.copy(), np.zeros_like(sizes)
        np.minimum.at(first, group, row)
        np.maximum.at(end, group, row + 1)
        needed, begin, damaged = np.flatnonzero(end).tolist(), np.zeros_like(sizes), {}
        self._buffers.clear(int((end - first)[needed].sum()))
        before, self._aside = self._aside, {}
        held = {number: before[number] for number in needed if number in before and before[number][0] <= first[number]}
        missing = [number for number in needed if number not in held]
        self.decodes += len(missing)
        decoded = iter(mapper(self._read, missing))
        for number in [*held, *missing]:
            start, found = held[number] if number in held else (0, next(decoded))
            if isinstance(found, Damaged):
                damaged[number] = found
                continue
            rows = found.slice(int(first[number]) - start, int(end[number] - first[number]))
            begin[number] = self._buffers.append(rows) - first[number]
            if number in again and end[number] < sizes[number]:
                self._aside[number] = (int(end[number]), found.slice(int(end[number]) - start))
            # Let go of before the next is decoded, which then finds its memory in the processor's cache.
            del found, rows
        return begin, damaged

    def _stand_ins(
        self, window: int, group: Int64[np.ndarray, "L N"], row: Int64[np.ndarray, "L N"]
    ) -> tuple[Int64[np.ndarray, "L N"], Int64[np.ndarray, "L N"]]:
        """The rows as they are read: those of a row group that is left out give way to its stand-in's."""
        bad = self._quarantine.groups.get(self.plan.stream)
        if not bad:
            return group, row
        read = self.plan.stand_ins(window, bad)[group]
        return read, row % self._groups.sizes[read]

    def _read(self, group: int) -> pa.Table | Damaged:
        try:
            return self._groups.read(group)
        except Damaged as fault:
            return fault


def _merged(pieces: list[tuple[Part, np.ndarray]]) -> Part:
    """The pieces of batches that lie in several windows, stretch by stretch."""
    if len(pieces) == 1:
        return pieces[0][0]
    order = np.argsort(np.concatenate([stretch for _, stretch in pieces]), kind="stable")
    rows = joined([part.columns for part, _ in pieces]).take(order)
    return Part(rows, np.concatenate([part.epochs for part, _ in pieces])[order])
