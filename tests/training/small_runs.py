"""Runs of a few steps, killed or not, and what of two runs has to be equal."""

import subprocess
import sys
import time

from safetensors.torch import load_file

from tests.conftest import ROOT
from training import step as one_step
from training import train as loop
from training.checkpoint import Checkpoints, checkpoints
from training.metrics import read_metrics
from training.train import train

SMALL = {
    "train.threads": "1",
    "train.steps": "6",
    "train.save_every": "2",
    "train.valid_every": "3",
    "train.log_every": "1",
    "train.valid_batches": "2",
    "train.batch_size": "8",
    "encoder.hidden_size": "16",
    "encoder.intermediate_size": "32",
    "encoder.dropout": "0.1",
    "optim.warmup_steps": "1",
    "kepler.blocks": "4",
}


def run(recipe, data, out, resume=False, **changes):
    settings = SMALL | {key.replace("_", ".", 1): str(value) for key, value in changes.items()}
    return train(recipe, data, out, resume=resume, dry_run=False, settings=settings)


def weights(folder):
    newest = checkpoints(folder)[-1]
    files = [*newest.glob("model/*.safetensors"), *newest.glob("memory-*.safetensors")]
    return {(file.name, name): value.numpy().tobytes() for file in files for name, value in load_file(file).items()}


def losses(folder):
    """The lines of the log, but for how fast it went."""
    lines = read_metrics(folder)
    return [{name: value for name, value in line.items() if not name.startswith("speed/")} for line in lines]


class Killed(BaseException):
    """Stands for SIGKILL: nothing of ours catches it."""


OWNERS = {"train_step": one_step, "save": Checkpoints}
"""Where the loop finds what is not its own."""


def kill_when(monkeypatch, name, call):
    """Make the `call`-th use of a function of the loop the last thing that happens."""
    owner = OWNERS.get(name, loop)
    calls, original = [], getattr(owner, name)

    def killing(*args, **kwargs):
        calls.append(name)
        if len(calls) == call:
            raise Killed
        return original(*args, **kwargs)

    monkeypatch.setattr(owner, name, killing)


def started(recipe, data, out, *more, **changes):
    """The command, as a process of its own."""
    settings = SMALL | {key.replace("_", ".", 1): str(value) for key, value in changes.items()}
    words = [sys.executable, "-m", "wikiloom", "train", recipe, "--data", str(data), "--out", str(out), *more]
    words += [f"--set={key}={value}" for key, value in settings.items()]
    return subprocess.Popen(words, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def killed_when(process, seen):
    """SIGKILL, as soon as this is so."""
    deadline = time.monotonic() + 120
    while not seen() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    process.kill()
    process.wait()
