"""A damaged file loses the same records, and says so as often, however it is cut into ranges."""

import json
import os

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipelines.sources import Reject
from pipelines.sources.lines import Lost, read_lines
from pipelines.sources.ranges import plan_ranges
from pipelines.sources.wikipedia import RawPage, read_pages
from schemas.errors import DataError
from tests.pipelines.sources.inputs import CONTAINERS, array, dump, entity, page, words, write

COUNTS = (1, 2, 7, 40)
DUMP = dump([page(number, words(number**3 % 2500, number)) for number in range(1, 41)])
ARRAY = array([entity(number, words(number**3 % 2500, number)) for number in range(1, 41)])


def read_both(path, count):
    """The pages, and the lines, of a file cut into about `count` ranges."""
    ranges = plan_ranges(path, -(-os.path.getsize(path) // count))
    pages = [one for part in ranges for one in read_pages(part)]
    return pages, [one for part in ranges for one in read_lines(part, 1 << 20)]


def read_any_way(path):
    """What is read, once it is known to be the same for every number of ranges; None for what is no dump."""
    try:
        whole = read_both(path, 1)
    except DataError:
        return None
    for count in COUNTS[1:]:
        assert read_both(path, count) == whole
    return whole


@st.composite
def damages(draw):
    """A function that damages bytes."""
    kind = draw(st.sampled_from(["flip", "flips", "cut", "hole", "zeros", "junk"]))
    share, length = draw(st.floats(0, 0.999)), draw(st.integers(1, 40_000))

    def damage(data):
        at, broken = int(share * len(data)), bytearray(data)
        if kind in ("flip", "flips"):
            for position in (at, at // 2, at // 3)[: 1 if kind == "flip" else 3]:
                broken[position] ^= 1 << length % 8
        elif kind == "cut":
            del broken[at:]
        elif kind == "hole":
            del broken[at : at + length]
        elif kind == "zeros":
            broken[at : at + length] = bytes(len(broken[at : at + length]))
        else:
            broken[at:at] = words(length // 6 + 1).encode()
        return bytes(broken)

    return damage


@pytest.mark.parametrize("text", [DUMP, ARRAY], ids=["pages", "entities"])
@pytest.mark.parametrize("name", CONTAINERS)
@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(damage=damages())
def test_damage_anywhere_is_met_alike_by_any_number_of_ranges(tmp_path, name, text, damage):
    read_any_way(write(tmp_path, "x", damage(CONTAINERS[name](text))))


@pytest.mark.parametrize("name", CONTAINERS)
@pytest.mark.parametrize("share", [0.5, 0.7, 0.99])
def test_a_cut_tail_keeps_every_whole_page_and_is_reported_once(tmp_path, name, share):
    data = CONTAINERS[name](DUMP)
    pages, lines = read_any_way(write(tmp_path, "x", data[: int(share * len(data))]))
    assert [one.reason for one in pages if isinstance(one, Reject)] == ["truncated"]
    text = b"\n".join(line.data for line in lines if not isinstance(line, Lost))
    kept = [one.title for one in pages if isinstance(one, RawPage)]
    assert kept == [f"Page {number}" for number in range(1, text.count(b"</page>") + 1)]
    # A part is lost at the most: a block of 100 kB, or what a gzip decoder still holds.
    assert len(text) > share * len(DUMP) - 150_000


@pytest.mark.parametrize("name", ["bz2 of blocks", "bz2 of streams", "gzip of members", "zstd of frames"])
def test_one_damaged_part_costs_its_pages_and_one_reject(tmp_path, name):
    data = bytearray(CONTAINERS[name](DUMP))
    data[len(data) // 2] ^= 0x40
    pages, _ = read_any_way(write(tmp_path, "x", data))
    kept = [one.page_id for one in pages if isinstance(one, RawPage)]
    lost = sorted(set(range(1, 41)) - set(kept))
    assert [one.reason for one in pages if isinstance(one, Reject)] == ["truncated"]
    assert 1 <= len(lost) <= 12 and lost == list(range(lost[0], lost[-1] + 1)) and kept[-1] == 40


@pytest.mark.parametrize("name", CONTAINERS)
def test_what_is_whole_is_read_alike_by_any_number_of_ranges(tmp_path, name):
    pages, _ = read_any_way(write(tmp_path, "x", CONTAINERS[name](DUMP)))
    assert [one.page_id for one in pages] == list(range(1, 41))
    _, lines = read_any_way(write(tmp_path, "y", CONTAINERS[name](ARRAY)))
    assert [json.loads(line.data.rstrip(b","))["id"] for line in lines[1:-1]] == [f"Q{n}" for n in range(1, 41)]
