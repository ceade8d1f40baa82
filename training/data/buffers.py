"""Decoded rows kept in flat buffers that are written again and again: fresh memory costs more than decoding."""

import numpy as np
import pyarrow as pa
from jaxtyping import Int64

from training.data.batch import Columns, number_type, single, taken, write_values


class _Buffer:
    """An array that grows; what was in it before is kept."""

    def __init__(self, dtype: np.dtype) -> None:
        self.array, self.filled = np.zeros(1, dtype=dtype), 0

    def add(self, count: int, share: float) -> int:
        """Room for so many values, of which `share` times as many are expected, behind the others; returns where."""
        begin = self.filled
        self.filled = end = begin + count
        if len(self.array) < end:
            grown = np.empty(max(end * 5 // 4, int(count * share * 1.1)), dtype=self.array.dtype)
            # Written to at once, so that the process is as large from the start as it will be.
            grown[begin:] = 0
            grown[:begin] = self.array[:begin]
            self.array = grown
        return begin


class RowBuffers:
    """Rows of tables of one schema, end to end, until they are cleared."""

    def __init__(self, schema: pa.Schema) -> None:
        lists = {field.name: field.type for field in schema if pa.types.is_list(field.type)}
        self._numbers = {field.name: _Buffer(number_type(field.type)) for field in schema if field.name not in lists}
        self._values = {name: _Buffer(number_type(kind.value_type)) for name, kind in lists.items()}
        self._edges = {name: _Buffer(np.dtype(np.int64)) for name in lists}
        """Where each row begins among the values, in bytes."""
        self._expected = 0

    def clear(self, expected: int) -> None:
        """Forget the rows, keep the memory; about so many rows come next."""
        self._expected = expected
        for buffers in (self._numbers, self._values, self._edges):
            for buffer in buffers.values():
                buffer.filled = 0

    def append(self, rows: pa.Table) -> int:
        """Add rows; returns the place of the first one, which the others follow."""
        # A list has one edge more than rows, the end of the last: a place that is no row.
        count, place = rows.num_rows + 1, 0
        share = self._expected / count
        for name, buffer in self._numbers.items():
            place = buffer.add(count, share)
            buffer.array[place : place + count - 1] = rows[name].to_numpy()
        for name, buffer in self._edges.items():
            array, values = single(rows[name]), self._values[name]
            edges = array.offsets.to_numpy()
            start = int(edges[0])
            begin = values.add(int(edges[-1]) - start, share)
            write_values(array, start, values.array[begin : values.filled])
            place = buffer.add(count, share)
            ours = buffer.array[place : place + count]
            ours[:] = edges
            ours += begin - start
            ours *= values.array.itemsize
        return place

    def take(self, places: Int64[np.ndarray, " M"]) -> Columns:
        """Copies of the rows at these places, in this order."""
        rows = pa.array(places)
        lists = {
            name: taken(self._values[name].array, edges.array[: max(1, edges.filled)], rows)
            for name, edges in self._edges.items()
        }
        return Columns(len(places), {name: buffer.array[places] for name, buffer in self._numbers.items()}, lists)
