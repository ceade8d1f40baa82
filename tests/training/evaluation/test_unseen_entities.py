"""Classes of the entities of a new graph, where their texts say nothing and their neighbours everything."""

import pytest

from schemas.errors import DataError
from tests.training.evaluation.kg import write_kg
from tests.training.test_export import SMALL
from training.evaluation.run import evaluate
from training.evaluation.settings import read_settings
from training.evaluation.unseen_entities import UnseenEntitiesSettings, prepare
from training.train import train

FAST = {"seeds": "1", "epochs": "12", "lr": "2e-2", "batch_size": "8", "device": "cpu"}
PEOPLE, HUBS = 80, ("city0", "country1")
GROUPS = ("train-5", "train-20", "train-100", "train-100")


def example(number):
    split = ("train", "train", "valid", "test")[number % 4]
    group = GROUPS[number // 4 % 4] if split == "train" else split
    own = {"example_id": f"p{number}", "task": "entity-classification", "split": split, "group": group}
    empty = {"text_b": None, "labels": [], "relation": None, "options": [], "mentions": []}
    label = "of-cities" if number // 4 % 2 else "of-countries"
    return {**empty, **own, "text": f"About p{number}.", "label": label, "answers": [f"p{number}"]}


@pytest.fixture(scope="module")
def graph(tmp_path_factory):
    facts = [(f"p{number}", "works", HUBS[number // 4 % 2 == 0]) for number in range(PEOPLE)]
    examples = sorted((example(number) for number in range(PEOPLE)), key=lambda row: row["example_id"].encode())
    rows = write_kg(tmp_path_factory.mktemp("unnamed"), {"train": facts}).read("entities").to_pylist()
    for row in rows:
        row["text_mention"] = {"start": len("About "), "end": len(row["text"]) - 1}
    return write_kg(tmp_path_factory.mktemp("unseen"), {"train": facts}, examples=examples, entities=rows)


@pytest.fixture(scope="module")
def jaket(made_up, tmp_path_factory):
    folder = tmp_path_factory.mktemp("unseen-jaket") / "run"
    told = {**SMALL, "jaket.heads": "2", "jaket.negatives": "8", "jaket.roots": "4"}
    train("jaket-tiny", made_up, folder, resume=False, dry_run=False, settings=told)
    return folder


def test_jaket_tells_by_the_neighbours_what_no_text_says(jaket, graph):
    found = evaluate(jaket, "unseen-entities", graph.folder, settings=FAST)
    assert found["metrics"]["all"]["accuracy"] > 0.9
    assert found["metrics"]["inputs"]["mentions_linked"] == PEOPLE
    assert found["metrics"]["inputs"]["entities_met_in_pretraining"] == 0
    hidden = evaluate(jaket, "unseen-entities", graph.folder, settings={**FAST, "entities": "false"})
    assert hidden["metrics"]["all"]["accuracy"] < 0.75, "texts are all alike to this vocabulary"
    assert len(list((jaket / "results").glob("unseen-entities-*.json"))) == 2, "neither takes the other's place"
    assert found["baselines"]["majority"]["all"]["accuracy"] == 0.5


def test_a_cut_of_train_is_part_of_the_next(graph):
    def learned(cut):
        (subject,) = prepare(graph, "test", read_settings(UnseenEntitiesSettings, {"cut": cut}, "x")).subjects
        return {row["example_id"] for row in subject.train}

    assert len(learned("5")) == 10 and learned("5") < learned("20") < learned("100") and len(learned("100")) == 40
    said = prepare(graph, "test", read_settings(UnseenEntitiesSettings, {"cut": "5"}, "x")).protocol
    assert said["setting"] == "5-per-cent" and said["graph"] == {"entities": 82, "triples": 80, "both_directions": True}


def test_a_dataset_without_such_examples_is_told_how_to_make_them(family):
    with pytest.raises(DataError, match="no example of entity-classification"):
        prepare(family, "test", UnseenEntitiesSettings())
