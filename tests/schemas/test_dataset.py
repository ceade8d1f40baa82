"""Reading a dataset folder: what its manifest names, in order, and every way in which that may fail."""

import json
import shutil

import pyarrow as pa
import pytest

from schemas.dataset import Dataset
from schemas.errors import DataError
from schemas.manifest import Manifest, read_manifest
from schemas.tables import TABLES, TOKEN_TABLES
from tests.made_datasets import ROWS, write_dataset


@pytest.fixture
def folder(tmp_path):
    return write_dataset(tmp_path / "d", {name: ROWS[name] for name in ("entities", "triples", "pages")}, {"seed": 7})


def test_a_table_is_its_splits_one_after_the_other(folder):
    dataset = Dataset(str(folder))
    assert dataset.digest == read_manifest(folder).digest == dataset.manifest.digest
    for name in ("entities", "triples", "pages"):
        whole = dataset.read(name)
        assert whole.schema == TABLES[name].schema
        assert whole.to_pylist() == pa.Table.from_pylist(ROWS[name], schema=TABLES[name].schema).to_pylist()
        assert dataset.rows(name) == len(ROWS[name]) == sum(shard.rows for shard in dataset.shards(name))
    splits = [dataset.read("triples", split) for split in TABLES["triples"].splits]
    assert pa.concat_tables(splits).equals(dataset.read("triples"))
    for split, rows in zip(TABLES["triples"].splits, splits, strict=True):
        assert set(rows["split"].to_pylist()) <= {split}
        assert dataset.rows("triples", split) == len(rows)
    assert dataset.read("entities", "entities").equals(dataset.read("entities"))
    some = dataset.read("triples", columns=["tail", "head"])
    assert some.column_names == ["tail", "head"] and some.equals(dataset.read("triples").select(["tail", "head"]))


def test_a_table_that_is_not_there_has_no_rows_and_a_name_that_is_none_is_told(folder):
    dataset = Dataset(folder)
    assert dataset.rows("anchors") == 0 and list(dataset.shards("anchors")) == []
    assert dataset.read("anchors").equals(TABLES["anchors"].schema.empty_table())
    with pytest.raises(DataError, match=r"^There is no table 'tripels'\. Did you mean triples\?$"):
        dataset.read("tripels")
    with pytest.raises(
        DataError, match=r"^pages has no split 'trian', only train, valid, test\. Did you mean train\?$"
    ):
        dataset.rows("pages", "trian")


def test_what_is_missing_damaged_or_of_another_table_is_named(folder):
    dataset = Dataset(folder)
    [shard] = dataset.shards("entities")
    path = folder / shard.path
    whole = path.read_bytes()
    path.write_bytes(b"PAR1" + bytes(200) + whole[204:])
    with pytest.raises(DataError, match=r"entities-\S+ is damaged \(.+\)\. Run wikiloom validate"):
        dataset.read("entities")
    path.unlink()
    with pytest.raises(DataError, match=r"entities-\S+ is missing\. Copy it back"):
        dataset.read("entities")
    shutil.copy(folder / dataset.shards("pages")[0].path, path)
    with pytest.raises(DataError, match="expected schema entities version"):
        dataset.read("entities")


def test_damage_is_told_by_the_beginning_of_its_first_line(folder, monkeypatch):
    def fails(*_words, **_settings):
        raise OSError("a" * 201 + "\nb")

    monkeypatch.setattr("pyarrow.parquet.read_table", fails)
    with pytest.raises(DataError, match=rf"is damaged \({'a' * 200}\)\. Run"):
        Dataset(folder).read("pages")


def test_tokens_belong_to_one_dataset(folder, tmp_path):
    dataset = Dataset(folder)
    place = folder / "tokens" / "t"
    with pytest.raises(DataError, match=r"has no tokens/t\. Make them: .* --name t$"):
        dataset.tokens("t")
    place.mkdir(parents=True)
    Manifest(digest="x", tables={}, rest={"dataset": dataset.digest}).save(place)
    tokens = dataset.tokens("t")
    assert tokens.folder == place and tokens.table("pages") is TOKEN_TABLES["pages"]
    Manifest(digest="x", tables={}, rest={"dataset": "0123456789"}).save(place)
    with pytest.raises(DataError, match=f"was made from dataset 01234567, but .* is {dataset.digest[:8]}\\. Make it"):
        dataset.tokens("t")
    Manifest(digest="x", tables={}, rest={"dataset": dataset.digest}).save(place)
    place.rename(tmp_path / "elsewhere")
    place.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(DataError, match="tokens/t is a symbolic link"):
        dataset.tokens("t")
    place.unlink()
    shutil.move(folder / "tokens", tmp_path / "tokens")
    shutil.move(tmp_path / "elsewhere", tmp_path / "tokens/t")
    (folder / "tokens").symlink_to(tmp_path / "tokens")
    with pytest.raises(DataError, match="tokens/t is a symbolic link"):
        dataset.tokens("t")


def test_a_manifest_is_read_as_it_was_saved(folder, tmp_path):
    manifest = read_manifest(folder)
    assert manifest.rest == {"seed": 7}
    (tmp_path / "again").mkdir()
    manifest.save(tmp_path / "again")
    assert [path.name for path in (tmp_path / "again").iterdir()] == ["manifest.json"]
    assert read_manifest(tmp_path / "again") == manifest
    text = (tmp_path / "again/manifest.json").read_text(encoding="utf-8")
    assert text.endswith("}\n") and text.splitlines()[1].startswith(' "')
    Manifest(digest="é", tables={}, rest={}).save(tmp_path / "again")
    assert "é" in (tmp_path / "again/manifest.json").read_text(encoding="utf-8")


def test_the_shards_of_a_split_are_those_whose_names_begin_with_it(folder):
    entry = read_manifest(folder).tables["triples"]
    found = [entry.split(split) for split in ("train", "valid", "test", "valid_negatives")]
    assert sum(map(len, found)) == len(entry.shards)
    assert all(shard.path.startswith("triples/valid-") for shard in entry.split("valid"))


@pytest.mark.parametrize(
    ("field", "value", "right"),
    [
        ("rows", -1, False),
        ("rows", 0, True),
        ("rows", 2**63 - 1, True),
        ("rows", 2**63, False),
        ("rows", True, False),
        ("rows", 1.0, False),
        ("bytes", "1", False),
        ("sha256", None, False),
        ("path", 3, False),
    ],
)
def test_a_field_of_another_type_is_no_manifest(tmp_path, field, value, right):
    shard = {"path": "p/p-0.parquet", "rows": 1, "bytes": 1, "row_groups": 1, "sha256": "x", field: value}
    entry = {"schema_version": 1, "rows": 1, "digest": "x", "shards": [shard]}
    (tmp_path / "manifest.json").write_text(json.dumps({"digest": "x", "tables": {"pages": entry}}))
    if right:
        assert getattr(read_manifest(tmp_path).tables["pages"].shards[0], field) == value
        return
    with pytest.raises(DataError, match=r"is not a manifest of a Wikiloom dataset \(Type(Check)?Error: .*Build"):
        read_manifest(tmp_path)


def test_a_long_value_is_told_in_part_and_a_folder_without_manifest_is_none(tmp_path):
    entry = {"schema_version": 1, "rows": 10**500, "digest": "x", "shards": []}
    (tmp_path / "manifest.json").write_text(json.dumps({"digest": "x", "tables": {"pages": entry}}))
    with pytest.raises(DataError) as told:
        read_manifest(tmp_path)
    assert "TypeError: rows 1" + "0" * 79 + ", expected" in str(told.value)
    with pytest.raises(DataError, match="is not a dataset: it has no manifest"):
        read_manifest(tmp_path / "nowhere")
