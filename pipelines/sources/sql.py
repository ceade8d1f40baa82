"""Tables beside the dumps: redirects as TSV, and MySQL dumps of INSERT statements."""

import re
from collections.abc import Iterator

from pipelines.sources.lines import Lost, read_lines
from pipelines.sources.ranges import plan_ranges
from schemas.errors import DataError

MAX_LINE = 64 << 20
"""Bytes of a line; mysqldump writes one INSERT of about 1 MB a line."""

_INSERT = re.compile(rb"INSERT INTO [^(]{1,200}?VALUES\s*")
# A row ends at the first ")" outside a string; possessive, so that a cut row costs one look.
_ROW = re.compile(rb"\(((?:'(?:[^'\\]|\\.)*+'|[^'()])*+)\)[,;]", re.DOTALL)
_VALUE = re.compile(rb"'((?:[^'\\]|\\.)*+)'|([^,]++)", re.DOTALL)
_ESCAPE = re.compile(rb"\\(.)", re.DOTALL)
_ESCAPED = {b"n": b"\n", b"r": b"\r", b"t": b"\t", b"0": b"\0", b"Z": b"\x1a", b"b": b"\b"}

Value = int | float | str | None


def read_redirects(path: str) -> Iterator[tuple[str, str]]:
    """(title, target) from lines "title TAB target", plain or compressed; spaces, not underscores, in both."""
    for number, text in enumerate(read_text_lines(path), start=1):
        if not text.strip():
            continue
        columns = [column.replace("_", " ").strip() for column in text.split("\t")]
        if len(columns) != 2 or not all(columns):
            raise DataError(f"{path}, line {number}: expected title TAB target, found {text[:80]!r}.")
        yield columns[0], columns[1]


def read_text_lines(path: str) -> Iterator[str]:
    """Lines of a list, plain or compressed, without their ends; what is no UTF-8 is replaced."""
    for number, line in enumerate(_whole_lines(path)):
        text = line.decode(errors="replace").rstrip("\r")
        yield text if number else text.removeprefix("\ufeff")


def read_page_props(path: str) -> Iterator[tuple[int, str]]:
    """(page_id, item) from page_props.sql, of the property wikibase_item."""
    for row in read_sql_rows(path):
        if len(row) >= 3 and row[1] == "wikibase_item" and isinstance(row[0], int) and isinstance(row[2], str):
            yield row[0], row[2]


def read_sql_rows(path: str) -> Iterator[tuple[Value, ...]]:
    """Rows of a MySQL dump, plain or compressed; a row cut at the end of the file is left out.

    DataError where the file has no INSERT statement.
    """
    found = False
    for line in _whole_lines(path):
        start = _INSERT.match(line)
        if start is None:
            continue
        found = True
        position = start.end()
        while row := _ROW.match(line, position):
            yield tuple(_value(one) for one in _VALUE.finditer(row[1]))
            position = row.end()
    if not found:
        raise DataError(f"{path}: no INSERT statement; expected a table dumped by mysqldump (.sql or .sql.gz).")


def _whole_lines(path: str) -> Iterator[bytes]:
    for range in plan_ranges(path):
        for line in read_lines(range, MAX_LINE):
            if not isinstance(line, Lost):
                yield line.data
            elif line.reason != "truncated":
                raise DataError(f"{path}: a line of more than {MAX_LINE} bytes; expected one record or INSERT a line.")


def _value(match: re.Match[bytes]) -> Value:
    quoted, bare = match.groups()
    if quoted is not None:
        if b"\\" in quoted:
            quoted = _ESCAPE.sub(lambda escape: _ESCAPED.get(escape[1], escape[1]), quoted)
        return quoted.decode(errors="replace")
    text = bare.strip().decode(errors="replace")
    if text == "NULL":
        return None
    for number in (int, float):
        try:
            return number(text)
        except ValueError:
            continue
    return text
