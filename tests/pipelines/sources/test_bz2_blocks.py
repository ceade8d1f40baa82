"""bz2 blocks: found at any bit, decoded alone, each damage kept to its blocks."""

import bz2
import contextlib
import tempfile
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.sources import Truncated, bz2_blocks
from pipelines.sources.bz2_blocks import Bz2Blocks, find_marks
from pipelines.sources.containers import decode
from schemas.errors import DataError
from tests.pipelines.sources.inputs import words

MARK, END = 0x314159265359, 0x177245385090
TEXT = words(110_000).encode()
SINGLE = bz2.compress(TEXT, 1)
STREAMS = b"".join(bz2.compress(TEXT[start : start + 250_000], 1) for start in range(0, len(TEXT), 250_000))


@contextlib.contextmanager
def opened(data):
    with tempfile.TemporaryFile() as file:
        file.write(data)
        yield file


def read(data, start=0, end=None):
    """Text of the units that begin in [start, end), None where something is lost."""
    with opened(data) as file:
        blocks = decode(file, "bz2", start, len(data) if end is None else end)
        return [None if isinstance(block, Truncated) else block for block in blocks]


def starts(data):
    """Offset of every unit."""
    with opened(data) as file:
        blocks, found = Bz2Blocks(file), []
        while (unit := blocks.find(found[-1] + 1 if found else 0, len(data))) is not None:
            found.append(unit)
        return found


@given(st.lists(st.integers(0, 2000), max_size=5), st.randoms(use_true_random=False))
def test_marks_are_found_at_every_bit(positions, draw):
    bits = draw.getrandbits(2056)
    for position in positions:
        bits = bits & ~((1 << 48) - 1 << position) | MARK << position
    data = bits.to_bytes(257)
    expected = [2056 - 48 - at for at in range(2008, -1, -1) if bits >> at & (1 << 48) - 1 == MARK]
    # A mark in the last six bytes has no seventh byte.
    assert find_marks(data, MARK) == [bit for bit in expected if bit // 8 + 7 <= len(data)]
    assert find_marks(data + b"\0", MARK) == expected


@pytest.mark.parametrize("data", [SINGLE, STREAMS], ids=["one stream", "streams"])
def test_blocks_before_and_behind_any_other_give_the_whole(data):
    units = starts(data)
    assert len(units) == len(read(data)) == (7 if data is SINGLE else 8)
    assert b"".join(read(data)) == bz2.decompress(data) == TEXT
    for unit in units[1:]:
        assert read(data, 0, unit) + read(data, unit) == read(data)
    assert [read(data, a, b) for a, b in pairwise([*units, len(data)])] == [[block] for block in read(data)]


@pytest.mark.parametrize("data", [SINGLE, STREAMS], ids=["one stream", "streams"])
def test_damage_in_a_block_costs_that_block(data):
    whole, units = read(data), [*starts(data), len(data)]
    for number, (start, end) in enumerate(pairwise(units)):
        broken = bytearray(data)
        broken[(start + end) // 2] ^= 0x10
        expected = [*whole[:number], None, *whole[number + 1 :]]
        assert read(broken) == expected
        cuts = starts(broken)
        assert {*units[:number], *units[number + 1 : -1]} <= {*cuts}
        cut = cuts[number % len(cuts)]
        assert read(broken, 0, cut) + read(broken, cut) == expected


@pytest.mark.parametrize("place", range(0, 60, 7))
def test_a_damaged_mark_or_table_costs_its_block_and_the_one_before_at_the_most(place):
    units = starts(SINGLE)
    broken = bytearray(SINGLE)
    broken[units[3] + place] ^= 0xFF
    whole, found = read(SINGLE), read(broken)
    assert None in found and found[:2] == whole[:2] and found[-3:] == whole[-3:]
    for cut in starts(broken):
        assert read(broken, 0, cut) + read(broken, cut) == found


@pytest.mark.parametrize("cut", [len(SINGLE) - 1, len(SINGLE) - 3000, len(SINGLE) // 2, 20])
def test_a_cut_file_gives_its_whole_blocks_and_then_says_so(cut):
    whole = read(SINGLE)
    found = read(SINGLE[:cut])
    assert found[-1] is None and found[:-1] == whole[: len(found) - 1]
    assert len(found) - 1 == sum(unit <= cut for unit in [*starts(SINGLE)[1:], len(SINGLE) - 4])


def test_a_false_mark_costs_nothing(monkeypatch):
    whole, units = read(SINGLE), starts(SINGLE)
    false = bytes.fromhex("5a5a")  # as if these two bytes were a mark

    def with_false_marks(data, mark):
        positions = [at for at in range(len(data) - 1) if data[at : at + 2] == false and mark == MARK]
        return sorted({*find_marks(data, mark), *(8 * position for position in positions)})

    assert len(with_false_marks(SINGLE, MARK)) > len(units)
    monkeypatch.setattr(bz2_blocks, "find_marks", with_false_marks)
    assert read(SINGLE) == whole
    assert starts(SINGLE) == units


def test_a_range_that_ends_inside_a_block_is_an_error():
    with pytest.raises(DataError, match="lies inside another"):
        read(SINGLE, 0, starts(SINGLE)[1] - 100)


@pytest.mark.parametrize(
    "piece", [MARK.to_bytes(6), END.to_bytes(6), b"BZh9" + MARK.to_bytes(6), b"BZh9" + END.to_bytes(6)]
)
@pytest.mark.parametrize("shift", [0, 5])
def test_a_file_full_of_marks_is_damage_and_no_endless_search(piece, shift):
    marks = (int.from_bytes(piece * 50_000) << 8 - shift).to_bytes(len(piece) * 50_000 + 1)
    for data in (b"BZh9" + MARK.to_bytes(6) + marks, SINGLE[:30_000] + marks + SINGLE):
        with opened(data) as file:
            assert any(isinstance(block, Truncated) for block in decode(file, "bz2", 0, len(data)))


def test_empty_streams_hold_nothing_and_words_between_streams_are_damage():
    empty = bz2.compress(b"")
    one, two = bz2.compress(b"one"), bz2.compress(b"two")
    assert read(empty + one + empty + empty + two + empty + bytes(99)) == [b"one", b"two"]
    assert read(one + b"between" + two) == [b"one", None, b"two"]
    assert read(one + b"BZh9 is no header" + two) == [b"one", None, b"two"]
    assert read(one + empty[:9]) == [b"one", None]


@given(st.binary(max_size=300), st.integers(1, 9))
def test_any_bytes_are_read_as_they_were_written(data, level):
    assert b"".join(read(bz2.compress(data, level))) == data


def test_a_long_run_is_given_in_small_blocks():
    data = bz2.compress(b"a" * (60 << 20))
    assert len(data) < 200
    lengths = [len(block) for block in read(data)]
    assert sum(lengths) == 60 << 20 and max(lengths) <= 1 << 20
