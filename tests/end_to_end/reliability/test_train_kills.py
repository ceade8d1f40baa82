"""Training that is killed: it goes on as if nothing had been; and the harness sees where not."""

import dataclasses
import shutil

import numpy as np
import pytest
import torch

from tests.end_to_end.reliability import train_kills
from tests.end_to_end.reliability.processes import Ended
from tests.end_to_end.reliability.train_kills import Learnt, differs, half_saved, lost_or_doubled
from tests.end_to_end.reliability.training_run import batch_digest

DONE = Ended(0, 9, "")
WHOLE = {f"{rank}/{step}": f"{rank}{step}" for rank in range(2) for step in range(6)}
LEARNT = Learnt({"step-00000002/model/a": "x"}, [{"step": 0, "train/loss": 0.1}], ["config.toml"], WHOLE)


@pytest.mark.slow
@pytest.mark.timeout(1_800)
def test_runs_killed_anywhere_end_with_the_bits_of_those_that_were_not():
    outcome = train_kills.run(8, 0)
    assert outcome.failures == []
    assert outcome.tried >= 8
    assert outcome.figures["on two ranks"] >= 4


def steps(*numbers):
    """What two ranks read in one run."""
    return {name: digest for name, digest in WHOLE.items() if int(name.partition("/")[2]) in numbers}


def test_batches_read_again_after_a_kill_are_learnt_once():
    assert lost_or_doubled([steps(0, 1, 2, 3), steps(2, 3, 4), {}, steps(4, 5)], WHOLE) == ""


@pytest.mark.parametrize(
    ("read", "says"),
    [
        ([steps(0, 1), steps(3, 4, 5)], "steps that no run took"),
        ([steps(1, 2, 3, 4, 5)], "steps that no run took"),
        ([steps(0, 1, 3, 4, 5)], "are not each other's next"),
        ([{**steps(0, 1, 2), "1/2": "other"}, steps(2, 3, 4, 5)], "batch 1/2 .* is another"),
        ([{**WHOLE, "0/6": "more"}], "batch 0/6 .* is another"),
    ],
    ids=["lost", "not-begun", "skipped", "another", "one-more"],
)
def test_a_batch_that_is_lost_or_another_is_seen(read, says):
    with pytest.raises(AssertionError, match=says):
        raise AssertionError(lost_or_doubled(read, WHOLE))


def test_other_bits_figures_or_files_are_seen():
    assert differs(DONE, LEARNT, LEARNT) == ""
    assert "exit code 1, 'no'" in differs(Ended(1, 0, "no\n"), LEARNT, LEARNT)
    weight = LEARNT._replace(checkpoints={"step-00000002/model/a": "y"})
    assert differs(DONE, weight, LEARNT) == "1 files of checkpoints are not the unbroken run's: step-00000002/model/a"
    loss = LEARNT._replace(log=[{"step": 0, "train/loss": np.nextafter(0.1, 1)}])
    assert differs(DONE, loss, LEARNT) == "other log than the unbroken run's"
    assert differs(DONE, LEARNT._replace(files=["config.toml", ".x.tmp"]), LEARNT).startswith("other files")


def test_a_checkpoint_that_is_half_saved_is_seen(tmp_path):
    assert half_saved(tmp_path) == ""
    (tmp_path / "checkpoints/step-00000002").mkdir(parents=True)
    assert "state.json is damaged" in half_saved(tmp_path)
    shutil.rmtree(tmp_path / "checkpoints/step-00000002")
    assert half_saved(tmp_path) == ""


@dataclasses.dataclass
class Batch:
    ids: torch.Tensor
    parts: list


def test_the_digest_of_a_batch_is_of_all_that_it_holds():
    batches = [
        Batch(torch.tensor([1, 2]), [np.array([1.0]), None]),
        Batch(torch.tensor([1, 3]), [np.array([1.0]), None]),
        Batch(torch.tensor([1, 2]), [np.array([2.0]), None]),
        Batch(torch.tensor([1, 2]), [np.array([1.0]), 0]),
        Batch(torch.tensor([1, 2], dtype=torch.int32), [np.array([1.0]), None]),
        Batch(torch.tensor([[1, 2]]), [np.array([1.0]), None]),
    ]
    assert len({batch_digest([batch]) for batch in batches}) == len(batches)
    assert batch_digest(batches[0]) == batch_digest(Batch(torch.tensor([1, 2]), [np.array([1.0]), None]))
