"""Decompression in bounded memory: a file's bytes -> decoded blocks, told apart by magic numbers, not by names.

Damage does not raise: the iterators give a `Truncated` in its place, and a multi-stream bz2 file goes on at its next
stream. So reading in pieces meets the same damage at the same place as reading in sequence.
"""

import bz2
import re
from collections.abc import Generator, Iterator
from typing import Any, BinaryIO, Protocol, runtime_checkable

from schemas.errors import DataError

CHUNK = 1 << 16
"""Compressed bytes fed to a decoder at a time."""
BLOCK = 1 << 20
"""Decoded bytes that a decoder may give at a time."""

_BZ2_STREAM = re.compile(rb"BZh[1-9]1AY&SY")
"""Magic number of a bz2 stream and of its first block: 80 bits, byte aligned, so never met by chance."""
_MAGIC = {b"BZh": "bz2", b"\x1f\x8b": "gz", b"\x28\xb5\x2f\xfd": "zst"}
_FOREIGN = {
    b"PK\x03\x04": "a zip archive",
    b"7z\xbc\xaf\x27\x1c": "a 7z archive",
    b"\xfd7zXZ": "an xz file",
    b"PAR1": "a Parquet file",
    b"%PDF": "a PDF file",
    b"SQLite format 3": "an SQLite database",
}


class Truncated(Exception):
    """Compressed data ends too early, or is damaged; what could be decoded before it has been given."""


@runtime_checkable
@runtime_checkable
class Decoder(Protocol):
    """What bz2.BZ2Decompressor and isal's IgzipDecompressor share."""

    eof: bool
    needs_input: bool
    unused_data: bytes

    def decompress(self, data: bytes, max_length: int = -1) -> bytes:
        """Decode at most `max_length` bytes."""


def detect(path: str, head: bytes) -> str:
    """plain | bz2 | gz | zst, from a file's first bytes; DataError for what no dump is."""
    for magic, name in _FOREIGN.items():
        if head.startswith(magic):
            raise DataError(f"{path}: {name}; expected a dump, plain or compressed as .bz2, .gz or .zst.")
    return next((kind for magic, kind in _MAGIC.items() if head.startswith(magic)), "plain")


def decode(file: BinaryIO, kind: str, start: int, end: int) -> Iterator[bytes | Truncated]:
    """Blocks of `file` decoded, from the container units that start in [start, end)."""
    if kind == "bz2":
        return _decode_bz2(file, start, end)
    if kind == "gz":
        return _decode_gz(file)
    if kind == "zst":
        return _decode_zst(file)
    return _slices(file, start, end)


def find_bz2_stream(file: BinaryIO, position: int) -> int | None:
    """Offset of the first bz2 stream at or after `position`."""
    file.seek(position)
    tail = b""
    while chunk := file.read(8 * BLOCK):
        window = tail + chunk
        if found := _BZ2_STREAM.search(window):
            return file.tell() - len(window) + found.start()
        tail = window[-9:]
    return None


def _slices(file: BinaryIO, start: int, end: int) -> Iterator[bytes]:
    file.seek(start)
    while block := file.read(min(BLOCK, end - file.tell())):
        yield block


def _decode_bz2(file: BinaryIO, start: int, end: int) -> Iterator[bytes | Truncated]:
    position: int | None = start
    while position is not None and position < end:
        found = yield from _decode_unit(file, bz2.BZ2Decompressor(), position, (OSError, ValueError))
        if isinstance(found, Truncated):
            yield found
            found = find_bz2_stream(file, position + 1)
        position = found


def _decode_gz(file: BinaryIO) -> Iterator[bytes | Truncated]:
    from isal import igzip_lib

    return _decode_units(
        file,
        lambda: igzip_lib.IgzipDecompressor(flag=igzip_lib.DECOMP_GZIP),
        (igzip_lib.IsalError, OSError, ValueError),
    )


def _decode_zst(file: BinaryIO) -> Iterator[bytes | Truncated]:
    try:
        import zstandard
    except ModuleNotFoundError:
        raise DataError(f"{file.name}: reading .zst needs a package: pip install zstandard") from None
    return _decode_units(file, lambda: _ZstdDecoder(zstandard.ZstdDecompressor()), (zstandard.ZstdError,))


def _decode_units(file: BinaryIO, decoder: Any, errors: tuple[type[Exception], ...]) -> Iterator[bytes | Truncated]:
    """All members or frames in sequence; nothing can be found again behind a damaged one."""
    position: int | None = 0
    while position is not None:
        found = yield from _decode_unit(file, decoder(), position, errors)
        if isinstance(found, Truncated):
            yield found
            return
        position = found


def _decode_unit(
    file: BinaryIO, decoder: Decoder, position: int, errors: tuple[type[Exception], ...]
) -> Generator[bytes, None, int | Truncated | None]:
    """Blocks of the stream, member or frame that begins at `position`.

    Returns the offset behind it; `Truncated` where it is damaged; None at the end of the file (or of its padding).
    """
    # Fed from its own first byte: where damage shows must not depend on where the range began.
    file.seek(position)
    chunk = file.read(CHUNK)
    if not chunk.strip(b"\0") and not file.read(1):
        return None
    try:
        while True:
            if block := decoder.decompress(chunk, max_length=BLOCK):
                yield block
            if decoder.eof:
                return file.tell() - len(decoder.unused_data)
            chunk = file.read(CHUNK) if decoder.needs_input else b""
            if decoder.needs_input and not chunk:
                return Truncated(f"compressed data ends early, in the part that begins at byte {position}")
    except errors as error:
        return Truncated(f"compressed data is damaged, in the part that begins at byte {position}: {error}")


class _ZstdDecoder:
    """zstandard's decoder fed so little at a time that its output stays bounded (128 KiB for each 4 bytes)."""

    _FEED = 1 << 7

    def __init__(self, context: Any) -> None:
        self._decoder = context.decompressobj()
        self._pending = b""

    @property
    def eof(self) -> bool:
        return self._decoder.eof

    @property
    def needs_input(self) -> bool:
        return not self._pending

    @property
    def unused_data(self) -> bytes:
        return self._decoder.unused_data + self._pending

    def decompress(self, data: bytes, max_length: int = -1) -> bytes:
        data = self._pending + data
        self._pending = data[self._FEED :]
        return self._decoder.decompress(data[: self._FEED])
