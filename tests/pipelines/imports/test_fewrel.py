"""FewRel: files in both published layouts -> examples."""

import json
from collections import Counter

import pytest

from schemas.errors import DataError
from tests.pipelines.imports.reading import Read, surfaces

BRIDGE = {
    "tokens": ["The", "Long", "Bridge", "spans", "the", "river", "Elbe", ",", "or", "Labe", "."],
    "h": ["long bridge", "Q1", [[1, 2]]],
    "t": ["elbe", "Q2", [[6], [9]]],
}


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "val_wiki.json").write_text(json.dumps({"P177": [BRIDGE, BRIDGE], "P31": []}))
    (tmp_path / "train_wiki.json").write_text(json.dumps({"P17": [{**BRIDGE, "tokens": ["É", "𝒳", "y", *"abcdefgh"]}]}))
    (tmp_path / "pid2name.json").write_text(json.dumps({"P177": ["crosses", "what it goes over"], "P99": ["x", ""]}))
    return tmp_path


def test_an_instance_has_its_relation_its_files_split_and_every_place_of_head_and_tail(folder):
    train, first, second = Read("fewrel", folder).rows
    assert (train["split"], train["group"], train["label"]) == ("train", "train", "P17")
    assert (first["task"], first["split"], first["group"]) == ("few-shot", "valid", "val")
    assert first["label"] == first["relation"] == "P177"
    assert first["text"] == "The Long Bridge spans the river Elbe , or Labe ."
    assert surfaces(first) == [("head", "Q1", "Long Bridge"), ("tail", "Q2", "Elbe"), ("tail", "Q2", "Labe")]
    assert surfaces(train)[0] == ("head", "Q1", "𝒳 y"), "offsets count code points"
    assert first["example_id"] != second["example_id"]


def test_relations_have_the_names_of_pid2name_and_entities_their_most_frequent_name(folder):
    found = Read("fewrel", folder)
    assert found.told("relations", "label") == {"P17": None, "P177": "crosses", "P31": None}
    assert found.told("relations", "description") == {"P17": None, "P177": "what it goes over", "P31": None}
    assert found.told("entities", "label") == {"Q1": "long bridge", "Q2": "elbe"}
    assert found.source.listed[0].to_pylist() == ["Q1", "Q2"]


@pytest.mark.parametrize("entity", [None, ""])
def test_an_end_without_an_id_is_a_mention_without_an_entity(tmp_path, entity):
    (tmp_path / "val_semeval.json").write_text(
        json.dumps({"cause": [{**BRIDGE, "h": ["long bridge", entity, [[1, 2]]]}]})
    )
    found = Read("fewrel", tmp_path)
    assert [(row["group"], surfaces(row)[0]) for row in found.rows] == [("val_semeval", ("head", None, "Long Bridge"))]
    assert found.told("entities", "label") == {"Q2": "elbe"}


@pytest.mark.parametrize("places", [[[10, 11]], [[2, 4]], [[]], [], [[-1]]])
def test_tokens_that_are_no_place_in_the_text_reject_the_instance(tmp_path, places):
    broken = {**BRIDGE, "h": ["long bridge", "Q1", places]}
    (tmp_path / "val_wiki.json").write_text(json.dumps({"P177": [BRIDGE, broken]}))
    found = Read("fewrel", tmp_path)
    assert (found.read, found.out) == (2, 1)
    assert found.rejects == [("val", "val/P177/00001", "broken_mention")]


def test_ernies_rearrangement_is_a_classification_task(tmp_path):
    sentence = {
        "text": "Bonn lies on the Rhine .",
        "label": "P177",
        "ents": [["Q586", 1, 4, 0.5], ["Q584", 17, 22, 0.5]],
    }
    odd = {**sentence, "ents": [["Q586", 1, 4, 0.5]]}
    (tmp_path / "train.json").write_text(json.dumps([sentence, odd]))
    (tmp_path / "test.json").write_text(json.dumps([sentence]))
    found = Read("fewrel", tmp_path)
    train, test = found.rows
    assert (train["task"], train["split"], test["split"]) == ("relation-classification", "train", "test")
    assert surfaces(train) == [("head", "Q586", "Bonn"), ("tail", "Q584", "Rhine")], "1 stands for the beginning"
    assert found.rejects == [("train", "train/000001", "broken_mention")]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("val_wiki.json", '{"P1": [{"tokens": ["a"], "h": ["a", 1, []], "t": ["a", "Q1", []]}]}', r"h\[1\]"),
        ("val_wiki.json", '{"P1": [', "truncated"),
        ("val_wiki.json", "[]", "Expected `object`, got `array`"),
        ("val_wiki.json", "", "truncated"),
        ("other.json", "{}", "no file of FewRel in it, expected train_wiki.json"),
        ("train.json", "{}", "Expected `array`, got `object`"),
    ],
)
def test_a_file_of_another_form_is_one_clear_line(tmp_path, name, content, message):
    (tmp_path / name).write_text(content)
    with pytest.raises(DataError, match=message) as caught:
        Read("fewrel", tmp_path)
    assert name in str(caught.value) or name == "other.json"
    assert "\n" not in str(caught.value)


def test_two_layouts_in_one_folder_are_refused(folder):
    (folder / "test.json").write_text("[]")
    with pytest.raises(DataError, match="two layouts in one folder"):
        Read("fewrel", folder)


def test_val_wiki_has_the_16_relations_of_700_instances_that_are_published(real_data):
    found = Read("fewrel", real_data / "eval/fewrel")
    assert (found.read, found.out, found.rejects) == (11_200, 11_200, [])
    assert sorted(Counter(row["label"] for row in found.rows).values()) == [700] * 16
    assert all(found.told("relations", "label").values()) and all(found.told("relations", "description").values())
    published = json.loads((real_data / "eval/fewrel/val_wiki.json").read_text())
    for row in found.rows:
        instance = published[row["label"]][int(row["example_id"].rpartition("/")[2])]
        assert row["text"].split(" ") == " ".join(instance["tokens"]).split(" ")
        expected = [
            (role, end[1], " ".join(instance["tokens"][i] for i in place))
            for role, end in (("head", instance["h"]), ("tail", instance["t"]))
            for place in end[2]
        ]
        assert sorted(surfaces(row)) == sorted(expected)
