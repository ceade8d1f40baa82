"""Tables on the terminal; plain text where stdout is none."""

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from pipelines.report.markup import visible

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

NUMBERS = ("MB", "mean", "median", "95 %", "most", "share")
"""Columns of numbers that are text already."""


def console() -> "Console":
    """Stdout; off a terminal the width is fixed, so that a table in a file does not depend on somebody's window."""
    from rich.console import Console

    return Console(file=sys.stdout, highlight=False, **({} if sys.stdout.isatty() else {"width": 110}))


def table(heading: str, head: Sequence[str], rows: Sequence[Sequence[object]]) -> "Table":
    """Rows under a heading, numbers to the right; there must be a row."""
    from rich import box
    from rich.table import Table

    shown = Table(box=box.SIMPLE_HEAD, title=heading, title_justify="left", title_style="bold", pad_edge=False)
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
