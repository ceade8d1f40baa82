"""Imports of the real files of text tasks: what they hold, beside what was published of them (tasks.tsv)."""

import csv
import itertools
from collections import Counter
from pathlib import Path

import pytest

from pipelines.validate import validate
from schemas.dataset import Dataset
from tests.conftest import wikiloom

with (Path(__file__).parent / "tasks.tsv").open(newline="", encoding="utf-8") as file:
    COUNTS = list(csv.DictReader(file, delimiter="\t"))
FOLDERS = {"fewrel": "eval/fewrel", "lama": "eval/lama", "metaqa": "kg/metaqa", "elevant": "linking"}


@pytest.fixture(scope="module", params=FOLDERS)
def real(request, real_data, tmp_path_factory):
    """(format, the import of its files)."""
    out = tmp_path_factory.mktemp(request.param) / "out"
    wikiloom("import", request.param, "--from", real_data / FOLDERS[request.param], "--out", out)
    return request.param, Dataset(out)


def figures(dataset):
    """Rows of the tables; examples by group, and by group and split; mentions, answers, labels."""
    examples = dataset.read("examples").to_pylist()
    counts = Counter({name: entry.rows for name, entry in dataset.manifest.tables.items()})
    for row in examples:
        counts.update([row["group"], f"{row['group']} {row['split']}"])
        counts.update({"mentions": len(row["mentions"]), "answers": len(row["answers"])})
    if "entities" in counts:
        labels = dataset.read("entities", columns=["label"])["label"]
        counts["entities with a label"] = len(labels) - labels.null_count
    return counts


def test_counts_are_the_published_ones_or_the_difference_has_a_reason(real):
    name, dataset = real
    found, rows = figures(dataset), [row for row in COUNTS if row["format"] == name]
    assert {row["figure"]: found[row["figure"]] for row in rows} == {row["figure"]: int(row["here"]) for row in rows}
    for row in rows:
        assert bool(row["reason"]) == (row["published"] != row["here"]), row


def test_every_part_of_a_file_is_accounted_for(real):
    stages, drops = (real[1].manifest.rest[name] for name in ("stages", "drops"))
    counted = {name: stage for name, stage in stages.items() if "in" in stage}
    assert counted
    for name, stage in counted.items():
        assert stage["in"] == sum(stage["out"].values()) + sum(drops.get(name, {}).values()), name


def test_what_files_gave_is_in_the_tables(real):
    dataset, stages, drops = real[1], *(real[1].manifest.rest[name] for name in ("stages", "drops"))
    read = [name for name, stage in stages.items() if "examples" in stage.get("out", {})]
    assert sum(stages[name]["out"]["examples"] for name in read) == dataset.rows("examples")
    rejected = dataset.rows("rejects") if "rejects" in dataset.manifest.tables else 0
    assert sum(n for name in read for n in drops.get(name, {}).values()) == rejected


def test_an_import_is_valid(real):
    assert list(validate(real[1].folder)) == []


@pytest.mark.parametrize("real", ["metaqa"], indirect=True)
def test_every_question_of_metaqa_has_its_topic_and_its_answers(real, real_data):
    rows = {row["example_id"]: row for row in real[1].read("examples").to_pylist()}
    entities = real[1].read("entities", columns=["entity", "label"]).to_pylist()
    by_name = {row["label"]: row["entity"] for row in entities if row["label"]}
    splits = {"dev": "valid", "test": "test"}
    for hops, (name, split) in itertools.product(("1-hop", "2-hop"), splits.items()):
        for number, line in enumerate((real_data / f"kg/metaqa/{hops}/{name}.txt").read_text().splitlines()):
            row, (question, listed) = rows[f"{hops}/{split}/{number:06d}"], line.split("\t")
            ((start, end, entity, role),) = [tuple(mention.values()) for mention in row["mentions"]]
            text = row["text"]
            assert f"{text[:start]}[{text[start:end]}]{text[end:]}" == question
            assert (entity, role) == (by_name[text[start:end]], "topic")
            assert row["answers"] == [by_name[answer] for answer in listed.split("|") if answer in by_name]
