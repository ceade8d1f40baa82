"""What the trainer's tests share."""

import pytest

from tests.training.synthetic import make_dataset


@pytest.fixture(scope="session")
def made_up(tmp_path_factory):
    """A small dataset with tokens/tiny. Read only."""
    return make_dataset(tmp_path_factory.mktemp("made-up") / "dataset")
