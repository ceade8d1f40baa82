"""Stage wikipedia: one range of the dump -> articles as text, sections and links; redirects; rejects."""

import dataclasses
import datetime
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipelines.columns import list_column
from pipelines.records import BATCH_ROWS, RecordWriter, save_array, write_json
from pipelines.sources import Reject
from pipelines.sources.ranges import Range
from pipelines.sources.wikipedia import RawPage, read_pages
from pipelines.transforms.titles import NO_TARGET, redirect_code
from pipelines.transforms.words import count_words
from pipelines.wikitext import Article, OverBudget, Site, is_disambiguation, parse, redirect_target
from schemas.hashing import hash_strings
from schemas.pages import SECTION
from schemas.rejects import REJECTS
from schemas.table import list_of

BATCH_CHARS = 4_000_000
"""Code points of the articles that wait in memory to be written together, about."""
LINKS = ("starts", "ends", "targets")
TARGET = pa.struct({"start": pa.int32(), "end": pa.int32(), "target": pa.string()})

ARTICLES = pa.schema(
    {
        "page_id": pa.int64(),
        "revision_id": pa.int64(),
        "timestamp": pa.timestamp("ms"),
        "title": pa.string(),
        "text": pa.string(),
        "sections": list_of(SECTION),
        "lead_end": pa.int32(),
        "links": list_of(TARGET),
        "disambiguation": pa.bool_(),
        "lead_words": pa.int32(),
    }
)

REDIRECT_PAGES = pa.schema(
    {"page_id": pa.int64(), "revision_id": pa.int64(), "title": pa.string(), "target": pa.string(), "code": pa.int64()}
)
"""`code` is that of redirect_code for the target."""


@dataclasses.dataclass(frozen=True)
class WikipediaJob:
    """A range of the Wikipedia dump and the folder for what it holds."""

    range: Range
    folder: Path
    site: Site

    @property
    def marker(self) -> Path:
        """Written last: counts and drops of the range."""
        return self.folder / "done.json"


class ArticleRow(NamedTuple):
    """An article, as much of it as waits for its batch."""

    page_id: int
    revision_id: int
    timestamp: datetime.datetime | None
    title: str
    disambiguation: bool
    lead_words: int
    article: Article


def read_wikipedia_range(job: WikipediaJob) -> None:
    """Parse one range into articles.arrow, redirects.arrow, rejects.arrow and targets.npy."""
    drops: Counter[str] = Counter()
    links: Counter[str] = Counter()
    targets = [np.empty((0, 2), np.uint64)]
    with (
        RecordWriter(job.folder / "articles.arrow", ARTICLES) as articles,
        RecordWriter(job.folder / "redirects.arrow", REDIRECT_PAGES) as redirects,
        RecordWriter(job.folder / "rejects.arrow", REJECTS.schema) as rejects,
    ):
        for rows in batches(_read_pages(job, redirects, rejects, drops)):
            for row in rows:
                links.update(row.article.drops)
            targets.append(_targets(rows, articles.count))
            articles.write(article_columns(rows))
    save_array(job.folder / "targets.npy", np.concatenate(targets))
    counts = {"articles": articles.count, "redirects": redirects.count}
    write_json(job.marker, {"out": counts, "drops": dict(drops), "links": dict(links)})


def _read_pages(
    job: WikipediaJob, redirects: RecordWriter, rejects: RecordWriter, drops: Counter[str]
) -> Iterator[ArticleRow]:
    """The range's articles; every other page is written or counted."""
    for page in read_pages(job.range):
        match page if isinstance(page, Reject) else read_page(page, job.site):
            case Reject() as reject:
                rejects.add(reject._asdict())
                drops[reject.reason] += 1
            case str(reason):
                drops[reason] += 1
            case Article() as article:
                yield article_row(page, article, job.site)
            case redirect:
                redirects.add(redirect)


def batches(rows: Iterable[ArticleRow]) -> Iterator[list[ArticleRow]]:
    """Rows in order, so many together that their texts take a fixed amount of memory."""
    waiting: list[ArticleRow] = []
    size = 0
    for row in rows:
        waiting.append(row)
        size += len(row.article.text)
        if size >= BATCH_CHARS or len(waiting) == BATCH_ROWS:
            yield waiting
            waiting, size = [], 0
    if waiting:
        yield waiting


def _targets(rows: Sequence[ArticleRow], start: int) -> npt.NDArray[np.uint64]:
    """(row, title hash) of each title that an article links to, once for each, shape (N, 2); `start` is rows[0]'s."""
    hashes = hash_strings(target for row in rows for target in row.article.links.targets)
    numbers = np.repeat(np.arange(len(rows), dtype=np.uint64), [len(row.article.links) for row in rows])
    order = np.lexsort((hashes, numbers))
    pairs = np.stack([numbers[order], hashes[order]], axis=-1)
    fresh = np.ones(len(pairs), bool)
    fresh[1:] = (pairs[1:] != pairs[:-1]).any(axis=-1)
    return pairs[fresh] + np.array([start, 0], np.uint64)


def article_columns(rows: Sequence[ArticleRow]) -> pa.RecordBatch:
    """Rows of ARTICLES."""
    columns = dict(zip(ArticleRow._fields, zip(*rows, strict=True), strict=True))
    articles: Sequence[Article] = columns.pop("article")
    sections = [section for article in articles for section in article.sections]
    links = [[value for article in articles for value in getattr(article.links, name)] for name in LINKS]
    columns["text"] = [article.text for article in articles]
    columns["lead_end"] = [article.lead_end for article in articles]
    columns["sections"] = list_column(
        ARTICLES.field("sections").type,
        [len(article.sections) for article in articles],
        list(zip(*sections, strict=True)) or [[]] * len(SECTION),
    )
    counts = [len(article.links) for article in articles]
    columns["links"] = list_column(ARTICLES.field("links").type, counts, links)
    return pa.record_batch([pa.array(columns[field.name], field.type) for field in ARTICLES], ARTICLES)


def read_page(page: RawPage, site: Site) -> Article | dict | str | Reject:
    """The article, or the row of REDIRECT_PAGES, or why the page is neither."""
    if page.namespace or site.namespace_of(page.title):  # old dumps have no <ns>
        return "other_namespace"
    if redirect := _redirect_row(page, site):
        return redirect
    if page.model != "wikitext":
        return "other_model"
    if not page.text:
        return "no_text"
    try:
        return parse(page.text, site)
    except OverBudget as error:
        return Reject("wikipedia", page.title, error.reason, error.detail)


def _redirect_row(page: RawPage, site: Site) -> dict | None:
    """A row of REDIRECT_PAGES for a page that redirects, else None."""
    written = page.redirect or (redirect_target(page.text, site) if page.text else None)
    if written is None:
        return None
    kind, target = site.resolve(written)
    return {
        "page_id": page.page_id,
        "revision_id": page.revision_id,
        "title": page.title,
        "target": target or written,
        "code": redirect_code(kind) if target else NO_TARGET,
    }


def article_row(page: RawPage, article: Article, site: Site) -> ArticleRow:
    return ArticleRow(
        page_id=page.page_id,
        revision_id=page.revision_id,
        timestamp=_timestamp(page.timestamp),
        title=page.title,
        disambiguation=is_disambiguation(page.text or "", site),
        lead_words=count_words(article.text[: article.lead_end]),
        article=article,
    )


def _timestamp(text: str) -> datetime.datetime | None:
    """A dump's time as naive UTC; None for none."""
    try:
        stamp = datetime.datetime.fromisoformat(text)
        return stamp.astimezone(datetime.UTC).replace(tzinfo=None) if stamp.tzinfo else stamp
    except (ValueError, OverflowError):  # no time, or one that UTC has in the year 0 or 10000
        return None
