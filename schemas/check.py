"""Does a file hold the table that it should?"""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from schemas.errors import DataError, first_line
from schemas.table import Table


class SchemaMismatch(DataError):
    """A Parquet file is of another table, another version, or has other columns."""


def require_schema(path: Path | str, table: Table) -> pq.FileMetaData:
    """Check that the Parquet file at `path` is a shard of `table`; returns its metadata.

    Raises SchemaMismatch naming the file, both sides and the way out, or DataError where it is no Parquet file.
    """
    try:
        with pq.ParquetFile(path) as file:
            found, metadata = file.schema_arrow, file.metadata
    except FileNotFoundError as error:
        raise DataError(f"{path} is missing. Copy it back, or build the dataset again.") from error
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path} can't be read as Parquet ({first_line(error)}). Build the dataset again.") from error
    _require_version(path, table, found.metadata or {})
    _require_columns(path, table, found)
    return metadata


def _require_version(path: Path | str, table: Table, footer: dict[bytes, bytes]) -> None:
    found = [footer.get(key, b"none").decode(errors="backslashreplace")[:80] for key in (b"schema", b"schema_version")]
    if found != [table.name, str(table.version)]:
        raise SchemaMismatch(
            f"{path}: expected schema {table.name} version {table.version}, found {found[0]} version {found[1]}. "
            "Rebuild the dataset, or read it with the version named in its manifest.json."
        )


def _require_columns(path: Path | str, table: Table, found: pa.Schema) -> None:
    for field in table.columns:
        if field.name not in found.names:
            raise SchemaMismatch(f"{path}: column {field.name!r} is missing. Rebuild the dataset.")
        if found.field(field.name).type != field.type:
            raise SchemaMismatch(
                f"{path}: column {field.name!r} should be {field.type}, found {found.field(field.name).type}. "
                "Rebuild the dataset, or read it with the version named in its manifest.json."
            )
    unknown = [name for name in found.names if name not in table.schema.names]
    if unknown:
        raise SchemaMismatch(f"{path}: unknown column {unknown[0]!r}. Rebuild the dataset.")
