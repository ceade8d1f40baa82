"""Ragged batches: flat values and where each row begins. B rows, N values of all rows together."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
import torch
from jaxtyping import Bool, Int64, Integer, Real, Shaped

BatchT = TypeVar("BatchT")


@dataclasses.dataclass(frozen=True)
class Ragged:
    """Rows of unequal length: row b is values[cu_seqlens[b]:cu_seqlens[b + 1]]."""

    values: Shaped[np.ndarray, " N"]
    cu_seqlens: Int64[np.ndarray, " B1"]

    def field(self, name: str) -> "Ragged":
        """One field of rows of structs."""
        return Ragged(self.values[name], self.cu_seqlens)

    @property
    def lengths(self) -> Int64[np.ndarray, " B"]:
        """Values of each row."""
        return np.diff(self.cu_seqlens)

    @property
    def rows(self) -> Int64[np.ndarray, " N"]:
        """Row of each value."""
        return np.repeat(np.arange(len(self.cu_seqlens) - 1), self.lengths)

    @property
    def within(self) -> Int64[np.ndarray, " N"]:
        """Place of each value in its row."""
        return np.arange(len(self.values)) - self.cu_seqlens[self.rows]

    def take(self, rows: Int64[np.ndarray, " M"]) -> "Ragged":
        """These rows, in this order."""
        return taken(self.values, self.cu_seqlens * self.values.itemsize, pa.array(rows))

    def strings(self) -> pa.Array:
        """Each row as the string of its bytes, without a copy."""
        return _strings(self.values, self.cu_seqlens * self.values.itemsize)

    def slice(self, start: int, end: int) -> "Ragged":
        """Rows start to end, without a copy of their values."""
        cu_seqlens = self.cu_seqlens[start : end + 1]
        return Ragged(self.values[cu_seqlens[0] : cu_seqlens[-1]], cu_seqlens - cu_seqlens[0])

    def padded(self, fill: int) -> Int64[np.ndarray, "B S"]:
        """One rectangle, short rows filled up at their end."""
        lengths = self.lengths
        out = np.full((len(lengths), int(lengths.max(initial=0))), fill, dtype=np.int64)
        out[self.rows, self.within] = self.values
        return out


def ragged_rows(rows: Sequence[Sequence[int]]) -> Ragged:
    """Rows of integers, one after the other."""
    flat = np.fromiter((value for row in rows for value in row), dtype=np.int64)
    return Ragged(flat, offsets(np.array([len(row) for row in rows], dtype=np.int64)))


def offsets(lengths: Integer[np.ndarray, " B"]) -> Int64[np.ndarray, " B1"]:
    """Where rows of these lengths begin, and where the last one ends."""
    return np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]).astype(np.int64)


def taken(values: Shaped[np.ndarray, " N"], edges: Int64[np.ndarray, " E"], rows: pa.Array) -> Ragged:
    """These rows, of which row b is the bytes of `values` from edges[b] to edges[b + 1]."""
    # Arrow copies a string of bytes at once, but a list value by value: the rows are taken as if they were strings.
    _, ends, data = _strings(values, edges).take(rows).buffers()
    cu_seqlens = np.frombuffer(ends, dtype=np.int64, count=len(rows) + 1) // values.itemsize
    return Ragged(np.frombuffer(data, dtype=values.dtype, count=int(cu_seqlens[-1])), cu_seqlens)


def _strings(values: Shaped[np.ndarray, " N"], edges: Int64[np.ndarray, " E"]) -> pa.Array:
    buffers = [None, pa.py_buffer(edges), pa.py_buffer(np.ascontiguousarray(values))]
    return pa.Array.from_buffers(pa.large_binary(), len(edges) - 1, buffers)


def single(column: pa.ChunkedArray | pa.Array) -> pa.Array:
    """The column in one piece."""
    if not isinstance(column, pa.ChunkedArray):
        return column
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


def number_type(kind: pa.DataType) -> np.dtype:
    """The numpy type of a number, or of a struct of numbers."""
    if pa.types.is_struct(kind):
        return np.dtype([(field.name, number_type(field.type)) for field in kind])
    # Not to_pandas_dtype, which asks for pandas: the extra `training` does not bring it.
    return np.dtype(f"f{kind.bit_width // 8}" if pa.types.is_floating(kind) else str(kind))


def write_values(array: pa.ListArray, start: int, out: Shaped[np.ndarray, " N"]) -> None:
    """Copy N values of the lists, which are of numbers or of structs of numbers, from value `start` on."""
    child, end = array.values, start + len(out)
    if out.dtype.names is None:
        out[:] = child.to_numpy()[start:end]
        return
    for i, name in enumerate(out.dtype.names):
        # field() leaves the struct's own slice out.
        out[name] = child.field(i).to_numpy()[child.offset + start : child.offset + end]


def ragged(column: pa.ChunkedArray | pa.Array) -> Ragged:
    """A list column of numbers, or of structs of numbers, without a Python object per row."""
    array = single(column)
    edges = array.offsets.to_numpy().astype(np.int64)
    values = np.empty(edges[-1] - edges[0], dtype=number_type(array.type.value_type))
    write_values(array, int(edges[0]), values)
    return Ragged(values, edges - edges[0])


@dataclasses.dataclass(frozen=True)
class Columns:
    """Rows of a table as flat columns."""

    rows: int
    numbers: dict[str, Real[np.ndarray, " B"]]
    """Columns of one number a row."""
    lists: dict[str, Ragged]
    """Columns of lists of numbers, or of structs of numbers."""

    def slice(self, start: int, end: int) -> "Columns":
        """Rows start to end."""
        return Columns(
            end - start,
            {name: values[start:end] for name, values in self.numbers.items()},
            {name: rows.slice(start, end) for name, rows in self.lists.items()},
        )

    def take(self, rows: Int64[np.ndarray, " M"]) -> "Columns":
        """These rows, in this order."""
        return Columns(
            len(rows),
            {name: values[rows] for name, values in self.numbers.items()},
            {name: values.take(rows) for name, values in self.lists.items()},
        )


def columns(table: pa.Table) -> Columns:
    """The table's columns of numbers, of lists of numbers, and of lists of structs of numbers."""
    numbers, lists = {}, {}
    for name, column in zip(table.column_names, table.columns, strict=True):
        if pa.types.is_list(column.type):
            lists[name] = ragged(column)
        else:
            numbers[name] = column.to_numpy()
    return Columns(table.num_rows, numbers, lists)


def joined(pieces: Sequence[Columns]) -> Columns:
    """The rows of all pieces, one piece after the other."""
    if len(pieces) == 1:
        return pieces[0]
    first = pieces[0]
    return Columns(
        sum(piece.rows for piece in pieces),
        {name: np.concatenate([piece.numbers[name] for piece in pieces]) for name in first.numbers},
        {
            name: Ragged(
                np.concatenate([piece.lists[name].values for piece in pieces]),
                offsets(np.concatenate([piece.lists[name].lengths for piece in pieces])),
            )
            for name in first.lists
        },
    )


def pad_mask(lengths: Int64[np.ndarray, " B"]) -> Bool[np.ndarray, "B S"]:
    """True where a row has a value."""
    return np.arange(int(lengths.max(initial=0)))[None, :] < lengths[:, None]


def by_length(lengths: Integer[np.ndarray, " B"], tokens: int) -> list[Int64[np.ndarray, " _"]]:
    """Rows of these lengths in pieces of at most `tokens` values, short rows filled up (or of one row); the shortest
    first."""
    order, pieces, first = np.argsort(lengths, kind="stable"), [], 0
    ascending = lengths[order]
    while first < len(order):
        # As many as fit if all were as long as the longest of them.
        fits = ascending[first:] * np.arange(1, len(order) - first + 1) <= tokens
        count = len(fits) if fits.all() else max(1, int(fits.argmin()))
        pieces.append(order[first : first + count])
        first += count
    return pieces


def tensor(array: np.ndarray) -> torch.Tensor:
    """The array as a tensor of its own type."""
    return torch.from_numpy(np.ascontiguousarray(array))


def to_device(batch: BatchT, device: torch.device) -> BatchT:
    """A dataclass of tensors (and of lists of such) with every tensor on `device`; a pinned one is not waited for."""
    return _mapped(batch, lambda value: value.to(device, non_blocking=True))


def pinned(batch: BatchT) -> BatchT:
    """The same in memory from which a CUDA device copies while the CPU goes on."""
    return _mapped(batch, torch.Tensor.pin_memory)


def _mapped(value: Any, change: Callable[[torch.Tensor], torch.Tensor]) -> Any:
    if isinstance(value, torch.Tensor):
        return change(value)
    if isinstance(value, list):
        return [_mapped(item, change) for item in value]
    if not dataclasses.is_dataclass(value):
        return value
    fields = {field.name: _mapped(getattr(value, field.name), change) for field in dataclasses.fields(value)}
    return type(value)(**fields)
