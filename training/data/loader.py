"""The loader: every stream's rows of each batch, read ahead by threads or by worker processes, and its saved state.

What a batch holds depends on its number alone, so the state is that number and what the numbers mean.
"""

import contextlib
import queue
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import numpy as np
import torch
import xxhash
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from schemas.errors import DataError, UsageError
from training.config import DataConfig
from training.data.batch import joined
from training.data.faults import Agree, Quarantine, alone
from training.data.groups import RowGroups
from training.data.plan import Mix, Plan
from training.data.stream import SOLE, Part, Rank, Stream

VERSION = 1
LEAVE_AFTER = 5.0
"""Seconds that the thread which reads ahead is waited for at the end; what it reads is wanted no more."""

Parts = dict[str, Part]
"""A rank's rows of a batch, by stream."""
BatchT = TypeVar("BatchT")


class Loader:
    """The streams of a run as one rank reads them. The first stream leads: every rank has rows of it at every step."""

    def __init__(
        self,
        groups: dict[str, RowGroups],
        weights: dict[str, int],
        settings: DataConfig,
        *,
        seed: int,
        batch: int | None = None,
        rank: Rank = SOLE,
        agree: Agree = alone,
    ) -> None:
        """`weights` are the streams' shares of a batch of `batch` rows (their sum, where it is not given).

        UsageError where the batch is too small for that many ranks, DataError for a stream without rows.
        """
        self._groups, self._settings, self._rank = groups, settings, rank
        self.mix = Mix(weights, batch or sum(weights.values()))
        self.plans = {name: _plan(name, source, settings, seed) for name, source in groups.items()}
        self._quarantine = Quarantine(settings.on_corrupt, agree)
        self._require_rows_for_all()
        self._streams = self._open(rank)

    def __getstate__(self) -> dict[str, Any]:
        # For the workers, which read with streams of their own.
        return {**self.__dict__, "_streams": {}}

    @property
    def epoch_steps(self) -> float:
        """Batches until the first stream has gone round."""
        name = next(iter(self.plans))
        weights = self.mix.weights
        return self.plans[name].epoch_rows * sum(weights.values()) / (weights[name] * self.mix.batch)

    @property
    def decodes(self) -> int:
        """Row groups that this process has decoded."""
        return sum(stream.decodes for stream in self._streams.values())

    def take(self, step: int) -> Parts:
        """The rank's rows of a batch, read at once."""
        return {name: stream.take(step) for name, stream in self._streams.items()}

    @contextlib.contextmanager
    def batches(self, start: int, end: int, build: Callable[[int, Parts], BatchT]) -> Iterator[Iterator[BatchT]]:
        """What `build` makes of the batches from `start` to `end`, in order, made `ahead` of their use."""
        with contextlib.ExitStack() as stack:
            built = (build(step, parts) for step, parts in stack.enter_context(self._read(start, end)))
            yield stack.enter_context(_ahead(built, self._settings.ahead)) if self._settings.ahead else built

    def state(self, step: int) -> dict[str, Any]:
        """What to save with a model that has learnt from the batches before `step`; the same on every rank."""
        return {
            "version": VERSION,
            "step": step,
            "batch": self.mix.batch,
            "streams": {name: self._stream_state(name, step) for name in self.plans},
            "left_out": {name: list(groups) for name, groups in self._quarantine.groups.items()},
        }

    def resume(self, state: dict[str, Any]) -> int:
        """Go on from a saved state: takes over what is left out, returns the step.

        DataError where the state is of another order of rows; it says what differs.
        """
        try:
            step, found = int(state["step"]), _flat(state)
            ours = _flat(self.state(step))
            left_out = {str(name): [int(group) for group in groups] for name, groups in state["left_out"].items()}
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise DataError(f"The loader's saved state is damaged ({type(error).__name__}: {error}).") from error
        changed = [
            f"{key} was {found.get(key)!r}, now {ours.get(key)!r}" for key in ours if found.get(key) != ours[key]
        ]
        if changed:
            raise DataError(f"The rows can't go on in the order in which they began: {'; '.join(changed[:3])}.")
        self._quarantine.groups.update(left_out)
        return step

    def _stream_state(self, name: str, step: int) -> dict[str, Any]:
        plan = self.plans[name]
        epoch, row = divmod(int(self.mix.taken(name, np.array(step))), plan.epoch_rows)
        return {
            "weight": self.mix.weights[name],
            "digest": plan.digest,
            "seed": plan.seed,
            "rows": plan.rows,
            "row_groups": len(plan.sizes),
            "layout": xxhash.xxh3_64_hexdigest(plan.sizes.tobytes()),
            "lanes": plan.lanes,
            "window": plan.window,
            "epoch": epoch,
            "row": row,
        }

    def _open(self, rank: Rank) -> dict[str, Stream]:
        return {
            name: Stream(source, self.plans[name], self.mix, rank, self._quarantine)
            for name, source in self._groups.items()
        }

    def _require_rows_for_all(self) -> None:
        name, world = next(iter(self.plans)), self._rank.world
        if world == 1:
            return
        plan, share = self.plans[name], self.mix.weights[name] / sum(self.mix.weights.values())
        count = int(self.mix.batch * share)
        least = min(int(np.diff(plan.cuts(start, start + count, world)).min()) for start in range(plan.lanes))
        if not least:
            raise UsageError(
                f"A batch of {count} rows of {name} can't be shared by {world} ranks: at some steps one would have "
                "none. Take a larger train.batch_size, fewer ranks, or fewer data.lanes."
            )

    @contextlib.contextmanager
    def _read(self, start: int, end: int) -> Iterator[Iterator[tuple[int, Parts]]]:
        """(step, the rank's rows) from `start` to `end`."""
        workers = self._settings.workers
        if workers:
            yield _from_workers(self, range(start, end))
            return
        with ThreadPoolExecutor(self._settings.threads) as pool:
            mapper = pool.map if self._settings.threads > 1 else map
            yield (
                (step, {name: stream.take(step, mapper) for name, stream in self._streams.items()})
                for step in range(start, end)
            )


class _WorkerShare(IterableDataset[Parts]):
    """What a worker process reads: it is a rank of its own, among as many times more ranks as there are workers."""

    def __init__(self, loader: Loader, steps: range) -> None:
        self._loader, self._steps = loader, steps

    def __iter__(self) -> Iterator[Parts]:
        info = get_worker_info()
        streams = self._loader._open(self._loader._rank.worker(info.id, info.num_workers))
        for step in self._steps:
            yield {name: stream.take(step) for name, stream in streams.items()}


def _from_workers(loader: Loader, steps: range) -> Iterator[tuple[int, Parts]]:
    """The workers' shares put together: the DataLoader gives one of each worker in turn, in order."""
    workers = loader._settings.workers
    shares = DataLoader(
        _WorkerShare(loader, steps),
        batch_size=None,
        num_workers=workers,
        collate_fn=_as_it_is,
        prefetch_factor=max(1, loader._settings.ahead),
        # Not fork: a forked process would inherit locks that other threads hold.
        multiprocessing_context="spawn",
        generator=torch.Generator(),
    )
    parts = iter(shares)
    for step in steps:
        pieces = [next(parts) for _ in range(workers)]
        yield step, {name: _together([piece[name] for piece in pieces]) for name in pieces[0]}


def _as_it_is(parts: Parts) -> Parts:
    return parts


def _together(parts: list[Part]) -> Part:
    return Part(joined([part.columns for part in parts]), np.concatenate([part.epochs for part in parts]))


@contextlib.contextmanager
def _ahead(items: Iterator[BatchT], depth: int) -> Iterator[Iterator[BatchT]]:
    """The same items, made in a thread of their own, at most `depth` of them before they are asked for."""
    # Simple queues: one with a bound costs several times as much an item, and would have to be polled at the end.
    ready: queue.SimpleQueue[tuple[str, Any]] = queue.SimpleQueue()
    room: queue.SimpleQueue[None] = queue.SimpleQueue()
    """One for each item that may be made now."""
    stopped = threading.Event()
    for _ in range(depth):
        room.put(None)

    def work() -> None:
        try:
            while room.get() is None and not stopped.is_set():
                ready.put(("item", next(items)))
        except StopIteration:
            ready.put(("end", None))
        except BaseException as error:
            ready.put(("error", error))

    def given() -> Iterator[BatchT]:
        while True:
            kind, item = ready.get()
            room.put(None)
            if kind == "error":
                raise item
            if kind == "end":
                return
            yield item

    thread = threading.Thread(target=work, name="loader", daemon=True)
    thread.start()
    try:
        yield given()
    finally:
        stopped.set()
        room.put(None)
        thread.join(LEAVE_AFTER)


def _plan(name: str, groups: RowGroups, settings: DataConfig, seed: int) -> Plan:
    # Lanes beyond the row groups would only leave out more rows.
    lanes = min(settings.lanes, max(1, int(np.count_nonzero(groups.sizes))))
    return Plan(name, settings.digest, seed, groups.sizes, lanes, settings.window)


def _flat(state: dict[str, Any]) -> dict[str, Any]:
    """What has to be equal for the order to go on, one level deep."""
    flat = {key: state[key] for key in ("version", "batch")}
    for name, stream in state["streams"].items():
        flat |= {f"{name}.{key}": value for key, value in stream.items()}
    return flat
