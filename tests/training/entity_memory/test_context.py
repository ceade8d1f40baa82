"""The context memory: when it is made anew, what of it remains, and that it goes on where it was saved."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from training.config import MemoryConfig
from training.entity_memory.context import ContextMemory, Schedule

PAPER = (10, 2, 3, 500)
ROWS, WIDTH = 11, 4


def test_the_intervals_are_the_papers():
    lengths = list(itertools.islice(Schedule(*PAPER).intervals(), 22))
    assert lengths == [n for n in (10, 20, 40, 80, 160, 320) for _ in range(3)] + [500] * 4


def test_the_first_eighteen_refreshes_end_at_step_1890():
    schedule = Schedule(*PAPER)
    steps = [step for step in range(1, 4_000) if schedule.rows(step, ROWS)]
    assert steps[:4] == [10, 20, 30, 50]
    assert steps[17] == 1_890 and steps[18:] == [2_390, 2_890, 3_390, 3_890]
    assert all(schedule.rows(step, ROWS) == range(ROWS) for step in steps)


@given(st.integers(1, 9), st.integers(1, 3), st.integers(1, 3), st.integers(1, 30), st.integers(1, 20))
def test_rolling_makes_every_row_anew_once_an_interval(first, growth, hold, longest, rows):
    schedules = [Schedule(first, growth, hold, longest, rolling=rolling) for rolling in (False, True)]
    begun = 0
    for length in itertools.islice(schedules[0].intervals(), 7):
        steps = range(begun + 1, begun + length + 1)
        begun += length
        assert [row for step in steps for row in schedules[1].rows(step, rows)] == list(range(rows))
        assert [step for step in steps if schedules[0].rows(step, rows)] == [begun]


def memory(momentum=0.8, backend="device", **schedule):
    own = ContextMemory(
        MemoryConfig(backend=backend), ROWS, WIDTH, Schedule(2, 1, 1, 2, **schedule), momentum, torch.device("cpu")
    )
    own.encode = lambda ids: torch.from_numpy(np.repeat(ids[:, None], WIDTH, axis=1)).float()
    return own


@pytest.mark.parametrize("backend", ["device", "host"])
def test_a_refresh_keeps_what_momentum_says(backend):
    own, ids = memory(backend=backend), torch.arange(ROWS)
    own.fill_all()
    assert torch.equal(own.pull(ids)[:, 0], ids.float())
    own.encode = lambda ids: torch.full((len(ids), WIDTH), 100.0)
    own.apply(0.1, 1)
    assert torch.equal(own.pull(ids)[:, 0], ids.float())
    own.apply(0.1, 2)
    assert torch.allclose(own.pull(ids)[:, 0], 0.8 * ids + 20)
    assert not own.pull(ids).requires_grad


def test_what_was_saved_is_restored():
    own, other = memory(), memory()
    own.fill_all()
    other.restore(0, 1, {name: value.clone() for name, value in own.tensors().items()})
    assert torch.equal(other.pull(torch.arange(ROWS)), own.pull(torch.arange(ROWS)))
    assert own.saves and own.share.world == 1
