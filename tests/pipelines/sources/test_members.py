"""Gzip members and zstd frames: found in the middle of a file, and only where there is one."""

import gzip
import struct
import zlib

import pytest

from pipelines.sources.members import zstd
from pipelines.sources.ranges import Truncated, plan_ranges, read_bytes
from schemas.errors import DataError
from tests.pipelines.sources.inputs import SKIPPABLE, words, write

TEXTS = [f"{words(3000, number)}\n{words(1000, number)}\n".encode() for number in range(12)]


def read(path, target=1):
    ranges = plan_ranges(path, target)
    return len(ranges), b"".join(block for part in ranges for block in read_bytes(part))


def member(text, flags=0, fields=b""):
    """A gzip member with optional fields in its header."""
    packer = zlib.compressobj(wbits=-15)
    body = packer.compress(text) + packer.flush()
    header = b"\x1f\x8b\x08" + bytes([flags]) + bytes(4) + b"\0\xff" + fields
    checksum = struct.pack("<H", zlib.crc32(header) & 0xFFFF) if flags & 2 else b""
    return header + checksum + body + struct.pack("<II", zlib.crc32(text), len(text))


@pytest.mark.parametrize(
    ("flags", "fields"),
    [(8, b"enwiki.xml\0"), (16, b"a comment\0"), (2, b""), (4, b"\x06\0BC\x02\0\xff\x1f"), (26, b"name\0comment\0")],
    ids=["name", "comment", "checksum", "bgzip's length", "all"],
)
def test_members_are_found_whatever_their_headers_hold(tmp_path, flags, fields):
    path = write(tmp_path, "x", b"".join(member(text, flags, fields) for text in TEXTS))
    assert read(path) == (12, b"".join(TEXTS))


def test_members_of_single_characters_are_read_as_wikidata_writes_them(tmp_path):
    texts = [b"[\n", *(piece for text in TEXTS for piece in (text, b",\n")), TEXTS[0], b"\n]\n"]
    path = write(tmp_path, "x", b"".join(gzip.compress(text, 9) for text in texts))
    count, text = read(path)
    assert text == b"".join(texts) and count > 12


@pytest.mark.parametrize("level", [0, 9])
def test_what_only_looks_like_a_member_is_no_cut(tmp_path, level):
    false = b"\x1f\x8b\x08\0" + b"no member is here" * 40
    texts = [TEXTS[0] + false + TEXTS[1], TEXTS[2] + false]
    path = write(tmp_path, "x", b"".join(gzip.compress(text, level) for text in texts))
    assert read(path) == (2, b"".join(texts))


def test_a_member_inside_another_is_an_error_and_not_other_text(tmp_path):
    inner = gzip.compress(TEXTS[0] * 9) + TEXTS[1]
    path = write(tmp_path, "x", gzip.compress(TEXTS[2] + inner + TEXTS[3], 0))
    assert read(path, 1 << 20) == (1, TEXTS[2] + inner + TEXTS[3])
    with pytest.raises(DataError, match=r"lies inside another\. Decompress .* or read it in one range") as caught:
        read(path, 20_000)
    assert path in str(caught.value)


def test_zstd_frames_are_found_between_frames_without_data(tmp_path):
    frames = [SKIPPABLE + zstd.compress(text) for text in TEXTS]
    path = write(tmp_path, "x", b"".join(frames) + SKIPPABLE)
    # What stands before the first frame is a range of its own.
    assert read(path) == (13, b"".join(TEXTS))


def test_a_cut_frame_without_data_is_reported(tmp_path):
    path = write(tmp_path, "x", zstd.compress(TEXTS[0]) + SKIPPABLE[:-1])
    with pytest.raises(Truncated, match="ends early"):
        read(path)
