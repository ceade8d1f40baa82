"""Some changed datasets in every run of the tests, more in the slow ones; what was found before stays mended."""

import json

import pyarrow.parquet as pq
import pytest

from pipelines import sinks
from pipelines.validate import validate
from tests.end_to_end.reliability import fuzz_validate
from tests.made_datasets import REST, ROWS, write_dataset


@pytest.mark.parametrize("count", [12, pytest.param(600, marks=pytest.mark.slow)])
def test_no_manifest_or_footer_ends_validate_by_an_exception(count):
    outcome = fuzz_validate.run(count, 0)
    assert outcome.tried == count and outcome.failures == []


def test_an_exception_of_validate_is_reported_with_what_it_was_asked(monkeypatch):
    def raising(folder):
        raise AttributeError("'bool' object has no attribute 'items'")
        yield

    monkeypatch.setattr(fuzz_validate, "validate", raising)
    outcome = fuzz_validate.run(8, 0)
    assert len(outcome.failures) == 8
    assert outcome.failures[0].startswith("seed 0, number 0: AttributeError: 'bool' object has no attribute 'items': ")
    assert any(".parquet: " in line for line in outcome.failures)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_dataset(tmp_path_factory.mktemp("made") / "data", ROWS, REST)


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        (b"schema", b"\xff", r"found \xff version"),
        (b"schema_version", b"\xffx", r"version \xffx."),
        (b"columns", b"[" * 3_000, "the footer's 'columns' is not that of redirects"),
        (b"doc", b"[" * 3_000, "the footer's 'doc' is not that of redirects"),
    ],
)
def test_a_footer_that_is_no_text_or_nested_without_end_is_told(folder, key, value, told):
    manifest, path = folder / "manifest.json", folder / "redirects/redirects-00000-of-00001.parquet"
    before, document = path.read_bytes(), json.loads(manifest.read_text())
    rows = pq.read_table(path, partitioning=None)
    pq.write_table(rows.replace_schema_metadata({**rows.schema.metadata, key: value}), path)
    (shard,) = document["tables"]["redirects"]["shards"]
    shard |= {"bytes": path.stat().st_size, "sha256": sinks.file_digest(path)}
    manifest.write_text(json.dumps(document))
    lines = list(validate(folder))
    path.write_bytes(before)
    assert any(line.startswith(str(path)) and told in line for line in lines), lines


@pytest.mark.parametrize("splits", [False, 3, [{"train": 3}], "train"])
def test_splits_of_a_manifest_that_are_no_counts_are_told(folder, splits):
    manifest = folder / "manifest.json"
    before = manifest.read_text()
    graph = {"split": {"triples": splits}, "excluded_triples": {"removed": 0}}
    manifest.write_text(json.dumps({**json.loads(before), "graph": graph}))
    lines = list(validate(folder))
    manifest.write_text(before)
    told = f"{manifest}: graph.split.triples should be counts by name, found {splits!r}"
    assert told in lines


@pytest.mark.parametrize("share", [1e300, 10**30, -1, True, "0.1"])
def test_a_share_that_is_none_ends_nothing(folder, share):
    manifest = folder / "manifest.json"
    before = manifest.read_text()
    told = {"seed": 3, "valid_pages": 0.2, "test_pages": share, "max_dropped": share}
    graph = {"inductive_split": {"triples": {}, "entities": {}}}
    manifest.write_text(json.dumps({**json.loads(before), "parameters": told, "graph": graph}))
    lines = list(validate(folder))
    manifest.write_text(before)
    assert any("its bytes are not those that were sealed" in line for line in lines), lines
