"""Masked entities and relations: which nodes are asked for, what is hidden, and what the plain rules answer."""

import numpy as np
import pytest
import torch

from schemas.errors import DataError, UsageError
from tests.training.evaluation.kg import write_kg
from training.data.graphs import Graph
from training.evaluation.masked import MaskedPredictor, MaskedSettings, masked, prepare, without_facts
from training.evaluation.masked_rules import Cooccurrence, Frequency, Majority, TrainGraphs

FACTS = [("a", "r", "b"), ("a", "r", "c"), ("b", "s", "c"), ("d", "s", "c"), ("e", "r", "b")]
PASSAGES = {"train": ["ab", "abc", "ab", "de", "de", "ae"], "valid": [], "test": ["ab", "de", "bf"]}


def graph_rows(index):
    """One row per passage, whose letters are its anchors; every fact of an anchor is in its graph."""
    rows = []
    for split, passages in PASSAGES.items():
        for anchors in passages:
            mentions = [{"start": k, "end": k + 1, "entity_index": index[name]} for k, name in enumerate(anchors)]
            triples = [
                {"anchor": k, "head_index": index[h], "relation_index": "rs".index(r), "tail_index": index[t]}
                for k, name in enumerate(anchors)
                for h, r, t in FACTS
                if h == name
            ]
            number = len(rows)
            row = {"graph_id": number << 27, "page_id": number, "split": split, "start": 0, "end": len(anchors)}
            rows.append(row | {"text": anchors, "mentions": mentions, "triples": triples})
    return rows


@pytest.fixture(scope="module")
def passages(tmp_path_factory):
    """(dataset, entity -> index)."""
    splits = {"train": [*FACTS, ("a", "r", "f")], "valid": [], "test": []}
    plain = write_kg(tmp_path_factory.mktemp("plain"), splits)
    names = plain.read("entities")["entity"].to_pylist()
    index = {name: place for place, name in enumerate(names)}
    assert plain.read("relations")["relation"].to_pylist() == ["r", "s"]
    return write_kg(tmp_path_factory.mktemp("passages"), splits, wk_graphs=graph_rows(index)), index


def test_a_masked_entity_loses_every_fact_it_takes_part_in():
    graph = Graph(
        units=np.array([-1, 7, -2], dtype=np.int32),
        anchors=np.array([3, 5], dtype=np.int32),
        triples=np.array([[0, 0, 9], [0, 1, 5], [1, 0, 3], [1, 1, 8]], dtype=np.int32),
    )
    assert without_facts(graph, 0).triples.tolist() == [[1, 1, 8]]
    assert without_facts(graph, 1).triples.tolist() == [[0, 0, 9]]
    assert without_facts(graph, 0).units.tolist() == [-1, 7, -2]


def test_every_anchor_and_every_triple_is_asked_for(passages):
    dataset, index = passages
    questions = prepare(dataset, "test", MaskedSettings())
    assert questions.protocol["entity_queries"] == {"possible": 6, "limit": 2_000, "asked": 6}
    assert questions.answers("entity").tolist() == [index[name] for name in "abdebf"]
    assert questions.answers("relation").tolist() == [0, 0, 1, 1, 0, 1]
    # ab: a r b has an anchor as its tail; a r c and b s c have not.
    assert questions.answers("tail").tolist() == [index[name] for name in "cccbc"]
    assert questions.protocol["unseen"] == {"policy": "keep", "queries": 1}


def test_a_limit_keeps_the_same_queries_whatever_else_there_is(passages):
    dataset, _ = passages
    few, more = (prepare(dataset, "train", MaskedSettings(queries=n)) for n in (3, 6))
    few, more = few.queries["entity"], more.queries["entity"]
    assert len(few) == 3
    assert {tuple(row) for row in few.tolist()} < {tuple(row) for row in more.tolist()}
    other = prepare(dataset, "train", MaskedSettings(queries=3, seed=1))
    assert other.queries["entity"].tolist() != few.tolist()


def test_unseen_answers_may_be_skipped(passages):
    dataset, index = passages
    questions = prepare(dataset, "test", MaskedSettings(unseen="skip"))
    assert index["f"] not in questions.answers("entity")
    assert questions.protocol["unseen"] == {"policy": "skip", "queries": 1}


def test_rules_answer_what_they_say(passages):
    dataset, index = passages
    questions = prepare(dataset, "test", MaskedSettings())
    (graph, *_), _ = questions.masked("entity", slice(1, 2))
    masked_b = np.array([1])
    # Train passages: a 4 times, b 3 times, 3 of b's with a; a is shown, so it is no answer.
    assert Majority(questions.train).entity_logits([graph], masked_b).argmax() == index["a"]
    frequency = Frequency(questions.train).entity_logits([graph], masked_b)[0]
    assert [frequency[index[name]].item() for name in "abcdef"] == [4, 3, 1, 2, 3, 0]
    company = Cooccurrence(questions.train).entity_logits([graph], masked_b)[0]
    assert company.argmax() == index["b"] and company[index["a"]] == 0
    assert company[index["b"]] == pytest.approx(3 / 4 + 1e-3 * 3 / 13)


def test_relation_rules_back_off_from_the_pair_to_all(passages):
    dataset, index = passages
    questions = prepare(dataset, "test", MaskedSettings())
    rule = Cooccurrence(questions.train)
    anchors = np.array([index["b"]], dtype=np.int32)
    seen = Graph(-anchors, anchors, np.array([[0, 0, index["c"]]], dtype=np.int32))
    unseen = Graph(-anchors, anchors, np.array([[0, 0, index["f"]]], dtype=np.int32))
    assert rule.relation_logits([seen, unseen], np.array([0, 0])).argmax(dim=1).tolist() == [1, 1]
    nobody = Graph(-anchors, np.array([index["f"]], dtype=np.int32), np.array([[0, 1, index["f"]]], dtype=np.int32))
    assert rule.relation_logits([nobody], np.array([0])).argmax() == 0


def test_metrics_count_ties_by_their_chance(passages):
    dataset, index = passages
    questions = prepare(dataset, "test", MaskedSettings())

    class Silent:
        def entity_logits(self, graphs, anchor):
            return torch.zeros(len(graphs), len(index))

        tail_logits = entity_logits

        def relation_logits(self, graphs, triple):
            return torch.zeros(len(graphs), 2)

    metrics = masked(Silent(), questions)
    assert metrics["entity"]["accuracy"] == pytest.approx(1 / 6)
    assert metrics["entity"]["accuracy_seen"] == pytest.approx(1 / 6)
    assert metrics["relation"] == {
        "queries": 6,
        "accuracy": 0.5,
        "mr": 1.5,
        "mrr": pytest.approx(2 / 3),
        "hits@1": 0.0,
        "hits@3": 1.0,
        "hits@10": 1.0,
    }


def test_tail_rules_back_off_from_head_and_relation_to_all(passages):
    dataset, index = passages
    questions = prepare(dataset, "test", MaskedSettings())
    rule, c = Cooccurrence(questions.train), index["c"]
    anchors = np.array([index["b"], index["f"]], dtype=np.int32)
    known, relation_alone, head_alone = ([0, 1, c], [1, 1, c], [0, 0, c])
    for triple, best in ((known, "c"), (relation_alone, "c"), (head_alone, "b")):
        graph = Graph(-anchors, anchors, np.array([triple], dtype=np.int32))
        assert rule.tail_logits([graph], np.array([0])).argmax() == index[best]
    assert Majority(questions.train).tail_logits([graph], np.array([0])).argmax() == c
    assert Frequency(questions.train).tail_logits([graph], np.array([0])).argmax() == c


def test_a_relation_between_two_anchors_is_reported_apart(passages):
    dataset, index = passages
    questions = prepare(dataset, "test", MaskedSettings())
    # Test passages are ab, de and bf: a r b is the one fact whose head and tail both stand in the text.
    assert questions.between_anchors.sum() == 1 and questions.answers("relation")[questions.between_anchors] == [0]

    class KnowsPairs:
        """Right where the tail is an anchor, wrong elsewhere."""

        def entity_logits(self, graphs, anchor):
            return torch.zeros(len(graphs), len(index))

        def relation_logits(self, graphs, triple):
            chosen = [(graph, graph.triples[k]) for graph, k in zip(graphs, triple, strict=True)]
            answers = torch.tensor([r if t in graph.anchors else 1 - r for graph, (_, r, t) in chosen])
            return torch.nn.functional.one_hot(answers.long(), 2).float()

        def tail_logits(self, graphs, triple):
            return torch.zeros(len(graphs), len(index))

    metrics = masked(KnowsPairs(), questions)
    assert metrics["relation"]["accuracy"] == pytest.approx(1 / 6) and metrics["relation"]["queries"] == 6
    assert metrics["between_anchors"]["accuracy"] == 1 and metrics["between_anchors"]["queries"] == 1


def test_rules_are_predictors(passages):
    questions = prepare(passages[0], "test", MaskedSettings())
    assert all(isinstance(rule(questions.train), MaskedPredictor) for rule in (Majority, Frequency, Cooccurrence))


@pytest.mark.parametrize(
    ("split", "error", "message"),
    [("vaild", UsageError, "Did you mean valid"), ("valid", DataError, "nothing to mask. Try another --split")],
)
def test_a_split_without_graphs_says_so(passages, split, error, message):
    with pytest.raises(error, match=message):
        prepare(passages[0], split, MaskedSettings())


def test_frequency_of_a_relation_is_that_among_heads_of_the_same_category():
    train = TrainGraphs(
        entities=4,
        relations=2,
        anchor_graphs=np.array([0, 0]),
        anchor_entities=np.array([0, 1]),
        facts=np.array([[0, 0, 3], [0, 0, 2], [1, 1, 3]]),
        categories=np.array([[0, 7], [1, 8], [2, 8]]),
    )
    of_category_8 = Graph(
        np.array([-1], dtype=np.int32), np.array([2], dtype=np.int32), np.array([[0, 0, 3]], dtype=np.int32)
    )
    of_none = Graph(
        np.array([-1], dtype=np.int32), np.array([3], dtype=np.int32), np.array([[0, 0, 3]], dtype=np.int32)
    )
    scores = Frequency(train).relation_logits([of_category_8, of_none], np.array([0, 0]))
    assert scores.argmax(dim=1).tolist() == [1, 0]
