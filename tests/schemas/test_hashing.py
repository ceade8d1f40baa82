"""Counter-based randomness against its published vectors."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.hashing import below, hash_string, hash_strings, joined, normal, philox4x32, random_u64, random_words

VECTORS = [
    ([0] * 4, [0] * 2, [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]),
    ([0xFFFFFFFF] * 4, [0xFFFFFFFF] * 2, [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD]),
    (
        [0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344],
        [0xA4093822, 0x299F31D0],
        [0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1],
    ),
]
"""Random123's kat_vectors, philox4x32 with 10 rounds: counter, key, result."""


@pytest.mark.parametrize(("counter", "key", "expected"), VECTORS)
def test_philox_equals_the_published_vectors(counter, key, expected):
    result = philox4x32(np.array([counter, counter], np.uint32), np.array(key, np.uint32))
    assert result.tolist() == [expected, expected]


def test_strings_equal_xxh3s_published_value():
    assert hash_string("") == 0x2D06800538D394C2  # XXH3_64bits of nothing, seed 0
    assert hash_strings(["a", "é"]).tolist() == [hash_string("a"), hash_string("é")]


@given(st.lists(st.integers(0, 2**63 - 1), min_size=1, max_size=4), st.integers(0, 9))
def test_a_value_depends_on_seed_purpose_and_every_id_and_on_nothing_else(ids, seed):
    value = random_u64(seed, "p", *ids)
    assert value == random_u64(seed, "p", *ids)
    assert value != random_u64(seed + 1, "p", *ids)
    assert value != random_u64(seed, "q", *ids)
    for place in range(len(ids)):
        assert value != random_u64(seed, "p", *[i ^ (k == place) for k, i in enumerate(ids)])


def test_arrays_broadcast_to_the_same_values_as_one_by_one():
    columns = np.arange(50), np.int64(7), np.arange(50) * 3
    whole = random_u64(1, "x", *columns)
    assert whole.tolist() == [int(random_u64(1, "x", i, 7, i * 3)) for i in range(50)]


def test_two_words_are_the_halves_of_a_number():
    numbers = [0x0123456789ABCDEF, 2**64 - 1, 0, 2**32]
    low, high = (np.array([number >> shift & 0xFFFFFFFF for number in numbers], np.uint64) for shift in (0, 32))
    assert joined(low, high).tolist() == numbers and int(joined(low[0], high[0])) == numbers[0]


@given(st.integers(0, 2**64 - 1), st.integers(-5, 5))
def test_what_a_group_shares_may_be_hashed_once(first, second):
    low, high, _, _ = random_words(random_u64(1, "x", first, second), np.arange(5))
    assert joined(low, high).tolist() == random_u64(1, "x", first, second, np.arange(5)).tolist()


def test_below_keeps_its_share():
    draws = random_u64(0, "share", np.arange(200_000))
    assert abs((draws < below(0.1)).mean() - 0.1) < 0.003


def test_normal_deviates_are_normal():
    count = 100_000
    found = normal(random_u64(0, "normal", np.arange(count)))
    assert abs(found.mean()) < 4 / np.sqrt(count) and abs(found.var() - 1) < 4 * np.sqrt(2 / count)
    for bound, share in ((-1.0, 0.158655), (0.5, 0.691462), (2.0, 0.977250)):
        assert abs((found < bound).mean() - share) < 4 * 0.5 / np.sqrt(count)
    assert np.abs(normal(np.array([0, 2**64 - 1], dtype=np.uint64))).max() < 6.8
