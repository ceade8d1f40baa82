"""Negatives: the distributions asked for, never a gold one, never a known fact."""

import dataclasses

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from schemas.dataset import Dataset
from schemas.hashing import random_u64
from tests.training.data.test_masking import chi_square, feed, graphs
from training.data.negatives import REDRAWS, alias_table, corrupt_relations, corrupt_tails, known_facts


@settings(deadline=None, max_examples=300)
@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=60) | st.lists(st.integers(0, 3), min_size=1, max_size=12))
@example([0, 0, 1, 1])
def test_the_alias_table_is_exactly_the_distribution(weights):
    table = alias_table(np.array(weights))
    count = len(weights)
    implied = np.bincount(np.arange(count), table.keep, count) + np.bincount(table.alias, 1 - table.keep, count)
    total = sum(weights)
    expected = np.array(weights) / total if total else np.full(count, 1 / count)
    assert np.allclose(implied / count, expected, atol=1e-9)
    assert (table.keep >= 0).all() and (table.keep <= 1).all()


def test_draws_follow_graph_count_to_the_three_quarters():
    counts = np.array([1, 2, 4, 8, 16, 32, 64, 500, 0, 3])
    draws = alias_table(counts**0.75).sample(random_u64(0, "draws", np.arange(300_000)))
    expected = 300_000 * counts**0.75 / (counts**0.75).sum()
    observed = np.bincount(draws, minlength=len(counts))
    assert observed[8] == 0
    positive = counts > 0
    assert chi_square(observed[positive], expected[positive]) < 26.1  # 8 degrees of freedom, p = 0.001


def test_candidates_are_the_gold_entities_then_distinct_others_per_gold(made_up):
    source = feed(made_up, negatives=3)
    for step in range(10):
        batch = source.batch(graphs(made_up, *range(16)), step)
        labels = np.concatenate([p.labels[(p.types == 1) & (p.labels >= 0)].numpy() for p in batch.pieces])
        gold, candidates = np.unique(labels), batch.candidates.numpy()
        assert np.array_equal(candidates[: len(gold)], gold)
        assert not np.isin(candidates[len(gold) :], gold).any()
        assert len(np.unique(candidates)) == len(candidates) <= 4 * len(gold)
    same = graphs(made_up, *range(16))
    assert not np.array_equal(source.batch(same, 0).candidates, source.batch(same, 1).candidates)


def test_a_batchs_negatives_follow_graph_count_to_the_three_quarters(made_up):
    counts = Dataset(made_up).read("entities")["graph_count"].to_numpy() ** 2  # so that they differ
    source = dataclasses.replace(feed(made_up, negatives=1), negatives=alias_table(counts**0.75))
    gold, steps = np.array([3]), 6_000
    drawn = [source._negatives(gold, step) for step in range(steps)]
    observed = np.bincount(np.concatenate(drawn), minlength=len(counts))
    assert observed[gold] == 0
    expected = steps * counts**0.75 / (counts**0.75).sum()
    missed, others = expected[gold], np.delete(np.arange(len(counts)), gold)
    # Beside the others, the draws that gave the gold one and were left out.
    cells = np.append(observed[others], steps - observed.sum()), np.append(expected[others], missed)
    freedom = len(counts) - 1
    assert chi_square(*cells) < freedom + 3.1 * np.sqrt(2 * freedom)  # p = 0.001


def test_the_chance_of_a_negative_is_that_of_being_drawn_at_least_once(made_up):
    source = dataclasses.replace(feed(made_up, negatives=3, logq=True), seed=0)
    counts = Dataset(made_up).read("entities")["graph_count"].to_numpy()
    source = dataclasses.replace(source, negatives=alias_table(counts**0.75))
    gold, steps = np.array([3, 5]), 1_500
    drawn = [source._negatives(gold, step) for step in range(steps)]
    share = np.bincount(np.concatenate(drawn), minlength=len(counts)) / steps
    candidates = np.concatenate([gold, np.delete(np.arange(len(counts)), gold)])
    chance = np.exp(source._log_chance(candidates, 2).numpy())
    assert chance[:2].tolist() == [1, 1]
    assert np.abs(share[candidates[2:]] - chance[2:]).max() < 4 * 0.5 / np.sqrt(steps)
    batch = source.batch(graphs(made_up, *range(16)), 0)
    assert batch.log_chance.shape == batch.candidates.shape and (batch.log_chance[: batch.gold] == 0).all()
    assert (batch.log_chance[batch.gold :] < 0).all()


def test_a_gold_entitys_negatives_depend_on_the_step_and_not_on_how_the_batch_is_cut(made_up):
    source, rows = feed(made_up, negatives=3), graphs(made_up, *range(16))
    whole = set(source.batch(rows, 5).candidates.tolist())
    halves = [set(source.batch(half, 5).candidates.tolist()) for half in rows.cut(2)]
    assert whole == halves[0] | halves[1]


TRIPLES = np.array([(0, 0, 1), (0, 0, 2), (3, 1, 0), (0, 0, 4)])


@pytest.mark.parametrize("heads", [False, True])
def test_corrupted_triples_are_uniform_over_what_is_not_known(heads):
    known = known_facts(TRIPLES, entities=30, relations=2)
    asked = np.repeat(TRIPLES[:1], 3_000, axis=0)
    words = random_u64(0, "w", np.arange(3_000)[:, None, None], np.arange(2 * REDRAWS).reshape(1, 2, REDRAWS))
    drawn = corrupt_tails(asked, known, words, heads=heads).ravel()
    allowed = [e for e in range(30) if e not in ([0] if heads else [1, 2, 4])]
    assert np.unique(drawn).tolist() == allowed
    observed = np.bincount(drawn, minlength=30)[allowed]
    # 28 or 26 degrees of freedom, p = 0.001.
    assert chi_square(observed, np.full(len(allowed), 6_000 / len(allowed))) < 54.1


def test_known_facts_hold_and_no_others():
    known = known_facts(TRIPLES, entities=6, relations=2)
    every = np.array([(h, r, t) for h in range(6) for r in range(2) for t in range(6)])
    found = known.holds(every[:, 0], every[:, 1], every[:, 2])
    assert {tuple(row) for row in every[found].tolist()} == {tuple(row) for row in TRIPLES.tolist()}
    assert not known_facts(TRIPLES[:0], 6, 2).holds(every[:, 0], every[:, 1], every[:, 2]).any()


@given(
    facts=st.lists(st.tuples(st.integers(0, 9), st.integers(0, 1), st.integers(0, 9)), max_size=60),
    asked=st.lists(st.tuples(st.integers(0, 9), st.integers(0, 1), st.integers(0, 9)), max_size=8),
    candidates=st.sets(st.integers(0, 9)),
    heads=st.booleans(),
)
def test_the_known_facts_among_candidates_are_all_there_are(facts, asked, candidates, heads):
    known = known_facts(np.array(facts, dtype=np.int64).reshape(-1, 3), entities=10, relations=2)
    ordered = sorted(candidates)
    triples = np.array(asked, dtype=np.int64).reshape(-1, 3)
    found = known.among(triples, np.array(ordered, dtype=np.int64), heads=heads)
    expected = [
        [row, place]
        for row, (head, relation, tail) in enumerate(asked)
        for place, entity in enumerate(ordered)
        if ((entity, relation, tail) if heads else (head, relation, entity)) in facts
    ]
    assert found.tolist() == expected


def test_where_everything_is_known_the_last_draw_stays():
    everything = np.array([(0, 0, t) for t in range(3)])
    words = random_u64(0, "w", np.arange(REDRAWS).reshape(1, 1, REDRAWS))
    drawn = corrupt_tails(everything[:1], known_facts(everything, 3, 1), words)
    assert drawn[0, 0] == int(words[0, 0, -1] % np.uint64(3))


def test_a_fact_that_is_not_known_is_none_of_its_own_corruptions():
    nothing = known_facts(TRIPLES[:0], entities=2, relations=2)
    words = random_u64(0, "w", np.arange(50)[:, None, None], np.arange(REDRAWS).reshape(1, 1, REDRAWS))
    asked = np.repeat(np.array([[0, 1, 1]]), 50, axis=0)
    assert (corrupt_tails(asked, nothing, words) == 0).all()
    assert (corrupt_tails(asked, nothing, words, heads=True) == 1).all()
    assert (corrupt_relations(asked, nothing, words) == 0).all()
