"""The tables are an API: a change without a new version fails here."""

import dataclasses
import json
import re

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import schemas
from schemas import export
from schemas.check import SchemaMismatch, require_schema
from schemas.errors import DataError
from schemas.manifest import read_manifest
from schemas.table import Table, column, column_docs, list_of
from schemas.tables import TABLES, TOKEN_TABLES

ALL = [*TABLES.values(), *TOKEN_TABLES.values()]


@pytest.mark.parametrize("name", export.documents())
def test_committed_schema_is_the_current_one(name):
    assert (export.FOLDER / name).read_text(encoding="utf-8") == export.documents()[name], (
        f"{name} differs: raise the table's version, then run python -m schemas.export"
    )


def test_export_refuses_an_unversioned_change(tmp_path):
    assert export.export(tmp_path) == []
    path = tmp_path / "pages.json"
    document = json.loads(path.read_text())
    path.write_text(json.dumps({**document, "doc": "another"}))
    assert "raise it" in export.export(tmp_path)[0]
    path.write_text(json.dumps({**document, "doc": "another", "version": 0}))
    assert export.export(tmp_path) == []


@pytest.mark.parametrize("table", ALL, ids=lambda table: table.name)
def test_every_column_has_a_doc_that_travels_in_the_footer(table, tmp_path):
    pq.write_table(table.schema.empty_table(), tmp_path / "t.parquet")
    metadata = pq.read_schema(tmp_path / "t.parquet").metadata
    docs = json.loads(metadata[b"columns"])

    def paths(fields, prefix=""):
        for field in fields:
            yield prefix + field.name
            kind = field.type.value_type if pa.types.is_list(field.type) else field.type
            if pa.types.is_struct(kind):
                yield from paths(kind, f"{prefix}{field.name}.")

    assert set(paths(table.columns)) == set(docs)
    assert all(docs.values())
    assert (metadata[b"schema"].decode(), metadata[b"schema_version"]) == (table.name, str(table.version).encode())


def test_require_schema_names_file_column_and_both_types(tmp_path):
    table, path = TABLES["rejects"], tmp_path / "x.parquet"
    other = dataclasses.replace(table, columns=[column("stage", pa.int32(), "x"), *table.columns[1:]])
    pq.write_table(other.schema.empty_table(), path)
    with pytest.raises(SchemaMismatch, match=r"x\.parquet: column 'stage' should be string, found int32"):
        require_schema(path, table)
    pq.write_table(dataclasses.replace(table, version=2).schema.empty_table(), path)
    with pytest.raises(SchemaMismatch, match="expected schema rejects version 1, found rejects version 2"):
        require_schema(path, table)
    pq.write_table(pa.table({"x": [1]}), path)
    with pytest.raises(SchemaMismatch, match="expected schema rejects version 1, found none version none"):
        require_schema(path, table)
    pq.write_table(dataclasses.replace(table, columns=table.columns[:-1]).schema.empty_table(), path)
    with pytest.raises(SchemaMismatch, match=r"x\.parquet: column 'detail' is missing\. Rebuild"):
        require_schema(path, table)
    more = [*table.columns, column("more", pa.int32(), "x")]
    pq.write_table(dataclasses.replace(table, columns=more).schema.empty_table(), path)
    with pytest.raises(SchemaMismatch, match=r"x\.parquet: unknown column 'more'\. Rebuild"):
        require_schema(path, table)
    pq.write_table(table.schema.empty_table(), path)
    assert require_schema(path, table).num_rows == 0
    path.write_bytes(b"PAR1 nothing PAR1")
    with pytest.raises(DataError, match=r"x\.parquet can't be read as Parquet"):
        require_schema(path, table)
    path.unlink()
    with pytest.raises(DataError, match=r"x\.parquet is missing\. Copy it back"):
        require_schema(path, table)


@pytest.mark.parametrize(
    ("error", "told"),
    [(OSError("a" * 300 + "\nb"), f"({'a' * 200})"), (OSError(), "(OSError)"), (pa.ArrowInvalid("x\ny"), "(x)")],
)
def test_an_error_of_reading_is_told_by_the_beginning_of_its_first_line(monkeypatch, error, told):
    monkeypatch.setattr(pq, "ParquetFile", lambda path: raised(error))
    with pytest.raises(DataError, match=re.escape(f"x can't be read as Parquet {told}. Build")):
        require_schema("x", TABLES["pages"])


def raised(error):
    raise error


def test_rows_of_a_group_are_few_where_rows_are_drawn_from_many_groups():
    few = {"wk_graphs", "tokens_wk_graphs", "tokens_pages"}
    assert {table.name: table.row_group_rows for table in ALL} == {
        table.name: 1_024 if table.name in few else 20_000 for table in ALL
    }


def test_docs_are_those_of_columns_that_have_one_and_of_what_is_in_them():
    inner = pa.struct([column("a", pa.int32(), "of a"), pa.field("b", pa.int32(), metadata={"unit": "m"})])
    fields = [pa.field("bare", list_of(list_of(inner))), column("top", inner, "of top")]
    assert list(column_docs(fields)) == [("bare.a", "of a"), ("top", "of top"), ("top.a", "of a")]


def test_tables_are_found_by_name_and_tokens_by_folder():
    assert all(name == table.name == table.folder for name, table in TABLES.items())
    assert all(name == table.folder and table.name == f"tokens_{name}" for name, table in TOKEN_TABLES.items())
    assert [TABLES["pages"].parts, TABLES["anchors"].parts] == [("train", "valid", "test"), ("anchors",)]
    assert (schemas.TABLES, schemas.TOKEN_TABLES, schemas.Table) == (TABLES, TOKEN_TABLES, Table)
    with pytest.raises(AttributeError, match="module 'schemas' has no attribute 'tabels'"):
        schemas.tabels  # noqa: B018


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ("{", "is not a manifest"),
        ("[]", "is not a manifest"),
        ('{"digest": "x"}', "is not a manifest"),
        (
            '{"digest": "x", "tables": {"\\ud83d": {"schema_version": 1, "rows": 0, "digest": "y", "shards": []}}}',
            "surrogates",
        ),
        ('{"digest": "x", "tables": {"pages": {"schema_version": 1}}}', "is not a manifest"),
    ],
)
def test_a_broken_manifest_is_one_clear_line(tmp_path, document, message):
    (tmp_path / "manifest.json").write_text(document)
    with pytest.raises(DataError, match=message):
        read_manifest(tmp_path)


@pytest.mark.parametrize("name", ["../x.parquet", "/etc/passwd", "pages/../../x", "pages\\x", "C:x", "link/x.parquet"])
def test_a_manifest_cannot_name_a_file_outside_its_folder(tmp_path, name):
    (tmp_path / "link").symlink_to("/tmp")
    shard = {"path": name, "rows": 1, "bytes": 1, "row_groups": 1, "sha256": ""}
    entry = {"schema_version": 1, "rows": 1, "digest": "", "shards": [shard]}
    (tmp_path / "manifest.json").write_text(json.dumps({"digest": "", "tables": {"pages": entry}}))
    with pytest.raises(DataError, match=r"only files inside|symbolic link"):
        read_manifest(tmp_path)
