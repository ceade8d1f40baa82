"""Stage align: articles and links -> items; which entities are kept; the pages table, range by range."""

import dataclasses
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipelines import sinks
from pipelines.records import RecordWriter, read_json, read_record_batches, read_records, write_json
from pipelines.transforms import split
from pipelines.transforms.titles import NO_ITEM, TitleIndex, find, index_titles
from schemas.hashing import hash_string, hash_strings
from schemas.pages import PAGES

I64 = npt.NDArray[np.int64]

DISAMBIGUATION_PAGE = 4167410
"""Q4167410, Wikimedia disambiguation page."""
INSTANCE_OF = 31

LEADS = pa.schema({"item": pa.int64(), "page_id": pa.int64(), "page_title": pa.string(), "text": pa.string()})
ANCHOR_COUNTS = pa.schema({"surface": pa.string(), "item": pa.int64(), "count": pa.int64()})


@dataclasses.dataclass(frozen=True, kw_only=True)
class AlignRules:
    """What decides which entities are kept and where pages go."""

    keep: str
    min_lead_words: int
    seed: int
    valid_pages: float
    test_pages: float


@dataclasses.dataclass(frozen=True)
class AlignJob:
    """A range of parsed articles, the folder of the alignment's indices, and the folder for the result."""

    articles: Path
    index: Path
    folder: Path

    @property
    def marker(self) -> Path:
        """Written last: counts and drops of the range."""
        return self.folder / "done.json"


def plan_alignment(
    wikidata: Sequence[Path],
    wikipedia: Sequence[Path],
    redirects: npt.NDArray[np.uint64],
    page_items: tuple[I64, I64],
    rules: AlignRules,
    folder: Path,
) -> None:
    """Write the indices that every range is aligned by: titles -> items, dropped pages, kept items.

    `wikidata` and `wikipedia` are the stages' range folders; `redirects`, shape (N, 2), are title hashes from a list
    beside the dump; `page_items` are page ids, sorted, and their items from page_props.
    """
    drops: Counter[str] = Counter()
    titles_lost: Counter[str] = Counter()
    items = [read_records(path / "items.arrow", ["item", "title", "relations", "tails"]) for path in wikidata]
    titles = _sitelinks(items)
    index = index_titles(*titles, _redirect_hashes(wikipedia, redirects, titles_lost), titles_lost)
    pages = _Pages.read(wikipedia, index, page_items)
    disambiguation = _instances_of(items, DISAMBIGUATION_PAGE)
    dropped = pages.disambiguation | np.isin(pages.items, disambiguation)
    drops["disambiguation"] += int(dropped[pages.newest].sum())
    drops["older_revision"] += int((~pages.newest).sum())
    kept_page = pages.newest & ~dropped
    kept = _kept_items(items, pages, kept_page, wikipedia, index, disambiguation, rules)
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / "title_hashes.npy", index.hashes)
    np.save(folder / "title_items.npy", index.items)
    np.save(folder / "kept_items.npy", kept)
    np.save(folder / "page_items.npy", np.where(np.isin(pages.items, kept), pages.items, NO_ITEM))
    codes = np.full(len(kept_page), split.TRAIN, np.int8)
    codes[kept_page] = split.pages(
        pages.ids[kept_page], seed=rules.seed, valid=rules.valid_pages, test=rules.test_pages
    )
    np.save(folder / "page_codes.npy", codes)
    np.save(folder / "kept_pages.npy", kept_page)
    starts = np.cumsum([0, *pages.counts])
    write_json(folder / "starts.json", {path.name: int(start) for path, start in zip(wikipedia, starts, strict=False)})
    write_json(folder / "done.json", {"drops": dict(drops), "redirects": dict(titles_lost)})


@dataclasses.dataclass(frozen=True)
class _Pages:
    """All articles of all ranges, one after the other, as columns of shape (N,)."""

    counts: list[int]
    ids: I64
    items: I64
    newest: npt.NDArray[np.bool_]
    disambiguation: npt.NDArray[np.bool_]
    lead_words: I64

    @classmethod
    def read(cls, wikipedia: Sequence[Path], index: TitleIndex, page_items: tuple[I64, I64]) -> "_Pages":
        columns = ["page_id", "revision_id", "title", "disambiguation", "lead_words"]
        tables = [read_records(path / "articles.arrow", columns) for path in wikipedia]
        whole = pa.concat_tables(tables)
        ids, revisions = whole["page_id"].to_numpy(), whole["revision_id"].to_numpy()
        by_props = find(page_items[0].view(np.uint64), page_items[1], ids.view(np.uint64))
        by_title = index.find_titles(whole["title"].to_pylist())
        order = np.lexsort((-np.arange(len(ids)), revisions, ids))
        newest = np.zeros(len(ids), bool)
        last = np.concatenate([ids[order][1:] != ids[order][:-1], [True]]) if len(ids) else np.empty(0, bool)
        newest[order[last]] = True
        return cls(
            counts=[table.num_rows for table in tables],
            ids=ids,
            items=np.where(by_props != NO_ITEM, by_props, by_title),
            newest=newest,
            disambiguation=whole["disambiguation"].to_numpy(),
            lead_words=whole["lead_words"].to_numpy().astype(np.int64),
        )


def align_range(job: AlignJob) -> None:
    """One range of articles -> pages rows, lead texts, anchor and mention counts."""
    index = TitleIndex(
        np.load(job.index / "title_hashes.npy", mmap_mode="r"), np.load(job.index / "title_items.npy", mmap_mode="r")
    )
    kept = np.load(job.index / "kept_items.npy", mmap_mode="r")
    row = read_json(job.index / "starts.json")[job.articles.name]
    kept_pages = np.load(job.index / "kept_pages.npy", mmap_mode="r")
    page_items = np.load(job.index / "page_items.npy", mmap_mode="r")
    page_codes = np.load(job.index / "page_codes.npy", mmap_mode="r")
    links, anchors, tables = Counter(), Counter(), []
    with RecordWriter(job.folder / "leads.arrow", LEADS) as leads:
        for batch in read_record_batches(job.articles / "articles.arrow"):
            wanted = kept_pages[row : row + batch.num_rows]
            items = page_items[row : row + batch.num_rows][wanted]
            codes = page_codes[row : row + batch.num_rows][wanted]
            row += batch.num_rows
            articles = pa.Table.from_batches([batch]).filter(pa.array(wanted))
            pages = _page_rows(articles, items, codes, index, kept, links)
            _count_anchors(pages, anchors)
            _add_leads(pages, items, leads)
            tables.append(pages)
    pages = pa.concat_tables(tables) if tables else PAGES.schema.empty_table()
    sinks.write_range(job.folder / "pages.arrow", PAGES, pages, pages["page_id"].to_numpy().astype(np.uint64))
    with RecordWriter(job.folder / "anchors.arrow", ANCHOR_COUNTS) as writer:
        for (surface, item), count in anchors.items():
            writer.add({"surface": surface, "item": item, "count": count})
    write_json(job.marker, {"out": {"pages": pages.num_rows}, "link_entities": dict(links)})


def _sitelinks(items: Sequence[pa.Table]) -> tuple[npt.NDArray[np.uint64], I64]:
    """(title hashes, items) of all items that have a page on this wiki."""
    hashes, numbers = [], []
    for table in items:
        linked = table.filter(table["title"].is_valid())
        hashes.append(hash_strings(linked["title"].to_pylist()))
        numbers.append(linked["item"].to_numpy())
    if not hashes:
        return np.empty(0, np.uint64), np.empty(0, np.int64)
    return np.concatenate(hashes), np.concatenate(numbers)


def _redirect_hashes(
    wikipedia: Sequence[Path], listed: npt.NDArray[np.uint64], lost: Counter[str]
) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint64]]:
    """(title hashes, target hashes): the dump's own redirects, and listed ones for titles that it does not have."""
    tables = [read_records(path / "redirects.arrow", ["title", "target"]) for path in wikipedia]
    own = pa.concat_tables(tables)
    sources, targets = (hash_strings(own[name].to_pylist()) for name in ("title", "target"))
    invalid = (listed == np.uint64(hash_string(""))).any(axis=1)
    lost["invalid_title"] += int(invalid.sum())
    fresh = ~invalid & ~np.isin(listed[:, 0], sources)
    lost["in_dump_too"] += int((~invalid & ~fresh).sum())
    return np.concatenate([sources, listed[fresh, 0]]), np.concatenate([targets, listed[fresh, 1]])


def _instances_of(items: Sequence[pa.Table], category: int) -> I64:
    """Items with the statement (item, P31, category)."""
    found = [np.empty(0, np.int64)]
    for table in items:
        heads, relations, tails = flatten_statements(table)
        found.append(heads[(relations == INSTANCE_OF) & (tails == category)])
    return np.unique(np.concatenate(found))


def flatten_statements(table: pa.Table) -> tuple[I64, I64, I64]:
    """Columns item, relations, tails of an items table as flat heads, relations, tails."""
    lengths = pc.list_value_length(table["tails"]).to_numpy()
    relations = table["relations"].combine_chunks().flatten().to_numpy()
    tails = table["tails"].combine_chunks().flatten().to_numpy()
    return np.repeat(table["item"].to_numpy(), lengths), relations.astype(np.int64), tails


def _kept_items(
    items: Sequence[pa.Table],
    pages: _Pages,
    kept_page: npt.NDArray[np.bool_],
    wikipedia: Sequence[Path],
    index: TitleIndex,
    disambiguation: I64,
    rules: AlignRules,
) -> I64:
    """Sorted numbers of the items that become entities."""
    with_lead = kept_page & (pages.items != NO_ITEM) & (pages.lead_words >= rules.min_lead_words)
    kept = [pages.items[with_lead]]
    if rules.keep != "paper":
        kept.append(pages.items[kept_page & (pages.items != NO_ITEM)])
    if rules.keep == "all":
        kept += [table["item"].to_numpy() for table in items]
    elif rules.keep == "linked":
        start = 0
        for path, count in zip(wikipedia, pages.counts, strict=True):
            targets = np.load(path / "targets.npy")
            of_kept = kept_page[start : start + count][targets[:, 0].astype(np.int64)]
            kept.append(np.setdiff1d(index.find(targets[of_kept, 1]), disambiguation))
            start += count
    numbers = np.unique(np.concatenate(kept))
    return numbers[numbers != NO_ITEM]


def _page_rows(
    articles: pa.Table,
    items: I64,
    codes: npt.NDArray[np.int8],
    index: TitleIndex,
    kept: I64,
    links: Counter[str],
) -> pa.Table:
    """Rows of the pages table for articles with their own items and split codes."""
    columns = articles["links"].combine_chunks()
    flat = columns.flatten()
    targets = flat.field("target") if len(flat) else pa.array([], pa.string())
    entities = index.find_titles(targets.to_pylist())
    known = entities != NO_ITEM
    entities = np.where(np.isin(entities, kept), entities, NO_ITEM)
    links["no_item"] += int((~known).sum())
    links["item_not_kept"] += int((known & (entities == NO_ITEM)).sum())
    struct = pa.StructArray.from_arrays(
        [
            flat.field("start"),
            flat.field("end"),
            targets,
            entity_names(entities),
            pa.array(["link"] * len(flat), pa.string()),
        ],
        fields=list(PAGES.schema.field("links").type.value_type),
    )
    values = {
        **{
            name: articles[name]
            for name in ("page_id", "revision_id", "timestamp", "title", "text", "sections", "lead_end")
        },
        "entity": entity_names(items),
        "split": pa.array([split.NAMES[code] for code in codes], pa.string()),
        "links": pa.ListArray.from_arrays(columns.offsets, struct, type=PAGES.schema.field("links").type),
    }
    return pa.table([values[name] for name in PAGES.schema.names], schema=PAGES.schema)


def entity_names(items: npt.ArrayLike) -> pa.Array:
    """Item numbers as "Q42"; null for NO_ITEM."""
    return pa.array([None if item == NO_ITEM else f"Q{item}" for item in np.asarray(items).tolist()], pa.string())


def _count_anchors(pages: pa.Table, anchors: Counter[tuple[str, int]]) -> None:
    """Count (surface, item) over the links of train pages."""
    train = pages.filter(pc.equal(pages["split"], "train"))
    for text, links in zip(train["text"].to_pylist(), train["links"].to_pylist(), strict=True):
        for link in links:
            if link["entity"] is not None:
                anchors[text[link["start"] : link["end"]], int(link["entity"][1:])] += 1


def _add_leads(pages: pa.Table, items: I64, leads: RecordWriter) -> None:
    columns = (pages[name].to_pylist() for name in ("page_id", "title", "text", "lead_end"))
    for item, page_id, title, text, lead_end in zip(items.tolist(), *columns, strict=True):
        if item != NO_ITEM:
            leads.add({"item": item, "page_id": page_id, "page_title": title, "text": text[:lead_end].strip()})
