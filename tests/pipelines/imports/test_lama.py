"""LAMA: probes in the published layouts -> examples."""

import gzip
import json

import pytest

from schemas.errors import DataError
from tests.pipelines.imports.reading import Read

TREX = {
    "uuid": "a",
    "obj_uri": "Q1741",
    "obj_label": "Vienna",
    "sub_uri": "Q254",
    "sub_label": "Mozart",
    "predicate_id": "P20",
    "evidences": [{"sub_surface": "Mozart", "obj_surface": "Vienna", "masked_sentence": "He died in [MASK]."}],
}
GOOGLE = {
    "pred": "/people/person/place_of_birth",
    "sub_label": "Ada",
    "obj_label": "London",
    "masked_sentences": ["Ada was a woman.", "She was born in [MASK]."],
    "judgments": [{"rater": "1", "judgment": "yes"}, {"rater": "2", "judgment": "no"}],
}
CONCEPT = {
    "sub": "alive",
    "obj": "think",
    "pred": "HasSubevent",
    "masked_sentences": ["alive to [MASK]."],
    "obj_label": "think",
}
SQUAD = {"masked_sentences": ["Steam is from [MASK]."], "obj_label": "water", "id": "5", "sub_label": "Squad"}
TEMPLATE = {
    "relation": "P20",
    "template": "[X] died in [Y] .",
    "label": "place of death",
    "description": "where",
}


def write(path, *records):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(map(json.dumps, records)) + "\n")


def test_each_subset_has_its_group_relation_answer_and_one_mask(tmp_path):
    write(tmp_path / "relations.jsonl", TEMPLATE)
    write(tmp_path / "TREx/P20.jsonl", TREX)
    write(tmp_path / "TREx_UHN/P20.jsonl", TREX)
    write(tmp_path / "Google_RE/place_of_birth_test.jsonl", GOOGLE)
    write(tmp_path / "ConceptNet/test.jsonl", CONCEPT)
    write(tmp_path / "Squad/test.jsonl", SQUAD)
    found = Read("lama", tmp_path)
    rows = {row["group"]: row for row in found.rows}
    assert {group: (row["text"], row["relation"], row["answers"]) for group, row in rows.items()} == {
        "T-REx": ("Mozart died in [MASK] .", "P20", ["Vienna"]),
        "UHN-T-REx": ("Mozart died in [MASK] .", "P20", ["Vienna"]),
        "Google-RE": ("Ada was born in [MASK] .", "P19", ["London"]),
        "ConceptNet": ("alive to [MASK].", "HasSubevent", ["think"]),
        "SQuAD": ("Steam is from [MASK].", None, ["water"]),
    }
    assert {row["task"] for row in rows.values()} == {"probing"}
    assert {row["split"] for row in rows.values()} == {"test"}
    assert rows["T-REx"]["mentions"] == [{"start": 0, "end": 6, "entity": "Q254", "role": "head"}]
    assert rows["Google-RE"]["mentions"] == [{"start": 0, "end": 3, "entity": None, "role": "head"}]
    assert rows["SQuAD"]["mentions"] == []
    assert found.told("relations", "label")["P20"] == "place of death"
    assert found.told("entities", "label") == {"Q254": "Mozart", "Q1741": "Vienna"}


def test_folders_may_lie_between_and_a_probe_that_is_masked_already_stays_as_it_is(tmp_path):
    write(tmp_path / "GoogleRE/high_ranked/date_of_birth.jsonl", {**SQUAD, "sub_label": "Ada", "uuid": 3})
    (row,) = Read("lama", tmp_path).rows
    assert (row["group"], row["relation"], row["text"]) == ("Google-RE", "P569", "Steam is from [MASK].")


def test_facts_of_trex_without_templates_are_their_masked_sentences_also_compressed(tmp_path):
    (tmp_path / "TREx").mkdir()
    record = {**TREX, "masked_sentences": ["He died in [MASK]."]}
    (tmp_path / "TREx/P20.jsonl.gz").write_bytes(gzip.compress(json.dumps(record).encode()))
    assert [row["text"] for row in Read("lama", tmp_path).rows] == ["He died in [MASK]."]
    write(tmp_path / "relations.jsonl", TEMPLATE)
    assert [row["text"] for row in Read("lama", tmp_path).rows] == ["Mozart died in [MASK] ."]


def test_the_templates_may_lie_in_a_folder_of_the_one_that_is_given(tmp_path):
    write(tmp_path / "data/relations.jsonl", TEMPLATE)
    write(tmp_path / "data/TREx/P20.jsonl", TREX)
    assert [row["text"] for row in Read("lama", tmp_path).rows] == ["Mozart died in [MASK] ."]


def test_the_subsets_own_folder_can_be_given(tmp_path):
    write(tmp_path / "TREx/P20.jsonl", {**TREX, "masked_sentences": ["x [MASK]"]})
    assert [row["group"] for row in Read("lama", tmp_path / "TREx").rows] == ["T-REx"]


@pytest.mark.parametrize(
    ("path", "record", "reason"),
    [
        ("Squad/test.jsonl", {**SQUAD, "masked_sentences": ["no mask"]}, "not_one_mask"),
        ("Squad/test.jsonl", {**SQUAD, "masked_sentences": ["[MASK] or [MASK]"]}, "not_one_mask"),
        ("TREx/P20.jsonl", TREX, "no_template"),
        (
            "Google_RE/place_of_birth_test.jsonl",
            {**GOOGLE, "judgments": [{"judgment": "no"}, {"judgment": "skip"}, {"judgment": "yes"}]},
            "judged_wrong",
        ),
    ],
)
def test_a_probe_that_is_none_is_counted_by_its_reason(tmp_path, path, record, reason):
    write(tmp_path / path, record)
    found = Read("lama", tmp_path)
    assert (found.read, found.out, [reject[2] for reject in found.rejects]) == (1, 0, [reason])


@pytest.mark.parametrize(
    ("path", "content", "message"),
    [
        ("TREx/P20.jsonl", '{"sub_label": "a"}', r"P20.jsonl, line 1: .*`obj_label`"),
        ("Poems/a.jsonl", "{}", "in no folder of a subset of LAMA"),
        ("TREx/readme.txt", "", "no file of LAMA in it"),
        ("TREx/P20.jsonl", '{"obj_label": "a"}\n<html>', "line 2: JSON is malformed"),
    ],
)
def test_a_file_of_another_form_is_one_clear_line(tmp_path, path, content, message):
    (tmp_path / path).parent.mkdir()
    (tmp_path / path).write_text(content)
    with pytest.raises(DataError, match=message):
        Read("lama", tmp_path)


def test_every_real_probe_is_an_example_with_its_subject_marked(real_data):
    found = Read("lama", real_data / "eval/lama")
    lines = {}
    for path in (real_data / "eval/lama").rglob("*.jsonl"):
        lines[path.name.partition(".")[0]] = [json.loads(line) for line in path.read_text().splitlines()]
    assert (found.read, found.out, found.rejects) == (10_968, sum(map(len, lines.values())), [])
    for row in found.rows:
        _, name, number = row["example_id"].split("/")
        probe = lines[name][int(number)]
        assert ([row["text"]], row["answers"]) == (probe["masked_sentences"], [probe["obj_label"]])
        (mention,) = row["mentions"]
        assert row["text"][mention["start"] : mention["end"]] == probe["sub_label"]
