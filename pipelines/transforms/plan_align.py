"""The beginning of stage align, in one process: titles -> items, which pages are dropped, which entities are kept."""

import dataclasses
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipelines.records import RecordWriter, read_records, save_array, write_json, write_records
from pipelines.sources import CUT
from pipelines.transforms import split
from pipelines.transforms.align import INSTANCE_OF, count_without_entity, flatten_statements
from pipelines.transforms.prune import prune
from pipelines.transforms.title_lists import TitleLists
from pipelines.transforms.titles import (
    NO_ITEM,
    NO_PAGE,
    RED_LINK,
    REDIRECTS,
    TitleIndex,
    are_in,
    distinct,
    hash_column,
    index_titles,
    join_redirects,
)
from schemas.rejects import REJECTS

U64 = npt.NDArray[np.uint64]
I64 = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

DISAMBIGUATION_PAGES = (4167410, 22808320)
"""Q4167410, Wikimedia disambiguation page, and Q22808320, its subclass for names of people."""
REJECTED = {"truncated": CUT, "malformed_row": "a row without a page id or a namespace"}
"""Reasons for which a list's rows are rejected, and what the rejects say."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class AlignRules:
    """What decides which entities are kept and where pages go."""

    keep: str
    min_lead_words: int
    min_neighbors: int
    min_mentions: int
    seed: int
    valid_pages: float
    test_pages: float


def plan_alignment(
    wikidata: Sequence[Path], wikipedia: Sequence[Path], lists: TitleLists, rules: AlignRules, folder: Path
) -> None:
    """Write the indices that every range is aligned by: titles -> items, dropped pages, kept items; and all redirects.

    `wikidata` and `wikipedia` are the stages' range folders.
    """
    plan = _Plan(wikidata, wikipedia, _Pages.read(wikipedia), lists)
    candidates = plan.kept_items(rules)
    kept = plan.prune(candidates, rules)
    codes = np.full(len(plan.kept_pages), split.TRAIN, np.int8)
    codes[plan.kept_pages] = split.pages(
        plan.pages.ids[plan.kept_pages], seed=rules.seed, valid=rules.valid_pages, test=rules.test_pages
    )
    folder.mkdir(parents=True, exist_ok=True)
    plan.index.save(folder)
    for name, column in {
        "kept_items": kept,
        "page_items": np.where(are_in(plan.page_items, kept), plan.page_items, NO_ITEM),
        "page_codes": codes,
        "kept_pages": plan.kept_pages,
    }.items():
        save_array(folder / f"{name}.npy", column)
    starts = np.cumsum([0, *plan.pages.counts])
    write_json(folder / "starts.json", {path.name: int(start) for path, start in zip(wikipedia, starts, strict=False)})
    write_records(folder / "redirects.arrow", plan.redirects)
    _write_rejects(lists.drops, folder / "rejects.arrow")
    unresolved = count_without_entity(plan.index.find(hash_column(plan.redirects["title"])), kept)
    drops = {**plan.drops(), "entities": {"few_neighbors_and_mentions": len(candidates) - len(kept)}}
    write_json(folder / "done.json", {**drops, "redirect_entities": unresolved, **lists.drops})


@dataclasses.dataclass(frozen=True)
class _Pages:
    """All articles of all ranges, one after the other, as columns of shape (N,), and all redirects."""

    counts: list[int]
    ids: I64
    titles: U64
    """Hash of each title."""
    newest: Mask
    disambiguation: Mask
    lead_words: I64
    redirects: pa.Table
    """Rows of redirects.arrow that no newer revision of the page has replaced."""
    older_redirects: int

    @classmethod
    def read(cls, wikipedia: Sequence[Path]) -> "_Pages":
        columns = ["page_id", "revision_id", "title", "disambiguation", "lead_words"]
        tables = [read_records(path / "articles.arrow", columns) for path in wikipedia]
        whole = pa.concat_tables(tables)
        redirects = pa.concat_tables([read_records(path / "redirects.arrow") for path in wikipedia])
        # What is an article in one dump may be a redirect in a newer one.
        both = pa.concat_tables([table.select(columns[:2]) for table in (whole, redirects)])
        newest = _newest(both["page_id"].to_numpy(), both["revision_id"].to_numpy())
        of_redirects = newest[whole.num_rows :]
        return cls(
            counts=[table.num_rows for table in tables],
            ids=whole["page_id"].to_numpy(),
            titles=hash_column(whole["title"]),
            newest=newest[: whole.num_rows],
            disambiguation=whole["disambiguation"].to_numpy(),
            lead_words=whole["lead_words"].to_numpy().astype(np.int64),
            redirects=redirects.filter(pa.array(of_redirects)),
            older_redirects=int((~of_redirects).sum()),
        )


@dataclasses.dataclass(frozen=True)
class _Plan:
    """What follows from items, pages and lists, before it is decided which entities are kept.

    Items and links are read file by file, as often as they are asked for: all of Wikidata's would fill the memory.
    """

    wikidata: Sequence[Path]
    wikipedia: Sequence[Path]
    pages: _Pages
    lists: TitleLists

    def drops(self) -> dict[str, Counter[str]]:
        """Articles ("drops") and redirects that are left out, by reason."""
        dropped = Counter(disambiguation=int((self._disambiguation & self.pages.newest).sum()))
        return {
            "drops": dropped + Counter(older_revision=int((~self.pages.newest).sum())),
            "redirects": self._joined[1] + Counter(older_revision=self.pages.older_redirects),
        }

    @property
    def redirects(self) -> pa.Table:
        """REDIRECTS rows, sorted by title."""
        return self._joined[0]

    @cached_property
    def index(self) -> TitleIndex:
        """Titles of items, articles and redirects."""
        pages, props = self.pages, self.lists.props
        articles, ids = pages.titles[pages.newest], pages.ids[pages.newest]
        sources = hash_column(self.redirects["title"])
        source_ids = self.redirects["page_id"].fill_null(0).to_numpy()
        others, codes, other_ids = self.lists.titles.others()
        hashes, numbers = np.concatenate([articles, sources, others]), np.concatenate([ids, source_ids, other_ids])
        said = props.items_of(numbers)
        elsewhere = pages.redirects.filter(pa.array(pages.redirects["code"].to_numpy() != NO_ITEM))
        unlisted = ~are_in(others, distinct(sources))
        known = [
            # A link to an article never means the item of a category or template, even by a redirect.
            (hash_column(elsewhere["target"]), elsewhere["code"].to_numpy()),
            # Where page_props and Wikidata differ, page_props is of the same day as the pages.
            (hashes[said != NO_ITEM], said[said != NO_ITEM]),
            _sitelinks(self.wikidata),
            (articles, np.full(len(articles), NO_ITEM)),
            (others[unlisted], codes[unlisted]),
        ]
        missing = RED_LINK if self.lists.titles.is_complete else NO_PAGE
        return index_titles(known, (sources, hash_column(self.redirects["target"])), missing)

    @cached_property
    def page_items(self) -> I64:
        """The item of each article, NO_ITEM where it has none."""
        by_props = self.lists.props.items_of(self.pages.ids)
        by_title = np.maximum(self.index.find(self.pages.titles), NO_ITEM)
        return np.where(by_props == NO_ITEM, by_title, by_props)

    @cached_property
    def kept_pages(self) -> Mask:
        """Articles that become rows of pages."""
        return self.pages.newest & ~self._disambiguation

    def kept_items(self, rules: AlignRules) -> I64:
        """Sorted numbers of the items that become entities."""
        own = self.page_items[self.kept_pages]
        kept = [own[self.pages.lead_words[self.kept_pages] >= rules.min_lead_words]]
        if rules.keep != "paper":
            kept.append(own)
        if rules.keep == "all":
            kept += [read_records(path / "items.arrow", ["item"])["item"].to_numpy() for path in self.wikidata]
        elif rules.keep == "linked":
            linked = (self.index.find(distinct(hashes)) for hashes in self._targets())
            kept += [found[~are_in(found, self._disambiguation_items)] for found in linked]
        numbers = distinct(np.concatenate(kept))
        return numbers[numbers > NO_ITEM]

    def prune(self, kept: I64, rules: AlignRules) -> I64:
        """Those of the items that have enough neighbours or mentions."""
        pairs = ((heads, tails) for heads, _, tails in self._statements())
        thresholds = {"min_neighbors": rules.min_neighbors, "min_mentions": rules.min_mentions}
        return prune(kept, pairs, map(self.index.find, self._targets()), **thresholds)

    def _statements(self) -> Iterator[tuple[I64, I64, I64]]:
        """(heads, relations, tails) of each file of items."""
        for path in self.wikidata:
            yield flatten_statements(read_records(path / "items.arrow", ["item", "relations", "tails"]))

    def _targets(self) -> Iterator[U64]:
        """For each range, the hash of each title that one of its kept articles links to, once for each article."""
        start = 0
        for path, count in zip(self.wikipedia, self.pages.counts, strict=True):
            targets = np.load(path / "targets.npy")
            of_kept = self.kept_pages[start : start + count][targets[:, 0].astype(np.int64)]
            yield targets[of_kept, 1]
            start += count

    @cached_property
    def _joined(self) -> tuple[pa.Table, Counter[str]]:
        drops: Counter[str] = Counter()
        own = self.pages.redirects.select(REDIRECTS.names)
        articles = self.pages.titles[self.pages.newest]
        return join_redirects(own, self.lists.titles.redirects(), articles, drops), drops

    @cached_property
    def _disambiguation(self) -> Mask:
        """Articles that only tell apart others of the same name: so say a template, page_props, or the item."""
        by_props = are_in(self.pages.ids, self.lists.props.disambiguations)
        return self.pages.disambiguation | by_props | are_in(self.page_items, self._instances)

    @cached_property
    def _disambiguation_items(self) -> I64:
        """Items of disambiguation pages, in the dump or not."""
        props = self.lists.props
        own = self.page_items[self._disambiguation]
        return distinct(np.concatenate([self._instances, own, props.items_of(props.disambiguations)]))

    @cached_property
    def _instances(self) -> I64:
        """Items with a statement P31 to one of DISAMBIGUATION_PAGES."""
        found = [np.empty(0, np.int64)]
        for heads, relations, tails in self._statements():
            found.append(heads[(relations == INSTANCE_OF) & np.isin(tails, DISAMBIGUATION_PAGES)])
        return distinct(np.concatenate(found))


def _newest(page_ids: I64, revisions: I64) -> Mask:
    """Whether a row has the highest revision of its page; of equal ones the first row."""
    order = np.lexsort((-np.arange(len(page_ids)), revisions, page_ids))
    last = np.concatenate([page_ids[order][1:] != page_ids[order][:-1], [True]])[: len(order)]
    newest = np.zeros(len(page_ids), bool)
    newest[order[last]] = True
    return newest


def _sitelinks(wikidata: Sequence[Path]) -> tuple[U64, I64]:
    """(title hashes, items) of all items that have a page on this wiki."""
    hashes, numbers = [np.empty(0, np.uint64)], [np.empty(0, np.int64)]
    for path in wikidata:
        items = read_records(path / "items.arrow", ["item", "title"])
        linked = items.filter(items["title"].is_valid())
        hashes.append(hash_column(linked["title"]))
        numbers.append(linked["item"].to_numpy())
    return np.concatenate(hashes), np.concatenate(numbers)


def _write_rejects(drops: dict[str, Counter[str]], path: Path) -> None:
    with RecordWriter(path, REJECTS.schema) as rejects:
        for name, reasons in drops.items():
            for reason, detail in REJECTED.items():
                for _ in range(reasons[reason]):
                    rejects.add({"stage": name, "key": "", "reason": reason, "detail": detail})
