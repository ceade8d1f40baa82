"""Tab-separated lines as Arrow columns, block by block: no Python object per line, and every line is counted."""

import dataclasses
from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.sources.published import BLOCK, File
from schemas.errors import DataError

I64 = npt.NDArray[np.int64]

MAX_LINE = 64 << 20
"""Bytes of a line."""
_TAB, _NEWLINE = 9, 10


@dataclasses.dataclass
class Count:
    """What became of a file's lines: in = out + drops."""

    what: str
    """What a line that is used gives: triples, texts, ids, ..."""
    lines: int = 0
    drops: Counter[str] = dataclasses.field(default_factory=Counter)

    @property
    def out(self) -> int:
        """Lines that were used."""
        return self.lines - self.drops.total()


@dataclasses.dataclass(frozen=True)
class Rows:
    """Lines of a block that are not blank: their fields one behind the other."""

    file: File
    fields: pa.StringArray
    starts: I64
    """Which field each row begins with, shape (rows,)."""
    counts: I64
    """Fields of each row."""
    lines: I64
    """Number of each row's line in the file, from 1."""

    def column(self, index: int) -> pa.StringArray:
        """A field of every row, null where a row is too short."""
        missing = self.counts <= index
        return self.fields.take(pa.array(np.where(missing, 0, self.starts + index), mask=missing))

    def rest(self, index: int) -> pa.ListArray:
        """The fields of every row from `index` on."""
        own = np.repeat(self.starts + self.counts - np.cumsum(self.counts), self.counts)
        places = np.arange(len(own)) + own
        inside = places - np.repeat(self.starts, self.counts) >= index
        offsets = np.append(0, np.cumsum(np.maximum(self.counts - index, 0)))
        return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), self.fields.take(pa.array(places[inside])))

    def slice(self, start: int) -> "Rows":
        """The rows from `start` on."""
        return Rows(self.file, self.fields, self.starts[start:], self.counts[start:], self.lines[start:])

    def refuse(self, wrong: npt.NDArray[np.bool_], expected: str) -> None:
        """DataError that shows the first row which the mask marks, if there is one."""
        for row in np.flatnonzero(wrong)[:1].tolist():
            line = "\t".join(self.fields[self.starts[row] : self.starts[row] + self.counts[row]].to_pylist())
            raise DataError(f"{self.file}, line {self.lines[row]}: expected {expected}, found {line!r:.80}.")


def read_rows(file: File, count: Count, most: int | None = None, *, spaces: bool = False) -> Iterator[Rows]:
    """The rows of a file, blank lines left out and counted; DataError for what is no UTF-8.

    Of more than `most` fields the last keeps its tabs. With `spaces` a space is a tab.
    """
    number = 1
    for block in _whole_lines(file):
        _require_text(file, block, number)
        yield _parse(file, block.replace(b" ", b"\t") if spaces else block, number, count, most)
        lines = block.count(b"\n")
        count.lines += lines
        number += lines


def read_columns(
    file: File, count: Count, expected: str, columns: Sequence[int], *, required: int, free_text: bool = False
) -> Iterator[tuple[Rows, list[pa.Array]]]:
    """(rows, columns) of lines with so many fields; `expected` says in a message how a line should look.

    `columns` are the numbers of fields that a line may have, each file one of them. The first `required` are not empty.
    With `free_text` the last field may hold tabs, which stay in it.
    """
    of_file: int | None = None
    for rows in read_rows(file, count, max(columns) if free_text else None):
        if of_file is None and len(rows.counts):
            of_file = int(rows.counts[0])
        rows.refuse(~np.isin(rows.counts, columns), expected)
        rows.refuse(rows.counts != of_file, f"{expected} with {of_file} columns, as in its first line")
        found = [rows.column(index) for index in range(of_file or max(columns))]
        for column in found[:required]:
            rows.refuse(pc.equal(column, "").to_numpy(zero_copy_only=False), expected)
        yield rows, found


def _whole_lines(file: File) -> Iterator[bytes]:
    """Blocks that end with a newline, CRLF as LF, without a byte order mark."""
    pieces: list[bytes] = []
    size, first = 0, True
    for block in file.blocks():
        pieces.append(block)
        size += len(block)
        if size >= BLOCK:
            whole, newline, left = b"".join(pieces).rpartition(b"\n")
            if len(left) > MAX_LINE:
                raise DataError(f"{file}: a line of more than {MAX_LINE} bytes; expected one record a line.")
            if newline:
                yield _clean(whole, first)
                first = False
            pieces, size = [left], len(left) if newline else 0
    if last := b"".join(pieces):
        yield _clean(last.removesuffix(b"\n"), first)


def _clean(lines: bytes, first: bool) -> bytes:
    lines = lines.removeprefix(b"\xef\xbb\xbf") if first else lines
    return lines.replace(b"\r\n", b"\n").removesuffix(b"\r") + b"\n"


def _require_text(file: File, block: bytes, number: int) -> None:
    try:
        block.decode()
    except UnicodeDecodeError as error:
        line = number + block.count(b"\n", 0, error.start)
        found = block[error.start : error.start + 4]
        raise DataError(f"{file}, line {line}: expected UTF-8 text, found the bytes {found!r}. Convert it.") from None


def _parse(file: File, block: bytes, number: int, count: Count, most: int | None) -> Rows:
    data = np.frombuffer(block, np.uint8)
    cuts = np.flatnonzero((data == _TAB) | (data == _NEWLINE))
    ends = np.flatnonzero(data[cuts] == _NEWLINE)
    starts = np.append(0, ends[:-1] + 1)
    if most is not None:
        field_of_line = np.arange(len(cuts)) - np.repeat(starts, np.diff(np.append(starts, len(cuts))))
        cuts = cuts[(data[cuts] == _NEWLINE) | (field_of_line < most - 1)]
        ends = np.flatnonzero(data[cuts] == _NEWLINE)
        starts = np.append(0, ends[:-1] + 1)
    keep = np.ones(len(data), bool)
    keep[cuts] = False
    offsets = np.append(0, cuts - np.arange(len(cuts))).astype(np.int32)
    fields = pa.Array.from_buffers(
        pa.string(), len(cuts), [None, pa.py_buffer(offsets), pa.py_buffer(np.ascontiguousarray(data[keep]))]
    )
    counts = ends - starts + 1
    blank = (counts == 1) & (np.diff(offsets)[starts] == 0)
    count.drops["blank_line"] += int(blank.sum())
    return Rows(file, fields, starts[~blank], counts[~blank], number + np.flatnonzero(~blank))
