"""Arrow files in the work folder of a build, where its stages meet."""

import contextlib
import json
import os
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from schemas.errors import DataError

BATCH_ROWS = 2_000
UNFINISHED = ".tmp"
LZ4 = pa.ipc.IpcWriteOptions(compression="lz4")


class RecordWriter:
    """Appends rows to an Arrow IPC file in batches, so memory stays bounded; the file appears when it is whole."""

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self._path, self._schema = path, schema
        self._rows: list[dict[str, Any]] = []
        self.count = 0

    def __enter__(self) -> "RecordWriter":
        self._whole = whole_file(self._path)
        self._writer = pa.ipc.new_file(str(self._whole.__enter__()), self._schema, options=LZ4)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self._flush()
        self._writer.close()
        self._whole.__exit__(kind, value, trace)

    def add(self, row: dict[str, Any]) -> None:
        """Append one row."""
        self._rows.append(row)
        self.count += 1
        if len(self._rows) == BATCH_ROWS:
            self._flush()

    def write(self, batch: pa.RecordBatch) -> None:
        """Append rows as they are, for writers that make columns themselves."""
        self._writer.write_batch(batch)
        self.count += batch.num_rows

    def _flush(self) -> None:
        if self._rows:
            self._writer.write_batch(pa.RecordBatch.from_pylist(self._rows, schema=self._schema))
            self._rows = []


def write_records(path: Path, rows: pa.Table) -> None:
    """Write a table that is in memory, in batches of BATCH_ROWS."""
    with whole_file(path) as temporary, pa.ipc.new_file(str(temporary), rows.schema, options=LZ4) as writer:
        writer.write_table(rows, max_chunksize=BATCH_ROWS)


def read_records(path: Path, columns: Sequence[str] | None = None) -> pa.Table:
    """The file's rows, or only some of its columns (the others are not decoded)."""
    batches = list(read_record_batches(path, columns))
    return pa.Table.from_batches(batches, schema=_schema(path, columns))


def read_record_batches(path: Path, columns: Sequence[str] | None = None, first: int = 0) -> Iterator[pa.RecordBatch]:
    """The same, batch by batch, from batch `first` on."""
    options = pa.ipc.IpcReadOptions()
    if columns is not None:
        schema = _schema(path, None)
        options.included_fields = [schema.get_field_index(name) for name in columns]
    # Mapped pages count as this process's memory until the file is closed: few where some columns are read, the whole
    # file where all are.
    with pa.OSFile(str(path)) if columns is None else pa.memory_map(str(path)) as source:
        reader = pa.ipc.open_file(source, options=options)
        for index in range(first, reader.num_record_batches):
            batch = reader.get_batch(index)
            yield batch if columns is None else batch.select(list(columns))


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A name to write to; what is written stands at `path` when the block ends, whole or not at all, power lost or not.

    No two names are alike: a worker that outlives its killed build may write the same file as the next build's.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # Not with_name, which has another error for "." and "/" than a folder that is in the way.
    temporary = path.parent / f".{path.name}.{uuid.uuid4().hex}{UNFINISHED}"
    try:
        yield temporary
        # A name may reach the disk long before the bytes: a marker, or a manifest, would outlive what it speaks of.
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def remove_unfinished(folder: Path) -> None:
    """Remove what killed processes left of whole_file."""
    for path in folder.rglob(f".*{UNFINISHED}"):
        path.unlink(missing_ok=True)


def save_array(path: Path, values: npt.NDArray[Any]) -> None:
    """np.save, whole or not at all."""
    with whole_file(path) as temporary, temporary.open("wb") as file:
        np.save(file, values)


def write_text(path: Path, content: str, option: str) -> None:
    """Write a text, whole or not at all; DataError where that fails, naming the option that the path came by."""
    try:
        with whole_file(path) as temporary:
            temporary.write_text(content, encoding="utf-8")
    except OSError as error:
        raise DataError(f"{path} can't be written ({error.strerror}). Name another file with {option}.") from error


def write_json(path: Path, document: Any) -> None:
    """Write JSON, whole or not at all."""
    with whole_file(path) as temporary:
        temporary.write_text(json.dumps(document, ensure_ascii=False, sort_keys=True), encoding="utf-8")


def read_json(path: Path) -> Any:
    """What write_json wrote."""
    return json.loads(path.read_text(encoding="utf-8"))


def _schema(path: Path, columns: Sequence[str] | None) -> pa.Schema:
    with pa.memory_map(str(path)) as source:
        schema = pa.ipc.open_file(source).schema
    return schema if columns is None else pa.schema([schema.field(name) for name in columns], schema.metadata)
