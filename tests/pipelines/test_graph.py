"""The graph's order, counts and splits, against the rules said slowly."""

import dataclasses
import tempfile
from collections import Counter
from pathlib import Path
from unittest import mock

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines import sinks
from pipelines.transforms import split
from pipelines.transforms.facts import Statements, Tally
from pipelines.transforms.graph import SplitRules, describe_graph, make_graph, triple_rows, write_triples
from pipelines.transforms.inductive import Sizes
from schemas.triples import TRIPLES

KEPT = [3, 7, 11, 12, 20, 33, 40]
FACTS = st.lists(
    st.tuples(st.sampled_from(KEPT), st.sampled_from([5, 31, 106]), st.sampled_from(KEPT)), max_size=60, unique=True
)
RULES = SplitRules(seed=0, valid=4, test=6, together=True, inductive=Sizes(2, 2, 0.3))


def arrays(facts):
    return Statements(*np.array(facts, np.int64).reshape(-1, 3).T)


def made(facts, mentions, rules=RULES):
    return make_graph(arrays(facts), np.array(KEPT, np.int64), np.array(mentions, np.int64), rules)


MENTIONS = st.lists(st.integers(0, 5), min_size=len(KEPT), max_size=len(KEPT))


@given(FACTS, MENTIONS)
def test_counts_are_of_train_and_the_most_frequent_come_first(facts, mentions):
    graph, _ = made(facts, mentions)
    rows = triple_rows(graph, np.arange(len(facts))).to_pylist()
    assert sorted((r["head"], r["relation"], r["tail"]) for r in rows) == sorted(
        (f"Q{h}", f"P{r}", f"Q{t}") for h, r, t in facts
    )
    keys = [(r["head_index"], r["relation_index"], r["tail_index"]) for r in rows]
    assert keys == sorted(keys)
    train = [row for row in rows if row["split"] == "train"]
    heads, tails, relations = (Counter(row[name] for row in train) for name in ("head", "tail", "relation"))
    frequency = {item: mentions[KEPT.index(item)] + heads[f"Q{item}"] + tails[f"Q{item}"] for item in KEPT}
    assert graph.items.tolist() == sorted(KEPT, key=lambda item: (-frequency[item], item))
    assert graph.out_degree.tolist() == [heads[f"Q{item}"] for item in graph.items]
    assert graph.in_degree.tolist() == [tails[f"Q{item}"] for item in graph.items]
    assert graph.mention_count.tolist() == [mentions[KEPT.index(item)] for item in graph.items]
    assert graph.relation_frequency.tolist() == [relations[f"P{number}"] for number in graph.properties]
    assert graph.properties.tolist() == sorted(
        {relation for _, relation, _ in facts}, key=lambda number: (-relations[f"P{number}"], number)
    )


@given(FACTS, MENTIONS, st.randoms(use_true_random=False))
def test_a_graph_does_not_depend_on_the_order_of_its_triples(facts, mentions, random):
    one, other = made(facts, mentions), made(random.sample(facts, len(facts)), mentions)
    assert one[1] == other[1]
    assert all(np.array_equal(value, getattr(other[0], name)) for name, value in vars(one[0]).items())


@given(FACTS, MENTIONS)
def test_the_manifest_tells_what_the_splits_hold(facts, mentions):
    graph, refused = made(facts, mentions)
    told = describe_graph(graph, refused, RULES, Tally())
    rows = triple_rows(graph, np.arange(len(facts))).to_pylist()
    assert told["self_triples"] == sum(h == t for h, _, t in facts)
    assert told["split"]["asked"] == {"valid": 4, "test": 6}
    for column in ("split", "inductive_split"):
        counts = Counter(row[column] for row in rows)
        assert Counter(told[column]["triples"]) == counts
    assert sum(told["inductive_split"]["entities"].values()) == len(KEPT)
    assert (told["inductive_split"]["refused"] is None) == (not refused)


@settings(max_examples=10, deadline=None)
@given(FACTS.filter(bool), MENTIONS, st.integers(1, 20), st.integers(1, 20))
def test_triples_are_written_as_a_whole_table_would_be(facts, mentions, rows_per_shard, row_group_rows):
    graph, _ = made(facts, mentions)
    table = dataclasses.replace(TRIPLES, row_group_rows=row_group_rows)
    with tempfile.TemporaryDirectory() as name, mock.patch("pipelines.transforms.graph.TRIPLES", table):
        shards = write_triples(graph, Path(name) / "parts", rows_per_shard)
        rows = triple_rows(graph, np.arange(len(facts)))
        assert shards == sinks.write_table(table, rows, Path(name) / "whole", rows_per_shard)


def test_sizes_that_are_not_asked_for_are_at_most_a_twentieth():
    facts = [(h, r, t) for h in KEPT for r in (5, 31, 106, 107) for t in KEPT]
    graph, _ = made(facts, [0] * len(KEPT), SplitRules(**{**vars(RULES), "valid": None, "test": None}))
    counts = np.bincount(graph.codes, minlength=3)
    assert counts[split.VALID] <= len(facts) // 20
    assert counts[split.TEST] == len(facts) // 20 // 8 * 8, "whole groups of 8 triples of a pair, or 4 of a self pair"
