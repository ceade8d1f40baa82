"""Stage wikipedia: one range of the dump -> articles as text, sections and links; redirects; rejects."""

import dataclasses
import datetime
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa

from pipelines.records import RecordWriter, save_array, write_json
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


def read_wikipedia_range(job: WikipediaJob) -> None:
    """Parse one range into articles.arrow, redirects.arrow, rejects.arrow and targets.npy."""
    drops: Counter[str] = Counter()
    links: Counter[str] = Counter()
    targets: list[np.ndarray] = []
    with (
        RecordWriter(job.folder / "articles.arrow", ARTICLES) as articles,
        RecordWriter(job.folder / "redirects.arrow", REDIRECT_PAGES) as redirects,
        RecordWriter(job.folder / "rejects.arrow", REJECTS.schema) as rejects,
    ):
        for page in read_pages(job.range):
            match page if isinstance(page, Reject) else _read_page(page, job.site):
                case Reject() as reject:
                    rejects.add(reject._asdict())
                    drops[reject.reason] += 1
                case str(reason):
                    drops[reason] += 1
                case Article() as article:
                    links.update(article.drops)
                    hashes = np.unique(hash_strings(article.links.targets))
                    targets.append(np.stack([np.full(len(hashes), articles.count, np.uint64), hashes], axis=-1))
                    articles.add(_article_row(page, article, job.site))
                case redirect:
                    redirects.add(redirect)
    save_array(job.folder / "targets.npy", np.concatenate(targets) if targets else np.empty((0, 2), np.uint64))
    counts = {"articles": articles.count, "redirects": redirects.count}
    write_json(job.marker, {"out": counts, "drops": dict(drops), "links": dict(links)})


def _read_page(page: RawPage, site: Site) -> Article | dict | str | Reject:
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


def _article_row(page: RawPage, article: Article, site: Site) -> dict:
    return {
        "page_id": page.page_id,
        "revision_id": page.revision_id,
        "timestamp": _timestamp(page.timestamp),
        "title": page.title,
        "text": article.text,
        "sections": [section._asdict() for section in article.sections],
        "lead_end": article.lead_end,
        "links": [link._asdict() for link in article.links],
        "disambiguation": is_disambiguation(page.text or "", site),
        "lead_words": count_words(article.text[: article.lead_end]),
    }


def _timestamp(text: str) -> datetime.datetime | None:
    """A dump's time as naive UTC; None for none."""
    try:
        stamp = datetime.datetime.fromisoformat(text)
    except ValueError:
        return None
    return stamp.astimezone(datetime.UTC).replace(tzinfo=None) if stamp.tzinfo else stamp
