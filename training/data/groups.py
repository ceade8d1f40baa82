"""Row groups by number: the unit that is permuted, decoded and, where damaged, left out."""

import dataclasses
import threading
from collections import OrderedDict
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Int64

from schemas.check import require_schema
from schemas.dataset import Dataset
from schemas.errors import DataError, first_line
from schemas.table import Table
from training.data.batch import offsets
from training.data.faults import PERMANENT, Damaged, retried

OPEN_FILES = 32
"""Files that each thread keeps open: opening one costs as much as decoding some hundred rows."""


@runtime_checkable
class RowGroups(Protocol):
    """Rows by row group."""

    @property
    def sizes(self) -> Int64[np.ndarray, " G"]:
        """Rows of each row group."""
        ...

    @property
    def schema(self) -> pa.Schema:
        """Of what read gives."""
        ...

    def read(self, group: int) -> pa.Table:
        """The rows of one, in order; from any thread. Damaged or Unreadable where they can't be had."""
        ...

    def name(self, group: int) -> str:
        """Where it lies, for messages."""
        ...


class ParquetGroups:
    """The row groups of one split of a table, in sort order."""

    def __init__(self, dataset: Dataset, name: str, split: str | None, columns: Sequence[str]) -> None:
        """DataError where a shard is missing or of another schema."""
        self._columns = list(columns)
        self.schema = pa.schema([dataset.table(name).schema.field(column) for column in columns])
        self._groups: list[tuple[Path, pq.FileMetaData, int]] = []
        self._threads = threading.local()
        for shard in dataset.shards(name, split):
            path = dataset.folder / shard.path
            metadata = retried(partial(_footer, path, dataset.table(name)), str(path))
            self._groups += [(path, metadata, group) for group in range(metadata.num_row_groups)]
        sizes = [metadata.row_group(group).num_rows for _, metadata, group in self._groups]
        self.sizes: Int64[np.ndarray, " G"] = np.array(sizes, dtype=np.int64)

    def read(self, group: int) -> pa.Table:
        """The rows of one row group, its pages' checksums verified."""
        path, metadata, number = self._groups[group]
        try:
            return retried(lambda: self._read(path, metadata, number), str(path))
        except (pa.ArrowException, OSError) as error:
            reason = first_line(error)
            raise Damaged(
                f"{self.name(group)}, is damaged ({reason}). Run wikiloom validate, then build it again; or go on "
                "without it: --set data.on_corrupt=quarantine"
            ) from error

    def name(self, group: int) -> str:
        """The file and the row group's number in it."""
        path, _, number = self._groups[group]
        return f"{path}, row group {number}"

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_threads"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _threads=threading.local())

    def _read(self, path: Path, metadata: pq.FileMetaData, number: int) -> pa.Table:
        files: OrderedDict[Path, pq.ParquetFile] = self._threads.__dict__.setdefault("files", OrderedDict())
        # Out of the thread's open files until it is read: where that fails, the next try opens the file anew, since a
        # mount that came back does not know the old one.
        file = files.pop(path, None) or pq.ParquetFile(path, metadata=metadata, page_checksum_verification=True)
        rows = file.read_row_group(number, columns=self._columns, use_threads=False)
        files[path] = file
        if len(files) > OPEN_FILES:
            files.popitem(last=False)[1].close(force=True)
        return rows


def _footer(path: Path, table: Table) -> pq.FileMetaData:
    """As require_schema, but for what a further try may mend: an OSError of the system's."""
    try:
        return require_schema(path, table)
    except DataError as error:
        cause = error.__cause__
        if isinstance(cause, OSError) and cause.errno is not None and not isinstance(cause, PERMANENT):
            raise cause from error
        raise


@dataclasses.dataclass(frozen=True, eq=False)
class MemoryGroups:
    """A table in memory, cut into row groups of equal size."""

    rows: pa.Table
    label: str
    rows_per_group: int = 1_024

    @property
    def sizes(self) -> Int64[np.ndarray, " G"]:
        """Rows of each row group."""
        starts = np.arange(0, self.rows.num_rows, self.rows_per_group, dtype=np.int64)
        return np.minimum(self.rows_per_group, self.rows.num_rows - starts)

    @property
    def schema(self) -> pa.Schema:
        """The table's."""
        return self.rows.schema

    def read(self, group: int) -> pa.Table:
        """A slice of the table."""
        return self.rows.slice(group * self.rows_per_group, self.rows_per_group)

    def name(self, group: int) -> str:
        """The table, and which rows of it."""
        return f"{self.label}, rows from {group * self.rows_per_group}"


class SomeRows:
    """The rows of other row groups that have these numbers (ascending, in sort order)."""

    def __init__(self, groups: RowGroups, rows: Int64[np.ndarray, " N"]) -> None:
        self._groups, self._rows, self.schema = groups, rows, groups.schema
        self._first = offsets(groups.sizes)
        self._cuts = np.searchsorted(rows, self._first)
        self.sizes: Int64[np.ndarray, " G"] = np.diff(self._cuts).astype(np.int64)

    def read(self, group: int) -> pa.Table:
        """Those of one row group."""
        rows = self._rows[self._cuts[group] : self._cuts[group + 1]] - self._first[group]
        return self._groups.read(group).take(pa.array(rows))

    def name(self, group: int) -> str:
        """As the whole row group's."""
        return self._groups.name(group)
