"""Containers: empty, cut, foreign, concatenated, padded, with odd headers, and bombs; all made here."""

import bz2
import gzip
import io
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator

from pipelines.sources.members import zstd
from tests.end_to_end.reliability.inputs_tried import COUNT, ENTITIES, PAGES, Kind, whole_entities, whole_pages
from tests.pipelines.sources.inputs import FOOTER, HEADER, SKIPPABLE, page
from tests.pipelines.sources.test_members import member

PACK: dict[str, Callable[[bytes], bytes]] = {
    "gz": gzip.compress,
    "bz2": bz2.compress,
    "zst": lambda data: zstd.compress(data, options={zstd.CompressionParameter.checksum_flag: 1}),
}
HTML = b"<!DOCTYPE html>\n<html><body><h1>503 Service Unavailable</h1></body></html>\n"
MB = 1 << 20
BOMB = 1 << 30
"""Bytes of a bomb, decompressed."""
_ZEROS = bytes(16 * MB)


def _of(suffix: str, reads: str = PAGES) -> dict[str, Kind]:
    """What any container may be; `pack` is its compressor."""
    pack, name = PACK[suffix], f"dump.{suffix}"
    data = whole_pages() if reads == PAGES else whole_entities()
    packed, third = pack(data), len(data) // 3
    pieces = [data[:third], data[third : 2 * third], data[2 * third :]]
    ends = len(packed) - 1
    broken = bytearray(packed)
    broken[0 if suffix != "bz2" else 1] ^= 0x55

    def kind(make: bytes, **expected: object) -> Kind:
        return Kind(reads, lambda: make, name=name, **expected)  # type: ignore[arg-type]

    def cut(at: int) -> bytes:
        return packed[:at]

    some = {"kept": (0, COUNT), "rejects": ("truncated",), "may_fail": True}
    return {
        "nothing inside": kind(pack(b""), error="nothing inside"),
        "white space inside": kind(pack(b" \n" * 500), error="expected a pages-articles dump")
        if reads == PAGES
        else kind(pack(b" \n" * 500), kept=0),
        "an HTML page under its name": kind(HTML, error="an HTML page"),
        "an HTML page inside": kind(pack(HTML), error="an HTML page"),
        "binary data inside": kind(pack(bytes(range(256)) * 40), error="unknown binary format"),
        "another magic number": kind(bytes(broken), error="dump"),
        "its magic number alone": kind(packed[:4], error="dump"),
        "cut in its header": kind(cut(6), error="dump"),
        "cut in the middle": kind(cut(len(packed) // 2), **some),
        "cut before its last byte": kind(cut(ends), **some),
        "its last byte another": kind(packed[:-1] + bytes([packed[-1] ^ 1]), **some),
        "zeros behind it": kind(packed + bytes(1024)),
        "a line of text behind it": kind(packed + b"Connection closed\n", kept=COUNT, rejects=("truncated",)),
        "three parts": kind(b"".join(map(pack, pieces))),
        "an empty part first": kind(pack(b"") + packed),
        "an empty part last": kind(packed + pack(b"")),
        "the middle of three parts damaged": kind(
            b"".join([pack(pieces[0]), _damaged(pack(pieces[1])), pack(pieces[2])]), **some
        ),
        "packed twice": kind(pack(packed), error="dump"),
    }


def _damaged(data: bytes) -> bytes:
    middle = len(data) // 2
    return data[:middle] + bytes(40) + data[middle + 40 :]


def _gzip() -> dict[str, Kind]:
    data = whole_pages()
    packed = gzip.compress(data)

    def kind(make: bytes, **expected: object) -> Kind:
        return Kind(PAGES, lambda: make, **expected)  # type: ignore[arg-type]

    length = struct.pack("<I", 7)
    return {
        "gzip: a name in its header": kind(member(data, 8, b"enwiki.xml\0")),
        "gzip: a comment of 100 kB": kind(member(data, 16, b"c" * 100_000 + b"\0")),
        "gzip: an extra field": kind(member(data, 4, b"\x04\0ab\0\0")),
        "gzip: a checksum of its header": kind(member(data, 2)),
        "gzip: the text bit": kind(packed[:3] + b"\x01" + packed[4:]),
        "gzip: a name without an end": kind(b"\x1f\x8b\x08\x08" + b"name" * 100, error="dump"),
        "gzip: an extra field longer than the file": kind(
            packed[:3] + b"\x04" + packed[4:10] + b"\xff\xff", error="dump"
        ),
        "gzip: another method": kind(packed[:2] + b"\x07" + packed[3:], error="dump"),
        "gzip: another length at its end": kind(
            packed[:-4] + length, kept=(0, COUNT), rejects=("truncated",), may_fail=True
        ),
        "zlib, not gzip": kind(zlib.compress(data), error="dump"),
        "deflate, not gzip": kind(zlib.compress(data)[2:-4], error="dump"),
    }


def _bz2() -> dict[str, Kind]:
    data = whole_pages()
    packed = bz2.compress(data)

    def kind(make: bytes, **expected: object) -> Kind:
        return Kind(PAGES, lambda: make, **expected)  # type: ignore[arg-type]

    return {
        "bz2: level 0": kind(packed[:3] + b"0" + packed[4:], rejects=("truncated",)),
        "bz2: bzip 1": kind(b"BZ0" + packed[3:], error="dump"),
        "bz2: level 1 said, blocks of 9": kind(packed[:3] + b"1" + packed[4:], kept=(0, COUNT), rejects=()),
        "bz2: another block's checksum": kind(packed[:10] + b"\0\0\0\0" + packed[14:], error="dump"),
        "bz2: an origin beyond the block": kind(packed[:14] + b"\x7f\xff\xff" + packed[17:], error="dump"),
    }


def _zstd() -> dict[str, Kind]:
    data = whole_pages()
    packed = zstd.compress(data)
    window = {zstd.CompressionParameter.window_log: 27, zstd.CompressionParameter.enable_long_distance_matching: 1}

    def kind(make: bytes, **expected: object) -> Kind:
        return Kind(PAGES, lambda: make, **expected)  # type: ignore[arg-type]

    return {
        "zstd: a frame without data first": kind(SKIPPABLE + packed),
        "zstd: frames without data alone": kind(SKIPPABLE * 3, error="nothing inside"),
        "zstd: a frame without data of 4 GB": kind(
            packed + b"\x5e\x2a\x4d\x18\xff\xff\xff\xff", kept=COUNT, rejects=("truncated",)
        ),
        "zstd: a large window": kind(zstd.compress(data, options=window)),
        "zstd: a window of 2 TB": kind(packed[:4] + b"\x00\xf8" + packed[6:], error="dump"),
        "zstd: a dictionary that is not there": kind(packed[:4] + b"\x03\xff\xff\xff\x7f" + packed[5:], error="dump"),
        "zstd: a reserved bit": kind(packed[:4] + bytes([packed[4] | 8]) + packed[5:], error="dump"),
    }


def _archives() -> dict[str, Kind]:
    """Archives are streamed as what they are not: nothing of them is extracted."""
    held, tape = io.BytesIO(), io.BytesIO()
    with zipfile.ZipFile(held, "w") as archive:
        archive.writestr("../../escaped.xml", whole_pages())
    with tarfile.open(fileobj=tape, mode="w") as archive:
        info = tarfile.TarInfo("../../escaped.xml")
        info.size = len(whole_pages())
        archive.addfile(info, io.BytesIO(whole_pages()))
    sevenths = b"7z\xbc\xaf\x27\x1c" + bytes(100)
    made = {
        "a zip archive": (held.getvalue(), "a zip archive"),
        "a tar archive": (tape.getvalue(), "unknown binary format"),
        "a tar archive inside gzip": (gzip.compress(tape.getvalue()), "unknown binary format"),
        "a 7z archive": (sevenths, "a 7z archive"),
        "an xz file": (b"\xfd7zXZ\0" + bytes(50), "an xz file"),
        "a Parquet file": (b"PAR1" + bytes(50) + b"PAR1", "a Parquet file"),
        "an SQLite database": (b"SQLite format 3\0" + bytes(90), "SQLite"),
        "a PDF file": (b"%PDF-1.7\n" + b"x" * 90, "a PDF file"),
        "a picture": (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "unknown binary format"),
        "an empty file": (b"", "empty file"),
        "a file of zeros": (bytes(4096), "unknown binary format"),
    }
    return {name: Kind(PAGES, lambda data=data: data, error=error) for name, (data, error) in made.items()}


def _repeated(pack: Callable[[bytes], bytes], block: bytes, size: int) -> Iterator[bytes]:
    """Parts of `block`, up to so many bytes decompressed."""
    packed = pack(block)
    return iter([packed] * (size // len(block)))


def _one_member(head: bytes, block: bytes, tail: bytes) -> Iterator[bytes]:
    """One gzip member: head, a block again and again up to BOMB bytes, tail."""
    packer = zlib.compressobj(1, wbits=31)
    yield packer.compress(head)
    for _ in range(BOMB // len(block)):
        yield packer.compress(block)
    yield packer.compress(tail) + packer.flush()


def _one_frame(head: bytes, block: bytes, tail: bytes) -> Iterator[bytes]:
    """One zstd frame of the same."""
    packer = zstd.ZstdCompressor(level=1)
    yield packer.compress(head)
    for _ in range(BOMB // len(block)):
        yield packer.compress(block)
    yield packer.compress(tail) + packer.flush()


def _bombs() -> dict[str, Kind]:
    page_of = (HEADER.encode() + page(1).encode() + page(2, "HERE").encode()).split(b"HERE")
    rest = page_of[1] + page(3).encode() + FOOTER.encode()
    text = b"heron " * (MB // 6)
    line = b'[\n{"id": "Q1"},\n{"id": "Q2", "labels": {"en": {"language": "en", "value": "'
    spaces = b" " * MB
    too_large = {"kept": 2, "rejects": ("page_too_large",)}
    return {
        "bomb: a gzip member of zeros": Kind(
            PAGES, lambda: _one_member(b"", _ZEROS, b""), error="unknown binary format"
        ),
        "bomb: bz2 streams of zeros": Kind(
            PAGES, lambda: _repeated(bz2.compress, _ZEROS, BOMB), error="unknown binary format"
        ),
        "bomb: a zstd frame of zeros": Kind(PAGES, lambda: _one_frame(b"", _ZEROS, b""), error="unknown binary format"),
        "bomb: a page in a gzip member": Kind(PAGES, lambda: _one_member(page_of[0], text, rest), **too_large),
        "bomb: a page in a zstd frame": Kind(PAGES, lambda: _one_frame(page_of[0], text, rest), **too_large),
        "bomb: a page in bz2 streams": Kind(
            PAGES,
            lambda: [bz2.compress(page_of[0]), *_repeated(bz2.compress, text * 16, BOMB), bz2.compress(rest)],
            **too_large,
        ),
        "bomb: spaces before the dump": Kind(
            PAGES, lambda: _one_frame(b"", spaces, whole_pages()), error="neither <mediawiki> nor <page>"
        ),
        "bomb: a line in a gzip member": Kind(
            ENTITIES,
            lambda: _one_member(line, text, b'"}}},\n{"id": "Q3"}\n]\n'),
            kept=2,
            rejects=("line_too_long",),
        ),
        "bomb: a line in a zstd frame": Kind(
            ENTITIES,
            lambda: _one_frame(line, text, b'"}}},\n{"id": "Q3"}\n]\n'),
            kept=2,
            rejects=("line_too_long",),
        ),
        "bomb: empty lines": Kind(
            ENTITIES, lambda: _one_frame(b"[\n", b"\n" * (16 * MB), b'{"id": "Q1"}\n]\n'), kept=1
        ),
        "bomb: brackets": Kind(ENTITIES, lambda: _one_frame(b"", b"[" * MB, b""), kept=0, rejects=("line_too_long",)),
        "bomb: a gzip member inside a gzip member": Kind(
            PAGES, lambda: gzip.compress(b"".join(_one_member(b"", _ZEROS, b""))), error="dump"
        ),
    }


PACKED = (
    {f"{suffix} of pages: {name}": kind for suffix in PACK for name, kind in _of(suffix).items()}
    | {f"{suffix} of entities: {name}": kind for suffix in PACK for name, kind in _of(suffix, ENTITIES).items()}
    | _gzip()
    | _bz2()
    | _zstd()
    | _archives()
)
BOMBS = _bombs()
