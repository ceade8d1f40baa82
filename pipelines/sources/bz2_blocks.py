"""bz2 by its blocks: each is decoded alone, wherever it begins.

A bz2 file is streams one behind the other, and a stream is blocks of up to 900 kB of text. A block needs nothing of
those before it, but begins at any bit, at a mark of 48 bits. Here it is decoded as a stream of its own: a header, its
bits moved to whole bytes, an end of stream with its checksum. So damage and false marks (one in 2^48 bits) always
show, nothing damaged is given, and damage costs the blocks that it lies in.
"""

import bisect
import bz2
import itertools
import re
from collections.abc import Generator, Iterator
from typing import BinaryIO

import numpy as np

from pipelines.sources import Truncated

BLOCK = 1 << 20
"""Decoded bytes given at a time, at most."""

_BLOCK_MARK, _END_MARK = 0x314159265359, 0x177245385090
_MARK_BITS = 48
_TRAILER_BITS = _MARK_BITS + 32
"""A stream's end: its mark, and a checksum of its blocks' checksums; then zeros up to a whole byte."""
_HEADER = re.compile(rb"BZh[1-9]")
_EMPTY_STREAM = re.compile(rb"BZh[1-9]" + re.escape(_END_MARK.to_bytes(6)), re.DOTALL)
_EMPTY_BYTES = 14
_LONGEST = 3 << 20
"""Bytes that a block has at most: 900,000 symbols of 20 bits, tables and selectors."""
_MOST = 48 << 20
"""Bytes that a block is decoded to at most: five may stand for a run of 259."""
_ENDS_TRIED = 4
_BEGINNING = 1 << 15
"""Bytes of a block that tell it from a false mark: its tables, and codes that must be in them."""
_NEW_HEADER = b"BZh9"
_WINDOW = 1 << 18
"""Bytes searched for marks at a time."""


class Bz2Blocks:
    """The blocks of a bz2 file, as units that can be decoded alone.

    A unit's offset is the byte in which the block's mark begins, or the stream's header if it is a stream's first.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._size = file.seek(0, 2)
        self._window = -1
        self._marks: list[int] = []
        """Bits at which the marks in that window begin."""

    def decode(self, position: int) -> Generator[bytes, None, int | Truncated | None]:
        """The block at byte `position`, once its checksum was found right.

        Returns the offset of what follows, None behind the last stream, or the damage that stands there.
        """
        mark = self._mark_at(position)
        if mark is None:
            return self._between_streams(position)
        found = self._read_block(mark)
        if found is None:
            return self._damage(position, is_cut=next(self._ends(mark), None) is None)
        data, end = found
        for start in range(0, len(data), BLOCK):
            yield data[start : start + BLOCK]
        if self._bits(end) == _BLOCK_MARK:
            return end // 8
        position = -(-(end + _TRAILER_BITS) // 8)
        return position if position <= self._size else self._damage(self._size, is_cut=True)

    def find(self, position: int, end: int) -> int | None:
        """Offset of the first block in [position, end) whose beginning can be decoded: no false mark's can."""
        bit = 8 * position
        while (mark := self._next_mark(bit, 8 * (end + 4))) is not None:
            unit = self._offset(mark)
            if unit >= end:
                return None
            if unit >= position and self._begins_block(mark):
                return unit
            bit = mark + 1
        return None

    def _mark_at(self, position: int) -> int | None:
        """The bit at which the mark of the unit at byte `position` begins."""
        bits = range(8 * position, 8 * position + 8)
        if _HEADER.match(self._read(position, position + 4)):
            bits = (8 * position + 32, *bits)
        return next((bit for bit in bits if self._bits(bit) == _BLOCK_MARK), None)

    def _offset(self, mark: int) -> int:
        """The unit's offset. A header is one if a stream ends before it: "BZh9" may stand in a block by chance."""
        header = mark // 8 - 4
        is_first = mark % 8 == 0 and header >= 0 and _HEADER.match(self._read(header, header + 4))
        return header if is_first and (header == 0 or self._stream_end(header) is not None) else mark // 8

    def _between_streams(self, position: int) -> int | Truncated | None:
        head = self._read(position, position + _EMPTY_BYTES)
        if _EMPTY_STREAM.match(head):
            return position + len(head) if len(head) == _EMPTY_BYTES else self._damage(position, is_cut=True)
        padding = self._read(position, position + _WINDOW)
        if not padding.strip(b"\0") and position + len(padding) == self._size:
            return None
        return self._damage(position, is_cut=len(head) < _EMPTY_BYTES)

    def _damage(self, position: int, *, is_cut: bool) -> Truncated:
        what = "ends early" if is_cut else "is damaged"
        return Truncated(f"compressed data {what}, in the part that begins at byte {position}")

    def _read_block(self, mark: int) -> tuple[bytes, int] | None:
        """(text, bit behind it) of the block whose mark begins at bit `mark`; None where it is damaged."""
        for end in itertools.islice(self._ends(mark), _ENDS_TRIED):
            if (data := self._decode_bits(mark, end)) is not None:
                return data, end
        return None

    def _begins_block(self, mark: int) -> bool:
        """Whether the block at bit `mark` has sound tables; not decoded to its end, so that planning stays cheap."""
        limit = mark + 8 * _BEGINNING
        end = self._next_mark(mark + 1, limit) or limit
        end = min(self._end_marks(mark, end), default=end)
        aligned = self._aligned(mark, end)
        try:
            bz2.BZ2Decompressor().decompress(_NEW_HEADER + aligned[: (end - mark) // 8], max_length=_MOST)
        except (OSError, ValueError):
            return False
        return True

    def _ends(self, mark: int) -> Iterator[int]:
        """Bits at which the block may end, the likeliest first; looks no further than asked: no input is quadratic."""
        limit = mark + 8 * _LONGEST
        likeliest = self._next_mark(mark + 1, limit)
        if likeliest is not None:
            header = self._offset(likeliest)
            likeliest = self._stream_end(header) if header != likeliest // 8 else likeliest
            yield likeliest
        start: int | None = mark
        while start is not None:
            end = self._next_mark(start + 1, limit)
            candidates = (*self._end_marks(start, end or limit), *([end] if end else []))
            yield from (bit for bit in candidates if bit != likeliest)
            start = end

    def _end_marks(self, start: int, end: int) -> list[int]:
        """Marks of streams' ends that begin in bits [start, end)."""
        first = start // 8
        bits = (8 * first + bit for bit in find_marks(self._read(first, end // 8 + 8), _END_MARK))
        return [bit for bit in bits if start <= bit < end]

    def _stream_end(self, header: int) -> int | None:
        """The bit of the end mark of a stream that ends just before byte `header`."""
        length = _TRAILER_BITS // 8 + 1
        if header < length:
            return None
        trailer = int.from_bytes(self._read(header - length, header))
        ends = (pad for pad in range(8) if trailer >> (32 + pad) & (1 << _MARK_BITS) - 1 == _END_MARK)
        return next((8 * header - pad - _TRAILER_BITS for pad in ends), None)

    def _decode_bits(self, mark: int, end: int) -> bytes | None:
        """Text of the block in bits [mark, end); None if that is no undamaged block."""
        length, rest = divmod(end - mark, 8)
        aligned = self._aligned(mark, end)
        checksum = int.from_bytes(aligned[6:10])
        pad = -rest % 8
        trailer = (aligned[length] >> (8 - rest)) << _TRAILER_BITS | _END_MARK << 32 | checksum
        tail = (trailer << pad).to_bytes((rest + _TRAILER_BITS + pad) // 8)
        decoder = bz2.BZ2Decompressor()
        try:
            data = decoder.decompress(b"".join((_NEW_HEADER, aligned[:length], tail)), max_length=_MOST)
        except (OSError, ValueError):
            return None
        return data if decoder.eof and not decoder.unused_data else None

    def _aligned(self, start: int, end: int) -> bytes:
        """Bits [start, end) moved to whole bytes, and some that follow; zeros behind the end of the file."""
        first, shift = divmod(start, 8)
        length = (end - start) // 8 + 2
        raw = np.frombuffer(self._read(first, first + length).ljust(length, b"\0"), np.uint8)
        return ((raw[:-1] << shift) | (raw[1:] >> (8 - shift)) if shift else raw).tobytes()

    def _next_mark(self, bit: int, limit: int) -> int | None:
        """First block mark that begins in bits [bit, limit)."""
        for window in range(bit // (8 * _WINDOW), -(-min(limit, 8 * self._size) // (8 * _WINDOW))):
            if window != self._window:
                start = window * _WINDOW
                found = find_marks(self._read(start, start + _WINDOW + 7), _BLOCK_MARK)
                self._marks = [8 * start + mark for mark in found if mark < 8 * _WINDOW]
                self._window = window
            if (index := bisect.bisect_left(self._marks, bit)) < len(self._marks):
                return self._marks[index] if self._marks[index] < limit else None
        return None

    def _bits(self, bit: int) -> int:
        """The 48 bits at `bit`; -1 where the file ends before."""
        raw = self._read(bit // 8, bit // 8 + 7)
        return int.from_bytes(raw) >> (8 - bit % 8) & (1 << _MARK_BITS) - 1 if len(raw) == 7 else -1

    def _read(self, start: int, end: int) -> bytes:
        self._file.seek(start)
        return self._file.read(end - start)


def find_marks(data: bytes, mark: int) -> list[int]:
    """Bits of `data` at which the 48 bits of `mark` begin, in order; a mark needs 7 bytes to be found.

    Searched are the five bytes that a mark fills whatever its shift: eight fast searches, no loop over bits.
    """
    found = []
    for shift in range(8):
        first, *middle, last = (mark << (8 - shift)).to_bytes(7)
        pattern, low, high = bytes(middle), 0xFF >> shift, 0xFF00 >> shift & 0xFF
        position = data.find(pattern, 1)
        while position > 0:
            edges = data[position - 1] & low == first and position + 5 < len(data) and data[position + 5] & high == last
            if edges:
                found.append(8 * (position - 1) + shift)
            position = data.find(pattern, position + 1)
    return sorted(found)
