"""A seal is of every byte; a manifest's is checked with the files beside it, and asked of none that is older."""

import json

import pytest

from schemas.errors import DataError
from schemas.manifest import Manifest, Shard, TableEntry, check_seal, read_manifest
from schemas.seal import is_sealed, sealed


@pytest.fixture
def folder(tmp_path):
    for name in ("README.md", "tokenizer.json"):
        (tmp_path / name).write_text(name)
    Manifest(digest="d", tables={}, rest={"language": "en"}).save(tmp_path)
    return tmp_path


def test_every_bit_of_a_sealed_document_counts():
    data = sealed({"a": [1, "ü"], "b": {}}).encode()
    assert is_sealed(data) and json.loads(data).keys() == {"a", "b", "seal"}
    for bit in range(8 * len(data)):
        damaged = bytearray(data)
        damaged[bit // 8] ^= 1 << bit % 8
        assert not is_sealed(bytes(damaged)), bit
    assert not any(is_sealed(data[:end]) for end in range(len(data)))
    assert not is_sealed(data + b"\n")


def test_a_whole_manifest_has_nothing_to_say_and_keeps_its_own_entries_to_itself(folder):
    assert list(check_seal(folder)) == []
    assert read_manifest(folder).rest == {"language": "en"}
    assert json.loads((folder / "manifest.json").read_text())["files"].keys() == {"README.md", "tokenizer.json"}


def test_what_is_changed_missing_or_new_beside_a_manifest_is_named(folder):
    (folder / "README.md").write_text("readme")
    (folder / "tokenizer.json").unlink()
    (folder / "tokenizer_config.json").write_text("{}")
    changed, missing, new = check_seal(folder)
    assert changed.startswith(f"{folder}/README.md is not of the bytes that the manifest names")
    assert missing.startswith(f"{folder}/tokenizer.json is missing")
    assert new.startswith(f"{folder}/tokenizer_config.json is not of the bytes")


@pytest.mark.parametrize("key", ["seal", "files"])
def test_a_manifest_that_lacks_one_of_its_entries_is_damaged(key, folder):
    path = folder / "manifest.json"
    path.write_text(path.read_text().replace(f'"{key}"', '"x"'))
    assert any("not those that were sealed" in line for line in check_seal(folder))


def test_an_older_manifest_is_asked_for_no_seal(folder):
    path = folder / "manifest.json"
    document = json.loads(path.read_text())
    del document["seal"], document["files"]
    path.write_text(json.dumps(document))
    assert list(check_seal(folder)) == []


def test_files_that_are_no_list_of_sums_are_damage(folder):
    path = folder / "manifest.json"
    document = json.loads(path.read_text())
    del document["seal"]
    path.write_text(sealed(document | {"files": 7}))
    assert list(check_seal(folder)) == [f"{path}: files is not a list of sums. Copy it again, or build again."]


def test_a_manifest_that_is_a_link_is_refused(folder, tmp_path):
    path = (folder / "manifest.json").rename(folder / "elsewhere.json")
    (folder / "manifest.json").symlink_to(path)
    with pytest.raises(DataError, match="is a symbolic link"):
        read_manifest(folder)


@pytest.mark.parametrize(("name", "says"), [("x" * 5_000, "File name too long"), ("pages", "which is no file")])
def test_a_shard_that_can_be_no_file_is_refused(name, says, tmp_path):
    (tmp_path / "pages").mkdir()
    shard = Shard(path=name, rows=1, bytes=1, row_groups=1, sha256="0")
    entry = TableEntry(schema_version=1, rows=1, digest="d", shards=[shard])
    Manifest(digest="d", tables={"pages": entry}, rest={}).save(tmp_path)
    with pytest.raises(DataError, match=says):
        read_manifest(tmp_path)
