"""Splits and filters of a build: what was asked for is there, or the build says why not."""

import gzip

from pipelines.validate import validate
from schemas.dataset import Dataset
from schemas.manifest import read_manifest
from tests.conftest import DEMO_INPUTS, DEMO_SHARES, EXAMPLES
from wikiloom import main


def build(*words):
    """The build command in this process; returns its manifest but for the tables."""
    assert main(["build", *map(str, words)]) == 0
    return read_manifest(words[-1]).rest


def test_splits_have_the_sizes_asked_for_or_the_build_says_why_not(tmp_path, capsys):
    sizes = ["--set", "valid_triples=90", "--set", "test_triples=100000", "--set", "test_entities=100000"]
    told = build(*DEMO_INPUTS, *DEMO_SHARES, *sizes, "--out", tmp_path / "d")["graph"]
    said = capsys.readouterr().out
    dataset = Dataset(tmp_path / "d")
    made = {name: dataset.rows("triples", name) for name in ("train", "valid", "test")}
    assert told["split"] == {"asked": {"valid": 90, "test": 100_000}, "triples": made}
    assert f"split test: {made['test']:,} of 100,000 triples, train needs the others" in said
    refused = told["inductive_split"]["refused"]
    assert "100,000 are needed" in refused
    assert f"no inductive split: {refused}" in said
    assert set(dataset.read("triples")["inductive_split"].to_pylist()) == {"train"}
    assert list(validate(tmp_path / "d")) == []


def test_pairs_may_be_split_and_entities_of_little_note_left_out(tmp_path):
    words = ["keep_pairs_together=false", "min_neighbors=4", "min_mentions=6", "valid_entities=12", "test_entities=11"]
    settings = [word for setting in words for word in ("--set", setting)]
    document = build(*DEMO_INPUTS, *DEMO_SHARES, *settings, "--out", tmp_path / "d")
    assert document["drops"]["entities"]["few_neighbors_and_mentions"] > 20
    entities = document["graph"]["inductive_split"]["entities"]
    assert (entities["valid"], entities["test"]) == (12, 11)
    assert list(validate(tmp_path / "d")) == []


def test_a_wikidata_dump_without_properties_is_said(tmp_path, capsys):
    with gzip.open(EXAMPLES / "wikidata-mini.json.gz", "rb") as lines:
        items = b"".join(line for line in lines if b'"type":"property"' not in line)
    (tmp_path / "items.json").write_bytes(items)
    document = build(*DEMO_INPUTS[:2], "--wikidata", tmp_path / "items.json", "--out", tmp_path / "d")
    assert "no relation has a label" in capsys.readouterr().out
    assert document["graph"]["inductive_split"]["refused"]
