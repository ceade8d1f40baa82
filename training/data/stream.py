"""Rows of a Parquet table by number: whole row groups are decoded, and the last few of them kept."""

from collections import OrderedDict
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Int64

from schemas.check import require_schema
from schemas.dataset import Dataset
from schemas.errors import DataError


class RowReader:
    """Rows of one split of a table, numbered in sort order whatever its shards and row groups."""

    def __init__(self, dataset: Dataset, name: str, split: str | None, columns: Sequence[str], keep: int = 32) -> None:
        """`keep` row groups stay decoded. DataError where a shard is missing or of another schema."""
        self._columns, self._keep = list(columns), keep
        self._schema = pa.schema([dataset.table(name).schema.field(column) for column in columns])
        self._groups: list[tuple[pq.ParquetFile, str, int]] = []
        rows = []
        for shard in dataset.shards(name, split):
            path = dataset.folder / shard.path
            metadata = require_schema(path, dataset.table(name))
            file = pq.ParquetFile(path, metadata=metadata, page_checksum_verification=True)
            self._groups += [(file, str(path), group) for group in range(metadata.num_row_groups)]
            rows += [metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)]
        self._starts = np.concatenate([[0], np.cumsum(rows, dtype=np.int64)]).astype(np.int64)
        self._decoded: OrderedDict[int, pa.Table] = OrderedDict()
        self.rows = int(self._starts[-1])
        self.decodes = 0
        """Row groups decoded so far."""

    def take(self, rows: Int64[np.ndarray, " N"]) -> pa.Table:
        """The rows with these numbers, in this order."""
        if not len(rows):
            return self._schema.empty_table()
        group = np.searchsorted(self._starts, rows, side="right") - 1
        needed, which = np.unique(group, return_inverse=True)
        pieces = [self._group(int(number)) for number in needed]
        offsets = np.cumsum([0] + [piece.num_rows for piece in pieces])[:-1]
        return pa.concat_tables(pieces).take(pa.array(offsets[which] + rows - self._starts[group]))

    def lengths(self, column: str) -> Int64[np.ndarray, " N"]:
        """Of every row, how many values its list column holds; reads all row groups, keeps none."""
        counts = [
            self._decode(number)[column].combine_chunks().value_lengths().to_numpy(zero_copy_only=False)
            for number in range(len(self._groups))
        ]
        return np.concatenate([np.empty(0, dtype=np.int64), *counts]).astype(np.int64)

    def _group(self, number: int) -> pa.Table:
        if number in self._decoded:
            self._decoded.move_to_end(number)
            return self._decoded[number]
        if len(self._decoded) >= self._keep:
            self._decoded.popitem(last=False)
        self._decoded[number] = self._decode(number)
        return self._decoded[number]

    def _decode(self, number: int) -> pa.Table:
        file, path, group = self._groups[number]
        self.decodes += 1
        try:
            return file.read_row_group(group, columns=self._columns).select(self._columns).cast(self._schema)
        except (pa.ArrowException, OSError) as error:
            reason = str(error).splitlines()[0][:200]
            raise DataError(
                f"{path}, row group {group}, is damaged ({reason}). Run wikiloom validate, then build it again."
            ) from error
