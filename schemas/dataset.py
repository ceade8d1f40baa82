"""Reading a dataset folder: the manifest decides what belongs to it."""

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from schemas.check import require_schema
from schemas.errors import DataError, first_line, nearest
from schemas.manifest import Manifest, Shard, read_manifest
from schemas.table import Table
from schemas.tables import TABLES, TOKEN_TABLES


class Dataset:
    """A dataset folder (or a tokens/NAME folder of one), opened by its manifest."""

    def __init__(self, folder: Path | str, tables: dict[str, Table] = TABLES) -> None:
        self.folder = Path(folder)
        self.manifest: Manifest = read_manifest(self.folder)
        self._tables = tables

    @property
    def digest(self) -> str:
        """The logical digest of all tables."""
        return self.manifest.digest

    def rows(self, name: str, split: str | None = None) -> int:
        """Rows of a table, or of one of its splits; 0 for a table that this dataset does not have."""
        return sum(shard.rows for shard in self.shards(name, split))

    def shards(self, name: str, split: str | None = None) -> Sequence[Shard]:
        """The shards of a table in sort order, or of one of its splits."""
        table = self.table(name)
        if split is not None and split not in table.parts:
            known = list(table.parts)
            raise DataError(f"{name} has no split {split!r}, only {', '.join(known)}.{nearest(split, known)}")
        entry = self.manifest.tables.get(name)
        if entry is None:
            return []
        return entry.shards if split is None else entry.split(split)

    def table(self, name: str) -> Table:
        """The definition of a table."""
        if name not in self._tables:
            raise DataError(f"There is no table {name!r}.{nearest(name, list(self._tables))}")
        return self._tables[name]

    def read(self, name: str, split: str | None = None, columns: Sequence[str] | None = None) -> pa.Table:
        """A table (or a split of it) in memory, in sort order; every shard's schema is checked first."""
        table = self.table(name)
        schema = table.schema if columns is None else pa.schema([table.schema.field(column) for column in columns])
        pieces = [schema.empty_table()]
        for shard in self.shards(name, split):
            path = self.folder / shard.path
            require_schema(path, table)
            try:
                pieces.append(pq.read_table(path, columns=columns, partitioning=None).cast(schema))
            except (pa.ArrowException, OSError) as error:
                reason = first_line(error)
                raise DataError(f"{path} is damaged ({reason}). Run wikiloom validate, then build it again.") from error
        return pa.concat_tables(pieces)

    def tokens(self, name: str) -> "Dataset":
        """The token ids under tokens/NAME; DataError with the command that makes them where there are none."""
        folder = self.folder / "tokens" / name
        if not (folder / "manifest.json").is_file():
            raise DataError(
                f"{self.folder} has no tokens/{name}. Make them: wikiloom train-tokenizer {self.folder} --out T, "
                f"then wikiloom tokenize {self.folder} --tokenizer T --name {name}"
            )
        if folder.is_symlink() or folder.parent.is_symlink():
            raise DataError(f"{folder} is a symbolic link: only files inside the dataset are read. Copy them there.")
        tokens = Dataset(folder, TOKEN_TABLES)
        made_from = tokens.manifest.rest.get("dataset")
        if made_from != self.digest:
            raise DataError(
                f"{folder} was made from dataset {str(made_from)[:8]}, but {self.folder} is {self.digest[:8]}. "
                f"Make it again: wikiloom tokenize {self.folder} --tokenizer {folder} --name {name}"
            )
        return tokens
