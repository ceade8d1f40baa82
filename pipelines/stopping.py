"""Ctrl-C and SIGTERM in long work: one line instead of a traceback, and no worker process left behind."""

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)
STOPPED = 75
"""Exit code: stopped by a signal, what is done is saved."""


@contextlib.contextmanager
def stoppable(advice: str) -> Iterator[None]:
    """While it is open, a signal ends the process at once, and its workers, with one line and exit code 75.

    Only for work that a kill cannot harm: the stages of a build meet on disk, in files that appear when they are
    whole. Beam's own way out of an interrupted run prints tracebacks, and may wait for its workers without end.
    """

    def stop(number: int, frame: FrameType | None) -> None:
        for process in _descendants(os.getpid()):
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        show_cursor = "\x1b[?25h" if sys.stderr.isatty() else ""
        print(f"{show_cursor}stopped; what is done is kept: {advice}", file=sys.stderr, flush=True)
        os._exit(STOPPED)

    if threading.current_thread() is not threading.main_thread():  # only the main thread may set handlers
        yield
        return
    earlier = {number: signal.signal(number, stop) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in earlier.items():
            signal.signal(number, handler)


def _descendants(process: int) -> list[int]:
    """The processes that this one started, and theirs; none where the system has no /proc."""
    found: list[int] = []
    for file in Path(f"/proc/{process}/task").glob("*/children"):
        with contextlib.suppress(OSError):  # a thread that has just ended
            for child in map(int, file.read_text().split()):
                found += [child, *_descendants(child)]
    return found
