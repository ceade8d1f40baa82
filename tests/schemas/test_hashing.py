"""Counter-based randomness against its published vectors."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.hashing import (
    below,
    hash_string,
    hash_strings,
    joined,
    normal,
    philox4x32,
    random_u64,
    random_words,
    row_order,
)

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


def chained(key, *ids):
    """The words of ids two by two, each pair under those of the pair before; the last of an odd number with 0."""
    for first, second in zip(ids[::2], [*ids[1::2], 0], strict=False):
        counter = [part >> shift & 0xFFFFFFFF for part in (first, second) for shift in (0, 32)]
        words = philox4x32(np.array(counter, np.uint32), np.array([key & 0xFFFFFFFF, key >> 32], np.uint32)).tolist()
        key = words[0] | words[1] << 32
    return words


@given(st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=5), st.integers(-3, 2**40))
def test_ids_are_hashed_two_by_two_under_the_key_of_seed_and_purpose(ids, seed):
    key = hash_string(f"{seed}/p")
    low, high, third, fourth = map(int, random_words(key, *ids))
    assert [low, high, third, fourth] == chained(key, *ids)
    assert int(random_u64(seed, "p", *ids)) == low | high << 32


def test_numbers_are_taken_modulo_2_to_the_64_and_nothing_is_0():
    key = hash_string("0/p")
    assert int(random_u64(0, "p", -1)) == int(random_u64(0, "p", 2**64 - 1)) == int(random_u64(0, "p", np.int64(-1)))
    assert int(random_u64(0, "p", 2**64 + 5)) == int(random_u64(0, "p", np.int32(5)))
    assert list(map(int, random_words(key))) == chained(key, 0) == chained(key, 0, 0)


def test_the_row_order_of_graphs_is_their_hash_under_a_seed_of_its_own():
    assert row_order(np.arange(9)).tolist() == random_u64(0, "row_order", np.arange(9)).tolist()


def test_text_that_is_no_unicode_is_hashed_too_and_a_seed_changes_it():
    assert hash_string("\ud800") != hash_string("\ud801")
    assert hash_string("a") == hash_string("a", 0) != hash_string("a", 1)


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


def test_below_is_the_share_of_2_to_the_64():
    assert [int(below(share)) for share in (0.0, 0.25, 0.5, 1.0)] == [0, 2**62, 2**63, 2**64 - 1]


def test_a_normal_deviate_is_box_and_mullers():
    for word in (0, 1, 2**31, 2**32 - 1, 2**32, 3 * 2**62 + 2**30, 2**64 - 1):
        high, low = divmod(word, 2**32)
        expected = math.sqrt(-2 * math.log((high + 0.5) / 2**32)) * math.cos(2 * math.pi * low / 2**32)
        assert float(normal(np.array(word, np.uint64))) == pytest.approx(expected, rel=1e-12)


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
