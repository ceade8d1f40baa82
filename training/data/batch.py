"""Ragged batches: flat values and where each row begins. B rows, N values of all rows together."""

import dataclasses
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
import torch
from jaxtyping import Bool, Int64, Integer

BatchT = TypeVar("BatchT")


@dataclasses.dataclass(frozen=True)
class Ragged:
    """Rows of unequal length: row b is values[cu_seqlens[b]:cu_seqlens[b + 1]]."""

    values: Integer[np.ndarray, " N"]
    cu_seqlens: Int64[np.ndarray, " B1"]

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
        lengths = self.lengths[rows]
        cu_seqlens = offsets(lengths)
        places = np.arange(cu_seqlens[-1]) + np.repeat(self.cu_seqlens[rows] - cu_seqlens[:-1], lengths)
        return Ragged(self.values[places], cu_seqlens)

    def padded(self, fill: int) -> Int64[np.ndarray, "B S"]:
        """One rectangle, short rows filled up at their end."""
        lengths = self.lengths
        out = np.full((len(lengths), int(lengths.max(initial=0))), fill, dtype=np.int64)
        out[self.rows, self.within] = self.values
        return out


def offsets(lengths: Integer[np.ndarray, " B"]) -> Int64[np.ndarray, " B1"]:
    """Where rows of these lengths begin, and where the last one ends."""
    return np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]).astype(np.int64)


def ragged(column: pa.ChunkedArray | pa.Array, child: str | None = None) -> Ragged:
    """A list column (or one field of its structs) without a Python object per row."""
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    lengths = array.value_lengths().to_numpy(zero_copy_only=False)
    values = array.flatten()
    if child is not None:
        # flatten applies the struct's own slice, which field() leaves out.
        values = values.flatten()[values.type.get_field_index(child)]
    return Ragged(values.to_numpy(zero_copy_only=False), offsets(lengths))


def pad_mask(lengths: Int64[np.ndarray, " B"]) -> Bool[np.ndarray, "B S"]:
    """True where a row has a value."""
    return np.arange(int(lengths.max(initial=0)))[None, :] < lengths[:, None]


def tensor(array: np.ndarray) -> torch.Tensor:
    """The array as a tensor of its own type."""
    return torch.from_numpy(np.ascontiguousarray(array))


def to_device(batch: BatchT, device: torch.device) -> BatchT:
    """A dataclass of tensors (and of lists of such) with every tensor on `device`."""

    def move(value: Any) -> Any:
        if isinstance(value, torch.Tensor):
            return value.to(device)
        if isinstance(value, list):
            return [move(item) for item in value]
        return to_device(value, device) if dataclasses.is_dataclass(value) else value

    fields = {field.name: move(getattr(batch, field.name)) for field in dataclasses.fields(batch)}  # type: ignore[arg-type]
    return type(batch)(**fields)
