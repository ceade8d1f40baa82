"""Gzip by its members, zstd by its frames: parts that stand one behind the other and can be decoded alone.

Nothing says where a part begins but the end of the one before it. A part in the middle of a file is found by its
first bytes, and taken for one only if what follows can be decoded.
"""

import dataclasses
import sys
from collections.abc import Callable, Generator, Iterator
from typing import Any, BinaryIO

from isal import igzip_lib

from pipelines.sources import Truncated

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

_CHUNK = 1 << 16
"""Compressed bytes fed to a decoder at a time."""
_BLOCK = 1 << 16
"""Decoded bytes that a decoder may give at a time: what it has decoded before damage in the same piece is lost."""
_ENOUGH = 1 << 16
"""Decoded bytes that show that a part is one."""
_WINDOW = 1 << 20
"""Bytes searched at a time."""
_SKIP_HEADER = 8
"""A skippable zstd frame: magic number, length of what follows."""


@dataclasses.dataclass(frozen=True)
class Format:
    """A format whose files are parts one behind the other."""

    magic: bytes
    new_decoder: Callable[[], Any]
    """Makes a decoder like bz2.BZ2Decompressor."""
    errors: tuple[type[Exception], ...]
    has_skippable: bool = False


GZIP = Format(
    b"\x1f\x8b\x08",
    lambda: igzip_lib.IgzipDecompressor(flag=igzip_lib.DECOMP_GZIP),
    (igzip_lib.IsalError, OSError, ValueError),
)
ZSTD = Format(b"\x28\xb5\x2f\xfd", zstd.ZstdDecompressor, (zstd.ZstdError,), has_skippable=True)


def is_skippable(head: bytes) -> bool:
    """Whether a zstd frame that holds no data begins here (pzstd and seekable files have them)."""
    return head[1:4] == b"\x2a\x4d\x18" and head[0] >> 4 == 5


class Members:
    """The parts of a gzip or zstd file, as units that can be decoded alone; a unit's offset is its first byte."""

    def __init__(self, file: BinaryIO, format: Format) -> None:
        self._file = file
        self._format = format
        self._size = file.seek(0, 2)

    def decode(self, position: int) -> Generator[bytes, None, int | Truncated | None]:
        """Blocks of the part that begins at byte `position`.

        Returns the offset of what follows, None at the file's end (or its padding of zeros), or the damage met.
        """
        # Fed from its own first byte: where damage shows must not depend on where the range began.
        self._file.seek(position)
        chunk = self._file.read(_CHUNK)
        if not chunk.strip(b"\0") and position + len(chunk) == self._size:
            return None
        if self._format.has_skippable and is_skippable(chunk):
            end = position + _SKIP_HEADER + int.from_bytes(chunk[4:_SKIP_HEADER], "little")
            return end if end <= self._size else _damage(position, "ends early")
        decoder = self._format.new_decoder()
        try:
            while True:
                if block := decoder.decompress(chunk, max_length=_BLOCK):
                    yield block
                if decoder.eof:
                    return self._file.tell() - len(decoder.unused_data)
                chunk = self._file.read(_CHUNK) if decoder.needs_input else b""
                if decoder.needs_input and not chunk:
                    return _damage(position, "ends early")
        except self._format.errors as error:
            return _damage(position, f"is damaged ({error})")

    def find(self, position: int, end: int) -> int | None:
        """Offset of the first part in [position, end) that can be decoded, at least where it begins."""
        return next(filter(self._is_sound, self._candidates(position, end)), None)

    def _candidates(self, position: int, end: int) -> Iterator[int]:
        magic = self._format.magic
        for start in range(position, end, _WINDOW):
            self._file.seek(start)
            window = self._file.read(min(_WINDOW, end - start) + len(magic) - 1)
            found = window.find(magic)
            while found >= 0:
                yield start + found
                found = window.find(magic, found + 1)

    def _is_sound(self, position: int) -> bool:
        blocks, length = self.decode(position), 0
        while length < _ENOUGH:
            try:
                length += len(next(blocks))
            except StopIteration as stop:
                return isinstance(stop.value, int)
        return True


def _damage(position: int, what: str) -> Truncated:
    return Truncated(f"compressed data {what}, in the part that begins at byte {position}")
