"""What a table is: an Arrow schema with a doc per column, a version, a sort order, and its splits."""

import dataclasses
import json
from collections.abc import Iterable, Sequence
from typing import Any

import pyarrow as pa


@dataclasses.dataclass(frozen=True)
class Table:
    """One table of a dataset.

    `columns` carry their doc as field metadata; `sort_by` is the order of the rows in a split, which the logical
    digest follows (`hash(column)` is hashing.row_order); `splits` are in the order of the digest, empty for a table
    without splits.
    """

    name: str
    version: int
    doc: str
    columns: Sequence[pa.Field]
    sort_by: Sequence[str]
    splits: Sequence[str] = ()
    row_group_rows: int = 20_000

    @property
    def schema(self) -> pa.Schema:
        """The Arrow schema with the footer's metadata: name, version, and every doc as one plain JSON key."""
        return pa.schema(self.columns).with_metadata(
            {
                "schema": self.name,
                "schema_version": str(self.version),
                "doc": self.doc,
                "columns": json.dumps(dict(column_docs(self.columns)), ensure_ascii=False),
            }
        )

    @property
    def parts(self) -> Sequence[str]:
        """What the files are named by: the splits, or the table itself where it has none."""
        return self.splits or (self.name,)

    @property
    def folder(self) -> str:
        """The folder of its files: tokens_pages lies in tokens/NAME/pages."""
        return self.name.removeprefix("tokens_")

    def describe(self) -> dict[str, Any]:
        """The committed form (schemas/NAME.json): a change of it without a new version fails a test."""
        return {
            "schema": self.name,
            "version": self.version,
            "doc": self.doc,
            "sort_by": list(self.sort_by),
            "splits": list(self.splits),
            "columns": [_describe(field) for field in self.columns],
        }


def column(name: str, kind: pa.DataType, doc: str, *, nullable: bool = False) -> pa.Field:
    """A documented column; not nullable unless it says so."""
    return pa.field(name, kind, nullable=nullable, metadata={"doc": doc})


def list_of(kind: pa.DataType) -> pa.DataType:
    """A list without nulls, its child named as Parquet names it."""
    return pa.list_(pa.field("element", kind, nullable=False))


def column_docs(columns: Iterable[pa.Field], prefix: str = "") -> Iterable[tuple[str, str]]:
    """(dotted column name, doc), parents before children."""
    for field in columns:
        path = prefix + field.name
        if field.metadata and b"doc" in field.metadata:
            yield path, field.metadata[b"doc"].decode()
        kind = field.type
        while pa.types.is_list(kind):
            kind = kind.value_type
        if pa.types.is_struct(kind):
            yield from column_docs(kind, path + ".")


def _describe(field: pa.Field) -> dict[str, Any]:
    return {
        "name": field.name,
        "type": str(field.type),
        "nullable": field.nullable,
        "docs": dict(column_docs([field])),
    }
