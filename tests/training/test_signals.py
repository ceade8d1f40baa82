"""SIGTERM at any moment of a run: it saves and exits with 75, and in the end it has the bits of a run in one go."""

import signal
import time

import numpy as np
import pytest

from schemas.errors import UsageError
from schemas.hashing import random_u64
from tests.training.small_runs import losses, run, started, weights
from training.checkpoint import checkpoints
from training.metrics import read_metrics

STOPS, STEPS = 10, 400
SETTINGS = {"train_steps": STEPS, "train_save_every": 37, "train_valid_every": 50}


def steps_done(folder):
    return max((line["step"] for line in read_metrics(folder)), default=0)


def stopped(data, folder, step, wait):
    """Go on until `step` is logged, wait so many seconds, and send SIGTERM; returns the exit code."""
    with started("colake-tiny", data, folder, "--resume", **SETTINGS) as process:
        while process.poll() is None and steps_done(folder) < step:
            time.sleep(0.005)
        time.sleep(wait)
        process.send_signal(signal.SIGTERM)
        return process.wait(timeout=200)


def test_a_run_is_begun_by_the_command_that_goes_on_with_it(made_up, tmp_path):
    for _ in range(2):
        assert run("kepler-tiny", made_up, tmp_path / "run", resume=True, train_steps=1) == 0
        assert [path.name for path in checkpoints(tmp_path / "run")] == ["step-00000001"]
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/letter.txt").write_text("")
    with pytest.raises(UsageError, match="is not empty"):
        run("kepler-tiny", made_up, tmp_path / "mine", resume=True, train_steps=1)


@pytest.mark.slow
@pytest.mark.timeout(1_800)
def test_ten_sigterms_at_random_moments_each_save_and_leave_the_bits_of_one_go(made_up, tmp_path):
    folder = tmp_path / "run"
    assert run("colake-tiny", made_up, tmp_path / "whole", **SETTINGS) == 0
    moments = random_u64(0, "stop", np.arange(2 * STOPS)) / 2.0**64
    steps = np.sort((moments[:STOPS] * (STEPS - 60)).astype(int)).tolist()
    for step, wait in zip(steps, (moments[STOPS:] * 0.1).tolist(), strict=True):
        assert stopped(made_up, folder, max(step, steps_done(folder) + 1), wait) == 75
        assert checkpoints(folder)[-1].name == f"step-{steps_done(folder):08d}"
    assert steps_done(folder) < STEPS
    assert run("colake-tiny", made_up, folder, resume=True, **SETTINGS) == 0
    assert weights(folder) == weights(tmp_path / "whole")
    assert losses(folder) == losses(tmp_path / "whole")
