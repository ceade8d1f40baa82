"""Files to decoded bytes: every container, every cut, every kind of damage."""

import bz2
import gzip
import io
from itertools import pairwise

import pytest

from pipelines.sources import ranges as ranges_module
from pipelines.sources.ranges import Range, Truncated, plan_ranges, read_bytes, read_following
from schemas.errors import DataError
from tests.pipelines.sources.inputs import CONTAINERS, compress, words, write

TEXT = b"".join(b"line %d of the text\n" % i for i in range(3000))


LONG = f"{words(70_000)}\n{words(10_000, 1)}".encode()


def read_all(ranges):
    return b"".join(block for part in ranges for block in read_bytes(part))


@pytest.mark.parametrize("kind", ["plain", "bz2", "gz", "zst"])
@pytest.mark.parametrize("parts", [1, 7])
@pytest.mark.parametrize("target", [100, 5_000, 1 << 26])
def test_the_union_of_ranges_is_the_file(tmp_path, kind, parts, target):
    path = write(tmp_path, "no-extension", compress(TEXT, kind, parts))
    ranges = plan_ranges(path, target)
    assert read_all(ranges) == TEXT
    assert ranges[0].start == 0 and all(a.end == b.start for a, b in pairwise(ranges))
    assert b"".join(read_following(ranges[0])) == read_all(ranges[1:])


@pytest.mark.parametrize("kind", ["bz2", "gz", "zst"])
def test_a_file_of_many_parts_is_cut_at_them_and_one_of_one_part_is_not(tmp_path, kind):
    assert len(plan_ranges(write(tmp_path, "x", compress(TEXT, kind, 40)), 1)) == 40
    assert len(plan_ranges(write(tmp_path, "y", compress(TEXT, kind)), 1)) == 1


@pytest.mark.parametrize("name", CONTAINERS)
@pytest.mark.parametrize("count", [1, 2, 7, 40])
def test_as_many_ranges_as_wanted_are_made_and_give_what_the_sequence_gives(tmp_path, name, count):
    data = CONTAINERS[name](LONG)
    path = write(tmp_path, "x", data)
    ranges = plan_ranges(path, -(-len(data) // count))
    parts = {"gzip": 1, "bz2 of blocks": 5, "bz2 of streams": 6}.get(name, 40)
    assert min(count, parts) // 2 < len(ranges) <= count
    assert read_all(ranges) == LONG


def test_planning_reads_only_near_the_cuts(tmp_path, monkeypatch):
    path = write(tmp_path, "x", gzip.compress(TEXT * 100, 0))
    read = []

    class Counted(io.FileIO):
        def read(self, size=-1):
            read.append(size)
            return super().read(size)

    monkeypatch.setattr(ranges_module, "_open", lambda path: Counted(path))
    monkeypatch.setattr(ranges_module, "_SEARCH", 1 << 14)
    assert len(plan_ranges(path, 1 << 20)) == 1
    # Read are the head, and what is searched behind five targets.
    assert sum(read) < 300_000 < 5_000_000 < len(TEXT * 100)


def test_the_last_range_shows_how_the_file_ends(tmp_path):
    for parts in ([TEXT, b"\n", b" ", b"\n" * 9], [TEXT[:-1], b"\n"], [TEXT, b"x" * 9]):
        path = write(tmp_path, "x", b"".join(map(gzip.compress, parts)))
        assert len(plan_ranges(path, 1)) == 1
    path = write(tmp_path, "y", b"".join(map(gzip.compress, [TEXT, TEXT, b"\n"])))
    assert len(plan_ranges(path, 1)) == 2


@pytest.mark.parametrize("kind", ["bz2", "gz", "zst"])
def test_a_cut_file_gives_all_it_has_and_then_says_so(tmp_path, kind):
    data = compress(TEXT, kind, 5)
    whole = compress(TEXT[: len(TEXT) // 5 * 4], kind, 4)
    for cut in (len(whole), len(whole) + 1, len(data) - 20, len(data) - 1):
        path = write(tmp_path, f"{cut}", data[:cut])
        got = []
        if cut == len(whole) and data.startswith(whole):
            got += read_bytes(plan_ranges(path)[0])
        else:
            with pytest.raises(Truncated, match="ends early"):
                got.extend(read_bytes(plan_ranges(path)[0]))
        assert b"".join(got) == TEXT[: len(b"".join(got))]
        assert len(b"".join(got)) >= len(TEXT) * 0.7


def test_trailing_zeros_are_padding_and_other_bytes_are_damage(tmp_path):
    for kind in ("bz2", "gz"):
        assert read_all(plan_ranges(write(tmp_path, f"{kind}0", compress(TEXT, kind) + b"\0" * 1000))) == TEXT
        with pytest.raises(Truncated):
            read_all(plan_ranges(write(tmp_path, f"{kind}1", compress(TEXT, kind) + b"trailing words")))


def test_a_bomb_is_decoded_in_small_blocks(tmp_path):
    for kind in ("bz2", "gz", "zst"):
        path = write(tmp_path, kind, compress(bytes(50 << 20), kind))
        with pytest.raises(DataError, match="unknown binary"):
            plan_ranges(path)
        path = write(tmp_path, kind + "a", compress(b"a" * (50 << 20), kind))
        assert max(map(len, read_bytes(plan_ranges(path)[0]))) <= 8 << 20


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-be", "utf-32"])
@pytest.mark.parametrize("kind", ["plain", "gz"])
def test_a_byte_order_mark_names_the_encoding(tmp_path, encoding, kind):
    text = "Чапла 鷺 heron\n" * 50_000
    data = ("\ufeff" + text).encode(encoding) if encoding == "utf-16-be" else text.encode(encoding)
    path = write(tmp_path, "x", compress(data, kind))
    assert read_all(plan_ranges(path, 1000)).decode() == text
    if encoding != "utf-8-sig":
        assert len(plan_ranges(path, 1000)) == 1


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "empty file"),
        (gzip.compress(b"", mtime=0), "nothing inside"),
        (bz2.compress(b""), "nothing inside"),
        (b"\x1f\x8b\x08\x00", "nothing in it can be read"),
        (b"BZh9", "nothing in it can be read"),
        (b"\n<!DOCTYPE html><html>404</html>", "HTML page"),
        (gzip.compress(b"<html><body>Not found", mtime=0), "HTML page"),
        (b"PK\x03\x04....", "zip archive"),
        (b"PAR1....", "Parquet"),
        (b"\x93NUMPY\x01\x00\x00\x00", "unknown binary format"),
    ],
)
def test_what_is_no_dump_is_a_clear_error(tmp_path, data, words):
    path = write(tmp_path, "x", data)
    with pytest.raises(DataError, match=words) as caught:
        plan_ranges(path)
    assert path in str(caught.value) and "\n" not in str(caught.value)


def test_a_missing_file_and_a_folder_are_clear_errors(tmp_path):
    with pytest.raises(DataError, match="No such file"):
        plan_ranges(str(tmp_path / "none"))
    with pytest.raises(DataError, match="a folder"):
        list(read_bytes(Range(str(tmp_path), 0, 1)))
