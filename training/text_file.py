"""Files of texts that users give: one text a line, in UTF-8."""

import codecs
from collections.abc import Iterator
from pathlib import Path

from schemas.errors import DataError

LONGEST_LINE = 1 << 28
"""Bytes."""


def read_lines(path: Path) -> Iterator[tuple[str, bytes]]:
    """(what to call it, the line without its end) of each; DataError for a file that can't be read or a line that is
    too long."""
    try:
        with path.open("rb") as file:
            number = 0
            while line := file.readline(LONGEST_LINE + 1):
                number += 1
                if len(line) > LONGEST_LINE:
                    raise DataError(f"{path}, line {number}: longer than {LONGEST_LINE:,} bytes. Break it up.")
                line = line.removesuffix(b"\n").removesuffix(b"\r").removeprefix(codecs.BOM_UTF8 * (number == 1))
                yield f"{path}, line {number}", line
    except OSError as error:
        raise _unreadable(path, error) from error


def decoded(where: str, line: bytes) -> str:
    """The line as text; DataError where it is not UTF-8."""
    try:
        return line.decode()
    except UnicodeDecodeError as error:
        raise DataError(f"{where}: not UTF-8 ({error.reason} at byte {error.start}). Convert the file.") from error


def count_lines(path: Path) -> int:
    """Lines of the file, one without an end among them; DataError where it can't be read."""
    try:
        with path.open("rb") as file:
            lines, last = 0, b"\n"
            for block in iter(lambda: file.read(1 << 20), b""):
                lines, last = lines + block.count(b"\n"), block[-1:]
    except OSError as error:
        raise _unreadable(path, error) from error
    return lines + (last != b"\n")


def _unreadable(path: Path, error: OSError) -> DataError:
    return DataError(f"{path} can't be read ({error.strerror}). Give a file with one text a line.")
