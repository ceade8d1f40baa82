"""A pickle in a run, in whatever place and under whatever name, is never run."""

import pickle
import shutil
from pathlib import Path

import pytest

from schemas.errors import DataError
from training.checkpoint import PICKLES, checkpoints
from training.evaluation.run import evaluate
from training.predict import predict
from training.runs import load_run
from training.train import train

SETTINGS = {
    "train.threads": "1",
    "train.steps": "2",
    "train.batch_size": "8",
    "train.valid_batches": "1",
    "encoder.hidden_size": "16",
    "encoder.intermediate_size": "32",
}
RESUME, ASK = ["resume"], ["load", "evaluate", "predict"]
NEEDED_BY = {
    "config.toml": RESUME + ASK,
    "metrics.jsonl": RESUME,
    "curves.png": [],
    "tensorboard/*": [],
    "results/*": [],
    "checkpoints/*/state.json": RESUME + ASK,
    "checkpoints/*/model/*": RESUME + ASK,
    "checkpoints/*/optimizer/*": RESUME,
    "checkpoints/*/memory-*": RESUME + ASK,
}
"""Every file of a run, and which of the commands below read it."""


class Canary:
    """An object whose unpickling makes a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def resume(folder, data):
    return train("colake-tiny", data, folder, resume=True, dry_run=False, settings=SETTINGS)


ACTIONS = {
    "resume": resume,
    "load": lambda folder, _data: load_run(folder),
    "evaluate": lambda folder, _data: evaluate(folder, "masked"),
    "predict": lambda folder, _data: predict(folder, text="its <mask> is a <mask> ."),
}


@pytest.fixture(scope="module")
def finished(made_up, tmp_path_factory):
    folder = tmp_path_factory.mktemp("finished") / "run"
    assert train("colake-tiny", made_up, folder, resume=False, dry_run=False, settings=SETTINGS) == 0
    evaluate(folder, "masked")
    return folder


@pytest.fixture
def planted(finished, tmp_path):
    """A copy of the run, a function that plants, and the file that is there when a pickle was run."""
    folder, canary = tmp_path / "run", tmp_path / "canary"
    shutil.copytree(finished, folder)

    def plant(path, size=0):
        path.parent.mkdir(parents=True, exist_ok=True)
        # A pickle ends at its STOP: zeros behind it make it as long as what was there.
        path.write_bytes(pickle.dumps(Canary(canary)).ljust(size, b"\0"))

    return folder, plant, canary


def test_every_file_of_a_run_is_in_the_list_and_the_canary_sings(planted):
    folder, plant, canary = planted
    matched = {path for pattern in NEEDED_BY for path in folder.glob(pattern)}
    assert matched == {path for path in folder.rglob("*") if path.is_file()}
    plant(folder / "song", 500)
    with (folder / "song").open("rb") as file:
        pickle.load(file)
    assert canary.exists()


@pytest.mark.parametrize("pattern", NEEDED_BY)
@pytest.mark.parametrize("action", ACTIONS)
def test_a_pickle_in_place_of_a_file_is_not_run(action, pattern, planted, made_up):
    folder, plant, canary = planted
    for path in folder.glob(pattern):
        plant(path, path.stat().st_size)
        if action in NEEDED_BY[pattern]:
            with pytest.raises(DataError, match=path.name):
                ACTIONS[action](folder, made_up)
        else:
            ACTIONS[action](folder, made_up)
    assert not canary.exists()


@pytest.mark.parametrize("suffix", sorted(PICKLES))
def test_a_file_that_may_be_a_pickle_is_refused_unread(suffix, planted, made_up):
    folder, plant, canary = planted
    newest = checkpoints(folder)[-1]
    for place in (folder, newest, newest / "model", folder / "results"):
        path = place / f"model{suffix.upper() if place == newest else suffix}"
        plant(path)
        for action in ACTIONS.values():
            with pytest.raises(DataError, match=f"{path.name} may hold pickled objects"):
                action(folder, made_up)
        path.unlink()
    assert not canary.exists()


@pytest.mark.parametrize("action", ACTIONS)
def test_a_pickle_that_distributed_checkpoint_reads_in_its_other_storages_is_not_run(action, planted, made_up):
    folder, plant, canary = planted
    for name in ("model/.metadata", "model/__0.metadata", "optimizer/.metadata", "model/__0_0", ".metadata"):
        plant(checkpoints(folder)[-1] / name)
    ACTIONS[action](folder, made_up)
    assert not canary.exists()
