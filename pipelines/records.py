"""Arrow files in the work folder of a build, where its stages meet."""

import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import pyarrow as pa

BATCH_ROWS = 2_000


class RecordWriter:
    """Appends rows to an Arrow IPC file in batches, so memory stays bounded; the file appears when it is whole."""

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self._path, self._schema = path, schema
        self._rows: list[dict[str, Any]] = []
        self.count = 0

    def __enter__(self) -> "RecordWriter":
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._temporary = self._path.with_suffix(".tmp")
        options = pa.ipc.IpcWriteOptions(compression="lz4")
        self._writer = pa.ipc.new_file(str(self._temporary), self._schema, options=options)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self._flush()
        self._writer.close()
        if kind is None:
            os.replace(self._temporary, self._path)

    def add(self, row: dict[str, Any]) -> None:
        """Append one row."""
        self._rows.append(row)
        self.count += 1
        if len(self._rows) == BATCH_ROWS:
            self._flush()

    def _flush(self) -> None:
        if self._rows:
            self._writer.write_batch(pa.RecordBatch.from_pylist(self._rows, schema=self._schema))
            self._rows = []


def read_records(path: Path, columns: Sequence[str] | None = None) -> pa.Table:
    """The file's rows, or only some of its columns (the others are not decoded)."""
    batches = list(read_record_batches(path, columns))
    return pa.Table.from_batches(batches, schema=_schema(path, columns))


def read_record_batches(path: Path, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
    """The same, batch by batch."""
    with pa.memory_map(str(path)) as source:
        options = pa.ipc.IpcReadOptions()
        if columns is not None:
            schema = pa.ipc.open_file(source).schema
            options.included_fields = [schema.get_field_index(name) for name in columns]
        reader = pa.ipc.open_file(source, options=options)
        for index in range(reader.num_record_batches):
            batch = reader.get_batch(index)
            yield batch if columns is None else batch.select(list(columns))


def write_json(path: Path, document: Any) -> None:
    """Write JSON at once, never a part of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(document, ensure_ascii=False, sort_keys=True), encoding="utf-8")
    os.replace(temporary, path)


def read_json(path: Path) -> Any:
    """What write_json wrote."""
    return json.loads(path.read_text(encoding="utf-8"))


def _schema(path: Path, columns: Sequence[str] | None) -> pa.Schema:
    with pa.memory_map(str(path)) as source:
        schema = pa.ipc.open_file(source).schema
    return schema if columns is None else pa.schema([schema.field(name) for name in columns])
