"""What the ranks of a run know of each other beside their collectives: who lives, how far each one is, who gave up why.

Every rank writes a beat each second into the store that torchrun keeps, and reads the others'. A collective waits for a
rank that is dead, with some backends for ever; this does not.
"""

import os
import socket
import sys
import threading
import time
from collections.abc import Sequence
from typing import Any

from schemas.errors import DataError, printable

BEAT = 1.0
"""Seconds between beats."""
SILENT = 20.0
"""Seconds without a beat after which a rank is taken for dead."""
SUSPECT = 5.0
"""The same, once a collective has failed, which is a sign of its own."""
GO_ON = "Its last checkpoint is whole: run again with --resume, at any number of ranks."


class Watch:
    """The beats of all ranks. It ends this process with a message when another rank is dead or gave up."""

    def __init__(self, store: Any, rank: int, world: int) -> None:
        """`store` is a torch.distributed store that nothing else uses under these keys."""
        # A store of its own: a wait of the main thread would hold up the beats.
        self._store, self._rank, self._world = store.clone(), rank, world
        self.step = 0
        """How far this rank is, for the others to say where it stopped."""
        self._store.set(f"who/{rank}", f"rank {rank} ({socket.gethostname()}, process {os.getpid()})")
        self._store.set(f"ended/{rank}", "")
        self._write(0)
        self._beats, self._steps = [""] * world, [0] * world
        self._changed = [time.monotonic()] * world
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)

    def start(self) -> None:
        """Begin, when all ranks have made theirs."""
        self._thread.start()

    def close(self, why: str = "done") -> None:
        """This rank ends: well, or for the reason given, which the others will tell."""
        self._over.set()
        self._thread.join(SUSPECT)
        self._store.set(f"ended/{self._rank}", why)

    def blame(self, error: BaseException) -> DataError:
        """The error of a collective as one line that names who is to blame for it."""
        until = time.monotonic() + 2 * SUSPECT
        while time.monotonic() < until:
            if found := self._fault(SUSPECT):
                return DataError(found)
            time.sleep(BEAT / 2)
        behind = min(self._steps)
        late = [self._who(rank) for rank, step in enumerate(self._steps) if step == behind < max(self._steps)]
        reason = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        where = f" {', '.join(late)}: still at step {behind + 1}, the others beyond." if late else ""
        return DataError(f"The ranks could not exchange what they had: {reason}.{where} {GO_ON}")

    def _run(self) -> None:
        count, answered = 0, time.monotonic()
        while not self._over.wait(BEAT):
            count += 1
            try:
                self._write(count)
                self._read()
                answered = time.monotonic()
                fault = self._fault(SILENT)
            except RuntimeError:
                fault = None
                if time.monotonic() - answered > SILENT:
                    fault = f"The host of the first rank has not answered for {SILENT:.0f} s. {GO_ON}"
            if fault and not self._over.is_set():
                _end(fault)

    def _write(self, count: int) -> None:
        self._store.set(f"beat/{self._rank}", f"{count} {self.step}")

    def _read(self) -> None:
        now, beats = time.monotonic(), self._all("beat")
        for rank, beat in enumerate(beats):
            if beat != self._beats[rank]:
                self._beats[rank], self._changed[rank] = beat, now
                self._steps[rank] = int(beat.split()[1])

    def _fault(self, silent: float) -> str | None:
        """What is wrong with another rank, if anything is."""
        for rank, reason in enumerate(self._all("ended")):
            if rank == self._rank or reason == "done":
                continue
            if reason:
                return f"{self._who(rank)} gave up: {reason}"
            pause = time.monotonic() - self._changed[rank]
            if pause > silent:
                since = f"not a sign of it for {pause:.0f} s, since step {self._steps[rank]}"
                return f"{self._who(rank)} is gone: {since}. {GO_ON}"
        return None

    def _who(self, rank: int) -> str:
        return str(self._store.get(f"who/{rank}").decode())

    def _all(self, kind: str) -> Sequence[str]:
        return [value.decode() for value in self._store.multi_get([f"{kind}/{rank}" for rank in range(self._world)])]


def _end(message: str) -> None:
    """End the process at once: its main thread may wait for ever in a collective."""
    print("error: " + printable(message), file=sys.stderr, flush=True)
    os._exit(DataError.exit_code)
