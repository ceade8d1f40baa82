"""What the trainer's tests share."""

import pytest

from tests.training.small_runs import run
from tests.training.synthetic import make_dataset


@pytest.fixture(scope="session")
def made_up(tmp_path_factory):
    """A small dataset with tokens/tiny. Read only."""
    return make_dataset(tmp_path_factory.mktemp("made-up") / "dataset")


@pytest.fixture(scope="session")
def unkilled(made_up, tmp_path_factory):
    """Finished runs, never killed, by recipe. Read only."""
    folders = {}
    for recipe in ("colake-tiny", "kepler-tiny"):
        folders[recipe] = tmp_path_factory.mktemp("unkilled") / recipe
        assert run(recipe, made_up, folders[recipe]) == 0
    return folders
