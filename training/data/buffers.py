"""Decoded rows kept in flat buffers that are written again and again: fresh memory costs more than decoding."""

import numpy as np
import pyarrow as pa
from jaxtyping import Int64

from training.data.batch import Columns, Ragged, taken


class RowBuffers:
    """Rows of tables with the same columns, end to end, until they are cleared."""

    def __init__(self) -> None:
        self._buffers: dict[tuple[str, str], np.ndarray] = {}
        self._filled: dict[tuple[str, str], int] = {}
        self._expected = 0

    def clear(self, expected: int) -> None:
        """Forget the rows, keep the memory; about so many rows come next."""
        self._expected = expected
        self._filled = dict.fromkeys(self._filled, 0)

    def append(self, rows: Columns) -> int:
        """Add rows; returns the place of the first one, which the others follow."""
        place, share = 0, self._expected / max(1, rows.rows)
        for name, values in rows.numbers.items():
            place = self._add(("number", name), values, share)
            # A list has one edge more than rows, the end of the last: a place that is no row.
            self._add(("number", name), values[:1], share)
        for name, lists in rows.lists.items():
            begin = self._add(("value", name), lists.values, share)
            place = self._add(("edge", name), (lists.cu_seqlens + begin) * lists.values.itemsize, share)
        return place

    def take(self, places: Int64[np.ndarray, " M"]) -> Columns:
        """Copies of the rows at these places, in this order."""
        numbers, lists, rows = {}, {}, pa.array(places)
        for kind, name in self._buffers:
            if kind == "number":
                numbers[name] = self._buffers[kind, name][places]
            elif kind == "edge":
                values = self._buffers["value", name]
                lists[name] = taken(values, self._buffers[kind, name][: max(1, self._filled[kind, name])], rows)
        return Columns(len(places), numbers, lists)

    def rows(self, place: int, count: int) -> Columns:
        """The rows from this place on, without a copy."""
        numbers, lists = {}, {}
        for kind, name in self._buffers:
            if kind == "number":
                numbers[name] = self._buffers[kind, name][place : place + count]
            elif kind == "edge":
                values = self._buffers["value", name]
                edges = self._buffers[kind, name][place : place + count + 1] // values.itemsize
                lists[name] = Ragged(values[edges[0] : edges[-1]], edges - edges[0])
        return Columns(count, numbers, lists)

    def _add(self, key: tuple[str, str], values: np.ndarray, share: float) -> int:
        """Write the values, of which `share` times as many are expected, behind the others; returns where."""
        begin = self._filled.get(key, 0)
        end = begin + len(values)
        buffer = self._buffers.get(key)
        if buffer is None or len(buffer) < end:
            grown = np.empty(max(end * 5 // 4, int(len(values) * share * 1.1)), dtype=values.dtype)
            # Written to at once, so that the process is as large from the start as it will be.
            grown[begin:] = 0
            if buffer is not None:
                grown[:begin] = buffer[:begin]
            buffer = self._buffers[key] = grown
        buffer[begin:end] = values
        self._filled[key] = end
        return begin


class Aside:
    """The ends of row groups, kept for the window that begins with them."""

    def __init__(self) -> None:
        self._rows = RowBuffers()
        self._places: dict[int, tuple[int, int, int]] = {}
        """(place in the buffers, first row, rows) of each row group."""

    def clear(self, most: int) -> None:
        """Forget the rows, keep the memory; at most about so many rows come next."""
        self._rows.clear(most)
        self._places = {}

    def put(self, group: int, first: int, rows: Columns) -> None:
        """Keep a row group's rows from `first` on to its end."""
        self._places[group] = (self._rows.append(rows), first, rows.rows)

    def get(self, group: int, first: int) -> Columns | None:
        """A row group's rows from `first` on, where they are kept."""
        place, begin, count = self._places.get(group, (0, first + 1, 0))
        return self._rows.rows(place + first - begin, count - (first - begin)) if begin <= first else None
