"""A text's graph is the one that the pipelines make of a passage with the same mentions."""

import dataclasses
import itertools
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer

from pipelines.transforms.splice import Mentions, splice
from schemas.dataset import Dataset
from tests.pipelines import tokenizers
from training.data.graphs import read_graphs
from training.data.special import load_tokenizer
from training.linking import Link
from training.weaving import MentionTokenizer, Weaver

TEXTS = [
    "Harry Potter points his wand at Lord Voldemort.",
    "Londoner, pre-Columbian, the wizard's wand; 東京都と京都 กรุงเทพมหานคร 👩‍🚀 é café naïve",
] * 8
KINDS = {kind: make(TEXTS) for kind, make in tokenizers.KINDS.items()}
ENCODERS = {kind: tokenizers.encoder(tokenizer) for kind, tokenizer in KINDS.items()}
OURS = {kind: MentionTokenizer(tokenizer) for kind, tokenizer in KINDS.items()}


@st.composite
def mentioned(draw):
    """A text of these scripts, and spans of it that are apart."""
    letters = st.sampled_from(
        [*"abz -'.,", "\n", "ß", "é", "e\u0301", "東", "京", "ก", "👩‍🚀", "Harry", " wand", "Londoner"]
    )
    text = "".join(draw(st.lists(letters, min_size=1, max_size=25)))
    edges = sorted(draw(st.sets(st.integers(0, len(text)), max_size=8)))
    return text, [pair for pair in itertools.pairwise(edges) if draw(st.booleans())]


@pytest.mark.parametrize("kind", KINDS)
@given(case=mentioned())
def test_the_units_are_those_that_the_pipelines_write(kind, case):
    text, spans = case
    starts, ends = np.array(spans, np.int64).reshape(-1, 2).T
    mentions = Mentions(np.zeros(len(spans), np.int64), starts, ends)
    expected = splice([text], mentions, ENCODERS[kind]).units.tolist()
    assert OURS[kind].units(text, spans) == expected


def weaver(made_up, neighbors=15):
    dataset = Dataset(made_up)
    whole = Weaver.of(dataset, load_tokenizer(dataset.tokens("tiny")))
    return dataclasses.replace(whole, neighbors=neighbors)


def test_a_text_with_its_mentions_gives_the_graph_of_the_dataset(made_up):
    dataset = Dataset(made_up)
    texts = dataset.read("entities", None, ["text", "label"]).to_pylist()
    names = [row["label"] for row in texts]
    tokens = dataset.tokens("tiny")
    ids = tokens.read("wk_graphs", "train", ["graph_id"])["graph_id"].to_pylist()
    ours = weaver(made_up)
    for number, expected in zip(ids, read_graphs(tokens, "train"), strict=True):
        text = texts[number >> 27]["text"]
        words = [match for match in re.finditer(r"\S+", text) if match[0] in names]
        first = {match[0]: match for match in reversed(words)}
        links = [Link(*match.span(), names.index(match[0])) for match in words if first[match[0]] is match]
        found = ours.weave(text, links)
        assert found.units.tolist() == expected.units.tolist()
        assert found.anchors.tolist() == expected.anchors.tolist()
        assert sorted(found.triples.tolist()) == sorted(expected.triples.tolist())


def test_a_second_mention_of_an_entity_stays_words(made_up):
    text = "city0 is near city1 and city0"
    indices = {row["label"]: row["entity_index"] for row in Dataset(made_up).read("entities").to_pylist()}
    city0, city1 = indices["city0"], indices["city1"]
    mentions = [Link(0, 5, city0), Link(14, 19, city1), Link(24, 29, city0)]
    found = weaver(made_up).weave(text, mentions)
    assert found.anchors.tolist() == [city0, city1]
    assert [unit for unit in found.units.tolist() if unit < 0] == [-1, -2]
    assert found.units[-1] == weaver(made_up).weave("city0", []).units[0]


def test_an_entity_with_too_many_facts_brings_some_that_follow_from_the_text_alone(made_up):
    person = next(row for row in Dataset(made_up).read("entities").to_pylist() if row["out_degree"] >= 3)
    mentions = [Link(0, len(person["label"]), person["entity_index"])]
    every = weaver(made_up).weave(person["label"], mentions).triples.tolist()
    drawn = [weaver(made_up, 1).weave(f"{person['label']} {i}", mentions).triples.tolist() for i in range(40)]
    assert all(len(facts) == 1 and facts[0] in every for facts in drawn)
    assert len({tuple(facts[0]) for facts in drawn}) == len(every)
    assert drawn[0] == weaver(made_up, 1).weave(f"{person['label']} 0", mentions).triples.tolist()


def test_a_text_without_mentions_is_its_tokens(made_up):
    found = weaver(made_up).weave("is a <mask> .", [])
    tokenizer: Tokenizer = load_tokenizer(Dataset(made_up).tokens("tiny"))
    assert found.units.tolist() == tokenizer.encode("is a <mask> .").ids
    assert (found.anchors.shape, found.triples.shape) == ((0,), (0, 3))
