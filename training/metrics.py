"""What a run leaves to look at: metrics.jsonl, TensorBoard events, curves.png, and progress on the terminal."""

import contextlib
import contextvars
import json
import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from schemas.errors import DataError

PLAIN_SECONDS = 30.0
"""How often a line is printed where there is no terminal."""
_within = contextvars.ContextVar("within", default=False)
"""Whether the progress of something is shown, of which other things are parts."""


class MetricsLog:
    """metrics.jsonl and TensorBoard, opened at the step that a run begins or resumes at."""

    def __init__(self, run: Path, step: int) -> None:
        """Later lines, of steps that a killed run did not save, are taken out: they will be written again."""
        from torch.utils.tensorboard import SummaryWriter

        self._path = run / "metrics.jsonl"
        kept = [entry for entry in read_metrics(run) if step and entry["step"] <= step]
        temporary = self._path.with_suffix(".tmp")
        temporary.write_text("".join(json.dumps(entry) + "\n" for entry in kept), encoding="utf-8")
        os.replace(temporary, self._path)
        self._file = self._path.open("a", encoding="utf-8")
        self._board = SummaryWriter(str(run / "tensorboard"), purge_step=step + 1 if step else 0)

    def write(self, step: int, values: Mapping[str, float | int]) -> None:
        """One line, at once on disk."""
        self._file.write(json.dumps({"step": step, **values}) + "\n")
        self._file.flush()
        for name, value in values.items():
            self._board.add_scalar(name, value, step)

    def close(self) -> None:
        """Nothing is written after this."""
        self._file.close()
        self._board.close()


def read_metrics(run: Path) -> list[dict[str, Any]]:
    """The lines of metrics.jsonl; a last line that a kill cut off is left out. DataError where it is no text."""
    path = run / "metrics.jsonl"
    try:
        lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is damaged: it is not text. Remove it to go on without its curves.") from error
    entries = []
    for line in lines:
        with contextlib.suppress(ValueError, RecursionError):
            entry = json.loads(line)
            if isinstance(entry, dict) and isinstance(entry.get("step"), int):
                entries.append(entry)
    return entries


def draw_curves(run: Path) -> None:
    """curves.png: one panel per loss term, train and valid."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    entries = read_metrics(run)
    names = {name for entry in entries for name in entry if name.startswith(("train/", "valid/"))}
    terms = sorted({name.partition("/")[2] for name in names})
    if not terms:
        return
    figure = Figure(figsize=(4 * len(terms), 3.2), layout="constrained")
    for axis, term in zip(figure.subplots(1, len(terms), squeeze=False)[0], terms, strict=True):
        for part in ("train", "valid"):
            points = [(entry["step"], entry[f"{part}/{term}"]) for entry in entries if f"{part}/{term}" in entry]
            if points:
                axis.plot(*zip(*points, strict=True), label=part, marker="o" if part == "valid" else "", markersize=3)
        axis.set(title=term, xlabel="step", ylabel="loss")
        axis.legend()
    FigureCanvasAgg(figure)
    temporary = run / ".curves.png.tmp"
    figure.savefig(temporary, format="png", dpi=100)
    os.replace(temporary, run / "curves.png")


@contextlib.contextmanager
def progress(
    steps: int, start: int, unit_size: int, *, shown: bool = True, what: str = "training", unit: str = "samples"
) -> Iterator[Any]:
    """Yields report(step, loss=None): a bar with rate and remaining time on a terminal, else a line about every 30 s.

    A step is of `unit_size` units. Nothing is to be seen where it is not `shown`, or within another one that is.
    """
    if not shown or _within.get():
        yield lambda _step, _loss=None: None
        return
    token = _within.set(True)
    try:
        with _bar(steps, start, unit_size, what, unit) as report:
            yield report
    finally:
        _within.reset(token)


@contextlib.contextmanager
def _bar(steps: int, start: int, unit_size: int, what: str, unit: str) -> Iterator[Any]:
    if not sys.stderr.isatty():
        yield _plain(steps, start, unit_size, what, unit)
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = [
        TextColumn(what),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    ]
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task, began = bar.add_task(what, total=steps, completed=start, note=""), time.monotonic()

        def report(step: int, loss: float | None = None) -> None:
            rate = (step - start) * unit_size / max(1e-9, time.monotonic() - began)
            bar.update(task, completed=step, note=f"{_loss(loss)}{rate:.0f} {unit}/s")

        yield report


def _plain(steps: int, start: int, unit_size: int, what: str, unit: str) -> Any:
    begin = "step" if what == "training" else f"{what}:"
    began = last = time.monotonic()

    def report(step: int, loss: float | None = None) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last < PLAIN_SECONDS and step < steps:
            return
        last, rate = now, (step - start) / max(1e-9, now - began)
        left = (steps - step) / rate
        print(
            f"{begin} {step}/{steps}  {_loss(loss)}{rate * unit_size:.0f} {unit}/s  {left:.0f} s left",
            file=sys.stderr,
            flush=True,
        )

    return report


def _loss(loss: float | None) -> str:
    return "" if loss is None else f"loss {loss:.3f}  "


def table(rows: Sequence[Sequence[str]]) -> str:
    """Columns aligned; the first row is the head."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )
