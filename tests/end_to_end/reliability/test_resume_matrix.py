"""The resume matrix: a few of its ways, and three faults that it tells."""

import pytest

from tests.end_to_end.reliability import resume_matrix
from tests.end_to_end.reliability.resume_matrix import Run, Way, made_run, matrix, run
from tests.training.data.rows import numbered
from training.data.loader import Loader
from training.data.stream import Rank

SMALL = Run(
    groups={"text": numbered(9, 21, 17, 30, 3), "facts": numbered(8, 25, 14)},
    weights={"text": 5, "facts": 2},
    batch=37,
    lanes=4,
    window=6,
    seed=0,
)


def hashes():
    return {whole for _, whole in matrix(SMALL, (1, 3), (0, 2), 2)}


def test_each_pair_of_ways_and_each_step_has_one_hash_and_each_run_another():
    found = list(matrix(SMALL, (1, 3), (0, 2), 3))
    assert len(found) == 4 + 2 * 4 * 4
    assert len({whole for _, whole in found}) == 1
    wholes = [next(matrix(made_run(*one), (1,), (0,), 3))[1] for one in ((0, 0), (0, 1), (1, 0))]
    assert len(set(wholes)) == 3 and found[0][1] not in wholes


def test_a_loader_that_goes_on_a_step_late_is_told(monkeypatch):
    resume = Loader.resume
    monkeypatch.setattr(Loader, "resume", lambda self, state: resume(self, state) - (self._rank.world == 3))
    assert len(hashes()) > 1


def test_workers_that_read_in_another_order_are_told(monkeypatch):
    monkeypatch.setattr(Rank, "worker", lambda self, number, of: Rank(self.rank + number * self.world, of * self.world))
    assert len(hashes()) > 1


def test_ranks_that_save_different_states_are_told(monkeypatch):
    state = Loader.state
    monkeypatch.setattr(Loader, "state", lambda self, step: state(self, step) | {"rank": self._rank.rank})
    assert len(hashes()) > 1


@pytest.mark.slow
@pytest.mark.timeout(1_800)
def test_a_run_whole_and_with_worker_processes(monkeypatch):
    monkeypatch.setattr(resume_matrix, "STEPS", 4)
    monkeypatch.setattr(resume_matrix, "REAL", (Way(1, 2), Way(2, 1)))
    found = run(1, 7)
    assert found.failures == [] and found.tried == 15 + 3 * 15 * 15 + 2
