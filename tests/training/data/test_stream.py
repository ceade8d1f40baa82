"""Any rank's rows of any batch, beside a loop over the obvious lanes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.training.data.rows import loader, numbered, order_hash, told
from tests.training.data.test_plan import obvious_lanes
from training.data.stream import Rank


def obvious_batch(one, name, step):
    """The (epoch, number)s of a batch, lane by lane, by plain loops."""
    plan, groups, lanes = one.plans[name], one._groups[name], {}
    start, end = one.mix.taken(name, np.array([step, step + 1])).tolist()
    first = np.concatenate([[0], np.cumsum(groups.sizes)])
    rows = []
    for lane in range(plan.lanes):
        for position in range(start, end):
            if position % plan.lanes == plan.turns[lane]:
                epoch, row = divmod(position // plan.lanes, plan.lane_rows)
                if epoch not in lanes:
                    lanes[epoch] = obvious_lanes(plan, epoch)
                group, place = lanes[epoch][lane][row]
                rows.append((epoch, int(first[group]) + place))
    return rows


@settings(max_examples=30)
@given(
    st.lists(st.integers(1, 12), min_size=1, max_size=8),
    st.integers(1, 9),
    st.integers(1, 20),
    st.integers(1, 30),
    st.lists(st.integers(0, 12), min_size=1, max_size=4),
    st.integers(1, 7),
)
def test_any_batch_asked_for_in_any_order_is_the_obvious_one_cut_among_any_ranks(
    sizes, lanes, window, batch, steps, world
):
    def ranks(world):
        return [
            loader({"s": numbered(*sizes)}, {"s": batch}, lanes=lanes, window=window, rank=Rank(rank, world))
            for rank in range(world)
        ]

    whole = ranks(1)[0]
    try:
        sharing = ranks(world)
    except Exception as error:
        assert "can't be shared" in str(error) and batch < 3 * world
        sharing = [whole]
    for step in steps:
        expected = obvious_batch(whole, "s", step)
        told_rows = [row for one in sharing for row in told(one.take(step))]
        assert [(epoch, number) for _, epoch, number, _ in told_rows] == expected
        assert all(values == [number] * (number % 10) for _, _, number, values in told_rows)


MIXED = {"text": numbered(*[90] * 25, 41), "facts": numbered(*[64] * 12), "glosses": numbered(50, 33)}
WEIGHTS = {"text": 5, "facts": 3, "glosses": 1}
STEPS = 6


def mixed_hash(batch, world, **settings):
    ranks = [
        loader(MIXED, WEIGHTS, batch=batch, rank=Rank(rank, world), lanes=24, window=40, **settings)
        for rank in range(world)
    ]
    shares = []
    for one in ranks:
        with one.batches(0, STEPS, lambda _step, parts: parts) as batches:
            shares.append(list(batches))
    return order_hash(zip(*shares, strict=True))


@pytest.fixture(scope="module", params=[480, 500])
def batch_and_hash(request):
    return request.param, mixed_hash(request.param, 1)


@pytest.mark.parametrize("world", [1, 2, 3, 5, 8, 32])
def test_mixed_streams_have_one_order_at_any_number_of_ranks_and_threads(batch_and_hash, world):
    batch, expected = batch_and_hash
    for threads in [{}, {"threads": 3, "ahead": 2}] if world < 32 else [{"threads": 2, "ahead": 1}]:
        assert mixed_hash(batch, world, **threads) == expected


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2, 3])
@pytest.mark.parametrize("world", [1, 2, 3, 5, 8, 32])
def test_mixed_streams_have_one_order_at_any_number_of_worker_processes(batch_and_hash, world, workers):
    batch, expected = batch_and_hash
    if world > 3:  # a rank reads what its workers, as ranks of their own, read
        world *= workers
        workers = 0
    assert mixed_hash(batch, world, workers=workers, ahead=2) == expected


@pytest.mark.slow
def test_two_real_worker_processes_read_the_same():
    assert mixed_hash(500, 1, workers=2, ahead=2) == mixed_hash(500, 1)


@pytest.mark.parametrize("batch", [480, 500])
@pytest.mark.parametrize("world", [1, 2, 8])
def test_four_ranks_stopped_anywhere_go_on_as_any_number(batch, world):
    stop, end = 5, 11

    def ranks(count):
        return [
            loader(MIXED, WEIGHTS, batch=batch, rank=Rank(rank, count), lanes=24, window=40) for rank in range(count)
        ]

    unbroken = order_hash([[ranks(1)[0].take(step)] for step in range(end)])
    before = ranks(4)
    shares = [[one.take(step) for one in before] for step in range(stop)]
    states = [one.state(stop) for one in before]
    assert all(state == states[0] for state in states)
    after = ranks(world)
    assert [one.resume(states[0]) for one in after] == [stop] * world
    shares += [[one.take(step) for one in after] for step in range(stop, end)]
    assert order_hash(shares) == unbroken


def test_an_epoch_with_three_kills_loses_and_doubles_no_row():
    def ranks(count):
        return [
            loader({"s": numbered(*[100] * 40)}, {"s": 60}, rank=Rank(rank, count), lanes=16, window=150)
            for rank in range(count)
        ]

    epoch = ranks(1)[0].plans["s"].epoch_rows
    seen, step, state = [], 0, None
    for world, kill in ((4, 17), (1, 30), (8, 55), (2, 10**9)):
        ours = ranks(world)
        for one in ours:
            step = one.resume(state) if state else 0
        # What is read ahead of a kill was not learnt from, and comes again.
        with ours[0].batches(step, step + 5, lambda _step, parts: parts) as batches:
            next(batches)
        while step < kill and len(seen) < epoch:
            seen += [row for one in ours for row in told(one.take(step))]
            step += 1
        state = ours[0].state(step)
    numbers = [number for _, epoch, number, _ in seen if epoch == 0]
    assert len(numbers) == len(set(numbers)) == epoch
    assert 4_000 - epoch < 16


def test_a_row_group_is_decoded_once_an_epoch_but_for_the_cuts_between_lanes():
    groups = numbered(*[100] * 400)
    for world in (1, 8):
        ranks = [
            loader({"s": groups}, {"s": 500}, rank=Rank(rank, world), lanes=8, window=230) for rank in range(world)
        ]
        for step in range(int(ranks[0].epoch_steps)):
            for one in ranks:
                one.take(step)
        assert sum(one.decodes for one in ranks) <= 400 + 8 + 1


def test_a_batch_of_480_draws_from_half_as_many_row_groups_as_a_perfect_shuffle():
    one = loader({"s": numbered(*[1_000] * 1_000)}, {"s": 480})
    found = [len(set((part["s"].columns.numbers["number"] // 1_000).tolist())) for part in map(one.take, range(3))]
    perfect = 1_000 * (1 - (1 - 1 / 1_000) ** 480)
    assert min(found) >= 0.5 * perfect


def test_parts_are_cut_into_stretches_without_loss():
    parts = loader({"s": numbered(7, 8)}, {"s": 11}, lanes=2).take(0)
    pieces = parts["s"].cut(4)
    assert [len(piece.epochs) for piece in pieces] == [2, 3, 3, 3]
    assert [row for piece in pieces for row in told({"s": piece})] == told(parts)
