"""The processes of a run, one for each device: which one this is, and what they tell each other.

torchrun starts them and says so in the environment. They exchange tensors; a name or a message travels as bytes through
torchrun's store. Without torchrun, or with one process, nothing of torch.distributed is used.
"""

import contextlib
import dataclasses
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import numpy as np
import torch
from torch import distributed

from schemas.errors import UsageError, WikiloomError
from training.data.faults import Agree, alone, among
from training.data.stream import SOLE, Rank
from training.watch import WAITS, Watch

POLL = 0.2
"""Seconds between two looks for what the first rank makes."""
WRITING = timedelta(days=1)
"""How long ranks wait for one that writes its part of a checkpoint: it may have all of a large entity memory."""


@dataclasses.dataclass(frozen=True)
class Ranks:
    """This process among those of the run. All ranks make the same calls in the same order."""

    place: Rank
    device: torch.device
    on_host: int = 1
    """Ranks on this host."""
    control: Any = None
    """The process group of what the loop agrees on: on the CPU, whatever the device. A group is one thread's alone."""
    reading: Any = None
    """That of the thread that reads ahead."""
    saving: Any = None
    """That of the thread that writes checkpoints."""
    store: Any = None
    watch: Watch | None = None

    @property
    def first(self) -> bool:
        """Whether this is the one that writes and talks."""
        return self.place.rank == 0

    @property
    def restarted(self) -> bool:
        """Whether torchrun starts the ranks of this host again, because one of them ended (--max-restarts)."""
        return _restarts() > 0

    @property
    def agree(self) -> Agree:
        """What any rank holds true, told to all."""
        return among(self.reading) if self.reading else alone

    def total(self, numbers: dict[str, int]) -> dict[str, int]:
        """The sums over all ranks, which give the same names."""
        return dict(zip(numbers, map(int, self._summed(np.array([*numbers.values()], np.int64))), strict=True))

    def total_of_floats(self, numbers: dict[str, float]) -> dict[str, float]:
        """The same for floats, added up in 64 bits."""
        return dict(zip(numbers, map(float, self._summed(np.array([*numbers.values()], np.float64))), strict=True))

    def told(self, what: str, make: Callable[[], str]) -> str:
        """What the first rank makes, told to all. The others wait, however long it takes."""
        if self.store is None:
            return make()
        if self.first:
            self.store.set(f"told/{what}", make())
        while not self.store.check([f"told/{what}"]):
            time.sleep(POLL)
        return str(self.store.get(f"told/{what}").decode())

    def say(self, line: str) -> None:
        """A line for the terminal, from the first rank alone."""
        if self.first:
            print(line, file=sys.stderr, flush=True)

    def reached(self, step: int, doing: str) -> None:
        """Let the others know how far this rank is."""
        if self.watch:
            self.watch.step, self.watch.doing = step, doing

    def _summed(self, numbers: np.ndarray) -> np.ndarray:
        if self.control and self.watch:
            before, self.watch.doing = self.watch.doing, WAITS
            distributed.all_reduce(torch.from_numpy(numbers), group=self.control)
            self.watch.doing = before
        return numbers


@contextlib.contextmanager
def joined(device: str, timeout: int) -> Iterator[Ranks]:
    """The ranks of this run, as torchrun says. `device` is cpu, cuda or auto, `timeout` the seconds that a rank waits
    for the others in a collective.

    A rank that dies or gives up ends the others, with its name. Raises UsageError where there is no such device.
    """
    world = int(os.environ.get("WORLD_SIZE", 1))
    local = int(os.environ.get("LOCAL_RANK", 0))
    chosen = _device(device, local)
    if world == 1:
        yield Ranks(SOLE, chosen)
        return
    store, rank, world = next(distributed.rendezvous("env://"))
    # The store outlives a restart of the ranks, and still has the addresses of those that ended.
    store = distributed.PrefixStore(f"start-{_restarts()}", store)
    own = distributed.PrefixStore("wikiloom", store)
    watch, wait = Watch(own, rank, world), timedelta(seconds=timeout)
    distributed.init_process_group(
        "cpu:gloo,cuda:nccl" if chosen.type == "cuda" else "gloo",
        store=distributed.PrefixStore("ranks", store),
        rank=rank,
        world_size=world,
        timeout=wait,
    )
    control, reading = (distributed.new_group(backend="gloo", timeout=wait) for _ in range(2))
    saving = distributed.new_group(backend="gloo", timeout=WRITING)
    watch.start()
    try:
        on_host = int(os.environ.get("LOCAL_WORLD_SIZE", world))
        yield Ranks(Rank(rank, world), chosen, on_host, control, reading, saving, own, watch)
    except BaseException as error:
        # torchrun ends all ranks as soon as it sees one dead; this one has to say something first.
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)
        told = watch.blame(error) if _is_of_ranks(error) else error
        watch.close(str(told) if isinstance(told, WikiloomError) else f"{type(told).__name__}: {told}")
        if told is error:
            raise
        raise told from error
    watch.close()
    distributed.destroy_process_group()


def _restarts() -> int:
    return int(os.environ.get("TORCHELASTIC_RESTART_COUNT", 0))


def _is_of_ranks(error: BaseException) -> bool:
    """Whether a collective failed: torch has no one kind of error for it."""
    words = ("gloo", "nccl", "connection", "timed out", "process group", "socket")
    return isinstance(error, RuntimeError) and any(word in str(error).lower() for word in words)


def _device(name: str, local: int) -> torch.device:
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name != "cuda":
        return torch.device(name)
    found = torch.cuda.device_count()
    if local >= found:
        raise UsageError(
            f"train.device is cuda, but this machine (or this build of torch) has {found or 'none'}"
            + (f", and rank {local} of the host needs one of its own. Start fewer ranks" if found else "")
            + ", or set it to cpu."
        )
    torch.cuda.set_device(local)
    return torch.device("cuda", local)
