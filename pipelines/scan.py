"""Reading a table row group by row group: memory stays at one of them, whatever the dataset's size."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from schemas.check import require_schema
from schemas.dataset import Dataset
from schemas.errors import DataError, first_line


def scan(
    dataset: Dataset, name: str, columns: Sequence[str] | None, *, split: str | None = None, limit: int | None = None
) -> Iterator[pa.Table]:
    """The row groups of a table one at a time, these columns only; with `limit` so many, evenly spread over all."""
    found = list(groups(dataset, name, split))
    if limit is not None and len(found) > limit:
        found = [found[i * len(found) // limit] for i in range(limit)]
    for path, group, _ in found:
        yield read_group(path, group, columns)


def scan_places(
    dataset: Dataset, name: str, columns: Sequence[str], split: str | None = None
) -> Iterator[tuple[Path, int, pa.Table]]:
    """(shard, row of the shard that the group begins with, the row group), these columns only."""
    start, last = 0, None
    for path, group, size in groups(dataset, name, split):
        start = start if path == last else 0
        yield path, start, read_group(path, group, columns)
        start, last = start + size, path


def groups(dataset: Dataset, name: str, split: str | None = None) -> Iterator[tuple[Path, int, int]]:
    """(file, row group, its rows) of a table in order; each file's schema is checked."""
    for shard in dataset.shards(name, split):
        path = dataset.folder / shard.path
        metadata = require_schema(path, dataset.table(name))
        for group in range(metadata.num_row_groups):
            yield path, group, metadata.row_group(group).num_rows


def count_rows(dataset: Dataset, name: str, split: str | None = None) -> int:
    """Rows that the files have, whatever the manifest says."""
    return sum(size for *_, size in groups(dataset, name, split))


def read_group(path: Path, group: int, columns: Sequence[str] | None) -> pa.Table:
    """One row group; DataError where it is damaged."""
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            return file.read_row_group(group, columns=columns)
    except (pa.ArrowException, OSError) as error:
        reason = first_line(error)
        raise DataError(f"{path} is damaged ({reason}). Run wikiloom validate, then build it again.") from error
