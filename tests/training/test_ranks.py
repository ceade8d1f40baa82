"""Several ranks, started by torchrun: they learn what one learns, and end when one of them does."""

import os
import re
import signal
import subprocess
import sys
import time

import pytest

from tests.conftest import ROOT
from training import step as one_step
from training.checkpoint import checkpoints
from training.metrics import read_metrics
from training.runs import load_run
from training.train import train

SMALL = {
    "train.threads": "1",
    "train.steps": "6",
    "train.save_every": "3",
    "train.valid_every": "3",
    "train.log_every": "1",
    "train.valid_batches": "2",
    "train.batch_size": "16",
    "train.micro_batch": "8",
    "encoder.hidden_size": "16",
    "encoder.intermediate_size": "32",
    "kepler.blocks": "4",
    "data.lanes": "4",
}
LIMIT = 240
"""Seconds after which a test says that a run hangs."""


def torchrun(recipe, data, out, restarts=0, **changes):
    """wikiloom train on two ranks by torchrun, started."""
    settings = SMALL | {key.replace("_", ".", 1): str(value) for key, value in changes.items()}
    words = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--no-python", "--nproc-per-node=2"]
    words.append(f"--max-restarts={restarts}")
    words += [sys.executable, "-m", "wikiloom", "train", recipe, "--data", str(data), "--out", str(out)]
    words += [f"--set={key}={value}" for key, value in settings.items()]
    return subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def ended(process):
    """(exit code, standard output, standard error)."""
    try:
        out, errors = process.communicate(timeout=LIMIT)
    except subprocess.TimeoutExpired:
        process.kill()
        raise
    return process.returncode, out, errors


def alone(recipe, data, out, *, code=0, **changes):
    settings = SMALL | {key.replace("_", ".", 1): str(value) for key, value in changes.items()}
    assert train(recipe, data, out, resume=(out / "config.toml").is_file(), dry_run=False, settings=settings) == code


def learnt(folder):
    """Everything that is trained."""
    model = load_run(folder).model
    model = getattr(model, "model", model)
    rows = {"memory": model.memory.weight} if model.memory else {}
    return {**model.state_dict(), **rows}


def farthest(one, other):
    """The largest difference of any weight."""
    one, other = learnt(one), learnt(other)
    assert one.keys() == other.keys()
    return max(float((one[name] - other[name]).abs().max()) for name in one)


TOLERANCE = 1e-6
"""Of weights: the ranks' sums differ in their last bits."""


AGREEING = {"data_on_corrupt": "quarantine", "data_window": 4}
"""The thread that reads ahead agrees with the other rank's at each of many windows, while the loops exchange theirs."""

CONTEXT = {"jaket_refresh_first": 2, "jaket_heads": 4, "jaket_roots": 16, "jaket_negatives": 20}
"""The ranks make the context memory anew together."""


@pytest.mark.parametrize(
    ("recipe", "settings"),
    [
        ("colake-tiny", {}),
        pytest.param("kepler-tiny", AGREEING, marks=pytest.mark.slow),
        pytest.param("jaket-tiny", CONTEXT, marks=pytest.mark.slow),
        pytest.param("jaket-tiny", CONTEXT | {"memory_backend": "sharded"}, marks=pytest.mark.slow),
    ],
)
def test_two_ranks_of_one_micro_batch_learn_what_one_rank_of_two_learns(recipe, settings, made_up, tmp_path):
    code, out, errors = ended(torchrun(recipe, made_up, tmp_path / "two", **settings))
    assert code == 0, errors
    assert out.splitlines() == [str(tmp_path / "two")]
    alone(recipe, made_up, tmp_path / "one", **settings)
    assert farthest(tmp_path / "one", tmp_path / "two") < TOLERANCE
    for mine, theirs in zip(read_metrics(tmp_path / "one"), read_metrics(tmp_path / "two"), strict=True):
        assert mine.keys() == theirs.keys()
        # Adam does not see the size of a gradient: its norm does.
        told = [name for name in mine if name.startswith(("train/", "valid/", "grad_norm"))]
        assert [mine[name] for name in told] == pytest.approx([theirs[name] for name in told], rel=1e-5)


def wait_for_step(folder, step, process):
    """Until the log has that step."""
    until = time.monotonic() + LIMIT
    while process.poll() is None and time.monotonic() < until:
        if any(line["step"] >= step for line in read_metrics(folder)):
            return
        time.sleep(0.05)
    raise AssertionError(process.communicate(timeout=5))


def alone_until(step, *args, **changes):
    """A run of one rank that is stopped, and saved, after `step` steps."""
    original = one_step.train_step

    def stopping(learner, batches, labels, number, rate):
        if number == step - 1:
            os.kill(os.getpid(), signal.SIGTERM)
        return original(learner, batches, labels, number, rate)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(one_step, "train_step", stopping)
        alone(*args, code=75, **changes)


def test_two_ranks_with_a_share_each_are_stopped_and_go_on_as_one(made_up, tmp_path):
    two, one = tmp_path / "two", tmp_path / "one"
    settings = {"memory_backend": "sharded", "train_steps": 9_999, "train_save_every": 9_999}
    process = torchrun("colake-tiny", made_up, two, train_parallel="fsdp", **settings)
    wait_for_step(two, 3, process)
    process.send_signal(signal.SIGTERM)
    code, _, errors = ended(process)
    assert code == 1 and "stopped and saved at step" in errors  # torchrun's own code for a SIGTERM
    (saved,) = checkpoints(two)
    done = int(saved.name.removeprefix("step-"))
    assert len(list(saved.glob("memory-*"))) == len(list((saved / "model").iterdir())) == 2
    alone_until(done, "colake-tiny", made_up, one, **settings)
    assert farthest(one, two) < TOLERANCE
    for folder in (one, two):
        alone_until(done + 2, "colake-tiny", made_up, folder, **settings)
    assert checkpoints(two)[-1].name == f"step-{done + 2:08d}"
    assert farthest(one, two) < TOLERANCE


def children(process):
    """The ranks' processes, by rank."""
    found = {}
    for folder in os.listdir("/proc"):
        if folder.isdigit():
            try:
                with open(f"/proc/{folder}/environ", "rb") as file:
                    words = dict(word.split(b"=", 1) for word in file.read().split(b"\0") if b"=" in word)
                with open(f"/proc/{folder}/stat", encoding="ascii") as file:
                    parent = int(file.read().rsplit(")", 1)[1].split()[1])
            except OSError:
                continue
            if parent == process.pid and b"RANK" in words:
                found[int(words[b"RANK"])] = int(folder)
    return found


def test_a_rank_that_is_killed_ends_the_run_within_a_minute_with_its_name(made_up, tmp_path):
    seconds, errors = struck(signal.SIGKILL, made_up, tmp_path / "run")
    assert seconds < 60
    assert re.search(r"error: rank 1 \(.*, process \d+\) is gone: .* the run goes on with --resume", errors), errors


@pytest.mark.slow
def test_a_rank_that_stands_still_ends_the_run_with_its_name(made_up, tmp_path):
    _, errors = struck(signal.SIGSTOP, made_up, tmp_path / "run")
    assert re.search(r"error: rank 1 \(.*, process \d+\) is gone: .* the run goes on with --resume", errors), errors


def struck(number, data, run):
    """(seconds until the run ended, standard error) after the second rank of a run got this signal."""
    process = torchrun("kepler-tiny", data, run, train_steps=9_999)
    wait_for_step(run, 4, process)
    os.kill(children(process)[1], number)
    began = time.monotonic()
    code, _, errors = ended(process)
    assert code == 1
    return time.monotonic() - began, errors


@pytest.mark.slow
def test_a_run_that_torchrun_restarts_goes_on_from_its_last_checkpoint(made_up, tmp_path):
    settings = {"train_steps": 60, "train_save_every": 3}
    process = torchrun("kepler-tiny", made_up, tmp_path / "killed", restarts=1, **settings)
    wait_for_step(tmp_path / "killed", 8, process)
    os.kill(children(process)[1], signal.SIGKILL)
    code, _, errors = ended(process)
    assert code == 0, errors
    code, _, errors = ended(torchrun("kepler-tiny", made_up, tmp_path / "whole", **settings))
    assert code == 0, errors
    assert farthest(tmp_path / "killed", tmp_path / "whole") == 0.0
    lines = [line["step"] for line in read_metrics(tmp_path / "killed") if "train/loss" in line]
    assert lines == list(range(1, 61))
