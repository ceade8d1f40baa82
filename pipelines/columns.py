"""Columns of a row group as numpy arrays, nested ones flattened; and the way back."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

I64 = npt.NDArray[np.int64]


class Elements(NamedTuple):
    """The elements of a column of lists of structs, one after the other."""

    rows: I64
    """The row that each belongs to, ascending."""
    fields: dict[str, pa.Array]

    def numbers(self, name: str) -> I64:
        """A field of whole numbers without nulls."""
        return self.fields[name].to_numpy(zero_copy_only=False).astype(np.int64)


def whole(column: pa.ChunkedArray) -> pa.Array:
    """A column in one piece."""
    combined = column.combine_chunks()
    return pa.concat_arrays(combined.chunks) if isinstance(combined, pa.ChunkedArray) else combined


def values(rows: pa.Table, name: str) -> pa.Array:
    """A column of a table in one piece."""
    return whole(rows[name])


def repeats(columns: Sequence[npt.NDArray[Any]]) -> npt.NDArray[np.bool_]:
    """Whether a row is like the one before it in all of the columns, shape (rows,) each."""
    same = np.ones(len(columns[0]), bool)
    same[:1] = False
    for column in columns:
        same[1:] &= column[1:] == column[:-1]
    return same


def numbers(rows: pa.Table, name: str, null: int = 0) -> I64:
    """A column of whole numbers, `null` for those that are null."""
    return pc.fill_null(values(rows, name), null).to_numpy(zero_copy_only=False).astype(np.int64)


def elements(rows: pa.Table, name: str) -> Elements:
    """A column of lists of structs."""
    lists = values(rows, name)
    parents = pc.list_parent_indices(lists).to_numpy(zero_copy_only=False).astype(np.int64)
    flat = lists.flatten()
    return Elements(parents, {field.name: pc.struct_field(flat, field.name) for field in flat.type})


def lengths(rows: pa.Table, name: str) -> I64:
    """Code points of each text."""
    return pc.utf8_length(values(rows, name)).to_numpy(zero_copy_only=False).astype(np.int64)


def list_column(kind: pa.ListType, counts: npt.ArrayLike, flat: Any) -> pa.ListArray:
    """A column of lists: how many elements each row has, shape (rows,), and all of them, one after the other.

    Of lists of structs, `flat` is such a column for each field, in order.
    """
    of = kind.value_type
    if pa.types.is_struct(of):
        children = [pa.array(field, own.type) for field, own in zip(flat, of, strict=True)]
        inner = pa.StructArray.from_arrays(children, fields=list(of))
    else:
        inner = pa.array(flat, of)
    offsets = np.append(0, np.cumsum(np.asarray(counts, np.int64)))
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), inner, kind)
