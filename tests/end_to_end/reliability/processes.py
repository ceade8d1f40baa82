"""Commands in process groups of their own, forked from a server that has imported what they need, and killed at a step.

Where a kill falls is counted, not timed: a step is a change that the process makes to a file, or a call that a harness
names. So a try is a pure function of its number, but for the milliseconds that it may wait after the step.
"""

import json
import multiprocessing
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

CHANGES = {"open", "os.mkdir", "os.remove", "os.rename", "os.rmdir"}
"""Python's audit events of what changes a folder."""


class Kill(NamedTuple):
    """Of the whole process group, with SIGKILL."""

    step: int
    delay: float
    """Seconds after the step: what is not Python's (Parquet, safetensors, matrix products) goes on meanwhile."""


class Ended(NamedTuple):
    """What became of a command."""

    code: int
    """Its exit code, or the signal that ended it, negative."""
    steps: int
    """That it took; 0 where it was killed."""
    said: str
    """On both of its outputs."""

    @property
    def killed(self) -> bool:
        return self.code == -signal.SIGKILL


class Steps:
    """Counts the changes that this process makes under a folder, and other calls, and kills its group at one of them.

    Calls from any thread count.
    """

    def __init__(self, folder: Path, kill: Kill | None) -> None:
        self.count, self._folder, self._kill = 0, str(folder), kill
        sys.addaudithook(self._heard)

    def take(self) -> None:
        """Count one."""
        self.count += 1
        if self._kill and self.count == self._kill.step:
            if self._kill.delay:
                threading.Thread(target=self._strike, daemon=True).start()
            else:
                self._strike()

    def _heard(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event in CHANGES and arguments:
            # shutil.rmtree names what it removes from within a folder that it has open.
            inside = event in ("os.remove", "os.rmdir") and arguments[-1] != -1
            if inside or str(arguments[0]).startswith(self._folder):
                self.take()

    def _strike(self) -> None:
        time.sleep(self._kill.delay if self._kill else 0.0)
        os.killpg(0, signal.SIGKILL)


class Server:
    """A process that imports modules once, and forks one child after the other from that. A context.

    A child leads a process group, and has ended when all that it forked has.
    """

    def __init__(self, *modules: str) -> None:
        self._modules = modules

    def __enter__(self) -> "Server":
        spawn = multiprocessing.get_context("spawn")
        self._jobs, theirs = spawn.Pipe()
        self._process = spawn.Process(target=_serve, args=(theirs, self._modules), daemon=True)
        self._process.start()
        theirs.close()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._jobs.close()
        self._process.join()

    def run(self, function: Callable[..., tuple[int, int]], *arguments: Any) -> Ended:
        """`function` in a child, which returns its exit code and the steps that it took."""
        self._jobs.send((function, arguments))
        return Ended(*self._jobs.recv())


def command(words: list[str], folder: Path, kill: Kill | None = None) -> tuple[int, int]:
    """A command of wikiloom on `folder`, as a child's function."""
    from wikiloom import main

    steps = Steps(folder, kill)
    return main(words), steps.count


def _serve(jobs: Any, modules: tuple[str, ...]) -> None:
    for module in modules:
        __import__(module)
    while True:
        try:
            function, arguments = jobs.recv()
        except EOFError:
            return
        jobs.send(_forked(jobs, function, arguments))


def _forked(jobs: Any, function: Callable[..., tuple[int, int]], arguments: tuple[Any, ...]) -> Ended:
    said, speaker = os.pipe()
    result, teller = os.pipe()
    child = os.fork()
    if not child:
        jobs.close()
        os.setsid()
        for number in (1, 2):
            os.dup2(speaker, number)
        for descriptor in (said, result, speaker):
            os.close(descriptor)
        _leave(function, arguments, teller)
    for descriptor in (speaker, teller):
        os.close(descriptor)
    # To the end: until nobody that the child has forked is left who could say something.
    with os.fdopen(said, "rb") as words, os.fdopen(result, "rb") as told:
        text, steps = words.read().decode("utf-8", "replace"), json.loads(told.read() or b"0")
    return Ended(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), steps, text)


def _leave(function: Callable[..., tuple[int, int]], arguments: tuple[Any, ...], teller: int) -> None:
    code, steps = 1, 0
    # The server's own were a pipe or a test's capture.
    sys.stdout, sys.stderr = (os.fdopen(number, "w", encoding="utf-8", closefd=False) for number in (1, 2))
    try:
        code, steps = function(*arguments)
    except BaseException:
        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    os.write(teller, json.dumps(steps).encode())
    os._exit(code)
