"""The loader: its state, its errors, and its threads."""

import json
import threading
from collections import Counter

import numpy as np
import pytest

from schemas.errors import DataError, UsageError
from tests.training.data.rows import loader, numbered, told
from training.data.faults import MAX_QUARANTINED
from training.data.stream import Rank

SIZES = [40, 40, 40, 40, 33]


def test_the_state_is_small_the_same_on_all_ranks_and_names_none():
    weights = {"text": 5, "facts": 3, "glosses": 1}
    states = []
    for world in (1, 4):
        groups = {name: numbered(*[7] * 30_000) for name in weights}
        one = loader(groups, weights, batch=4_000, rank=Rank(world - 1, world), on_corrupt="quarantine")
        one._quarantine.groups.update(text=list(range(29_000, 29_000 + MAX_QUARANTINED)))
        states.append(json.dumps(one.state(10**9)))
    assert states[0] == states[1] and len(states[0]) < 2_048
    state = json.loads(states[0])
    assert "rank" not in states[0] and "world" not in states[0]
    assert {name: stream["epoch"] > 0 for name, stream in state["streams"].items()} == dict.fromkeys(weights, True)


def test_every_stream_has_an_epoch_counter_of_its_own():
    one = loader({"long": numbered(100, 100), "short": numbered(10)}, {"long": 10, "short": 4}, lanes=2)
    streams = one.state(12)["streams"]
    assert (streams["long"]["epoch"], streams["long"]["row"]) == (0, 120)
    assert (streams["short"]["epoch"], streams["short"]["row"]) == (4, 8)
    rows = [row for step in range(12) for row in told(one.take(step)) if row[0] == "short"]
    for epoch in range(4):
        assert sorted(number for _, e, number, _ in rows if e == epoch) == list(range(10))


def test_a_short_last_row_group_beside_a_longer_stream_comes_as_often_as_the_others():
    """The authors' round robin goes through a last part of 111,223 triples some 61 times while the others are read
    once."""
    groups = {"triples": numbered(60, 60, 60, 1), "text": numbered(700, 700)}
    one = loader(groups, {"triples": 12, "text": 30}, lanes=1)
    rows = [row for step in range(45) for row in told(one.take(step))]
    times = {name: Counter(number for stream, _, number, _ in rows if stream == name) for name in groups}
    assert len(times["triples"]) == 181 and set(times["triples"].values()) <= {2, 3}
    assert sum(times["triples"].values()) == 45 * 12 and sum(times["text"].values()) == 45 * 30
    assert set(times["text"].values()) == {1} and len(times["text"]) == 45 * 30


@pytest.mark.parametrize("world", [1, 4])
def test_a_batch_of_12_288_triples_has_each_row_once(world):
    groups = {name: numbered(*[997] * 13) for name in ("triples", "text")}
    batch = dict.fromkeys(groups, 12_288)
    shares = [loader(groups, batch, rank=Rank(rank, world), lanes=64).take(0) for rank in range(world)]
    for name in groups:
        found = np.concatenate([share[name].columns.numbers["number"] for share in shares])
        assert len(found) == len(set(found.tolist())) == 12_288


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"window": 9}, r"s\.window was 5, now 9"),
        ({"lanes": 3}, r"s\.lanes was 2, now 3"),
        ({"seed": 1}, r"s\.seed was 0, now 1"),
        ({"digest": "e"}, r"s\.digest was 'd', now 'e'"),
        ({"weights": {"s": 11}}, r"batch was 10, now 11"),
        ({"groups": {"s": numbered(*SIZES[::-1])}}, r"s\.layout was"),
        ({"groups": {"t": numbered(*SIZES)}, "weights": {"t": 10}}, r"t\.weight was None"),
    ],
)
def test_a_state_of_another_order_says_what_differs(change, says):
    same = {"groups": {"s": numbered(*SIZES)}, "weights": {"s": 10}, "lanes": 2, "window": 5}
    state = loader(**same).state(3)
    assert loader(**same).resume(json.loads(json.dumps(state))) == 3
    with pytest.raises(DataError, match=says):
        loader(**{**same, **change}).resume(state)


@pytest.mark.parametrize("state", [{}, {"step": "x"}, {"step": 1, "streams": 3}, {"step": None}])
def test_a_damaged_state_is_named(state):
    with pytest.raises(DataError, match="saved state is damaged"):
        loader({"s": numbered(*SIZES)}, {"s": 10}).resume(state)


def test_too_small_a_batch_for_the_ranks_is_refused():
    with pytest.raises(UsageError, match=r"A batch of 4 rows of s can't be shared by 8 ranks"):
        loader({"s": numbered(*SIZES)}, {"s": 4}, rank=Rank(0, 8))


def test_what_is_made_ahead_is_bounded_and_stops_with_the_loop():
    one, made = loader({"s": numbered(*SIZES)}, {"s": 10}, ahead=2), []
    asked = threading.Event()
    with one.batches(0, 10**6, lambda step, _parts: made.append(step) or step) as batches:
        assert [next(batches) for _ in range(3)] == [0, 1, 2]
        asked.wait(0.3)
        assert len(made) <= 3 + 2 + 2  # given, ready, and one in each hand
    asked.wait(0.3)
    count = len(made)
    asked.wait(0.2)
    assert len(made) == count and not any(thread.name == "loader" for thread in threading.enumerate())


@pytest.mark.parametrize("ahead", [0, 2])
def test_an_error_while_reading_ahead_reaches_the_loop_at_its_batch(ahead):
    def build(step, _parts):
        if step == 2:
            raise DataError("at two")
        return step

    with loader({"s": numbered(*SIZES)}, {"s": 10}, ahead=ahead).batches(0, 9, build) as batches:
        assert [next(batches), next(batches)] == [0, 1]
        with pytest.raises(DataError, match="at two"):
            next(batches)


def test_a_damaged_row_group_ends_the_run_and_is_named():
    one = loader({"s": numbered(*SIZES, bad=[3])}, {"s": 10})
    with pytest.raises(DataError, match=r"made-up\.parquet, row group 3, is damaged"):
        for step in range(19):
            one.take(step)


def agreement(world):
    """What all-reduce does, for ranks that are threads."""
    barrier, votes = threading.Barrier(world), {}

    def join(rank):
        def agree(bad):
            votes[rank] = bad
            barrier.wait()
            together = np.any(list(votes.values()), axis=0)
            barrier.wait()
            return together

        return agree

    return [join(rank) for rank in range(world)]


def in_threads(ranks, steps):
    """Rows of every rank and step, the ranks reading at the same time."""
    found = [[None] * len(steps) for _ in ranks]

    def read(number):
        for place, step in enumerate(steps):
            found[number][place] = told(ranks[number].take(step))

    threads = [threading.Thread(target=read, args=(number,)) for number in range(len(ranks))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [[row for share in found for row in share[place]] for place in range(len(steps))]


def test_what_one_rank_can_not_read_all_leave_out_and_the_order_stays_one(capsys):
    steps = range(38)  # two epochs
    settings = {"lanes": 4, "window": 30, "on_corrupt": "quarantine"}
    alone = loader({"s": numbered(*SIZES, bad=[3])}, {"s": 10}, **settings)
    whole = [told(alone.take(step)) for step in steps]
    assert alone.state(38)["left_out"] == {"s": [3]}
    assert "left out: made-up.parquet, row group 3, is damaged" in capsys.readouterr().err
    # Row group 3 is damaged on the disk of one rank only.
    agree = agreement(3)
    disks = [numbered(*SIZES), numbered(*SIZES, bad=[3]), numbered(*SIZES)]
    ranks = [
        loader({"s": disk}, {"s": 10}, rank=Rank(r, 3), agree=agree[r], **settings) for r, disk in enumerate(disks)
    ]
    # The first window is where the rank may meet it: what others read of it before stays read.
    shared = in_threads(ranks, steps)
    assert [one.state(38) for one in ranks] == [alone.state(38)] * 3
    second = [
        [[(epoch, number) for _, epoch, number, _ in rows if epoch == 1] for rows in run] for run in (whole, shared)
    ]
    assert second[0] == second[1]
    assert [len(rows) for rows in shared] == [10] * 38


@pytest.mark.parametrize(
    ("policy", "workers"), [("quarantine", 0), ("fail", 0), pytest.param("fail", 2, marks=pytest.mark.slow)]
)
def test_a_resumed_run_leaves_out_what_the_state_says(policy, workers):
    settings = {"lanes": 4, "window": 30}
    first = loader({"s": numbered(*SIZES, bad=[3])}, {"s": 10}, on_corrupt="quarantine", **settings)
    whole = [told(first.take(step)) for step in range(38)]
    mended = numbered(*SIZES)  # in the meantime
    again = loader({"s": mended}, {"s": 10}, agree=lambda bad: bad, on_corrupt=policy, workers=workers, **settings)
    again.resume(first.state(20))
    with again.batches(20, 38, lambda _step, parts: told(parts)) as batches:
        assert list(batches) == whole[20:]
    bad = set(range(120, 160))
    assert not any(number in bad for rows in whole for _, epoch, number, _ in rows if epoch)


def test_stand_ins_fill_the_batches_and_only_theirs_come_twice():
    one = loader({"s": numbered(*SIZES, bad=[0])}, {"s": 10}, lanes=4, window=30, on_corrupt="quarantine")
    rows = [row for step in range(19, 38) for row in told(one.take(step))]
    numbers = [number for _, epoch, number, _ in rows if epoch == 1]
    twice = {number // 40 for number in numbers if numbers.count(number) > 1}
    assert len(twice) == 1 and 0 not in {number // 40 for number in numbers}


def test_too_many_damaged_row_groups_are_no_accident():
    sizes = [1] * (2 * MAX_QUARANTINED + 10)
    one = loader({"s": numbered(*sizes, bad=range(MAX_QUARANTINED + 1))}, {"s": 10}, on_corrupt="quarantine")
    with pytest.raises(DataError, match=f"{MAX_QUARANTINED + 1} row groups are damaged"):
        for step in range(60):
            one.take(step)
