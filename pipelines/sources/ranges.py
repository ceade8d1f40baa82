"""Planned byte ranges of an input file, and their decoded bytes.

A range is the unit of parallel reading. Records (pages, lines) belong to the range in which their first byte lies; a
reader follows a record over its range's end with `read_following`. So the union of all ranges is the sequential read.
"""

import codecs
import dataclasses
import itertools
import os
from collections.abc import Callable, Iterator
from typing import BinaryIO

from pipelines.sources import Truncated
from pipelines.sources.containers import decode, detect, open_units
from schemas.errors import DataError

__all__ = ["Range", "Truncated", "plan_ranges", "read_blocks", "read_bytes", "read_following", "read_head", "split"]

_HEAD = 4096
_SEARCH = 16 << 20
"""Compressed bytes behind each target in which a cut is looked for: planning costs by the range, not by the byte."""
_MIN_SLICE = 256
"""Bytes of a plain file that a range has at least."""
_END = 64
"""Bytes that the last range has at least, beside white space: it must show how the file ends."""
_MAX_END = 1 << 20
_BINARY = 256
"""Bytes of a file in which a NUL, or so many other control characters, say that it is no text."""
_MOST_CONTROLS = 8
_CONTROLS = bytes({*range(32)} - {*b"\t\n\r\f"})
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

    Cut are plain files anywhere, bz2 at its blocks, gzip at its members, zstd at its frames, each near a target. One
    range is what has no cut: a single member or frame, and text that must be transcoded.
    """
    encoding, _ = _look(path)
    if encoding not in (None, "utf-8-sig"):
        return split(path, lambda position, end: None, target_bytes)
    with _open(path) as file:
        kind = detect(path, file.read(_HEAD))
        if kind == "plain":
            return split(path, lambda position, end: position, max(target_bytes, _MIN_SLICE))
        return split(path, open_units(file, kind).find, target_bytes)


def split(path: str, find: Callable[[int, int], int | None], target_bytes: int) -> list[Range]:
    """The file cut at what `find(position, end)` gives first in [position, end) behind each multiple of the target.

    No cut lies in the last half target, and the last range shows how the file ends.
    """
    size = os.path.getsize(path)
    position, last = target_bytes, size - target_bytes // 2
    cuts: list[int] = []
    while position < last:
        searched = min(position + _SEARCH, last)
        if (found := find(position, searched)) is not None:
            cuts.append(found)
            searched = found + 1
        position = -(-searched // target_bytes) * target_bytes
    while cuts and not _shows_end(Range(path, cuts[-1], size)):
        cuts.pop()
    return [Range(path, start, end) for start, end in itertools.pairwise((0, *cuts, size))]


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
    with _open(range.path) as file:
        kind = detect(range.path, file.read(_HEAD))
        blocks = decode(file, kind, range.start, range.end)
        if not range.start:
            first, head = _peek(blocks)
            blocks = itertools.chain(first, blocks)
            encoding = _encoding(head)
            if encoding == "utf-8-sig":
                blocks = _skip(blocks, len(codecs.BOM_UTF8))
            elif encoding:
                blocks = _transcode(blocks, encoding)
        yield from blocks


def read_following(range: Range) -> Iterator[bytes | Truncated]:
    """Decoded blocks behind a range, up to the end of the file."""
    size = os.path.getsize(range.path)
    if range.end < size:
        yield from read_blocks(Range(range.path, range.end, size))


def read_head(path: str) -> bytes:
    """First decoded bytes of a file, as UTF-8; DataError for what cannot be a dump."""
    return _look(path)[1]


def _look(path: str) -> tuple[str | None, bytes]:
    """(encoding that a byte order mark names, first decoded bytes as UTF-8); behind a damaged beginning what follows.

    DataError for what cannot be a dump.
    """
    with _open(path) as file:
        raw = file.read(_HEAD)
        if not raw:
            raise DataError(f"{path}: empty file; expected a dump.")
        first, head = _peek(decode(file, detect(path, raw), 0, os.path.getsize(path)))
    if not head:
        damage = f"nothing in it can be read: {first[0]}" if first else "compressed, with nothing inside"
        raise DataError(f"{path}: {damage}; expected a dump.")
    encoding = _encoding(head)
    if encoding is None and _is_binary(head[:_BINARY]):
        raise DataError(f"{path}: unknown binary format; expected a dump, plain or compressed as .bz2, .gz or .zst.")
    head = _decoder(encoding).decode(head).encode() if encoding else head
    if head.lstrip().lower().startswith(_HTML):
        raise DataError(f"{path}: an HTML page, not a dump; a download that failed leaves such a file. Fetch it again.")
    return encoding, head


def _peek(blocks: Iterator[bytes | Truncated]) -> tuple[list[bytes | Truncated], bytes]:
    """(the first blocks, their text up to a head's length or to damage behind it)."""
    first: list[bytes | Truncated] = []
    head = b""
    for block in blocks:
        first.append(block)
        if isinstance(block, bytes):
            head += block[: _HEAD - len(head)]
        if head and (isinstance(block, Truncated) or len(head) == _HEAD):
            break
    return first, head


def _open(path: str) -> BinaryIO:
    try:
        return open(path, "rb")
    except IsADirectoryError:
        raise DataError(f"{path}: a folder; expected a dump file.") from None
    except OSError as error:
        raise DataError(f"{path}: {error.strerror or error}.") from None


def _is_binary(head: bytes) -> bool:
    return b"\0" in head or len(head) - len(head.translate(None, _CONTROLS)) > _MOST_CONTROLS


def _encoding(head: bytes) -> str | None:
    return next((name for bom, name in _BOMS.items() if head.startswith(bom)), None)


def _shows_end(last: Range) -> bool:
    """Whether a last range tells a file's end from a cut: a line begins in it, and it is longer than a footer."""
    length = size = 0
    is_new_line = begins = False
    for block in read_blocks(last):
        if isinstance(block, Truncated):
            continue
        before, newline, behind = block.partition(b"\n")
        begins = begins or bool(behind.strip()) or (is_new_line and bool(before.strip()))
        is_new_line = is_new_line or bool(newline)
        length += len(block.strip())
        size += len(block)
        if begins and length >= _END:
            return True
        if size > _MAX_END:
            break
    return False


def _decoder(encoding: str) -> codecs.IncrementalDecoder:
    return codecs.getincrementaldecoder(encoding)(errors="replace")


def _skip(blocks: Iterator[bytes | Truncated], count: int) -> Iterator[bytes | Truncated]:
    for block in blocks:
        if isinstance(block, bytes):
            skipped, count = block[:count], max(0, count - len(block))
            block = block[len(skipped) :]
        if block:
            yield block


def _transcode(blocks: Iterator[bytes | Truncated], encoding: str) -> Iterator[bytes | Truncated]:
    decoder = _decoder(encoding)
    for block in blocks:
        if isinstance(block, Truncated):
            yield block
        elif text := decoder.decode(block):
            # A lone surrogate cannot be UTF-8; errors="replace" has already turned it into U+FFFD.
            yield text.encode()
