"""What a check finds: a row, and what is wrong with it."""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.columns import I64, Elements, values
from schemas.hashing import row_order
from schemas.table import Table

MAX_LINES = 5
"""Problems of one kind in a table that are told one by one; the rest is counted."""


class Problem(NamedTuple):
    """A row of the row group at hand that breaks a promise, and how many more of its kind it stands for."""

    row: int
    kind: str
    text: str
    more: int = 0


class Checker:
    """What is checked of one table beside its order and its digest; by itself nothing."""

    def check(self, rows: pa.Table, part: str) -> Iterator[Problem]:
        """Problems of the next row group, in the table's order; `part` is its split, or the table's name."""
        yield from ()

    def finish(self) -> Iterator[str]:
        """Lines about the table as a whole."""
        yield from ()


def where(
    wrong: npt.NDArray[np.bool_], kind: str, describe: Callable[[int], str], rows: I64 | None = None
) -> Iterator[Problem]:
    """A problem for each place that the mask marks, the first MAX_LINES of them described.

    `rows` are the rows that the places belong to, where they are elements of lists.
    """
    places = np.flatnonzero(wrong)
    for number, place in enumerate(places[:MAX_LINES].tolist()):
        more = len(places) - MAX_LINES if number == MAX_LINES - 1 else 0
        yield Problem(int(place if rows is None else rows[place]), kind, describe(place), max(more, 0))


def span_problems(
    spans: Elements, limits: I64, what: str, *, empty: bool = False, ordered: bool = True
) -> Iterator[Problem]:
    """Spans [start, end) that leave their text of `limits[row]` code points, or begin before the one before ends."""
    starts, ends = spans.numbers("start"), spans.numbers("end")
    wrong = (starts < 0) | (ends > limits[spans.rows]) | (starts > ends if empty else starts >= ends)
    if ordered:
        wrong[1:] |= (spans.rows[1:] == spans.rows[:-1]) & (starts[1:] < ends[:-1])
    yield from where(
        wrong,
        f"{what} offsets",
        lambda i: (
            f"{what} {starts[i]}-{ends[i]} is outside the text of {limits[spans.rows[i]]} code points, "
            "or begins before the one before it ends"
        ),
        spans.rows,
    )


class Order:
    """Are rows in their table's sort order? Strictly, but where two may be alike."""

    def __init__(self, table: Table, *, may_repeat: bool) -> None:
        self._table, self._may_repeat = table, may_repeat
        self._last: dict[str, list[pa.Scalar]] = {}

    def check(self, rows: pa.Table, part: str) -> Iterator[Problem]:
        """Problems of the next row group of a part."""
        keys = [_sort_key(rows, name) for name in self._table.sort_by]
        if not rows.num_rows:
            return
        last = self._last.get(part)
        # The row before the first: that of the row group before, or nothing to compare with.
        first = last or [key[0] for key in keys]
        before = [
            pa.concat_arrays([pa.array([scalar.as_py()], key.type), key[:-1]])
            for scalar, key in zip(first, keys, strict=True)
        ]
        self._last[part] = [key[-1] for key in keys]
        wrong = ~_follows(keys, before, strict=not self._may_repeat)
        wrong[0] &= last is not None
        names = ", ".join(self._table.sort_by)
        yield from where(
            wrong,
            "sort order",
            lambda i: f"not sorted by {names}: {_shown(keys, i)} after {_shown(before, i)}",
        )


def _sort_key(rows: pa.Table, name: str) -> pa.Array:
    if not name.startswith("hash("):
        return values(rows, name)
    return pa.array(row_order(rows[name[5:-1]].to_numpy()))


def _follows(keys: Sequence[pa.Array], before: Sequence[pa.Array], *, strict: bool) -> npt.NDArray[np.bool_]:
    """Is each row's tuple of keys greater than the one before (or, if not strict, equal to it)?"""
    follows = np.full(len(keys[0]), not strict)
    for key, last in zip(reversed(keys), reversed(before), strict=True):
        greater, equal = (
            fine(key, last).to_numpy(zero_copy_only=False).astype(bool) for fine in (pc.greater, pc.equal)
        )
        follows = greater | (equal & follows)
    return follows


def _shown(keys: Sequence[pa.Array], row: int) -> str:
    return str(tuple(key[row].as_py() for key in keys)) if len(keys) > 1 else repr(keys[0][row].as_py())
