"""The plan: a pure function whose batches neither threads, ranks nor resuming can change."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.errors import DataError
from training.data.plan import BLOCK_ROWS, Plan

PLANS = st.builds(
    lambda lanes, share, extra, window, seed: Plan(
        "s", "digest", seed, lanes * share + extra, lanes * share, lanes, window
    ),
    lanes=st.integers(1, 5),
    share=st.integers(1, 7),
    extra=st.integers(0, 3 * BLOCK_ROWS),
    window=st.integers(1, 700),
    seed=st.integers(0, 3),
)


@settings(max_examples=40, deadline=None)
@given(PLANS, st.integers(0, 2))
def test_an_epoch_has_each_row_at_most_once_and_drops_less_than_a_batch_and_a_lane(plan, epoch):
    steps = range(epoch * plan.steps_per_epoch, (epoch + 1) * plan.steps_per_epoch)
    batches = [plan.batch(step) for step in steps]
    assert {number for number, _ in batches} == {epoch}
    rows = np.concatenate([rows for _, rows in batches])
    assert len(np.unique(rows)) == len(rows)
    assert rows.min() >= 0 and rows.max() < plan.rows
    assert plan.rows - len(rows) < plan.batch_size + plan.lanes


@settings(max_examples=25, deadline=None)
@given(PLANS, st.integers(0, 100), st.integers(1, 40))
def test_ranks_of_any_number_share_the_same_global_batch(plan, step, world):
    whole = plan.batch(step)[1]
    shares = [plan.batch(step, rank, world)[1] for rank in range(world)]
    assert np.array_equal(np.concatenate(shares), whole)


def test_threads_and_the_order_of_asking_change_nothing():
    plan = Plan("s", "d", 0, 5_000, 40, 4, 300)
    steps = list(range(2 * plan.steps_per_epoch))
    forward = [plan.batch(step)[1].tolist() for step in steps]
    with ThreadPoolExecutor(4) as pool:
        backward = list(pool.map(lambda step: plan.batch(step)[1].tolist(), reversed(steps)))
    assert forward == backward[::-1]


def test_epochs_seeds_data_and_streams_all_give_another_order():
    plans = [Plan("s", "d", 0, 100, 100, 1, 100), Plan("s", "d", 1, 100, 100, 1, 100)]
    plans += [Plan("s", "e", 0, 100, 100, 1, 100), Plan("t", "d", 0, 100, 100, 1, 100)]
    orders = [plan.batch(0)[1].tolist() for plan in plans] + [plans[0].batch(1)[1].tolist()]
    assert len({tuple(order) for order in orders}) == 5
    assert all(sorted(order) == list(range(100)) for order in orders)


def test_the_rows_left_over_differ_between_epochs():
    plan = Plan("s", "d", 0, 39, 20, 4, 1_000)
    left = [frozenset(range(39)) - set(plan.batch(epoch)[1].tolist()) for epoch in range(4)]
    assert len(set(left)) > 1


def test_a_batch_draws_from_many_blocks():
    plan = Plan("s", "d", 0, 40 * BLOCK_ROWS, 64, 8, 4_096)
    assert len(np.unique(plan.batch(3)[1] // BLOCK_ROWS)) >= 16


@pytest.mark.parametrize(("rows", "batch", "lanes"), [(7, 8, 4), (100, 10, 4)])
def test_too_few_rows_or_unequal_lanes_are_refused(rows, batch, lanes):
    with pytest.raises(DataError):
        Plan("s", "d", 0, rows, batch, lanes, 10)
