"""Link prediction over a dataset: the plain rules answer what they say, and the protocol is in the result."""

import numpy as np
import pytest
import torch

from schemas.errors import DataError, UsageError
from tests.training.evaluation.kg import write_kg
from training.evaluation.facts import Facts, Groups, read_facts
from training.evaluation.link_prediction import LinkPredictionSettings, link_prediction, prepare
from training.evaluation.rules import FrequencyRule, SeenPatternRule
from training.evaluation.settings import read_settings
from training.scoring import Scorer


def index(dataset, table, name):
    column = "entity" if table == "entities" else "relation"
    return dataset.read(table, columns=[column])[column].to_pylist().index(name)


def ask(dataset, **settings):
    return prepare(dataset, "test", LinkPredictionSettings(**settings))


def test_groups_find_every_row_of_a_key():
    rows, found = Groups(np.array([5, 3, 5, 9])).find(np.array([9, 4, 5]))
    assert sorted(zip(rows.tolist(), found.tolist(), strict=True)) == [(0, 3), (2, 0), (2, 2)]


@pytest.mark.parametrize("entities", [5, 2**40])
def test_triples_of_splits_are_distinct_and_sorted_however_many_entities_there_are(entities):
    train, valid = np.array([[4, 1, 0], [0, 2, 3], [4, 1, 0]]), np.array([[0, 2, 3], [0, 2, 1]])
    facts = Facts(entities, 3, {"train": train, "valid": valid})
    assert facts.triples("train", "valid").tolist() == [[0, 2, 1], [0, 2, 3], [4, 1, 0]]
    assert facts.triples("train", "valid", by="tail").tolist() == [[4, 1, 0], [0, 2, 1], [0, 2, 3]]
    assert facts.triples().shape == (0, 3)


def test_frequency_scores_are_train_counts(family):
    rule = FrequencyRule(read_facts(family))
    born_in = torch.tensor([index(family, "relations", "born_in")])
    scores = rule.tails(torch.tensor([0]), born_in)[0]
    train = family.read("triples", "train").to_pylist()
    for entity in family.read("entities").to_pylist():
        count = sum(row["relation"] == "born_in" and row["tail"] == entity["entity"] for row in train)
        assert scores[entity["entity_index"]] == count


def test_seen_pattern_weighs_a_link_by_how_often_it_implies_the_relation(family):
    rule = SeenPatternRule(read_facts(family))
    spouse = torch.tensor([index(family, "relations", "spouse")])
    wife, husband = (torch.tensor([index(family, "entities", name)]) for name in ("w1", "h1"))
    # (w1 spouse h1) and (w1 married_to h1) are in train, but no husband's spouse is: spouse never came reversed.
    forward = rule.tails(wife, spouse)[0, husband]
    assert forward == pytest.approx(1.0 + 1 / 10)  # P(spouse | married_to) = 1; P(t = h1 | spouse) = 1 / 10
    assert rule.heads(spouse, husband)[0, wife] == pytest.approx(1.0 + 1 / 10)


def test_rules_are_scorers(family):
    facts = read_facts(family)
    assert isinstance(FrequencyRule(facts), Scorer)
    assert isinstance(SeenPatternRule(facts), Scorer)


def test_symmetry_is_seen_once_train_shows_it(tmp_path):
    pairs = [("a", "b"), ("c", "d"), ("e", "f")]
    train = [(x, "spouse", y) for x, y in pairs] + [("b", "spouse", "a"), ("d", "spouse", "c")]
    train += [(f"x{i}", "knows", f"y{i}") for i in range(5)]
    questions = ask(write_kg(tmp_path, {"train": train, "valid": [], "test": [("f", "spouse", "e")]}))
    metrics = link_prediction(SeenPatternRule(questions.facts), questions)
    assert metrics["both"]["mrr"] == 1.0


def test_protocol_says_how_it_was_ranked(family):
    questions = ask(family, unseen="keep")
    assert questions.protocol == {
        "setting": "transductive",
        "split": "test",
        "triples": 7,
        "sides": ["head", "tail"],
        "candidates": 23,
        "candidate_set": "all",
        "own_entity": "keep",
        "filtered": True,
        "filter_splits": ["train", "valid", "test"],
        "ties": "realistic",
        "unseen": {"policy": "keep", "triples": 0},
    }


def test_metrics_have_both_sides_and_each_relation(family):
    metrics = link_prediction(FrequencyRule(read_facts(family)), ask(family))
    assert metrics["both"]["mrr"] == pytest.approx((metrics["head"]["mrr"] + metrics["tail"]["mrr"]) / 2)
    assert metrics["relations"].keys() == {"spouse", "born_in"}
    assert sum(row["queries"] for row in metrics["relations"].values()) == 14
    assert metrics["ties"]["optimistic"] >= metrics["both"]["mrr"] >= metrics["ties"]["pessimistic"]


def test_a_scorer_that_says_nothing_ranks_in_the_middle(family):
    class Silent:
        def tails(self, heads, relations):
            return torch.zeros(len(heads), 23)

        heads = tails

    metrics = link_prediction(Silent(), ask(family, filter="none"))
    assert metrics["both"]["mr"] == 12.0
    assert metrics["ties"]["optimistic"] == 1.0


def test_unseen_entities_are_counted_and_may_be_skipped(tmp_path):
    splits = {"train": [("a", "r", "b")], "valid": [], "test": [("a", "r", "new"), ("b", "r", "a")]}
    dataset = write_kg(tmp_path, splits)
    assert ask(dataset).protocol["unseen"] == {"policy": "keep", "triples": 1}
    skipped = ask(dataset, unseen="skip")
    assert skipped.protocol["triples"] == 1 and len(skipped.triples) == 1


@pytest.mark.parametrize(
    ("split", "settings", "error", "message"),
    [
        ("tset", {}, UsageError, "Did you mean test"),
        ("test", {"filter": "train,vlid"}, UsageError, "Did you mean valid"),
    ],
)
def test_wrong_words_get_the_nearest_right_one(family, split, settings, error, message):
    with pytest.raises(error, match=message):
        prepare(family, split, LinkPredictionSettings(**settings))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"tise": "realistic"}, "Did you mean ties"),
        ({"ties": "optimist"}, "'realistic', 'optimistic' or 'pessimistic'"),
    ],
)
def test_wrong_settings_say_what_is_right(given, message):
    with pytest.raises(UsageError, match=message):
        read_settings(LinkPredictionSettings, given, "task link-prediction")


def test_an_empty_split_says_so(tmp_path):
    dataset = write_kg(tmp_path, {"train": [("a", "r", "b")], "valid": [], "test": []})
    with pytest.raises(DataError, match="no test triples to rank"):
        ask(dataset)


def test_rules_on_real_graphs_beat_chance(real_kg):
    questions = ask(real_kg)
    assert questions.protocol["triples"] in (1_074, 661)
    for rule in (FrequencyRule, SeenPatternRule):
        metrics = link_prediction(rule(questions.facts), questions)
        assert metrics["both"]["mrr"] > 0.1
        assert metrics["ties"]["optimistic"] >= metrics["ties"]["pessimistic"]
