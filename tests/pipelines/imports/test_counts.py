"""Imports of the real files: their own counts, and the published ones."""

import csv
import gzip
import zipfile
from pathlib import Path

import pytest

from pipelines.audit import audit
from pipelines.report import write_html
from pipelines.validate import validate
from tests.pipelines.imports.made import facts, imported

with (Path(__file__).parent / "counts.tsv").open(newline="", encoding="utf-8") as file:
    COUNTS = list(csv.DictReader(file, delimiter="\t"))
FOLDERS = {"codex": "codex-m"}
FORMATS = sorted({row["format"] for row in COUNTS})
SLOW = ("fb13", "wn11")
"""The others cover the same code in less time."""


@pytest.fixture(
    scope="module", params=[pytest.param(name, marks=pytest.mark.slow if name in SLOW else ()) for name in FORMATS]
)
def real(request, real_data, tmp_path_factory):
    """(format, folder of its files, the import of it)."""
    name = request.param
    source = real_data / "kg" / FOLDERS.get(name, name)
    return name, source, imported(name, source, tmp_path_factory.mktemp(name) / "out")


def figure(dataset, name):
    """Rows of a table, or of a split of the triples; a count of graph.repeats; texts of what is in no triple."""
    repeats = dataset.manifest.rest["graph"]["repeats"]
    if name in repeats:
        return repeats[name]
    if name == "texts of no triple":
        return dataset.manifest.rest["drops"]["entity2text.txt"]["not_in_graph"]
    return dataset.rows(name) if name in ("entities", "relations") else dataset.rows("triples", name)


def test_counts_are_the_published_ones_or_the_difference_has_a_reason(real):
    name, _, dataset = real
    rows = [row for row in COUNTS if row["format"] == name]
    assert {row["figure"]: figure(dataset, row["figure"]) for row in rows} == {
        row["figure"]: int(row["here"]) for row in rows
    }
    for row in rows:
        assert bool(row["reason"]) == (row["published"] != row["here"])


def open_text(source, name):
    """The lines of a file of the folder, by its published name."""
    if source.name == "wn11":
        return zipfile.ZipFile(source / "WN11.zip").read(name).decode().splitlines()
    path = source / name
    if path.is_file():
        return path.read_text(encoding="utf-8").splitlines()
    return gzip.open(source / f"{name}.gz", "rt", encoding="utf-8").read().splitlines()


def test_every_line_of_every_file_is_accounted_for(real):
    _, source, dataset = real
    stages, drops = dataset.manifest.rest["stages"], dataset.manifest.rest["drops"]
    for name, stage in stages.items():
        if name.endswith((".txt", ".tsv")):
            assert stage["in"] == len(open_text(source, name)), name
        if "in" in stage:
            assert stage["in"] == sum(stage["out"].values()) + sum(drops.get(name, {}).values()), name
    assert (
        sum(stage.get("out", {}).get("triples", 0) for name, stage in stages.items() if name != "graph")
        == (stages["graph"]["in"])
    )


def test_train_is_the_files_triples(real):
    name, source, dataset = real
    if name == "fb13":
        ids = [[line.split("\t")[0] for line in open_text(source, f"{of}2id.txt")[1:]] for of in ("entity", "relation")]
        numbers = [list(map(int, line.split())) for line in open_text(source, "train2id.txt")[1:]]
        wanted = [(ids[0][head], ids[1][relation], ids[0][tail]) for head, tail, relation in numbers]
    else:
        train = "train.tsv" if "train.tsv" in dataset.manifest.rest["stages"] else "train.txt"
        wanted = [tuple(line.split("\t")) for line in open_text(source, train)]
    assert facts(dataset, "train") == sorted(wanted)


def test_an_import_is_valid(real):
    assert list(validate(real[2].folder)) == []


@pytest.mark.parametrize("real", ["umls", "wn11"], indirect=True)
def test_an_import_can_be_audited_and_described(real, tmp_path):
    name, _, dataset = real
    assert audit(dataset.folder).violations == []
    write_html(dataset.folder, tmp_path / "page.html")
    assert f"wikiloom import {name} --from PATH" in (tmp_path / "page.html").read_text(encoding="utf-8")
    card = (dataset.folder / "README.md").read_text(encoding="utf-8")
    assert "config_name: pages" not in card
    assert all(f"config_name: {table}\n" in card for table in ("entities", "relations", "triples"))
