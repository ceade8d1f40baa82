"""TACRED: files in the published layout -> examples."""

import json

import pytest

from schemas.errors import DataError, UsageError
from tests.pipelines.imports.made import imported
from tests.pipelines.imports.reading import Read, surfaces

FOUNDED = {
    "id": "61b3a5c8c9a882dcfcd2",
    "docid": "AFP_ENG_20070218.0019.LDC2009T13",
    "relation": "org:founded_by",
    "token": ["Ada", "founded", "the", "Engine", "Club", "-LRB-", "EC", "-RRB-", "."],
    "subj_start": 3,
    "subj_end": 4,
    "obj_start": 0,
    "obj_end": 0,
    "subj_type": "ORGANIZATION",
    "obj_type": "PERSON",
    "stanford_pos": ["NNP"] * 9,
    "stanford_ner": ["O"] * 9,
    "stanford_head": [0] * 9,
    "stanford_deprel": ["dep"] * 9,
}


def write(folder, **files):
    for name, examples in files.items():
        (folder / f"{name}.json").write_text(json.dumps(examples))


def test_subject_and_object_are_head_and_tail_and_brackets_are_brackets(tmp_path):
    other = {**FOUNDED, "id": "b", "relation": "no_relation"}
    write(tmp_path, train=[FOUNDED], dev=[other], test=[{**other, "id": "c"}])
    found = Read("tacred", tmp_path)
    train, valid, test = found.rows
    assert [row["split"] for row in (train, valid, test)] == ["train", "valid", "test"]
    assert train["text"] == "Ada founded the Engine Club ( EC ) ."
    assert (train["example_id"], train["task"]) == (FOUNDED["id"], "relation-classification")
    assert train["label"] == train["relation"] == "org:founded_by"
    assert surfaces(train) == [("tail", None, "Ada"), ("head", None, "Engine Club")]
    assert set(found.told("relations", "label")) == {"org:founded_by", "no_relation"}


@pytest.mark.parametrize("option", [{"split": "inductive"}, {"valid": 3}, {"train_fraction": 0.5}])
def test_examples_keep_their_splits_and_an_option_for_triples_is_refused(tmp_path, option):
    write(tmp_path, train=[FOUNDED])
    with pytest.raises(UsageError, match="tacred has no triples to split"):
        imported("tacred", tmp_path, tmp_path / "out", **option)


@pytest.mark.parametrize("ends", [{"subj_end": 9}, {"subj_start": 5}, {"obj_start": -1}])
def test_a_span_outside_of_the_tokens_rejects_the_example(tmp_path, ends):
    write(tmp_path, train=[FOUNDED, {**FOUNDED, "id": "odd", **ends}])
    found = Read("tacred", tmp_path)
    assert (found.read, found.out, found.rejects) == (2, 1, [("train", "odd", "mention_outside_text")])


def test_an_id_that_comes_twice_is_rejected_the_second_time(tmp_path):
    write(tmp_path, train=[FOUNDED], test=[FOUNDED])
    found = Read("tacred", tmp_path)
    assert (found.read, found.out, found.rejects) == (2, 1, [("test", FOUNDED["id"], "duplicate_id")])


@pytest.mark.parametrize(
    ("examples", "message"),
    [
        ([{**FOUNDED, "subj_start": "3"}], r"Expected `int`, got `str` - at `\$\[0\].subj_start`"),
        ([{name: FOUNDED[name] for name in FOUNDED if name != "token"}], "missing required field `token`"),
        ({"a": 1}, "Expected `array`"),
    ],
)
def test_a_file_of_another_form_is_one_clear_line(tmp_path, examples, message):
    write(tmp_path, train=examples)
    with pytest.raises(DataError, match=message) as caught:
        Read("tacred", tmp_path)
    assert "train.json" in str(caught.value)


ARRANGED = {
    "text": "Ada founded the Engine Club .",
    "ents": [["Engine Club", 16, 27, 0.5], ["Ada", 1, 3, 0.5]],
    "label": "org:founded_by",
    "ann": [["Q7259", 0, 3, 0.9], ["Q1", 16, 27, 0.2], ["Q2", 16, 99, 0.9], ["broken"]],
}


def test_ernies_rearrangement_has_spans_and_linked_entities(tmp_path):
    write(tmp_path, train=[ARRANGED, {**ARRANGED, "ents": [["Ada", 1, 3, 0.5]]}], dev=[FOUNDED])
    found = Read("tacred", tmp_path)
    row, published = found.rows
    assert surfaces(row) == [("context", "Q7259", "Ada"), ("tail", None, "Ada"), ("head", None, "Engine Club")]
    assert row["label"] == row["relation"] == "org:founded_by" and published["split"] == "valid"
    assert found.rejects == [("train", "train/000001", "broken_mention")]
    assert found.counts["train/links"] == (4, {"unsure_link": 1, "broken_link": 2})
    assert found.told("entities", "label") == {"Q7259": "Ada"}
