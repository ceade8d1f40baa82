"""Decompression in bounded memory: a file's bytes -> decoded blocks, told apart by magic numbers, not by names.

A compressed file is units one behind the other that can be decoded alone: bz2 blocks, gzip members, zstd frames.
Damage does not raise: the iterators give a `Truncated` for each damaged unit and go on at the next that begins well.
Which that is depends on the file alone, so reading in ranges meets the same damage as reading in sequence.
"""

from collections.abc import Iterator
from typing import BinaryIO

from pipelines.sources import Truncated
from pipelines.sources.bz2_blocks import Bz2Blocks
from pipelines.sources.members import GZIP, ZSTD, Members, is_skippable
from schemas.errors import DataError

_SLICE = 1 << 20
"""Bytes of a plain file given at a time."""
_MAGIC = {b"BZh": "bz2", b"\x1f\x8b": "gz", ZSTD.magic: "zst"}
_FOREIGN = {
    b"PK\x03\x04": "a zip archive",
    b"7z\xbc\xaf\x27\x1c": "a 7z archive",
    b"\xfd7zXZ": "an xz file",
    b"PAR1": "a Parquet file",
    b"%PDF": "a PDF file",
    b"SQLite format 3": "an SQLite database",
}


def detect(path: str, head: bytes) -> str:
    """plain | bz2 | gz | zst, from a file's first bytes; DataError for what no dump is."""
    for magic, name in _FOREIGN.items():
        if head.startswith(magic):
            raise DataError(f"{path}: {name}; expected a dump, plain or compressed as .bz2, .gz or .zst.")
    if is_skippable(head):
        return "zst"
    return next((kind for magic, kind in _MAGIC.items() if head.startswith(magic)), "plain")


def open_units(file: BinaryIO, kind: str) -> Bz2Blocks | Members:
    """The units of a compressed file."""
    return Bz2Blocks(file) if kind == "bz2" else Members(file, GZIP if kind == "gz" else ZSTD)


def decode(file: BinaryIO, kind: str, start: int, end: int) -> Iterator[bytes | Truncated]:
    """Blocks of `file` decoded, from the units that begin in [start, end); `start` must be a unit's first byte."""
    if kind == "plain":
        yield from _slices(file, start, end)
        return
    units = open_units(file, kind)
    position: int | None = start
    while position is not None and position < end:
        found = yield from units.decode(position)
        if isinstance(found, Truncated):
            yield found
            found = units.find(position + 1, end)
        elif found is not None and found > end:
            raise DataError(
                f"{file.name}: data at byte {end} looks like the beginning of a {kind} part, and lies inside another. "
                "Decompress the file first, or read it in one range with a larger --set range_mb=N."
            )
        position = found


def _slices(file: BinaryIO, start: int, end: int) -> Iterator[bytes]:
    file.seek(start)
    while block := file.read(min(_SLICE, end - file.tell())):
        yield block
