"""The files of a dataset: there, whole, of the right schema, in row groups that readers can take."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines import sinks
from schemas.check import require_schema
from schemas.dataset import Dataset
from schemas.errors import DataError, first_line
from schemas.manifest import Shard
from schemas.table import Table

MAX_GROUP_BYTES = sinks.ROW_GROUP_BYTES * 17 // 16
"""Of a row group, uncompressed: the sink's cap in memory, and what dictionaries and levels may add to it."""


def check_files(dataset: Dataset) -> Iterator[str]:
    """Presence, names, bytes, checksum, schema and row groups of every shard that the manifest lists."""
    manifest = dataset.folder / "manifest.json"
    for name, entry in dataset.manifest.tables.items():
        try:
            table = dataset.table(name)
        except DataError as error:
            yield f"{manifest}: {error}"
            continue
        if entry.schema_version != table.version:
            yield f"{manifest}, table {name}: schema version {entry.schema_version}, expected {table.version}"
        if entry.rows != sum(shard.rows for shard in entry.shards):
            yield f"{manifest}, table {name}: {entry.rows} rows, its shards have {sum(s.rows for s in entry.shards)}"
        yield from _check_names(manifest, table, [shard.path for shard in entry.shards])
        for shard in entry.shards:
            yield from _check_shard(dataset.folder / shard.path, shard, table)


def check_unlisted(dataset: Dataset, folders: list[str]) -> Iterator[str]:
    """Files in the tables' folders that the manifest does not know: a reader's glob would take them."""
    known = {dataset.folder / shard.path for entry in dataset.manifest.tables.values() for shard in entry.shards}
    for folder in folders:
        for path in sorted((dataset.folder / folder).rglob("*")):
            if not path.is_dir() and path not in known and not path.name.startswith("."):
                yield f"{path}: not in the manifest. Remove it, or a reader of {folder}/*.parquet may take it."


def check_card(dataset: Dataset) -> Iterator[str]:
    """What a command made has a card, which tells readers its tables and splits."""
    if "wikiloom" in dataset.manifest.rest and not (dataset.folder / "README.md").is_file():
        yield f"{dataset.folder}/README.md is missing: load_dataset finds tables and splits by it. Build again."


def _check_names(manifest: Path, table: Table, paths: list[str]) -> Iterator[str]:
    """TABLE/PART-00000-of-00002.parquet, part after part, each number once: the order that the digest follows."""
    expected = []
    for part in table.parts:
        of_part = [
            path for path in paths if re.fullmatch(rf"{table.folder}/{part}-\d{{5,}}-of-\d{{5,}}\.parquet", path)
        ]
        expected += [f"{table.folder}/{part}-{i:05d}-of-{len(of_part):05d}.parquet" for i in range(len(of_part))]
    for path, right in zip(paths, [*expected, *[None] * len(paths)], strict=False):
        if path != right:
            example = f"{table.folder}/{table.parts[0]}-00000-of-{max(len(paths), 1):05d}.parquet"
            yield f"{manifest}, table {table.name}: shard {path!r}, expected {right or f'a name like {example}'}"
            return


def _check_shard(path: Path, shard: Shard, table: Table) -> Iterator[str]:
    try:
        metadata = require_schema(path, table)
        damaged = sinks.file_digest(path) != shard.sha256
    except (DataError, OSError) as error:
        yield str(error)
        return
    if path.stat().st_size != shard.bytes:
        yield f"{path}: {path.stat().st_size} bytes, {shard.bytes} in the manifest. Copy it again, or build again."
    elif damaged:
        yield f"{path}: its bytes do not have the manifest's sha256. Copy it again, or build again."
    if metadata.num_rows != shard.rows:
        yield f"{path}: {metadata.num_rows} rows, {shard.rows} in the manifest"
    if metadata.num_row_groups != shard.row_groups:
        yield f"{path}: {metadata.num_row_groups} row groups, {shard.row_groups} in the manifest"
    yield from _check_footer(path, table)
    for group in range(metadata.num_row_groups):
        yield from _check_group(path, group, metadata.row_group(group), table)


def _check_footer(path: Path, table: Table) -> Iterator[str]:
    """Docs, order and nullability of the columns; names, types and version are checked before."""
    with pq.ParquetFile(path) as file:
        schema = file.schema_arrow
    footer, wanted = schema.metadata or {}, table.schema.metadata
    for key in (b"doc", b"columns"):
        if _json(footer.get(key, b"")) != _json(wanted[key]):
            yield f"{path}: the footer's {key.decode()!r} is not that of {table.name} version {table.version}"
    if schema.names != table.schema.names:
        yield f"{path}: columns {', '.join(schema.names)}, expected the order {', '.join(table.schema.names)}"
    for field in table.schema:
        if schema.field(field.name).nullable != field.nullable:
            yield f"{path}: column {field.name!r} should {'' if field.nullable else 'not '}be nullable"


def _check_group(path: Path, group: int, metadata: pq.RowGroupMetaData, table: Table) -> Iterator[str]:
    if not metadata.num_rows:
        yield f"{path}, row group {group}: no rows in it; readers stop at it"
    if metadata.num_rows > table.row_group_rows:
        yield f"{path}, row group {group}: {metadata.num_rows} rows, expected at most {table.row_group_rows}"
    # One row may be larger than any cap; it can't be cut.
    if metadata.total_byte_size > MAX_GROUP_BYTES and metadata.num_rows > 1:
        yield f"{path}, row group {group}: {metadata.total_byte_size} bytes, expected at most {MAX_GROUP_BYTES}"


def _json(value: bytes) -> object:
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return value


def read_rows(path: Path) -> Iterator[pa.Table]:
    """The row groups of a shard, each proved to be well-formed Arrow data; DataError where it is not."""
    try:
        for rows in sinks.read_batches(path):
            rows.validate(full=True)
            yield rows
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path}: damaged ({first_line(error, 150)}). Copy it again, or build again.") from error
