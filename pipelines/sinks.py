"""The Parquet writer: rows meet on disk, never in a shuffle.

Each range of the input writes one Arrow IPC file with its rows in sort order. When all ranges are done, the sort keys
alone decide where the shards begin; then each shard merges its slice of every range file, sorts it and writes
Parquet. Shards follow from the number of rows, so neither inputs nor workers leave a trace.
"""

import dataclasses
import hashlib
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.records import write_json
from schemas.digest import TableDigest
from schemas.manifest import Shard, TableEntry
from schemas.table import Table

ROWS_PER_SHARD = {"pages": 20_000, "wk_graphs": 200_000, "tokens_wk_graphs": 500_000, "triples": 5_000_000}
"""Rows of a shard, by table; others get DEFAULT_ROWS_PER_SHARD. Chosen so that a shard is sorted in memory."""

DEFAULT_ROWS_PER_SHARD = 200_000
ROW_GROUP_BYTES = 64 * 2**20
RANGE_BATCH_ROWS = 1_000


@dataclasses.dataclass(frozen=True)
class ShardJob:
    """One shard to write: its file, and the rows [start, end) that each range file gives to it."""

    name: str
    slices: Sequence[tuple[str, int, int]]


@dataclasses.dataclass(frozen=True)
class MergeJob:
    """A shard to merge, the dataset's folder, and the marker that holds its manifest entry."""

    table: Table
    job: ShardJob
    out: Path
    marker: Path


def write_range(path: Path, table: Table, rows: pa.Table, keys: npt.NDArray[np.uint64]) -> None:
    """Write one range's rows, sorted by split and key, for a later merge.

    `rows` has the columns of `table`; `keys`, shape (rows,), is the table's sort key.
    """
    splits = _split_codes(table, rows)
    order = np.lexsort((keys, splits))
    keyed = rows.append_column("_split", pa.array(splits)).append_column("_key", pa.array(keys)).take(order)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    options = pa.ipc.IpcWriteOptions(compression="lz4")
    with pa.OSFile(str(temporary), "wb") as sink, pa.ipc.new_file(sink, keyed.schema, options=options) as writer:
        for start in range(0, keyed.num_rows, RANGE_BATCH_ROWS):
            writer.write_table(keyed.slice(start, RANGE_BATCH_ROWS).combine_chunks())
    os.replace(temporary, path)


def plan_shards(table: Table, range_files: Sequence[Path], rows_per_shard: int | None = None) -> list[ShardJob]:
    """Cut the union of the range files, in sort order, into shards of equal rows."""
    rows_per_shard = rows_per_shard or ROWS_PER_SHARD.get(table.name, DEFAULT_ROWS_PER_SHARD)
    files = sorted(str(path) for path in range_files)
    columns = [_keys(path) for path in files]
    jobs = [
        job
        for code, part in enumerate(table.parts)
        for job in _plan_part(part, files, [_part(splits, keys, code) for splits, keys in columns], rows_per_shard)
    ]
    return jobs or [ShardJob(_file_name(table.parts[0], 0, 1), [])]


def write_shard(table: Table, job: ShardJob, folder: Path) -> Shard:
    """Merge, sort and write one shard under `folder`/TABLE."""
    pieces = [_read_slice(*piece) for piece in job.slices]
    if not pieces:
        return write_parquet(table, table.schema.empty_table(), folder / table.folder / job.name)
    merged = pa.concat_tables(pieces).combine_chunks()
    order = np.argsort(merged["_key"].to_numpy(), kind="stable")
    return write_parquet(table, merged.take(order), folder / table.folder / job.name)


def merge_shard(job: MergeJob) -> None:
    """write_shard as a job of a build."""
    write_json(job.marker, dataclasses.asdict(write_shard(job.table, job.job, job.out)))


def write_table(table: Table, rows: pa.Table, folder: Path, rows_per_shard: int | None = None) -> list[Shard]:
    """Write a whole table that is in memory and in sort order; replaces what `folder`/TABLE held."""
    rows_per_shard = rows_per_shard or ROWS_PER_SHARD.get(table.name, DEFAULT_ROWS_PER_SHARD)
    shutil.rmtree(folder / table.folder, ignore_errors=True)
    codes = _split_codes(table, rows)
    shards: list[Shard] = []
    for code, part in enumerate(table.parts):
        of_part = rows.filter(pa.array(codes == code))
        count = -(-of_part.num_rows // rows_per_shard)
        for index, start in enumerate(_cuts(of_part.num_rows, count)):
            slice_ = of_part.slice(start[0], start[1] - start[0])
            shards.append(write_parquet(table, slice_, folder / table.folder / _file_name(part, index, count)))
    if not shards:
        path = folder / table.folder / _file_name(table.parts[0], 0, 1)
        shards.append(write_parquet(table, table.schema.empty_table(), path))
    return shards


def write_parquet(table: Table, rows: pa.Table, path: Path) -> Shard:
    """Write one file: zstd, page checksums, bounded row groups, the documented schema in the footer.

    An empty file has no row group at all: a row group of no rows breaks `datasets.load_dataset`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = rows.select(table.schema.names).cast(table.schema)
    temporary = path.with_name(f".{path.name}.tmp")
    groups = list(_row_groups(rows, table.row_group_rows))
    with pq.ParquetWriter(temporary, table.schema, compression="zstd", write_page_checksum=True) as writer:
        for group in groups:
            writer.write_table(group.combine_chunks(), row_group_size=group.num_rows)
    os.replace(temporary, path)
    return Shard(
        path=f"{path.parent.name}/{path.name}",
        rows=rows.num_rows,
        bytes=path.stat().st_size,
        row_groups=len(groups),
        sha256=file_digest(path),
    )


def table_entry(table: Table, folder: Path, shards: Sequence[Shard]) -> TableEntry:
    """The manifest's entry: the shards in order, and the logical digest of their rows."""
    ordered = sorted(shards, key=lambda shard: (_part_of(table, shard), shard.path))
    digest = TableDigest(table)
    for shard in ordered:
        for rows in read_batches(folder / shard.path):
            digest.update(rows)
    return TableEntry(schema_version=table.version, rows=digest.rows, digest=digest.hexdigest(), shards=ordered)


def cut_rows(rows: int, rows_per_shard: int) -> list[tuple[int, int]]:
    """[start, end) of the shards of a table with so many rows."""
    return _cuts(rows, -(-rows // rows_per_shard))


def read_batches(path: Path) -> Iterator[pa.Table]:
    """The row groups of one Parquet file, one at a time, page checksums verified."""
    with pq.ParquetFile(path, page_checksum_verification=True) as file:
        for index in range(file.num_row_groups):
            yield file.read_row_group(index)


def file_digest(path: Path) -> str:
    """sha256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _row_groups(rows: pa.Table, most: int) -> Iterator[pa.Table]:
    """Runs of at most `most` rows, halved until each takes at most ROW_GROUP_BYTES in memory or is one row."""
    for start, end in _cuts(rows.num_rows, -(-rows.num_rows // most)):
        group = rows.slice(start, end - start)
        if group.nbytes <= ROW_GROUP_BYTES or group.num_rows == 1:
            yield group
        else:
            yield from _row_groups(group, -(-group.num_rows // 2))


def _split_codes(table: Table, rows: pa.Table) -> npt.NDArray[np.int8]:
    if not table.splits:
        return np.zeros(rows.num_rows, dtype=np.int8)
    code = {name: index for index, name in enumerate(table.splits)}
    return np.array([code[name] for name in rows["split"].to_pylist()], dtype=np.int8)


def _file_name(part: str, index: int, count: int) -> str:
    return f"{part}-{index:05d}-of-{count:05d}.parquet"


def _part_of(table: Table, shard: Shard) -> int:
    return list(table.parts).index(shard.path.rpartition("/")[2].split("-")[0])


def _cuts(rows: int, count: int) -> list[tuple[int, int]]:
    """[start, end) of `count` runs of rows whose sizes differ by one at most."""
    return [(rows * i // count, rows * (i + 1) // count) for i in range(count)]


def _keys(path: str) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.uint64]]:
    with pa.memory_map(path) as source:
        schema = pa.ipc.open_file(source).schema
        wanted = [schema.get_field_index("_split"), schema.get_field_index("_key")]
        table = pa.ipc.open_file(source, options=pa.ipc.IpcReadOptions(included_fields=wanted)).read_all()
        return table["_split"].to_numpy().copy(), table["_key"].to_numpy().copy()


def _part(splits: npt.NDArray[np.int8], keys: npt.NDArray[np.uint64], code: int) -> tuple[int, npt.NDArray[np.uint64]]:
    """Where a split's rows begin in a range file, and their keys."""
    start, end = np.searchsorted(splits, [code, code + 1])
    return int(start), keys[start:end]


def _plan_part(
    part: str, files: Sequence[str], parts: list[tuple[int, npt.NDArray[np.uint64]]], rows_per_shard: int
) -> Iterator[ShardJob]:
    keys = np.sort(np.concatenate([keys for _, keys in parts])) if parts else np.empty(0, np.uint64)
    count = -(-len(keys) // rows_per_shard)
    for index, (start, end) in enumerate(_cuts(len(keys), count)):
        slices = []
        for path, (offset, own) in zip(files, parts, strict=True):
            low = np.searchsorted(own, keys[start]) if start else 0
            high = np.searchsorted(own, keys[end]) if end < len(keys) else len(own)
            if high > low:
                slices.append((path, offset + int(low), offset + int(high)))
        yield ShardJob(_file_name(part, index, count), slices)


def _read_slice(path: str, start: int, end: int) -> pa.Table:
    with pa.memory_map(path) as source:
        reader = pa.ipc.open_file(source)
        first, last = start // RANGE_BATCH_ROWS, (end - 1) // RANGE_BATCH_ROWS
        batches = [reader.get_batch(index) for index in range(first, last + 1)]
    return pa.Table.from_batches(batches).slice(start - first * RANGE_BATCH_ROWS, end - start)
