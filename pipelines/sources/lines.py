"""Lines of a range: each belongs to the range in which the newline before it lies."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from pipelines.sources.ranges import Range, Truncated, read_blocks, read_following


class Line(NamedTuple):
    """A line without its newline."""

    data: bytes
    ended: bool = True
    """False for what stands at the end of the file without a newline: it may be cut."""


class Lost(NamedTuple):
    """A line that is not given: part of it lies in damaged data, or it is too long."""

    reason: str
    """truncated | line_too_long"""


def read_lines(range: Range, max_bytes: int, *, keep_empty: bool = True) -> Iterator[Line | Lost]:
    """The range's lines, in order; memory stays under `max_bytes` and a block. A gigabyte of empty lines is passed over
    in seconds where they are not kept."""
    splitter = _Splitter(max_bytes, range.start > 0, keep_empty)
    for block in read_blocks(range):
        if isinstance(block, Truncated):
            splitter = _Splitter(max_bytes, True, keep_empty)
            yield Lost("truncated")
        else:
            yield from splitter.feed(block)
    # The line that begins at the range's end, or runs over it, is this range's too: the next one skips to a newline.
    for block in read_following(range):
        if splitter.is_partial:
            return
        if isinstance(block, Truncated):
            return  # reported by the range in which the damage lies
        newline = block.find(b"\n")
        yield from splitter.feed(block if newline < 0 else block[: newline + 1])
        if newline >= 0:
            return
    yield from splitter.end()


def split_lines(blocks: Iterable[bytes], max_bytes: int) -> Iterator[Line | Lost]:
    """The lines of a whole file, whose bytes are `blocks`."""
    splitter = _Splitter(max_bytes, False, True)
    for block in blocks:
        yield from splitter.feed(block)
    yield from splitter.end()


class _Splitter:
    def __init__(self, max_bytes: int, is_partial: bool, keep_empty: bool) -> None:
        self.is_partial = is_partial
        """Inside a line whose beginning is not here."""
        self._max_bytes = max_bytes
        self._keep_empty = keep_empty
        self._pieces: list[bytes] = []
        self._length = 0

    def feed(self, block: bytes) -> Iterator[Line | Lost]:
        head, newline, rest = block.partition(b"\n")
        self._add(head)
        yield from self._overflow()
        if not newline:
            return
        if self.is_partial:
            self.is_partial = False
        elif self._pieces or self._keep_empty:
            yield Line(b"".join(self._pieces))
        self._pieces, self._length = [], 0
        *lines, last = rest.split(b"\n")
        for line in lines if self._keep_empty else filter(None, lines):
            yield Line(line) if len(line) <= self._max_bytes else Lost("line_too_long")
        self._add(last)
        yield from self._overflow()

    def end(self) -> Iterator[Line]:
        if not self.is_partial and self._length:
            yield Line(b"".join(self._pieces), ended=False)

    def _add(self, piece: bytes) -> None:
        if not self.is_partial and piece:
            self._pieces.append(piece)
            self._length += len(piece)

    def _overflow(self) -> Iterator[Lost]:
        if self._length > self._max_bytes:
            self._pieces, self._length = [], 0
            self.is_partial = True
            yield Lost("line_too_long")
