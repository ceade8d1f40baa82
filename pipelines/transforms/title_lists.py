"""Lists beside the dumps -> what they say of titles. Rows are streamed; numbers, hashes and one Arrow table stay."""

import dataclasses
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipelines.sources.lists import RedirectRow, read_page_table, read_redirect_table
from pipelines.sources.wikidata import is_item_id
from pipelines.transforms.titles import (
    INTERWIKI,
    NO_ITEM,
    NO_TARGET,
    OTHER_NAMESPACE,
    REDIRECTS,
    UNRESOLVED,
    find,
    redirect_code,
)
from pipelines.wikitext import Site
from schemas.hashing import hash_string

U64 = npt.NDArray[np.uint64]
I64 = npt.NDArray[np.int64]

BATCH = 1 << 16
"""Rows that are joined, or made Arrow, at a time."""


@dataclasses.dataclass(frozen=True)
class PageProps:
    """What page_props says of pages."""

    ids: I64
    """Page ids, sorted and distinct, shape (N,)."""
    items: I64
    """The item of each, shape (N,)."""
    disambiguations: I64
    """Ids of disambiguation pages."""

    def items_of(self, page_ids: I64) -> I64:
        """The item of each page, NO_ITEM where none is said."""
        return find(self.ids, self.items, page_ids)


class ListedTitles:
    """What the lists behind --redirects say: redirects between articles, and of other titles why they have no item."""

    def __init__(self) -> None:
        self.is_complete = False
        """Whether every title of the wiki is listed."""
        self._rows: list[tuple[str, str, int | None]] = []
        self._batches: list[pa.RecordBatch] = []
        self._hashes, self._codes, self._ids = array("Q"), array("q"), array("q")

    def add_redirect(self, title: str, target: str, page_id: int | None) -> None:
        """A title that leads to an article."""
        self._rows.append((title, target, page_id))
        if len(self._rows) == BATCH:
            self._flush()

    def add_other(self, title: str, code: int, page_id: int = 0) -> None:
        """An article (NO_ITEM), or a redirect to what is none."""
        self._hashes.append(hash_string(title))
        self._codes.append(code)
        self._ids.append(page_id)

    def redirects(self) -> pa.Table:
        """REDIRECTS rows; page_id is null in a list of titles."""
        self._flush()
        return pa.Table.from_batches(self._batches, schema=REDIRECTS)

    def others(self) -> tuple[U64, I64, I64]:
        """(hash, code of UNRESOLVED, page id or 0) of the other titles, shape (N,) each."""
        return np.array(self._hashes, np.uint64), np.array(self._codes, np.int64), np.array(self._ids, np.int64)

    def _flush(self) -> None:
        if self._rows:
            columns = zip(*self._rows, strict=True)
            arrays = [pa.array(column, field.type) for column, field in zip(columns, REDIRECTS, strict=True)]
            self._batches.append(pa.record_batch(arrays, schema=REDIRECTS))
            self._rows = []


@dataclasses.dataclass(frozen=True)
class TitleLists:
    """The lists beside the dumps."""

    titles: ListedTitles
    props: PageProps
    drops: dict[str, Counter[str]]
    """redirect_list, page_props: rows that are not used, by reason."""


def titles_from_lines(lines: Iterable[tuple[str, str]], site: Site, drops: Counter[str]) -> ListedTitles:
    """From (title, target) pairs as typed; those that do not lead from article to article are counted in `drops`."""
    listed = ListedTitles()
    for raw_title, raw_target in lines:
        (kind, title), (target_kind, target) = site.resolve(raw_title), site.resolve(raw_target)
        code = redirect_code(target_kind)
        if not title or not target:
            drops["invalid_title"] += 1
        elif kind != "article":
            drops["from_other_namespace"] += 1
        elif code == NO_ITEM:
            listed.add_redirect(title, target, None)
        else:
            drops[UNRESOLVED[code]] += 1
            listed.add_other(title, code)
    return listed


def titles_from_tables(redirect_sql: str, page_sql: str, drops: Counter[str]) -> ListedTitles:
    """From redirect.sql, joined by page id with page.sql; rows of redirect.sql are counted in `drops` likewise."""
    listed = ListedTitles()
    sources, codes, targets = _read_targets(read_redirect_table(redirect_sql, drops))
    of_pages: Counter[str] = Counter()
    found = np.zeros(len(sources), bool)
    numbers = np.arange(len(sources), dtype=np.int64)
    for rows in _batches(read_page_table(page_sql, of_pages)):
        places = find(sources, numbers, np.array([row.page_id for row in rows], np.int64), missing=-1)
        found[places[places >= 0]] = True
        for row, place in zip(rows, places.tolist(), strict=True):
            if row.namespace:
                drops["from_other_namespace"] += place >= 0
            elif place < 0:
                listed.add_other(row.title, NO_TARGET if row.is_redirect else NO_ITEM, row.page_id)
            elif (code := int(codes[place])) == NO_ITEM:
                listed.add_redirect(row.title, targets[place].as_py(), row.page_id)
            else:
                drops[UNRESOLVED[code]] += 1
                listed.add_other(row.title, code, row.page_id)
    drops["page_not_listed"] += int((~found).sum())
    drops.update(of_pages)
    listed.is_complete = not of_pages["truncated"]
    return listed


def read_page_items(rows: Iterable[tuple[int, str, str]]) -> PageProps:
    """From (page id, property, value); a value that names no item is passed over."""
    ids, items, flagged = array("q"), array("q"), array("q")
    for page_id, name, value in rows:
        if name == "disambiguation":
            flagged.append(page_id)
        elif is_item_id(value):
            ids.append(page_id)
            items.append(int(value[1:]))
    order = np.lexsort((np.array(items, np.int64), np.array(ids, np.int64)))
    distinct, first = np.unique(np.array(ids, np.int64)[order], return_index=True)
    return PageProps(distinct, np.array(items, np.int64)[order][first], np.unique(np.array(flagged, np.int64)))


def _read_targets(rows: Iterable[RedirectRow]) -> tuple[I64, I64, pa.Array]:
    """(page ids, sorted; what each leads to; title of the article it leads to)."""
    ids, codes, titles = array("q"), array("q"), [pa.array([], pa.string())]
    for batch in _batches(rows):
        ids.extend(row.page_id for row in batch)
        codes.extend(_target_code(row) for row in batch)
        titles.append(pa.array([row.title for row in batch], pa.string()))
    order = np.argsort(np.array(ids, np.int64), kind="stable")
    return np.array(ids, np.int64)[order], np.array(codes, np.int64)[order], pa.concat_arrays(titles).take(order)


def _target_code(row: RedirectRow) -> int:
    if row.interwiki:
        return INTERWIKI
    if row.namespace:
        return OTHER_NAMESPACE
    return NO_ITEM if row.title else NO_TARGET


def _batches(rows: Iterable[Any]) -> Iterator[list[Any]]:
    iterator = iter(rows)
    while batch := list(islice(iterator, BATCH)):
        yield batch
