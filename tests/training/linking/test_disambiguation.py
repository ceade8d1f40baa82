"""What a model is asked about a mention: its graph, and the candidates' logits."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from schemas.dataset import Dataset
from schemas.errors import DataError
from training.config_file import load_config
from training.data.special import load_tokenizer
from training.linking import Link, LinkSettings, open_linker
from training.linking.disambiguation import GraphContext
from training.models.colake import ColakePredictor
from training.runs import Run
from training.sources import open_source
from training.systems import build_model

SMALL = {"encoder.hidden_size": "16", "encoder.intermediate_size": "32", "encoder.heads": "2"}


class Recorder:
    """A model that keeps what it is asked and likes late candidates."""

    def __init__(self):
        self.asked = []

    def candidate_logits(self, graphs, anchor, candidates):
        self.asked += zip(graphs, anchor.tolist(), [entities.tolist() for entities in candidates], strict=True)
        return [torch.arange(len(entities), dtype=torch.float32) * 100 for entities in candidates]


@pytest.fixture
def run(made_up):
    dataset = Dataset(made_up)
    tokens = dataset.tokens("tiny")
    config = load_config("colake-tiny", SMALL)
    return Run(Path("run"), config, dataset, tokens, Recorder(), load_tokenizer(tokens), open_source(dataset, tokens))


@pytest.fixture(scope="module")
def index(made_up):
    return {row["label"]: row["entity_index"] for row in Dataset(made_up).read("entities").to_pylist()}


def ask(run, text, *links, candidates):
    """(graph, anchor) of the one mention with several candidates."""
    GraphContext(run).logits(text, links, [np.array(some, dtype=np.int32) for some in candidates])
    [(graph, anchor, _)] = run.model.asked
    return graph, anchor


def test_the_mention_is_an_anchor_without_facts_and_no_fact_is_about_a_candidate(run, made_up, index):
    names = {place: name for name, place in index.items()}
    triples = Dataset(made_up).read("triples", "train").to_pylist()
    fact = next(row for row in triples if names[row["tail_index"]].startswith("city"))
    other, city = names[fact["head_index"]], fact["tail_index"]
    text, candidates = f"{other} lives in town .", [index["country0"], city]
    links = [Link(0, len(other), index[other]), Link(len(other) + 10, len(other) + 14, city)]
    graph, anchor = ask(run, text, *links, candidates=[[index[other]], candidates])
    assert graph.anchors.tolist() == [index[other], city] and anchor == 1
    heads = [row["tail_index"] for row in triples if row["head_index"] == index[other]]
    about = sum(tail in candidates for tail in heads)
    assert about > 0
    assert len(graph.triples) == len(heads) - about
    assert set(graph.triples[:, 0].tolist()) <= {0}


def test_other_mentions_of_a_candidate_stay_words(run, index):
    text = "town is city1 or town"
    links = [Link(0, 4, index["city0"]), Link(8, 13, index["city1"]), Link(17, 21, index["city0"])]
    several = [index["city0"], index["city1"]]
    GraphContext(run).logits(text, links, [np.array(some, np.int32) for some in (several, [index["city1"]], several)])
    assert [(graph.anchors.tolist(), anchor) for graph, anchor, _ in run.model.asked] == [([index["city0"]], 0)] * 2
    assert [graph.units.tolist().index(-1) for graph, _, _ in run.model.asked] == [0, 4]


def test_of_overlapping_mentions_the_one_that_is_asked_for_stays(run, index):
    text = "town city1 city2"
    links = [Link(0, 10, index["city3"]), Link(0, 4, index["city0"]), Link(11, 16, index["city2"])]
    graph, anchor = ask(run, text, *links, candidates=[[index["city3"]], [0, index["city0"]], [index["city2"]]])
    assert (graph.anchors.tolist(), anchor) == ([index["city0"], index["city2"]], 0)


def test_a_long_text_is_read_around_the_mention(run, index):
    longest = run.config.encoder.max_positions - 2
    text = "is a " * longest + "town" + " is a" * longest
    place = text.index("town")
    graph, _ = ask(run, text, Link(place, place + 4, index["city0"]), candidates=[[index["city0"], index["city1"]]])
    assert len(graph.units) == longest
    assert abs(graph.units.tolist().index(-1) - longest // 2) <= 1


def test_a_mention_with_one_candidate_is_not_asked_about(run, index):
    [logits] = GraphContext(run).logits("city0", [Link(0, 5, index["city0"])], [np.array([6], dtype=np.int32)])
    assert logits.tolist() == [0] and run.model.asked == []


def test_what_the_model_likes_is_linked(run, made_up, index):
    cities = sorted(place for name, place in index.items() if name.startswith("city"))
    dataset = Dataset(made_up)
    alone = open_linker(dataset, LinkSettings()).link("the town")
    asked = open_linker(dataset, LinkSettings(), GraphContext(run)).link("the town")
    assert ([link.entity_index for link in alone], [link.entity_index for link in asked]) == ([cities[0]], [cities[-1]])
    assert asked[0].score == pytest.approx(0.5)


def test_candidates_logits_are_those_of_all_entities(run):
    torch.manual_seed(0)
    model = build_model(run.config, run.source, training=False)
    predictor = ColakePredictor(model, run.source.special, run.source.sizes, 100)
    weaver = GraphContext(run).weaver
    graphs = [weaver.weave(text, [Link(0, 5, 6), Link(6, 11, 7)]) for text in ("city0 city1 is", "city0 city1")]
    candidates = [np.array([3, 9, 6]), np.array([5])]
    found = predictor.candidate_logits(graphs, np.array([0, 1]), candidates)
    every = predictor.entity_logits(graphs, np.array([0, 1]))
    for logits, row, some in zip(found, every, candidates, strict=True):
        assert torch.allclose(logits, row[torch.from_numpy(some)], atol=1e-6)


def test_a_run_of_another_system_is_refused(run):
    other = dataclasses.replace(run, config=load_config("kepler-tiny", {}))
    with pytest.raises(DataError, match="kepler run, which reads no word-knowledge graph"):
        GraphContext(other)
