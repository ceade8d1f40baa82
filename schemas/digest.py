"""The logical digest of a table: what its rows say, whatever the codec, row groups, shards or software."""

import hashlib
from collections.abc import Iterable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from schemas.table import Table


class TableDigest:
    """sha256 over schema name, version and, in sort order, each column's nulls, lengths and little-endian values.

    Rows are fed in sort order, split after split, in pieces of any size: every column has streams of its own (nulls,
    lengths, values), so where a piece ends leaves no mark.
    """

    def __init__(self, table: Table) -> None:
        self._table = table
        self._streams: dict[str, hashlib._Hash] = {}
        self.rows = 0
        for field in table.columns:
            self._feed(field.name, field, pa.array([], field.type))

    def update(self, rows: pa.Table | pa.RecordBatch) -> None:
        """Feed the next rows; columns are taken by name."""
        self.rows += rows.num_rows
        for field in self._table.columns:
            values = rows.column(field.name)
            for chunk in values.chunks if isinstance(values, pa.ChunkedArray) else [values]:
                self._feed(field.name, field, chunk)

    def hexdigest(self) -> str:
        """The digest of all rows fed so far."""
        whole = hashlib.sha256(f"{self._table.name}\0{self._table.version}\0{self.rows}".encode())
        for path in sorted(self._streams):
            whole.update(path.encode() + b"\0" + self._streams[path].digest())
        return whole.hexdigest()

    def _feed(self, path: str, field: pa.Field, values: pa.Array) -> None:
        if field.nullable:
            self._put(path + "?", values.is_valid().cast(pa.uint8()))
        if values.null_count:
            values = values.drop_null()
        kind = field.type
        if pa.types.is_struct(kind):
            children = values.flatten() if len(values) else [pa.array([], child.type) for child in kind]
            for child, child_values in zip(kind, children, strict=True):
                self._feed(f"{path}.{child.name}", child, child_values)
        elif pa.types.is_list(kind):
            self._put(path + "#", pc.list_value_length(values))
            self._feed(path + "[]", kind.value_field, values.flatten())
        elif pa.types.is_string(kind):
            self._put(path + "#", pc.binary_length(values))
            self._stream(path).update(_string_bytes(values))
        elif pa.types.is_boolean(kind):
            self._put(path, values.cast(pa.uint8()))
        else:
            self._put(path, values.cast(pa.int64()) if pa.types.is_timestamp(kind) else values)

    def _put(self, path: str, values: pa.Array) -> None:
        array = values.to_numpy(zero_copy_only=False)
        self._stream(path).update(np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<")).tobytes())

    def _stream(self, path: str) -> "hashlib._Hash":
        return self._streams.setdefault(path, hashlib.sha256())


def dataset_digest(tables: Iterable[tuple[str, str]]) -> str:
    """sha256 over the sorted (table, digest) pairs."""
    whole = hashlib.sha256()
    for name, digest in sorted(tables):
        whole.update(f"{name}\0{digest}\n".encode())
    return whole.hexdigest()


def _string_bytes(values: pa.Array) -> memoryview | bytes:
    """The UTF-8 of all values one after the other, without a copy."""
    if not len(values):
        return b""
    _, offsets_buffer, data = values.buffers()
    offsets = np.frombuffer(offsets_buffer, dtype=np.int32, count=values.offset + len(values) + 1)
    return memoryview(data)[offsets[values.offset] : offsets[-1]]
