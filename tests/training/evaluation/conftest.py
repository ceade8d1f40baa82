"""Knowledge graphs to evaluate on: a tiny one made here, and the real small ones under WIKILOOM_DATA."""

import pytest

from schemas.dataset import Dataset
from tests.training.evaluation.kg import REAL, read_real, write_kg


@pytest.fixture(scope="session")
def family(tmp_path_factory) -> Dataset:
    """20 people in 10 marriages, each with a city of birth: spouse is symmetric, and married_to says the same."""
    train, valid, test = [], [], []
    for couple in range(10):
        wife, husband = f"w{couple}", f"h{couple}"
        train += [(wife, "spouse", husband), (husband, "born_in", f"city{couple % 3}")]
        held_out = test if couple % 2 else valid
        held_out.append((husband, "spouse", wife))
        (train if couple < 7 else held_out).append((wife, "born_in", f"city{couple % 3}"))
        train.append((wife, "married_to", husband))
    return write_kg(tmp_path_factory.mktemp("family"), {"train": train, "valid": valid, "test": test})


@pytest.fixture(scope="session", params=sorted(REAL))
def real_kg(request, tmp_path_factory) -> Dataset:
    """A published benchmark."""
    return read_real(request.param, tmp_path_factory.mktemp(request.param))
