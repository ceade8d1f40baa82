"""JAKET's entity context memory: what LM1 makes of every entity's description, read by training and never trained.

All rows are filled once by the first LM1, and made anew every T(i) steps, T(i) = min(first * growth^floor(i / hold),
longest): E <- momentum * E + (1 - momentum) * E_new (section 3.3). Which rows a step makes anew is a pure function of
the step, so that a resumed run goes on as one that was not killed.

E entities, D hidden, N ids asked for, H rows held.
"""

import dataclasses
import itertools
from collections.abc import Callable, Iterator, Mapping

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from training.config import MemoryConfig
from training.data.stream import SOLE, Rank
from training.entity_memory.backends import DeviceMemory, ShardedMemory
from training.entity_memory.exchange import gathered
from training.entity_memory.room import require_room, table_bytes
from training.entity_memory.rules import Rule

Encode = Callable[[Int64[np.ndarray, " N"]], Float[Tensor, "N D"]]
"""Entities -> the context embeddings that the model as it is makes of their descriptions, without gradient."""
AT_ONCE = 16_384
"""Rows that are encoded before they are written."""


@dataclasses.dataclass(frozen=True)
class Schedule:
    """When rows are made anew, in steps counted from 1."""

    first: int
    growth: int
    hold: int
    longest: int
    rolling: bool = False
    """A share of the rows at each step of an interval, in place of all of them at its end."""

    def intervals(self) -> Iterator[int]:
        """T(0), T(1), ..."""
        length = self.first
        for number in itertools.count(1):
            yield min(length, self.longest)
            if number % self.hold == 0:
                length = min(length * self.growth, self.longest)

    def rows(self, step: int, entities: int) -> range:
        """The rows that are made anew behind step `step`."""
        if step < 1:
            return range(0)
        begun = 0
        for length in self.intervals():
            if length == self.longest or self.growth == 1:
                # All that follow are as long.
                begun += (step - 1 - begun) // length * length
            if step <= begun + length:
                break
            begun += length
        place = step - begun
        if self.rolling:
            return range((place - 1) * entities // length, place * entities // length)
        return range(entities) if place == length else range(0)


class ContextMemory:
    """A table of `rows` context embeddings: on the device, in the host's memory, or row i on rank i mod ranks."""

    def __init__(
        self,
        config: MemoryConfig,
        rows: int,
        width: int,
        schedule: Schedule | None,
        momentum: float,
        device: torch.device,
        rank: Rank = SOLE,
    ) -> None:
        """Zeros; DataError where there is no room. Without a `schedule` the rows stay as they were filled."""
        rule = Rule("adagrad", 0.0, 0.0, 0.0)
        home = torch.device("cpu") if config.backend == "host" else device
        sharded = config.backend == "sharded" and rank.world > 1
        held = -(-rows // rank.world) if sharded else rows
        require_room(table_bytes(held, width, rule, training=False), home)
        kind = ShardedMemory if sharded else DeviceMemory
        self.table = kind(config, rule, rows, width, home, rank, training=False)
        self.rows, self.width = rows, width
        self.encode: Encode | None = None
        """Set by the model, which has the encoder."""
        self._schedule, self._momentum, self._rank, self._backend = schedule, momentum, rank, config.backend

    @property
    def weight(self) -> Float[Tensor, "H D"]:
        """The rows that this rank holds."""
        return self.table.weight

    @torch.no_grad()
    def pull(self, ids: Int64[Tensor, " N"]) -> Float[Tensor, "N D"]:
        """A copy of the rows of these ids, on the ids' device. Of a sharded memory every rank calls it alike."""
        return self.table.pull(ids.to(self.weight.device)).to(ids.device)

    def fill(self, start: int, values: Float[Tensor, "N D"]) -> None:
        """Set the rows from `start` on; every rank calls it alike."""
        self.table.fill(start, values)

    def fill_all(self) -> None:
        """Every row as the encoder makes it now, without momentum; every rank calls it."""
        self._refresh(range(self.rows), 0.0)

    def apply(self, rate: float, step: int) -> None:
        """Behind step `step`, counted from 1: make the rows anew whose turn it is. Every rank calls it."""
        if self._schedule is not None:
            self._refresh(self._schedule.rows(step, self.rows), self._momentum)

    @torch.no_grad()
    def _refresh(self, rows: range, momentum: float) -> None:
        """Each rank encodes its share of the rows, the sharded memory's its own ones."""
        assert self.encode is not None
        world, weight = self._rank.world, self.weight
        for start in range(rows.start, rows.stop, AT_ONCE * world):
            ids = np.arange(start, min(start + AT_ONCE * world, rows.stop))
            mine = torch.from_numpy(ids[ids % world == self._rank.rank])
            made = self.encode(mine.numpy()).float()
            if isinstance(self.table, ShardedMemory):
                mine = mine // world
            elif world > 1:
                mine, made = gathered(mine.to(made.device), made, world)
            mine, made = mine.to(weight.device), made.to(weight.device)
            weight[mine] = made.lerp(weight[mine], momentum)

    def tensors(self) -> dict[str, Tensor]:
        """The rows (`weight`) that this rank holds, not copied."""
        return self.table.tensors()

    @property
    def share(self) -> Rank:
        """Which rows `tensors` holds: those of i mod world = rank."""
        return self.table.share

    @property
    def saves(self) -> bool:
        """Whether this rank's part is to be saved."""
        return self.table.saves

    def restore(self, part: int, parts: int, saved: Mapping[str, Tensor]) -> None:
        """Set what a saved part holds, whatever backend and ranks saved it; DataError for one of another memory."""
        self.table.restore(part, parts, saved)

    def describe(self) -> str:
        """One line for the terminal."""
        size = 4 * -(-self.rows // self.share.world) * self.width / 2**20
        return f"context memory: {self.rows:,} entities of {self.width}, {self._backend}; {size:,.0f} MiB on each rank"
