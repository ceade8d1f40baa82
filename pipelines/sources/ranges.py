"""Planned byte ranges of an input file, and their decoded bytes.

A range is the unit of parallel reading. Records (pages, lines) belong to the range in which their first byte lies; a
reader follows a record over its range's end with `read_following`. So the union of all ranges is the sequential read.
"""

import codecs
import dataclasses
import itertools
import os
from collections.abc import Iterator
from typing import BinaryIO

from pipelines.sources.containers import Truncated, decode, detect, find_bz2_stream
from schemas.errors import DataError

__all__ = ["Range", "Truncated", "plan_ranges", "read_blocks", "read_bytes", "read_following", "read_head"]

_HEAD = 4096
_MIN_SLICE = 256
"""Bytes of a plain file that a range has at least: the last one must show how the file ends."""
_BINARY = 256
"""Bytes of a file in which a NUL says that it is no text."""
_BOMS = {  # utf-32's begins with utf-16's, so it comes first
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
    codecs.BOM_UTF8: "utf-8-sig",
}
_HTML = (b"<!doctype html", b"<html")


@dataclasses.dataclass(frozen=True, order=True)
class Range:
    """Bytes [start, end) of a file as it lies on the disk, compressed or not."""

    path: str
    start: int
    end: int


def plan_ranges(path: str, target_bytes: int = 64 << 20) -> list[Range]:
    """Ranges of about `target_bytes` that together are the file.

    Cut are multi-stream bz2 (at its streams) and plain files; any other is one range.
    """
    head = read_head(path)
    size = os.path.getsize(path)
    cuts: list[int] = []
    with _open(path) as file:
        kind = detect(path, file.read(_HEAD))
        if _encoding(head) in (None, "utf-8-sig"):
            if kind == "bz2":
                cuts = _bz2_cuts(file, size, target_bytes)
            elif kind == "plain":
                step = max(target_bytes, _MIN_SLICE)
                cuts = list(range(step, size - step // 2, step))
    bounds = [0, *cuts, size]
    return [Range(path, start, end) for start, end in itertools.pairwise(bounds)]


def read_bytes(range: Range) -> Iterator[bytes]:
    """Decoded blocks of a range, as UTF-8; at its end raises `Truncated` where something was cut or damaged."""
    damage = None
    for block in read_blocks(range):
        if isinstance(block, Truncated):
            damage = damage or block
        else:
            yield block
    if damage is not None:
        raise damage


def read_blocks(range: Range) -> Iterator[bytes | Truncated]:
    """Decoded blocks of a range, as UTF-8, with a `Truncated` at each place where something is lost."""
    encoding = None if range.start else _encoding(read_head(range.path))
    with _open(range.path) as file:
        kind = detect(range.path, file.read(_HEAD))
        blocks = decode(file, kind, range.start, range.end)
        yield from _transcode(blocks, encoding) if encoding else blocks


def read_following(range: Range) -> Iterator[bytes | Truncated]:
    """Decoded blocks behind a range, up to the end of the file."""
    size = os.path.getsize(range.path)
    if range.end < size:
        yield from read_blocks(Range(range.path, range.end, size))


def read_head(path: str) -> bytes:
    """First decoded bytes of a file, before any transcoding; DataError for what cannot be a dump."""
    with _open(path) as file:
        raw = file.read(_HEAD)
        if not raw:
            raise DataError(f"{path}: empty file; expected a dump.")
        kind = detect(path, raw)
        first = next(decode(file, kind, 0, os.path.getsize(path)), b"")
    if isinstance(first, Truncated):
        raise DataError(f"{path}: nothing in it can be read: {first}.")
    if not first:
        raise DataError(f"{path}: compressed, with nothing inside; expected a dump.")
    head = first[:_HEAD]
    if head.lstrip().lower().startswith(_HTML):
        raise DataError(f"{path}: an HTML page, not a dump; a download that failed leaves such a file. Fetch it again.")
    if _encoding(head) is None and b"\0" in head[:_BINARY]:
        raise DataError(f"{path}: unknown binary format; expected a dump, plain or compressed as .bz2, .gz or .zst.")
    return head


def _open(path: str) -> BinaryIO:
    try:
        return open(path, "rb")
    except IsADirectoryError:
        raise DataError(f"{path}: a folder; expected a dump file.") from None
    except OSError as error:
        raise DataError(f"{path}: {error.strerror or error}.") from None


def _encoding(head: bytes) -> str | None:
    return next((name for bom, name in _BOMS.items() if head.startswith(bom)), None)


def _bz2_cuts(file: BinaryIO, size: int, target_bytes: int) -> list[int]:
    cuts = []
    position = target_bytes
    while position < size and (found := find_bz2_stream(file, position)) is not None:
        cuts.append(found)
        position = found + target_bytes
    return cuts


def _transcode(blocks: Iterator[bytes | Truncated], encoding: str) -> Iterator[bytes | Truncated]:
    decoder = codecs.getincrementaldecoder(encoding)(errors="replace")
    for block in blocks:
        if isinstance(block, Truncated):
            yield block
        elif text := decoder.decode(block):
            # A lone surrogate cannot be UTF-8; errors="replace" has already turned it into U+FFFD.
            yield text.encode()
