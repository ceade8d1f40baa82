"""Tables, passages and small charts on the terminal; plain text where stdout is none."""

import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pipelines.report.markup import visible

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

NUMBERS = ("MB", "mean", "median", "95 %", "most", "share")
"""Columns of numbers that are text already."""
LEVELS = "▁▂▃▄▅▆▇█"
EIGHTHS = " ▏▎▍▌▋▊▉"


def console() -> "Console":
    """Stdout; off a terminal the width is fixed, so that a table in a file does not depend on somebody's window."""
    from rich.console import Console

    return Console(file=sys.stdout, highlight=False, **({} if sys.stdout.isatty() else {"width": 110}))


def table(heading: str, head: Sequence[str], rows: Sequence[Sequence[object]]) -> "Table":
    """Rows under a heading, numbers to the right; there must be a row."""
    from rich import box
    from rich.table import Table

    shown = Table(box=box.SIMPLE_HEAD, title=heading or None, title_justify="left", title_style="bold", pad_edge=False)
    for name, value in zip(head, rows[0], strict=True):
        number = isinstance(value, (int, float)) or name in NUMBERS
        shown.add_column(name, justify="right" if number else "left", overflow="fold")
    for row in rows:
        shown.add_row(*map(plain, row))
    return shown


def plain(value: object) -> "Text":
    """Text that is neither markup nor an order to the terminal."""
    from rich.text import Text

    shown = f"{value:,}" if isinstance(value, int) else "" if value is None else str(value)
    return Text(" ".join(visible(shown).split()))


def marked(passage: str, spans: Iterable[Mapping[str, Any]]) -> "Text":
    """The passage with its spans in brackets, and in colour where there is any; a span inside another is left out."""
    from rich.text import Text

    shown, at = Text(), 0
    for span in sorted(spans, key=lambda span: span["start"]):
        if at <= span["start"] < span["end"] <= len(passage):
            shown.append(_line(passage[at : span["start"]]))
            shown.append(f"[{_line(passage[span['start'] : span['end']])}]", style="bold cyan")
            at = span["end"]
    return shown.append(_line(passage[at:]))


def _line(passage: str) -> str:
    """Without what a terminal would obey; any white space is one blank."""
    return "".join(" " if char.isspace() else char for char in visible(passage))


def sparkline(counts: Sequence[int]) -> str:
    """A bar of eight heights for each count; what is there at all is seen."""
    largest = max(counts, default=0)
    return "".join(LEVELS[min(7, -(-8 * n // largest) - 1)] if n else " " for n in counts)


def bar(value: int, largest: int, width: int = 24) -> str:
    """A bar as long as its share of the largest, to an eighth of a character."""
    eighths = max(1, round(8 * width * value / largest)) if value > 0 else 0
    return "█" * (eighths // 8) + EIGHTHS[eighths % 8].strip()
