"""MySQL dumps: the rows of one table, some columns of it, in one pass and bounded memory.

Rows may all stand on one line (mysqldump) or on a line each (mariadb-dump 11), so lines mean nothing inside an INSERT.
"""

import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence

from pipelines.sources.ranges import Range, Truncated, read_blocks, read_head
from schemas.errors import DataError

MAX_ROW = 16 << 20
"""Bytes of a row or a CREATE TABLE; MySQL's own limit of a packet."""

COLUMNS = {
    "page": ("page_id", "page_namespace", "page_title", "page_is_redirect", "page_is_new", "page_random"),
    "redirect": ("rd_from", "rd_namespace", "rd_title", "rd_interwiki", "rd_fragment"),
    "page_props": ("pp_page", "pp_propname", "pp_value", "pp_sortkey"),
}
"""First columns of MediaWiki's tables today, for dumps that hold no CREATE TABLE."""

_STRING = rb"(?:_binary )?'[^'\\]*+(?:(?:\\.|'')[^'\\]*+)*'(?!')"
_VALUE = rb"(?:[^,()']++|" + _STRING + rb")"
_REST = rb"(?:[^'()]++|" + _STRING + rb")*\)\s*+[,;]"
_TABLE = re.compile(rb"\n(?:CREATE TABLE|INSERT INTO) (?:IF NOT EXISTS )?`?(\w+)`?")
_STATEMENT = re.compile(
    rb"\n(?:CREATE TABLE (?:IF NOT EXISTS )?`?(?P<created>\w+)`?\s*+(?P<columns>\((?:[^;']++|" + _STRING + rb")*;)"
    rb"|INSERT INTO `?(?P<filled>\w+)`?\s*+(?P<named>\([^()']*+\))?\s*+VALUES)",
    re.DOTALL,
)
_COLUMN = re.compile(rb"[(,]\s*+`(\w+)`\s++\w")
_HEADER, _FOOTER = re.compile(rb"\n-- (?:MySQL|MariaDB) dump "), b"\n-- Dump completed"
_ESCAPE = re.compile(rb"\\(.)|''", re.DOTALL)
_ESCAPED = {b"n": b"\n", b"r": b"\r", b"t": b"\t", b"0": b"\0", b"Z": b"\x1a", b"b": b"\b", None: b"'"}


def table_name(path: str) -> str | None:
    """The first table that a MySQL dump makes or fills; None for any other text."""
    found = _TABLE.search(b"\n" + read_head(path))
    return found[1].decode() if found else None


def read_rows(
    path: str, table: str, columns: Sequence[str], drops: Counter[str], optional: Sequence[str] = ()
) -> Iterator[tuple[bytes, ...]]:
    """The values of `columns` in each row of `table`, as the dump writes them; see `integer` and `text`.

    Where columns stand is read from the dump. One of `optional` that the table does not have is empty. Each place at
    which rows are lost, the file's cut end too, counts as "truncated" in `drops`. DataError where the file holds no
    such table, or no whole row of a cut one.
    """
    read_head(path)  # an empty file, an HTML page or an archive is told by name
    reader = _Reader(path, table, columns, optional, drops)
    for block in read_blocks(Range(path, 0, os.path.getsize(path))):
        if isinstance(block, Truncated):
            reader.break_off()
        else:
            yield from reader.feed(block)
    yield from reader.end()


def integer(value: bytes) -> int | None:
    """A value as a number that fits an int64, None for any other."""
    try:
        number = int(value.strip(b"'") if value.endswith(b"'") else value)
    except ValueError:
        return None
    return number if -(2**63) <= number < 2**63 else None


def text(value: bytes) -> str:
    """A value as text; empty for NULL. What is no UTF-8 is replaced."""
    if not value.endswith(b"'"):
        return "" if value == b"NULL" else value.decode(errors="replace")
    inner = value[value.index(b"'") + 1 : -1]
    if b"\\" in inner or b"''" in inner:
        inner = _ESCAPE.sub(lambda match: _ESCAPED.get(match[1], match[1]), inner)
    return inner.decode(errors="replace")


class _Reader:
    """Rows of one table out of a stream of blocks."""

    def __init__(
        self, path: str, table: str, columns: Sequence[str], optional: Sequence[str], drops: Counter[str]
    ) -> None:
        self._path, self._table, self._drops = path, table, drops
        self._columns, self._optional = columns, optional
        self._order: Sequence[str] = COLUMNS[table]
        self._row: re.Pattern[bytes] | None = None
        """The pattern of a row while inside an INSERT."""
        self._buffer = bytearray(b"\n")
        self._others: set[str] = set()
        self._is_there = self._is_lost = self._has_header = self._has_footer = False
        self._rows = 0

    def feed(self, block: bytes) -> Iterator[tuple[bytes, ...]]:
        self._buffer += block
        while self._row is not None or self._next_insert():
            yield from self._whole_rows()
            if self._row is not None:
                if len(self._buffer) <= MAX_ROW:
                    return  # the row goes on in the next block
                self._lose()

    def break_off(self) -> None:
        """Bytes are missing here: go on at the next INSERT."""
        self._lose()
        self._buffer.clear()

    def end(self) -> Iterator[tuple[bytes, ...]]:
        """The rows behind one that has no end."""
        while self._row is not None:
            self._lose()
            yield from self.feed(b"")
        if self._has_header and not self._has_footer:
            self._lose()
        if not self._is_there:
            found = f"found {', '.join(sorted(self._others))}" if self._others else "no INSERT statement in it"
            raise DataError(f"{self._path}: expected table {self._table} as a MySQL dump (.sql, .sql.gz), {found}.")
        if not self._rows and self._is_lost:
            raise DataError(f"{self._path}: no whole row in it; is it downloaded to its end?")

    def _lose(self) -> None:
        if not self._is_lost:
            self._drops["truncated"] += 1
        self._row, self._is_lost = None, True

    def _whole_rows(self) -> Iterator[tuple[bytes, ...]]:
        assert self._row is not None
        match, data, position = self._row.match, bytes(self._buffer), 0
        while row := match(data, position):
            yield row.group(*self._columns)
            self._rows += 1
            position = row.end()
            if data[position - 1] == ord(";"):
                self._row = None
                break
        del self._buffer[:position]

    def _next_insert(self) -> bool:
        """Whether the buffer has an INSERT into the table; cuts what is before its rows."""
        while match := _STATEMENT.search(self._buffer):
            created, columns, filled, named = match.groups()  # what a match says is lost when its buffer changes
            self._note_comments(match.start() + 1)
            del self._buffer[: match.end()]
            if (created or filled).decode() != self._table:
                self._others.add((created or filled).decode())
                continue
            self._is_there = True
            # The names in an INSERT have no type behind them.
            names = _COLUMN.findall(columns) if created else re.findall(rb"\w+", named or b"")
            self._order = [name.decode() for name in names] or self._order
            if filled:
                self._row, self._is_lost = self._pattern(), False
                return True
        self._note_comments(len(self._buffer))
        begun = max(self._buffer.rfind(b"\nCREATE TABLE "), self._buffer.rfind(b"\nINSERT INTO "))
        if begun < 0 or len(self._buffer) - begun > MAX_ROW:
            begun = max(0, len(self._buffer) - 64)
        del self._buffer[:begun]
        return False

    def _note_comments(self, end: int) -> None:
        self._has_header |= _HEADER.search(self._buffer, 0, end) is not None
        self._has_footer |= self._buffer.find(_FOOTER, 0, end) >= 0

    def _pattern(self) -> re.Pattern[bytes]:
        """Pattern of one row, up to the comma or semicolon behind it; a group for each column."""
        for name in self._columns:
            if name not in self._order and name not in self._optional:
                raise DataError(
                    f"{self._path}: table {self._table} has no column {name}; found {', '.join(self._order)}."
                )
        places = [self._order.index(name) if name in self._order else None for name in self._columns]
        known = [place for place in places if place is not None]
        groups = {place: b"(?P<%s>%s)" % (self._order[place].encode(), _VALUE) for place in known}
        values = [groups.get(place, _VALUE) for place in range(max(known) + 1)]
        missing = b"".join(b"(?P<%s>)" % name.encode() for name in self._columns if name not in self._order)
        return re.compile(rb"\s*+\(\s*+" + rb",\s*+".join(values) + missing + _REST, re.DOTALL)
