"""ELEVANT's linking benchmarks -> examples."""

import json

import pytest

from pipelines.sources.elevant import LITERALS
from pipelines.sources.tasks import ITEM
from schemas.errors import DataError
from tests.pipelines.imports.reading import Read, surfaces

DOCUMENT = {
    "id": 7,
    "title": "Ada",
    "text": "Ada\n\nAda Lovelace 👩‍💻 met Babbage in 1833.",
    "evaluation_span": [5, 42],
    "labels": [
        {"id": 0, "span": [5, 17], "entity_id": "Q7259", "name": "Ada Lovelace", "type": "Q215627|Q5", "coref": False},
        {"id": 1, "span": [26, 33], "entity_id": "<NIL>", "name": "Unknown", "type": "OTHER"},
        {"id": 2, "span": [37, 41], "entity_id": "DATETIME", "name": "Unknown", "type": "DATETIME"},
    ],
}


def write(folder, name, *documents):
    (folder / name).write_text("\n".join(map(json.dumps, documents)))


def test_the_text_is_the_evaluated_part_and_its_mentions_have_the_items(tmp_path):
    write(tmp_path, "toy-train.benchmark.jsonl", DOCUMENT)
    write(tmp_path, "toy.benchmark.jsonl", {**DOCUMENT, "evaluation_span": [5, 41]})
    read = Read("elevant", tmp_path)
    train, test = read.rows
    assert (train["split"], train["group"], test["split"], test["group"]) == ("train", "toy-train", "test", "toy")
    assert test["task"] == "linking"
    assert test["text"] == DOCUMENT["text"][5:41]
    assert surfaces(test) == [("target", "Q7259", "Ada Lovelace"), ("target", None, "Babbage")]
    assert read.counts["labels"] == (6, {"literal": 2})
    assert read.told("entities", "label") == {"Q7259": "Ada Lovelace"}
    assert read.told("entities", "categories") == {"Q7259": ["Q215627", "Q5"]}


def test_a_label_outside_of_the_evaluated_part_is_counted_and_a_broken_part_rejects_the_document(tmp_path):
    cut = {**DOCUMENT, "evaluation_span": [5, 30]}
    beyond = {**DOCUMENT, "id": 8, "evaluation_span": [0, 99]}
    write(tmp_path, "toy.benchmark.jsonl", cut, beyond)
    found = Read("elevant", tmp_path)
    assert (found.read, found.out, found.rejects) == (2, 1, [("toy", "toy/8", "broken_span")])
    assert found.counts["labels"] == (3, {"outside_evaluation_span": 1, "literal": 1})


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("toy.benchmark.jsonl", '{"id": 1}', "toy.benchmark.jsonl, line 1: .*missing required field `text`"),
        ("toy.benchmark.jsonl", json.dumps(DOCUMENT) + "\n\n{", "toy.benchmark.jsonl, line 3: .*truncated"),
        ("toy.jsonl", "{}", r"expected NAME.benchmark.jsonl"),
    ],
)
def test_a_file_of_another_form_is_one_clear_line(tmp_path, name, content, message):
    (tmp_path / name).write_text(content)
    with pytest.raises(DataError, match=message):
        Read("elevant", tmp_path)


def test_every_document_and_every_label_of_the_real_benchmarks_is_there(real_data):
    folder = real_data / "linking"
    read = Read("elevant", folder)
    rows = {row["example_id"]: row for row in read.rows}
    documents = labels = literals = 0
    for path in folder.glob("*.benchmark.jsonl"):
        for line in path.read_text().splitlines():
            document = json.loads(line)
            documents += 1
            labels += len(document["labels"])
            row = rows[f"{path.name.partition('.')[0]}/{document['id']}"]
            kept = [label for label in document["labels"] if label["entity_id"] not in LITERALS]
            literals += len(document["labels"]) - len(kept)
            found = sorted((row["text"][m["start"] : m["end"]], m["entity"] or "") for m in row["mentions"])
            expected = [
                (
                    document["text"][slice(*label["span"])],
                    label["entity_id"] if ITEM.fullmatch(label["entity_id"]) else "",
                )
                for label in kept
            ]
            assert found == sorted(expected)
    assert (documents, len(rows), read.rejects) == (1_375, 1_375, [])
    assert (labels, literals, read.counts["labels"]) == (10_998, 1_488, (10_998, {"literal": 1_488}))
