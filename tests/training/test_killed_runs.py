"""A run that is killed anywhere and goes on has the bits of one that is not."""

import math
import os
import shutil
import signal
import subprocess
import sys

import pytest
import torch

from tests.conftest import ROOT
from tests.training.small_runs import SMALL, Killed, kill_when, killed_when, losses, run, started, weights
from training import step as one_step
from training.checkpoint import checkpoints
from training.metrics import read_metrics
from training.runs import load_run


@pytest.mark.parametrize("recipe", ["colake-tiny", "kepler-tiny"])
@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("validate", 1),
        ("train_step", 2),
        ("train_step", 4),
        ("validate", 2),
        ("save", 2),
        ("draw_curves", 1),
    ],
)
def test_a_run_killed_anywhere_and_resumed_has_the_same_bits(
    recipe, name, call, made_up, unkilled, tmp_path, monkeypatch
):
    with monkeypatch.context() as patch:
        kill_when(patch, name, call)
        with pytest.raises(Killed):
            run(recipe, made_up, tmp_path / "run")
    assert run(recipe, made_up, tmp_path / "run", resume=True) == 0
    assert weights(tmp_path / "run") == weights(unkilled[recipe])
    assert losses(tmp_path / "run") == losses(unkilled[recipe])


def test_what_a_micro_batch_left_and_a_learnt_temperature_are_as_in_a_run_that_is_not_killed(
    made_up, tmp_path, monkeypatch
):
    objective = {"kepler_pre_batch": 3, "kepler_loss": "infonce", "kepler_learn_temperature": "true"}
    objective |= {"kepler_self_adversarial": 0, "kepler_temperature": 2, "train_micro_batch": 4}
    assert run("kepler-tiny", made_up, tmp_path / "whole", **objective) == 0
    with monkeypatch.context() as patch:
        kill_when(patch, "train_step", 4)
        with pytest.raises(Killed):
            run("kepler-tiny", made_up, tmp_path / "run", **objective)
    assert run("kepler-tiny", made_up, tmp_path / "run", resume=True, **objective) == 0
    assert weights(tmp_path / "run") == weights(tmp_path / "whole")
    assert losses(tmp_path / "run") == losses(tmp_path / "whole")
    comparison = load_run(tmp_path / "run").model.comparisons["ke"]
    assert (comparison.pre_batch.entities[:, 0] >= 0).all()
    assert comparison.log_scale.item() != pytest.approx(-math.log(2), abs=1e-6)
    # Of what went before, the loss knows: without it, a run has other weights.
    assert run("kepler-tiny", made_up, tmp_path / "without", **objective | {"kepler_pre_batch": 0}) == 0
    assert losses(tmp_path / "without")[2] != losses(tmp_path / "whole")[2]


@pytest.mark.parametrize("optimizer", ["adam", "adagrad"])
def test_an_entity_memory_on_the_host_learns_the_same_killed_or_not(optimizer, made_up, tmp_path, monkeypatch):
    rows, settings = [], {"encoder_dropout": 0.0, "memory_optimizer": optimizer}
    for backend in ("device", "host"):
        folder = tmp_path / backend
        assert run("colake-tiny", made_up, folder, memory_backend=backend, **settings) == 0
        rows.append(load_run(folder).model.model.memory.weight)
    assert torch.allclose(*rows, atol=1e-5)
    with monkeypatch.context() as patch:
        kill_when(patch, "train_step", 4)
        with pytest.raises(Killed):
            run("colake-tiny", made_up, tmp_path / "run", memory_backend="host", **settings)
    assert run("colake-tiny", made_up, tmp_path / "run", resume=True, memory_backend="host", **settings) == 0
    assert weights(tmp_path / "run") == weights(tmp_path / "host")


def test_a_kill_amid_a_checkpoint_leaves_the_one_before(made_up, unkilled, tmp_path, monkeypatch):
    original = os.replace

    def cut(source, target):
        if str(target).endswith("step-00000004"):
            raise Killed
        original(source, target)

    with monkeypatch.context() as patch:
        patch.setattr("training.checkpoint.os.replace", cut)
        with pytest.raises(Killed):
            run("colake-tiny", made_up, tmp_path / "run")
    assert [folder.name for folder in checkpoints(tmp_path / "run")] == ["step-00000002"]
    assert run("colake-tiny", made_up, tmp_path / "run", resume=True) == 0
    assert weights(tmp_path / "run") == weights(unkilled["colake-tiny"])
    assert not list((tmp_path / "run/checkpoints").glob(".*"))


def test_what_a_kill_amid_the_last_save_left_goes_with_a_resume(made_up, unkilled, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(unkilled["colake-tiny"], folder)
    kept = sorted(path.name for path in (folder / "checkpoints").iterdir())
    for left in (".step-00000002.old.tmp", "step-00000001"):  # half removed, and not yet removed
        shutil.copytree(checkpoints(unkilled["colake-tiny"])[0], folder / "checkpoints" / left)
    assert run("colake-tiny", made_up, folder, resume=True) == 0
    assert sorted(path.name for path in (folder / "checkpoints").iterdir()) == kept


def test_a_real_sigkill_and_a_resume_have_the_same_bits(made_up, unkilled, tmp_path):
    folder = tmp_path / "run"
    killed_when(started("kepler-tiny", made_up, folder), lambda: checkpoints(folder))
    assert run("kepler-tiny", made_up, folder, resume=True) == 0
    assert weights(folder) == weights(unkilled["kepler-tiny"])


@pytest.mark.slow
@pytest.mark.parametrize("recipe", ["colake-tiny", "kepler-tiny"])
def test_five_sigkills_leave_the_bits_of_one_go(recipe, made_up, tmp_path):
    settings = {"train_steps": 40, "train_save_every": 3, "train_valid_every": 40}
    assert run(recipe, made_up, tmp_path / "whole", **settings) == 0
    folder = tmp_path / "killed"
    for kill in range(5):
        resume = ["--resume"] if (folder / "config.toml").is_file() else []
        process = started(recipe, made_up, folder, *resume, **settings)
        killed_when(process, lambda: any(line["step"] >= 7 * kill + 4 for line in read_metrics(folder)))  # noqa: B023
        assert process.returncode == -signal.SIGKILL
    assert run(recipe, made_up, folder, resume=True, **settings) == 0
    assert weights(folder) == weights(tmp_path / "whole")
    assert losses(folder) == losses(tmp_path / "whole")


KILLED_AMID_ITS_SECOND_SAVE = """
import os, signal, sys
from training import checkpoint
from training.cli import run

write, folders = checkpoint.write, []

def killing(folder, *more):
    files = write(folder, *more)
    folders.append(folder.name)
    if folders == ["model", "optimizer", "model"]:
        os.kill(os.getpid(), signal.SIGKILL)
    return files

checkpoint.write = killing
run("train", sys.argv[1:])
"""


def test_a_real_sigkill_while_a_checkpoint_is_written_leaves_the_one_before(made_up, unkilled, tmp_path):
    folder = tmp_path / "run"
    words = ["colake-tiny", "--data", str(made_up), "--out", str(folder)]
    words += [f"--set={key}={value}" for key, value in SMALL.items()]
    done = subprocess.run([sys.executable, "-c", KILLED_AMID_ITS_SECOND_SAVE, *words], cwd=ROOT, check=False)
    assert done.returncode == -signal.SIGKILL
    assert [path.name for path in checkpoints(folder)] == ["step-00000002"]
    assert (folder / "checkpoints/.step-00000004.tmp/model").is_dir()
    assert run("colake-tiny", made_up, folder, resume=True) == 0
    assert weights(folder) == weights(unkilled["colake-tiny"])
    assert not list((folder / "checkpoints").glob(".*"))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves_and_exits_75_and_resuming_has_the_same_bits(number, made_up, unkilled, tmp_path, monkeypatch):
    original = one_step.train_step

    def interrupted(*args, **kwargs):
        if args[3] == 2:
            os.kill(os.getpid(), number)
        return original(*args, **kwargs)

    before = signal.getsignal(number)
    with monkeypatch.context() as patch:
        patch.setattr(one_step, "train_step", interrupted)
        assert run("colake-tiny", made_up, tmp_path / "run") == 75
    assert signal.getsignal(number) is before
    assert checkpoints(tmp_path / "run")[-1].name == "step-00000003"
    assert (tmp_path / "run/curves.png").is_file()
    assert run("colake-tiny", made_up, tmp_path / "run", resume=True) == 0
    assert weights(tmp_path / "run") == weights(unkilled["colake-tiny"])
