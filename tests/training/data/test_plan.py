"""The plan: a pure function whose batches neither threads, ranks nor resuming can change, beside the obvious one."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.errors import DataError
from schemas.hashing import random_u64
from training.config_file import load_config
from training.data.plan import Mix, Plan


@st.composite
def plans(draw):
    sizes = draw(st.lists(st.integers(0, 30), min_size=1, max_size=12).filter(any))
    lanes = draw(st.integers(1, min(9, sum(sizes))))
    return Plan("s", "digest", draw(st.integers(0, 3)), np.array(sizes), lanes, draw(st.integers(1, 40)))


def drawn(plan, purpose, *ids):
    return int(random_u64(plan.seed, f"{plan.stream}/{plan.digest}/{purpose}", *ids))


def obvious_lanes(plan, epoch):
    """The (group, row)s of each lane in an epoch, in order, by plain loops."""
    order = sorted(range(len(plan.sizes)), key=lambda group: drawn(plan, "groups", epoch, group))
    rows = [(group, row) for group in order for row in range(plan.sizes[group])]
    turn = drawn(plan, "turn", epoch) % len(rows)
    rows = rows[turn:] + rows[:turn]
    each = len(rows) // plan.lanes
    lanes = []
    for lane in range(plan.lanes):
        own = list(enumerate(rows[lane * each : (lane + 1) * each]))
        windows = [own[start : start + plan.window] for start in range(0, each, plan.window)]
        shuffled = [sorted(window, key=lambda item: drawn(plan, "window", epoch, lane, item[0])) for window in windows]
        lanes.append([row for window in shuffled for _, row in window])
    return lanes


def fast_lanes(plan, epoch):
    windows = range(epoch * plan.windows, (epoch + 1) * plan.windows)
    places = [plan.places(window, np.arange(plan.lanes)) for window in windows]
    pairs = [np.concatenate(side, axis=1) for side in zip(*places, strict=True)]
    return [list(zip(*(side[lane].tolist() for side in pairs), strict=True)) for lane in range(plan.lanes)]


@settings(max_examples=80)
@given(plans(), st.integers(0, 3))
def test_the_lanes_of_any_plan_are_those_of_the_obvious_one(plan, epoch):
    assert fast_lanes(plan, epoch) == obvious_lanes(plan, epoch)


@settings(max_examples=60)
@given(plans(), st.integers(0, 2))
def test_an_epoch_has_each_row_at_most_once_and_drops_fewer_than_the_lanes(plan, epoch):
    rows = [row for lane in fast_lanes(plan, epoch) for row in lane]
    assert len(set(rows)) == len(rows) == plan.epoch_rows
    assert 0 <= plan.rows - len(rows) < plan.lanes


@pytest.mark.parametrize(
    ("lanes", "turns"),
    [(1, [0]), (2, [0, 1]), (3, [0, 2, 1]), (4, [0, 2, 1, 3]), (5, [0, 3, 2, 4, 1]), (8, [0, 4, 2, 6, 1, 5, 3, 7])],
)
def test_lanes_take_turns_in_the_order_of_their_bits_reversed(lanes, turns):
    assert Plan("s", "d", 0, np.array([40]), lanes, 10).turns.tolist() == turns


def test_the_rows_left_out_differ_between_epochs():
    plan = Plan("s", "d", 0, np.array([20, 19]), 4, 1_000)
    every = {(group, row) for group in (0, 1) for row in range(plan.sizes[group])}
    left = [frozenset(every - {row for lane in fast_lanes(plan, epoch) for row in lane}) for epoch in range(4)]
    assert all(len(rows) == 3 for rows in left) and len(set(left)) == 4


@settings(max_examples=60)
@given(plans(), st.integers(0, 500), st.integers(0, 60), st.integers(1, 40))
def test_shares_are_neighbouring_lanes_and_each_splits_into_the_shares_of_its_workers(plan, start, count, world):
    cuts = plan.cuts(start, start + count, world).tolist()
    assert cuts[0] == 0 and cuts[-1] == count and cuts == sorted(cuts)
    assert plan.cuts(start, start + count, 3 * world)[::3].tolist() == cuts


@pytest.mark.parametrize(("batch", "world"), [(480, 8), (500, 8), (500, 3), (480, 32), (500, 32), (480, 5)])
def test_shares_of_64_lanes_differ_by_few_rows(batch, world):
    plan = Plan("s", "d", 0, np.full(100, 1_000), 64, 4_096)
    for step in range(200):
        shares = np.diff(plan.cuts(step * batch, (step + 1) * batch, world))
        assert abs(shares - batch / world).max() <= 3
        assert shares.min() > 0


def test_epochs_seeds_data_and_streams_all_give_another_order():
    sizes = np.array([60, 40])
    plans = [Plan("s", "d", 0, sizes, 1, 100), Plan("s", "d", 1, sizes, 1, 100)]
    plans += [Plan("s", "e", 0, sizes, 1, 100), Plan("t", "d", 0, sizes, 1, 100)]
    orders = [fast_lanes(plan, 0)[0] for plan in plans] + [fast_lanes(plans[0], 1)[0]]
    assert len(set(map(tuple, orders))) == 5
    assert all(sorted(order) == sorted(orders[0]) for order in orders)


@given(plans(), st.integers(0, 2), st.data())
def test_what_is_left_out_gives_way_to_the_next_row_group_in_the_epochs_order(plan, epoch, data):
    full = [group for group in range(len(plan.sizes)) if plan.sizes[group]]
    bad = data.draw(st.lists(st.sampled_from(full), unique=True))
    if len(bad) == len(full):
        with pytest.raises(DataError, match="all of its row groups are damaged"):
            plan.stand_ins(epoch * plan.windows, bad)
        return
    order = sorted(range(len(plan.sizes)), key=lambda group: drawn(plan, "groups", epoch, group))
    stand_ins = plan.stand_ins(epoch * plan.windows, bad)
    for group in full:
        after = order[order.index(group) :] + order[: order.index(group)]
        assert stand_ins[group] == next(g for g in after if g in full and g not in bad)


@given(plans(), st.integers(0, 2), st.data())
def test_windows_share_the_row_groups_that_the_next_one_begins_with(plan, epoch, data):
    number = data.draw(st.integers(0, plan.windows - 1))
    order = sorted(range(len(plan.sizes)), key=lambda group: drawn(plan, "groups", epoch, group))
    rows = [group for group in order for _ in range(plan.sizes[group])]
    turn, following = drawn(plan, "turn", epoch), (number + 1) * plan.window
    starts = [lane * plan.lane_rows + following for lane in range(plan.lanes) if following < plan.lane_rows]
    found = plan.shared_with_next(epoch * plan.windows + number, np.arange(plan.lanes))
    assert found == {rows[(start + turn) % len(rows)] for start in starts}


def test_fewer_rows_than_lanes_are_refused():
    with pytest.raises(DataError, match="s has 7 rows, fewer than 8 lanes"):
        Plan("s", "d", 0, np.array([7]), 8, 10)


@given(st.lists(st.integers(1, 12), min_size=1, max_size=4), st.integers(1, 50), st.integers(1, 400))
def test_a_mix_fills_every_batch_and_keeps_each_share_to_two_rows_at_any_step(weights, batch, step):
    mix = Mix({str(i): weight for i, weight in enumerate(weights)}, batch)
    steps = np.arange(step)
    taken = np.array([mix.taken(name, steps) for name in mix.weights])
    assert (taken.sum(axis=0) == steps * batch).all() and (np.diff(taken) >= 0).all()
    exact = steps * batch * (np.array(weights)[:, None] / sum(weights))
    assert abs(taken - exact).max() < 2


@pytest.mark.parametrize("row_groups", [2_000, 10_000])
def test_a_batch_of_colake_base_draws_from_half_as_many_row_groups_as_a_perfect_shuffle(row_groups):
    recipe = load_config("colake-base")
    lanes, batch = recipe.data.lanes, recipe.train.batch_size
    plan = Plan("wk_graphs", "digest", 0, np.full(row_groups, 1_024), lanes, recipe.data.window)
    groups, _ = plan.places(0, np.arange(lanes))
    each = batch // lanes
    found = [len(np.unique(groups[:, start : start + each])) for start in range(0, 100 * each, each)]
    assert min(found) >= 0.5 * row_groups * (1 - (1 - 1 / row_groups) ** batch)


@pytest.mark.parametrize(
    ("weights", "owners"),
    [({"a": 3, "b": 1}, "aaba"), ({"a": 5, "b": 2}, "abaaaba"), ({"a": 10, "b": 4}, "abaaaba"), ({"a": 2}, "a")],
)
def test_the_slots_of_a_mix_are_each_streams_evenly_spaced(weights, owners):
    mix, rounds = Mix(weights, 1), 3
    for name in weights:
        given = [0, *np.cumsum([owner == name for owner in owners * rounds])]
        assert mix.taken(name, np.arange(len(owners) * rounds + 1)).tolist() == given
