"""Linking's metrics: by hand on texts that fit into a head, and the same command for a rule and for a run."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.dataset import Dataset
from schemas.errors import DataError, UsageError
from tests.made_datasets import write_dataset
from tests.training.links import write_links
from training.baselines import run_baseline
from training.evaluation.linking import Gold, LinkingSettings, linking, prepare, units
from training.evaluation.run import evaluate
from training.train import train

TEXTS = [
    ("a", "In Paris, France", [(3, 8, "Q90"), (10, 16, "Q142")]),
    ("a", "Paris of Troy", [(0, 13, "Q5"), (0, 5, "Q167646")]),
    ("b", "Athens and York", [(0, 6, "Q1524"), (11, 15, None)]),
    ("b", "France, Paris", [(0, 6, None)]),
]
"""Group, text, mentions."""


def write_examples(folder, texts, split="test"):
    rows = [
        {
            "example_id": f"{number}",
            "task": "linking",
            "split": split,
            "group": group,
            "text": text,
            "mentions": [
                {"start": start, "end": end, "entity": entity, "role": "target"} for start, end, entity in mentions
            ],
            **dict.fromkeys(("text_b", "label", "relation")),
            **{name: [] for name in ("labels", "answers", "options")},
        }
        for number, (group, text, mentions) in enumerate(texts)
    ]
    return write_dataset(folder, {"examples": rows}, {"parameters": {}}, card=False)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """(the dictionary's dataset, the examples')."""
    folder = tmp_path_factory.mktemp("linking")
    return write_links(folder / "links"), write_examples(folder / "examples", TEXTS)


def test_the_metrics_by_hand(data):
    questions = prepare(Dataset(data[0]), "test", LinkingSettings(examples=str(data[1])))
    found = linking(questions.linker(), questions)
    # Right: Paris, France. Wrong: Paris of Troy (no surface), its Paris (Q90), Athens (Q203263).
    assert found["given"] == {"mentions": 5, "accuracy": 2 / 5}
    assert found["given-in-dataset"] == {"mentions": 4, "accuracy": 2 / 4}
    # Links: Paris, France | Paris, wrong | Athens, wrong | France, of an unknown entity, Paris, no mention.
    expected = {"mentions": 4, "links": 6, "precision": 2 / 6, "recall": 2 / 4, "f1": pytest.approx(0.4)}
    assert found["end-to-end"] == expected
    assert found["end-to-end-in-dataset"] == {"mentions": 3, "recall": 2 / 3}
    assert found["coverage"] == {"in_dataset": 4 / 5, "surface": 4 / 5, "candidate": 4 / 5}
    assert found["groups"]["b"]["end-to-end"] == {"mentions": 1, "links": 3, "precision": 0, "recall": 0, "f1": 0}
    assert found["groups"]["a"]["given"] == {"mentions": 4, "accuracy": 0.5}


@pytest.mark.parametrize(
    ("links", "outcome"),
    [
        ([(0, 9, "Q1")], True),
        ([(0, 9, "Q2")], False),
        ([], False),
        ([(0, 3, "Q2"), (4, 9, "Q3")], True),
        ([(0, 3, "Q2")], False),
        ([(4, 5, "Q4")], False),
        ([(0, 3, "Q2"), (4, 5, "Q4")], True),
        ([(4, 9, "Q2")], False),
    ],
)
def test_inner_mentions_are_an_alternative_to_the_outer_one(links, outcome):
    mentions = [Gold(0, 9, "Q1"), Gold(0, 3, "Q2"), Gold(4, 9, "Q3"), Gold(4, 5, "Q4"), Gold(6, 7, None)]
    [unit] = units(mentions)
    assert unit.outcome(set(links)) is outcome


def test_what_has_no_entity_is_not_asked_for():
    [unit] = units([Gold(0, 5, None)])
    assert unit.outcome(set()) is None
    assert unit.outcome({(0, 5, "Q1")}) is None


spans = st.tuples(st.integers(0, 8), st.integers(1, 4)).map(lambda pair: Gold(pair[0], sum(pair), "Q1"))


@given(st.lists(spans, max_size=8))
def test_every_mention_is_in_one_unit_and_inside_what_it_is_under(mentions):
    mentions.sort(key=lambda gold: (gold.start, -gold.end))

    def walk(some, around):
        for unit in some:
            assert around is None or (around.start <= unit.gold.start and unit.gold.end <= around.end)
            yield unit.gold
            yield from walk(unit.inner, unit.gold)

    outermost = units(mentions)
    assert list(walk(outermost, None)) == mentions
    for unit in outermost:
        others = [gold for gold in mentions if gold is not unit.gold]
        within = [g for g in others if g.start <= unit.gold.start and unit.gold.end <= g.end]
        assert all((g.start, g.end) == (unit.gold.start, unit.gold.end) for g in within)


def test_a_rule_and_a_run_are_asked_the_same(made_up, tmp_path, capsys):
    texts = [("g", "town is a city", [(0, 4, "Q8")]), ("g", "city0 and country1", [(0, 5, "Q7"), (10, 18, "Q1")])]
    examples = write_examples(tmp_path / "examples", texts)
    digest = Dataset(examples).digest
    settings = {"examples": str(examples), "min_link": "0.5"}
    run_baseline("prior", made_up, None, tmp_path / "prior", settings)
    name = f"linking-test-{digest[:8]}.json"
    result = json.loads((tmp_path / "prior/results" / name).read_text())
    assert result["digest"] == digest and result["baselines"] == {}
    assert result["protocol"]["dictionary"] == Dataset(made_up).digest
    assert result["metrics"]["given"] == {"mentions": 3, "accuracy": 1 / 3}
    small = {"train.steps": "1", "train.batch_size": "4", "train.valid_batches": "1", "encoder.hidden_size": "16"}
    small |= {"encoder.intermediate_size": "32", "encoder.heads": "2"}
    train("colake-tiny", made_up, tmp_path / "run", resume=False, dry_run=False, settings=small)
    found = evaluate(tmp_path / "run", "linking", examples, settings={"min_link": "0.5"})
    assert found["baselines"]["prior"]["given"] == result["metrics"]["given"]
    assert found["metrics"]["given"]["mentions"] == 3
    assert (tmp_path / "run/results" / name).is_file()
    again = evaluate(tmp_path / "prior", "linking", examples, settings={"min_link": "0.5"})
    assert again["metrics"] == result["metrics"]
    assert "end-to-end" in capsys.readouterr().out
    with pytest.raises(UsageError, match="--data DIR"):
        evaluate(tmp_path / "run", "linking")


def test_wrong_examples_are_one_line_that_helps(data, tmp_path):
    with pytest.raises(DataError, match="no example of task linking in split valid"):
        prepare(Dataset(data[0]), "valid", LinkingSettings(examples=str(data[1])))
    with pytest.raises(UsageError, match="Did you mean test"):
        prepare(Dataset(data[0]), "tests", LinkingSettings(examples=str(data[1])))
    with pytest.raises(DataError, match="nothing"):
        prepare(Dataset(data[0]), "test", LinkingSettings(examples=str(tmp_path / "nothing")))
