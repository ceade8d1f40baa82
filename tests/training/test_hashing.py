"""The torch twin of the hashes: the same integers."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from schemas import hashing as reference
from tests.schemas.test_hashing import VECTORS
from training import hashing

DEVICES = [torch.device("cpu")] + ([torch.device("cuda")] if torch.cuda.is_available() else [])
INTEGERS = st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=6)


@pytest.mark.parametrize("device", DEVICES, ids=str)
@pytest.mark.parametrize(("counter", "key", "expected"), VECTORS)
def test_philox_equals_the_published_vectors(device, counter, key, expected):
    counter, key = torch.tensor([counter, counter], device=device), torch.tensor(key, device=device)
    assert hashing.philox4x32(counter, key).tolist() == [expected, expected]


@pytest.mark.parametrize("device", DEVICES, ids=str)
@given(INTEGERS, INTEGERS, st.integers(0, 2**64 - 1), st.integers(0, 9))
def test_values_equal_numpys(device, first, second, third, seed):
    rows, columns = np.array(first)[:, None], np.array(second)
    expected = reference.random_u64(seed, "p", rows, columns, third)
    found = hashing.random_u64(seed, "p", *(torch.from_numpy(side).to(device) for side in (rows, columns)), third)
    assert np.array_equal(found.cpu().numpy().view(np.uint64), expected)


@pytest.mark.parametrize("device", DEVICES, ids=str)
@given(INTEGERS)
def test_words_under_given_keys_equal_numpys(device, places):
    keys, places = reference.random_u64(0, "k", np.arange(len(places))), np.array(places)
    expected = np.stack(reference.random_words(keys, places))
    words = hashing.random_words(torch.from_numpy(keys.view(np.int64)).to(device), torch.from_numpy(places).to(device))
    assert np.array_equal(torch.stack(words).cpu().numpy().astype(np.uint64), expected)
