"""JAKET's filter: who stays, against the rule said slowly."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.transforms.prune import prune

NUMBER = st.integers(1, 9)


@given(
    st.sets(NUMBER),
    st.lists(st.tuples(NUMBER, st.lists(NUMBER, max_size=5)), max_size=8),
    st.lists(st.lists(NUMBER, max_size=8), max_size=3),
    st.integers(0, 3),
    st.integers(0, 3),
)
def test_an_entity_stays_where_it_meets_one_of_the_thresholds_asked_for(kept, records, linked, neighbors, mentions):
    statements = [(item, tail) for item, tails in records for tail in tails]
    heads, tails = np.array(statements, np.int64).reshape(-1, 2).T
    found = prune(
        np.array(sorted(kept), np.int64),
        [(heads, tails)],
        [np.array(numbers, np.int64) for numbers in linked],
        min_neighbors=neighbors,
        min_mentions=mentions,
    )
    around = {item: set() for item in kept}
    for head, tail in statements:
        if head in kept and tail in kept and head != tail:
            around[head].add(tail)
            around[tail].add(head)
    counts = {item: sum(numbers.count(item) for numbers in linked) for item in kept}
    stays = {
        item
        for item in kept
        if (not neighbors and not mentions)
        or (neighbors and len(around[item]) >= neighbors)
        or (mentions and counts[item] >= mentions)
    }
    assert found.tolist() == sorted(stays)


@pytest.mark.parametrize("asked", [(5, 5), (5, 0), (0, 5)])
def test_nothing_is_no_mistake(asked):
    empty = np.empty(0, np.int64)
    assert not len(prune(empty, [], [], min_neighbors=asked[0], min_mentions=asked[1]))
