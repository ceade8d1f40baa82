"""Episodes are what they should be, and the same whatever the order of the rows."""

import dataclasses

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from training.data.episodes import Shape, draw, pool_of

SHAPES = st.builds(
    Shape, ways=st.integers(1, 4), shots=st.integers(1, 3), queries=st.integers(1, 3), none=st.integers(0, 4)
)


def rows(relations=5, examples=6):
    return [
        {"example_id": f"P{relation}/{number}", "label": f"P{relation}"}
        for number in range(examples)
        for relation in range(relations)
    ]


@settings(max_examples=25)
@given(SHAPES, st.integers(0, 9))
def test_an_episode_has_distinct_examples_of_its_relations_and_queries_of_others(shape, seed):
    everything = rows()
    episodes = draw(pool_of(everything), shape, seed, "test", [3, 8])
    for support, queries, answers in zip(episodes.support, episodes.queries, episodes.answers, strict=True):
        shown = [{everything[place]["label"] for place in shots} for shots in support]
        assert all(len(own) == 1 for own in shown) and len(set.union(*shown)) == shape.ways
        assert len(answers) == len(queries) == shape.ways * shape.queries + shape.none
        known = queries[answers < shape.ways].tolist()
        assert len({*known, *support.ravel().tolist()}) == shape.ways * (shape.shots + shape.queries)
        for place, answer in zip(queries, answers, strict=True):
            label = everything[place]["label"]
            assert {label} == shown[answer] if answer < shape.ways else label not in set.union(*shown)


def test_the_order_of_the_rows_and_of_other_episodes_makes_no_difference():
    everything, shape = rows(), Shape(3, 2, 1, 1)
    ids = np.array([row["example_id"] for row in everything])
    turned = everything[::-1]
    other_ids = np.array([row["example_id"] for row in turned])
    ours, theirs = draw(pool_of(everything), shape, 0, "x", [5, 6]), draw(pool_of(turned), shape, 0, "x", [6])
    for one, other in zip(dataclasses.astuple(ours)[:2], dataclasses.astuple(theirs)[:2], strict=True):
        assert ids[one[1]].tolist() == other_ids[other[0]].tolist()


def test_seeds_purposes_and_numbers_give_other_episodes_and_all_examples_come():
    pool, shape = pool_of(rows()), Shape(3, 2, 1)
    first = draw(pool, shape, 0, "train", range(40)).support
    assert not np.array_equal(first[0], first[1])
    assert not np.array_equal(first, draw(pool, shape, 1, "train", range(40)).support)
    assert not np.array_equal(first, draw(pool, shape, 0, "test", range(40)).support)
    assert len(np.unique(first)) == 30
