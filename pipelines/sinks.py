"""The Parquet writer: rows meet on disk, never in a shuffle.

Each range of the input writes runs, Arrow IPC files with their rows in sort order. When all ranges are done, the sort
keys alone decide where the shards begin; then each shard merges its slices of the runs and writes Parquet, some row
groups at a time. Shards follow from the number of rows, so neither inputs nor workers leave a trace.
"""

import dataclasses
import hashlib
import itertools
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipelines.records import read_records, whole_file, write_json
from schemas.digest import TableDigest
from schemas.manifest import Shard, TableEntry
from schemas.table import Table

ROWS_PER_SHARD = {"pages": 20_000, "wk_graphs": 200_000, "tokens_wk_graphs": 500_000, "triples": 5_000_000}
"""Rows of a shard, by table; others get DEFAULT_ROWS_PER_SHARD. Chosen so that a shard is sorted in memory."""

DEFAULT_ROWS_PER_SHARD = 200_000
ROW_GROUP_BYTES = 64 * 2**20
"""Bytes of a row group in memory, at most; and of the rows that are merged at once."""
RUN_BYTES = 32 * 2**20
"""Rows that are sorted in memory, about."""
RUN_BATCH_ROWS = 500
"""Rows of a run that are read at once."""
DIGEST_BYTES = 8 * 2**20
"""Rows of a Parquet file that are read at once for the digest, about."""
ROW_BYTES = b"row_bytes"
"""Where a run's schema says what a row of it takes in memory on average."""
MERGE_ROWS = 1 << 16
"""Rows of a shard that are merged at once, at most."""


@dataclasses.dataclass(frozen=True)
class ShardJob:
    """One shard to write: its file, and the rows [start, end) that each run gives to it."""

    name: str
    slices: Sequence[tuple[str, int, int]]
    row_bytes: int
    """What a row takes in memory, by the means of the runs that the shard's rows are from."""


class _Part(NamedTuple):
    """A split's rows of a run."""

    path: str
    row_bytes: int
    start: int
    """Of the first of them in the run."""
    keys: npt.NDArray[np.uint64]


@dataclasses.dataclass(frozen=True)
class MergeJob:
    """A shard to merge, the dataset's folder, and the marker that holds its manifest entry."""

    table: Table
    job: ShardJob
    out: Path
    marker: Path


class RunWriter:
    """Writes one range's rows as runs NAME-000.arrow, NAME-001.arrow ... in a folder, in memory of a fixed size."""

    def __init__(self, folder: Path, table: Table) -> None:
        self._folder, self._table, self._columns = folder, table, table.schema.names
        self._waiting: list[pa.Table] = []
        self._bytes = self._runs = 0
        self.rows = 0

    def __enter__(self) -> "RunWriter":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self._flush()

    def add(self, rows: pa.Table, keys: npt.NDArray[np.uint64]) -> None:
        """`rows` has the columns of the table; `keys`, shape (rows,), is its sort key."""
        splits = pa.array(_split_codes(self._table, rows))
        keyed = rows.select(self._columns).append_column("_split", splits)
        self._waiting.append(keyed.append_column("_key", pa.array(keys)))
        self._bytes += rows.nbytes
        self.rows += rows.num_rows
        if self._bytes >= RUN_BYTES:
            self._flush()

    def _flush(self) -> None:
        if self._waiting:
            rows = pa.concat_tables(self._waiting).combine_chunks()
            rows = _in_order(rows, np.lexsort((rows["_key"].to_numpy(), rows["_split"].to_numpy())))
            rows = rows.replace_schema_metadata({ROW_BYTES: str(rows.nbytes // max(rows.num_rows, 1))})
            path = self._folder / f"{self._table.name}-{self._runs:03d}.arrow"
            with whole_file(path) as temporary, pa.ipc.new_file(str(temporary), rows.schema) as writer:
                writer.write_table(rows, max_chunksize=RUN_BATCH_ROWS)
            self._waiting, self._bytes, self._runs = [], 0, self._runs + 1


def runs(folder: Path, table: Table) -> list[Path]:
    """The runs of one range."""
    return sorted(folder.glob(f"{table.name}-*.arrow"))


def plan_shards(table: Table, run_files: Sequence[Path], rows_per_shard: int | None = None) -> list[ShardJob]:
    """Cut the union of the runs, in sort order, into shards of equal rows."""
    by_run = [_parts(path, len(table.parts)) for path in sorted(map(str, run_files))]
    jobs = [
        job
        for code, part in enumerate(table.parts)
        for job in _plan_part(part, [parts[code] for parts in by_run], rows_of_shard(table, rows_per_shard))
    ]
    return jobs or [ShardJob(_file_name(table.parts[0], 0, 1), [], 0)]


def rows_of_shard(table: Table, asked: int | None = None) -> int:
    """Rows of a shard, at most: those asked for, else the table's own number."""
    return asked or ROWS_PER_SHARD.get(table.name, DEFAULT_ROWS_PER_SHARD)


def write_shard(table: Table, job: ShardJob, folder: Path) -> Shard:
    """Merge and write one shard under `folder`/TABLE."""
    return _write_groups(table, merge(table, job), folder / table.folder / job.name)


def merge_shard(job: MergeJob) -> None:
    """write_shard as a job of a build."""
    write_json(job.marker, dataclasses.asdict(write_shard(job.table, job.job, job.out)))


def write_table(table: Table, rows: pa.Table, folder: Path, rows_per_shard: int | None = None) -> list[Shard]:
    """Write a whole table that is in memory and in sort order; replaces what `folder`/TABLE held."""
    codes = _split_codes(table, rows)
    parts = {part: rows.filter(pa.array(codes == code)) for code, part in enumerate(table.parts)}
    sizes = {part: of_part.num_rows for part, of_part in parts.items()}
    return write_parts(
        table, sizes, lambda part, start, end: parts[part].slice(start, end - start), folder, rows_per_shard
    )


def write_parts(
    table: Table,
    sizes: Mapping[str, int],
    make_rows: Callable[[str, int, int], pa.Table],
    folder: Path,
    rows_per_shard: int | None = None,
) -> list[Shard]:
    """Write a whole table a row group at a time; replaces what `folder`/TABLE held.

    `sizes` are the rows of each part; `make_rows(part, start, end)` gives rows [start, end) of one, in sort order, and
    is called for one stretch after the other.
    """
    shutil.rmtree(folder / table.folder, ignore_errors=True)
    shards: list[Shard] = []
    for part in table.parts:
        cuts = cut_rows(sizes.get(part, 0), rows_of_shard(table, rows_per_shard))
        for index, (first, last) in enumerate(cuts):
            groups = (
                make_rows(part, first + start, first + end)
                for start, end in cut_rows(last - first, table.row_group_rows)
            )
            path = folder / table.folder / _file_name(part, index, len(cuts))
            shards.append(_write_groups(table, groups, path))
    if not shards:
        path = folder / table.folder / _file_name(table.parts[0], 0, 1)
        shards.append(write_parquet(table, table.schema.empty_table(), path))
    return shards


def write_parquet(table: Table, rows: pa.Table, path: Path) -> Shard:
    """Write one file: zstd, page checksums, bounded row groups, the documented schema in the footer.

    An empty file has no row group at all: a row group of no rows breaks `datasets.load_dataset`.
    """
    groups = (rows.slice(start, end - start) for start, end in cut_rows(rows.num_rows, table.row_group_rows))
    return _write_groups(table, groups, path)


def table_entry(table: Table, folder: Path, shards: Sequence[Shard]) -> TableEntry:
    """The manifest's entry: the shards in order, and the logical digest of their rows."""
    ordered = sorted(shards, key=lambda shard: (_part_of(table, shard), shard.path))
    digest = TableDigest(table)
    for shard in ordered:
        for rows in _read_pieces(folder / shard.path):
            digest.update(rows)
    return TableEntry(schema_version=table.version, rows=digest.rows, digest=digest.hexdigest(), shards=ordered)


def cut_rows(rows: int, rows_per_shard: int) -> list[tuple[int, int]]:
    """[start, end) of the shards of a table with so many rows."""
    return _cuts(rows, -(-rows // rows_per_shard))


def read_batches(path: Path) -> Iterator[pa.Table]:
    """The row groups of one Parquet file, one at a time, page checksums verified."""
    with pq.ParquetFile(path, page_checksum_verification=True) as file:
        for group in range(file.num_row_groups):
            yield file.read_row_group(group)


def file_digest(path: Path) -> str:
    """sha256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _write_groups(table: Table, groups: Iterable[pa.Table], path: Path) -> Shard:
    count = rows = 0
    schema = table.schema
    with (
        whole_file(path) as temporary,
        pq.ParquetWriter(temporary, schema, compression="zstd", write_page_checksum=True) as writer,
    ):
        for group in itertools.chain.from_iterable(map(_bounded, groups)):
            group = group.select(schema.names).cast(schema)
            writer.write_table(group, row_group_size=group.num_rows)
            count, rows = count + 1, rows + group.num_rows
    name = f"{path.parent.name}/{path.name}"
    return Shard(path=name, rows=rows, bytes=path.stat().st_size, row_groups=count, sha256=file_digest(path))


def _bounded(group: pa.Table) -> Iterator[pa.Table]:
    """A row group, halved until each part takes at most ROW_GROUP_BYTES in memory or is one row."""
    if group.nbytes <= ROW_GROUP_BYTES or group.num_rows == 1:
        yield group
    else:
        half = group.num_rows // 2
        yield from _bounded(group.slice(0, half))
        yield from _bounded(group.slice(half))


def _read_pieces(path: Path) -> Iterator[pa.Table]:
    """A Parquet file's rows, page checksums verified, in pieces of about DIGEST_BYTES."""
    with pq.ParquetFile(path, page_checksum_verification=True) as file:
        size = sum(file.metadata.row_group(group).total_byte_size for group in range(file.num_row_groups))
        rows = max(1, DIGEST_BYTES * file.metadata.num_rows // max(size, 1))
        for batch in file.iter_batches(min(rows, MERGE_ROWS)):
            yield pa.Table.from_batches([batch])


def _split_codes(table: Table, rows: pa.Table) -> npt.NDArray[np.int8]:
    if not table.splits:
        return np.zeros(rows.num_rows, dtype=np.int8)
    return pc.index_in(rows["split"], pa.array(table.splits)).to_numpy().astype(np.int8)


def _file_name(part: str, index: int, count: int) -> str:
    return f"{part}-{index:05d}-of-{count:05d}.parquet"


def _part_of(table: Table, shard: Shard) -> int:
    return list(table.parts).index(shard.path.rpartition("/")[2].split("-")[0])


def _cuts(rows: int, count: int) -> list[tuple[int, int]]:
    """[start, end) of `count` runs of rows whose sizes differ by one at most."""
    return [(rows * i // count, rows * (i + 1) // count) for i in range(count)]


def _parts(path: str, count: int) -> list[_Part]:
    """A run's rows, by the code of their split."""
    rows = read_records(Path(path), ["_split", "_key"])
    keys, edges = rows["_key"].to_numpy(), np.searchsorted(rows["_split"].to_numpy(), np.arange(count + 1)).tolist()
    row_bytes = int(rows.schema.metadata[ROW_BYTES])
    return [_Part(path, row_bytes, start, keys[start:end]) for start, end in itertools.pairwise(edges)]


def _plan_part(name: str, parts: Sequence[_Part], rows_per_shard: int) -> Iterator[ShardJob]:
    keys = np.sort(np.concatenate([np.empty(0, np.uint64), *(part.keys for part in parts)]))
    count = -(-len(keys) // rows_per_shard)
    for index, (start, end) in enumerate(_cuts(len(keys), count)):
        slices, taken = [], 0
        for part in parts:
            low = int(np.searchsorted(part.keys, keys[start])) if start else 0
            high = int(np.searchsorted(part.keys, keys[end])) if end < len(keys) else len(part.keys)
            if high > low:
                slices.append((part.path, part.start + low, part.start + high))
                taken += (high - low) * part.row_bytes
        yield ShardJob(_file_name(name, index, count), slices, taken // (end - start))


def merge(table: Table, job: ShardJob) -> Iterator[pa.Table]:
    """The shard's row groups, in sort order."""
    keys = [_read_slice(*piece)["_key"].to_numpy() for piece in job.slices]
    order = np.argsort(np.concatenate(keys), kind="stable") if keys else np.empty(0, np.int64)
    sources = np.repeat(np.arange(len(keys)), [len(own) for own in keys])[order]
    done = np.zeros(len(keys), np.int64)
    most = max(1, ROW_GROUP_BYTES // max(1, job.row_bytes))
    groups = cut_rows(len(order), min(table.row_group_rows, most))
    at_once = max(1, min(MERGE_ROWS, most) // table.row_group_rows)
    for first in range(0, len(groups), at_once):
        piece = groups[first : first + at_once]
        start, end = piece[0][0], piece[-1][1]
        taken = np.bincount(sources[start:end], minlength=len(keys))
        slices = [
            _read_slice(path, begin + skip, begin + skip + count)
            for (path, begin, _), skip, count in zip(job.slices, done.tolist(), taken.tolist(), strict=True)
            if count
        ]
        done += taken
        # Where ranges follow one another, as those of a dump do, this is the order already.
        slices.sort(key=lambda rows: rows["_key"][0].as_py())
        merged = pa.concat_tables(slices)
        merged = _in_order(merged, np.argsort(merged["_key"].to_numpy(), kind="stable"))
        yield from (merged.slice(low - start, high - low) for low, high in piece)


def _in_order(rows: pa.Table, order: npt.NDArray[np.int64]) -> pa.Table:
    """The rows in another order; as they are where it is theirs."""
    return rows if (np.diff(order) == 1).all() else rows.combine_chunks().take(order)


def _read_slice(path: str, start: int, end: int) -> pa.Table:
    """Rows [start, end) of a run, mapped: a run is not compressed, so of its columns and rows only what is used is
    read, however few of a batch a shard has. The map goes with the table."""
    first, last = start // RUN_BATCH_ROWS, (end - 1) // RUN_BATCH_ROWS
    with pa.memory_map(path) as source:
        reader = pa.ipc.open_file(source)
        rows = pa.Table.from_batches([reader.get_batch(index) for index in range(first, last + 1)])
    return rows.slice(start - first * RUN_BATCH_ROWS, end - start)
