"""What the ranks of a run know of each other beside their collectives: who lives, how far each one is, who gave up why.

Every rank writes a beat each second into the store that torchrun keeps, and reads the others'. A collective waits for a
rank that is dead, with some backends for ever; this does not.
"""

import contextlib
import os
import socket
import sys
import threading
import time
from collections.abc import Sequence
from typing import Any

from schemas.errors import DataError, first_line, printable

BEAT = 1.0
"""Seconds between beats."""
SILENT = 20.0
"""Seconds without a beat after which a rank is taken for dead."""
SUSPECT = 5.0
"""The same, once a collective has failed, which is a sign of its own."""
WAITS = "waiting for the others"
"""What a rank does that is not to blame."""
GO_ON = "From its last checkpoint the run goes on with --resume, at any number of ranks."


class Watch:
    """The beats of all ranks. It ends this process with a message when another rank is dead or gave up."""

    def __init__(self, store: Any, rank: int, world: int) -> None:
        """`store` is a torch.distributed store that nothing else uses under these keys."""
        # A store of its own: a wait of the main thread would hold up the beats.
        self._store, self._rank, self._world = store.clone(), rank, world
        self.step, self.doing = 0, "starting"
        """Steps that this rank has done, and what it does now: for the others to say where it stopped."""
        self._store.set(f"who/{rank}", f"rank {rank} ({socket.gethostname()}, process {os.getpid()})")
        self._store.set(f"ended/{rank}", "")
        self._write(0)
        self._beats, self._states = [""] * world, ["0 "] * world
        self._changed = [time.monotonic()] * world
        self._answered = time.monotonic()
        self._over, self._closed = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)
        self._guard = threading.Thread(target=self._guard_store, name="watch-store", daemon=True)

    def start(self) -> None:
        """Begin, when all ranks have made theirs."""
        self._answered = time.monotonic()
        self._thread.start()
        self._guard.start()

    def close(self, why: str = "done") -> None:
        """This rank ends: well, or for the reason given, which the others will tell."""
        self._over.set()
        self._thread.join(SUSPECT)
        self._store.set(f"ended/{self._rank}", why)
        self._closed.set()

    def blame(self, error: BaseException) -> DataError:
        """The error of a collective as one line that names who is to blame for it."""
        until = time.monotonic() + 2 * SUSPECT
        while time.monotonic() < until:
            if found := self._fault(SUSPECT):
                return DataError(found)
            time.sleep(BEAT / 2)
        late = [rank for rank in range(self._world) if rank != self._rank and WAITS not in self._states[rank]]
        told = [f" {self._who(rank)} was at step {self._states[rank].replace(' ', ', ', 1)}." for rank in late]
        reason = first_line(error)
        return DataError(f"The ranks could not exchange what they had: {reason}.{''.join(told)} {GO_ON}")

    def _run(self) -> None:
        count = 0
        while not self._over.wait(BEAT):
            count += 1
            with contextlib.suppress(RuntimeError):  # the other thread looks after the store
                self._write(count)
                self._read()
                self._answered = time.monotonic()
                fault = self._fault(SILENT)
                if fault and not self._over.is_set():
                    _end(fault)

    def _guard_store(self) -> None:
        """Calls nothing that could wait: a host that is cut off does not even refuse."""
        while not self._closed.wait(BEAT):
            if time.monotonic() - self._answered > SILENT:
                _end(f"torchrun's store, on the first host, has not answered for {SILENT:.0f} s. {GO_ON}")
                return

    def _write(self, count: int) -> None:
        self._store.set(f"beat/{self._rank}", f"{count} {self.step} {self.doing}")

    def _read(self) -> None:
        now, beats = time.monotonic(), self._all("beat")
        for rank, beat in enumerate(beats):
            if beat != self._beats[rank]:
                self._beats[rank], self._changed[rank] = beat, now
                self._states[rank] = beat.partition(" ")[2]

    def _fault(self, silent: float) -> str | None:
        """What is wrong with another rank, if anything is."""
        for rank, reason in enumerate(self._all("ended")):
            if rank == self._rank or reason == "done":
                continue
            if reason:
                return f"{self._who(rank)} gave up: {reason}"
            pause = time.monotonic() - self._changed[rank]
            if pause > silent:
                since = f"not a sign of it for {pause:.0f} s, since step {self._states[rank].split()[0]}"
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
