"""Lists beside the dumps, as raw records: redirects by title, and MediaWiki's tables page, redirect and page_props."""

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from pipelines.sources.lines import Lost, read_lines
from pipelines.sources.ranges import Range, read_head
from pipelines.sources.sql import integer, read_rows, text
from pipelines.sources.wikidata import is_item_id, is_property_id
from schemas.errors import DataError

MAX_LINE = 1 << 20
"""Bytes of a line; a title has 255 at most."""


class PageRow(NamedTuple):
    """A row of page.sql."""

    page_id: int
    namespace: int
    title: str
    is_redirect: bool


class RedirectRow(NamedTuple):
    """A row of redirect.sql."""

    page_id: int
    """The page that redirects."""
    namespace: int
    title: str
    """Its target, without the namespace's name."""
    interwiki: str
    """Prefix of the other wiki that the target is in, else empty."""


def read_redirect_lines(path: str, drops: Counter[str]) -> Iterator[tuple[str, str]]:
    """(title, target) from lines "title TAB target", plain or compressed; spaces, not underscores, in both."""
    for number, line in enumerate(read_text_lines(path, drops), start=1):
        if not line.strip():
            continue
        columns = [column.replace("_", " ").strip() for column in line.split("\t")]
        if len(columns) != 2 or not all(columns):
            raise DataError(f"{path}, line {number}: expected title TAB target, found {line[:80]!r}.")
        yield columns[0], columns[1]


def read_text_lines(path: str, drops: Counter[str]) -> Iterator[str]:
    """Lines of a list, plain or compressed, without their ends; what is no UTF-8 is replaced.

    Each place where a damaged file loses lines counts as "truncated" in `drops`.
    """
    read_head(path)  # an empty file, an HTML page or an archive is told by name
    for number, line in enumerate(read_lines(Range(path, 0, os.path.getsize(path)), MAX_LINE)):
        if isinstance(line, Lost):
            if line.reason != "truncated":
                raise DataError(f"{path}: a line of more than {MAX_LINE} bytes; expected one record a line.")
            drops["truncated"] += 1
            continue
        decoded = line.data.decode(errors="replace").rstrip("\r")
        yield decoded if number else decoded.removeprefix("\ufeff")


def read_fact_lines(path: Path, *, of_wikidata: bool = False) -> Iterator[tuple[str, str, str]]:
    """Facts from lines "head TAB relation TAB tail" (or with spaces, where there is no tab), plain or compressed.

    DataError where a fact may be missed: a file that is cut or damaged, no UTF-8, or, `of_wikidata`, names no items.
    """
    if not path.is_file():
        raise DataError(f"{path} is {'a folder' if path.is_dir() else 'missing'}, expected a file of facts.")
    if not path.stat().st_size:
        return
    expected = "head TAB relation TAB tail" + (" (Q42 P31 Q5)" if of_wikidata else "")
    lost: Counter[str] = Counter()
    for number, line in enumerate(read_text_lines(str(path), lost), start=1):
        fields = tuple(line.strip().split("\t") if "\t" in line else line.split())
        if fields in ((), ("",)):
            continue
        if len(fields) != 3 or not all(fields) or "\ufffd" in line or (of_wikidata and not _is_statement(*fields)):
            raise DataError(f"{path}, line {number}: expected {expected} in UTF-8, found {line!r:.80}.")
        yield fields
    if lost:
        raise DataError(f"{path}: cut or damaged, so facts of it would be missed. Fetch it again.")


def _is_statement(head: str, relation: str, tail: str) -> bool:
    return is_item_id(head) and is_property_id(relation) and is_item_id(tail)


def read_page_table(path: str, drops: Counter[str]) -> Iterator[PageRow]:
    """Rows of page.sql; titles with spaces for underscores. What has no page id or namespace is counted in `drops`."""
    columns = ("page_id", "page_namespace", "page_title", "page_is_redirect")
    for page_id, namespace, title, is_redirect in read_rows(path, "page", columns, drops):
        row = (integer(page_id), integer(namespace))
        if row[0] is None or row[0] <= 0 or row[1] is None:
            drops["malformed_row"] += 1
        else:
            yield PageRow(row[0], row[1], _title(title), integer(is_redirect) == 1)


def read_redirect_table(path: str, drops: Counter[str]) -> Iterator[RedirectRow]:
    """Rows of redirect.sql, in the same way; tables of before 2010 have no column for other wikis."""
    columns = ("rd_from", "rd_namespace", "rd_title", "rd_interwiki")
    for page_id, namespace, title, wiki in read_rows(path, "redirect", columns, drops, optional=["rd_interwiki"]):
        row = (integer(page_id), integer(namespace))
        if row[0] is None or row[0] <= 0 or row[1] is None:
            drops["malformed_row"] += 1
        else:
            yield RedirectRow(row[0], row[1], _title(title), text(wiki))


def read_page_props(path: str, drops: Counter[str]) -> Iterator[tuple[int, str, str]]:
    """(page id, property, value) of page_props.sql for the properties wikibase_item and disambiguation."""
    for page_id, name, value in read_rows(path, "page_props", ("pp_page", "pp_propname", "pp_value"), drops):
        if name.endswith((b"'wikibase_item'", b"'disambiguation'")):
            number = integer(page_id)
            if number is None or number <= 0:
                drops["malformed_row"] += 1
            else:
                yield number, text(name), text(value)


def _title(value: bytes) -> str:
    return text(value).replace("_", " ")
