"""The index beside a multistream dump: told from a dump, paired with its own, and never believed unchecked."""

import bz2
from pathlib import Path

import pytest

from pipelines.sources.multistream import pair_indexes, plan_dump
from pipelines.sources.ranges import plan_ranges
from pipelines.sources.wikipedia import read_pages
from schemas.errors import DataError, UsageError
from tests.conftest import EXAMPLES
from tests.pipelines.sources.inputs import FOOTER, HEADER, compress, page, words, write

DUMP, INDEX = "w-pages-articles-multistream.xml.bz2", "w-pages-articles-multistream-index.txt.bz2"


def multistream(streams=6, pages=3):
    """(dump, index, offsets of its streams) as MediaWiki's dump scripts write them."""
    dump, lines, offsets = bz2.compress(HEADER.encode()), [], []
    for stream in range(streams):
        offsets.append(len(dump))
        numbers = range(stream * pages + 1, (stream + 1) * pages + 1)
        lines += [f"{len(dump)}:{number}:Page: {number}\n" for number in numbers]
        dump += bz2.compress("".join(page(number, words(300, number)) for number in numbers).encode())
    return dump + bz2.compress(FOOTER.encode()), "".join(lines).encode(), offsets


@pytest.fixture
def pair(tmp_path):
    """Paths of a dump and its index, and the offsets."""
    dump, index, offsets = multistream()
    return write(tmp_path, DUMP, dump), write(tmp_path, INDEX, bz2.compress(index)), offsets


@pytest.mark.parametrize("kind", ["plain", "bz2", "gz"])
def test_the_cuts_are_the_indexs(tmp_path, kind):
    dump, index, offsets = multistream()
    path, beside = write(tmp_path, DUMP, dump), write(tmp_path, "index", compress(index.rstrip(), kind))
    ranges = plan_dump(path, beside, 1)
    assert [part.start for part in ranges] == [0, *offsets]
    assert ranges[-1].end == len(dump)
    behind = [min(offset for offset in offsets if offset >= target) for target in (5000, 10000, 15000)]
    assert [part.start for part in plan_dump(path, beside, 5000)] == [0, *behind]


def test_with_and_without_the_index_the_pages_are_the_same(pair):
    path, index, _ = pair
    pages = [one for part in plan_ranges(path) for one in read_pages(part)]
    assert [one.page_id for one in pages] == list(range(1, 19))
    for target in (1, 1000, 5000):
        for ranges in (plan_dump(path, index, target), plan_dump(path, None, target)):
            assert [one for part in ranges for one in read_pages(part)] == pages


def test_the_examples_index_names_all_of_their_streams():
    dump, index = EXAMPLES / "enwiki-mini.xml.bz2", EXAMPLES / "enwiki-mini-index.txt.bz2"
    assert pair_indexes([index, dump]) == [(dump, index)]
    assert len(plan_dump(str(dump), str(index), 1)) == 21


@pytest.mark.parametrize("number", [0, 3, 5])
def test_an_offset_where_no_stream_begins_is_an_error_that_names_both_files(pair, tmp_path, number):
    path, _, offsets = pair
    offsets[number] += 4
    index = write(tmp_path, "other", b"".join(b"%d:1:A\n%d:2:B\n" % (offset, offset) for offset in offsets))
    for target in (1, 1 << 20) if number != 3 else (1,):
        with pytest.raises(DataError, match=f"begins at byte {offsets[number]}, and none does") as caught:
            plan_dump(path, index, target)
        assert path in str(caught.value) and index in str(caught.value)


def test_an_index_of_a_plain_dump_is_an_error(pair, tmp_path):
    path, index, _ = pair
    with pytest.raises(DataError, match="and none does"):
        plan_dump(write(tmp_path, "plain", bz2.decompress(Path(path).read_bytes())), index, 1)


def test_a_dump_that_is_cut_is_read_up_to_there(pair, tmp_path):
    path, index, offsets = pair
    cut = write(tmp_path, "cut", Path(path).read_bytes()[: offsets[4] + 5])
    ranges = plan_dump(cut, index, 1)
    assert [part.start for part in ranges] == [0, *offsets[:4]]
    records = [one for part in ranges for one in read_pages(part)]
    assert len(records) == 13 and records[-1].reason == "truncated"
    assert records == [one for part in plan_ranges(cut) for one in read_pages(part)]


def test_damage_costs_the_same_pages_with_an_index(pair, tmp_path):
    path, index, offsets = pair
    data = bytearray(Path(path).read_bytes())
    for offset in offsets[1:3]:
        data[offset + 300] ^= 1
    broken = write(tmp_path, "broken", data)
    pages = [one for part in plan_ranges(broken) for one in read_pages(part)]
    assert [one[0] for one in pages] == [1, 2, 3, "wikipedia", "wikipedia", *range(10, 19)]
    assert [one for part in plan_dump(broken, index, 1) for one in read_pages(part)] == pages


def test_a_damaged_index_names_fewer_streams(pair, tmp_path):
    path, _, offsets = pair
    lines = [b"%d:%d:%s\n" % (offset, number, words(9000, number).encode()) for number, offset in enumerate(offsets)]
    index = bytearray(bz2.compress(b"".join(lines), 1))
    index[len(index) // 2] ^= 1
    assert {part.start for part in plan_dump(path, write(tmp_path, "index", index), 1)} < {0, *offsets}


@pytest.mark.parametrize(
    ("dump", "index"),
    [
        (DUMP, INDEX),
        ("a-multistream1.xml-p1p41242.bz2", "a-multistream-index1.txt-p1p41242.bz2"),
        ("a-multistream.xml.bz2", "a-multistream-index.txt"),
        ("a.bz2", "a-index.bz2"),
    ],
)
def test_an_index_finds_its_dump_by_name(tmp_path, dump, index):
    data, lines, _ = multistream(2)
    other = Path(write(tmp_path, "z-multistream2.xml.bz2", data))
    paths = Path(write(tmp_path, dump, data)), Path(write(tmp_path, index, lines))
    assert pair_indexes([paths[1], other, paths[0]]) == [(other, None), paths]


def test_an_index_of_the_same_folder_comes_first(tmp_path):
    data, lines, _ = multistream(2)
    for name in "ab":
        (tmp_path / name).mkdir()
    dumps = [Path(write(tmp_path / name, DUMP, data)) for name in "ab"]
    index = Path(write(tmp_path / "b", INDEX, lines))
    assert pair_indexes([*dumps, index]) == [(dumps[0], None), (dumps[1], index)]


def test_an_index_alone_is_a_wrong_use(pair):
    with pytest.raises(UsageError, match=f"expected its dump, {DUMP}, beside it"):
        pair_indexes([Path(pair[1])])
