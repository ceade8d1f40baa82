"""Progress of long work: a bar on a terminal, a plain line now and then elsewhere."""

import sys
import time
from types import TracebackType

PLAIN_SECONDS = 30.0


class Progress:
    """Counts up to `total`; on a terminal a bar with rate and time left, elsewhere a line about every 30 s."""

    def __init__(self, label: str, total: int, done: int = 0) -> None:
        self._label, self._total, self._first, self._done = label, total, done, done
        self._bar = None

    def __enter__(self) -> "Progress":
        self._started = self._printed = time.monotonic()
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
            from rich.progress import Progress as Bar

            columns = (TextColumn("{task.description:<12}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
            self._bar = Bar(*columns, console=Console(stderr=True))
            self._bar.start()
            self._task = self._bar.add_task(self._label, total=self._total, completed=self._done)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def update(self, done: int) -> None:
        """So much is done."""
        self._done = done
        now = time.monotonic()
        if self._bar is not None:
            self._bar.update(self._task, completed=done)
        elif now - self._printed >= PLAIN_SECONDS:
            self._printed = now
            print(self._line(now), file=sys.stderr, flush=True)

    def _line(self, now: float) -> str:
        fresh, seconds = self._done - self._first, now - self._started
        left = f", about {(self._total - self._done) * seconds / fresh:.0f} s left" if fresh else ""
        return f"{self._label}: {self._done} of {self._total} after {seconds:.0f} s{left}"
