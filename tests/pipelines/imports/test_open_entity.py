"""Open Entity: files in both published layouts -> examples."""

import gzip
import json

import pytest

from schemas.errors import DataError
from tests.pipelines.imports.reading import Read

PUBLISHED = {
    "annot_id": "APW_ENG_19980715.0120-1-3-17",
    "mention_span": "the rivals",
    "left_context_token": ["Yesterday", ","],
    "right_context_token": ["met", "again", "."],
    "y_str": ["person", "rival", "person"],
    "y_category": [],
}
ARRANGED = {
    "sent": "The British use Maps .",
    "labels": ["organization", "group"],
    "start": 4,
    "end": 11,
    "ents": [["Q1", 16, 20, 0.1]],
}


def marked(row):
    return [row["text"][m["start"] : m["end"]] for m in row["mentions"]]


def test_the_published_layout_is_a_record_a_line_also_in_the_releases_folder_and_compressed(tmp_path):
    (tmp_path / "crowd").mkdir()
    first = {**PUBLISHED, "left_context_token": [], "annot_id": "b", "y_str": ["person"]}
    lines = "\n".join(json.dumps(record) for record in (PUBLISHED, first))
    (tmp_path / "crowd/train.json.gz").write_bytes(gzip.compress(lines.encode()))
    row, other = Read("open-entity", tmp_path).rows
    assert (row["task"], row["split"], row["example_id"]) == ("typing", "train", PUBLISHED["annot_id"])
    assert (row["text"], marked(row)) == ("Yesterday , the rivals met again .", ["the rivals"])
    assert (other["text"], marked(other)) == ("the rivals met again .", ["the rivals"])
    assert (row["labels"], row["label"]) == (["person", "rival"], None), "each type once"


def test_ernies_rearrangement_is_a_list_with_spans(tmp_path):
    (tmp_path / "dev.json").write_text(json.dumps([ARRANGED, {**ARRANGED, "labels": []}]))
    row, bare = Read("open-entity", tmp_path).rows
    assert (row["split"], marked(row), row["labels"]) == ("valid", ["British"], ["organization", "group"])
    assert row["mentions"][0]["role"] == "target"
    assert bare["labels"] == [], "no type of the nine is an answer too"


def test_ernies_linked_entities_are_context_where_its_authors_are_sure(tmp_path):
    start, end = ARRANGED["start"], ARRANGED["end"]
    links = [["Q145", start, end, 0.8], ["Q1", start, end, 0.3], ["Q2", -1, 3, 0.9]]
    (tmp_path / "train.json").write_text(json.dumps([{**ARRANGED, "ents": links}]))
    found = Read("open-entity", tmp_path)
    assert [(m["role"], m["entity"]) for m in found.rows[0]["mentions"]] == [("context", "Q145"), ("target", None)]
    assert found.counts["train/links"] == (3, {"unsure_link": 1, "broken_link": 1})


def test_a_span_outside_of_the_sentence_rejects_the_example(tmp_path):
    (tmp_path / "test.json").write_text(json.dumps([ARRANGED, {**ARRANGED, "end": 99}]))
    found = Read("open-entity", tmp_path)
    assert (found.read, found.out, found.rejects) == (2, 1, [("test", "test/000001", "mention_outside_text")])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"mention_span": "a"}', "line 1: .*missing required field"),
        (json.dumps(PUBLISHED) + '\n{"y_str": 3}', "line 2"),
        ('[{"sent": "a"}]', "missing required field `start`"),
        ("words", "line 1: JSON is malformed"),
    ],
)
def test_a_file_of_another_form_is_one_clear_line(tmp_path, content, message):
    (tmp_path / "train.json").write_text(content)
    with pytest.raises(DataError, match=message) as caught:
        Read("open-entity", tmp_path)
    assert "train.json" in str(caught.value)
