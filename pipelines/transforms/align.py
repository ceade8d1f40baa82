"""Stage align, range by range: articles and links -> items, the pages table, counts of anchors."""

import dataclasses
from collections import Counter
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipelines import sinks
from pipelines.columns import elements
from pipelines.records import RecordWriter, read_json, read_record_batches, write_json
from pipelines.transforms import split
from pipelines.transforms.mentions import MentionRules, add_mentions
from pipelines.transforms.titles import NO_ITEM, UNRESOLVED, TitleIndex, are_in
from schemas.pages import PAGES

I64 = npt.NDArray[np.int64]

INSTANCE_OF = 31

LEADS = pa.schema({"item": pa.int64(), "page_id": pa.int64(), "page_title": pa.string(), "text": pa.string()})
ANCHOR_COUNTS = pa.schema({"surface": pa.string(), "item": pa.int64(), "count": pa.int64()})


@dataclasses.dataclass(frozen=True)
class AlignJob:
    """A range of parsed articles, the folders of the alignment's indices and of its titles, that for the result."""

    articles: Path
    index: Path
    titles: Path
    """That of the indices too, or that of a part of the title index which has all of the range's (title_join)."""
    folder: Path
    mentions: MentionRules

    @property
    def marker(self) -> Path:
        """Written last: counts and drops of the range."""
        return self.folder / "done.json"


def align_range(job: AlignJob) -> None:
    """One range of articles -> pages rows, lead texts, anchor and mention counts."""
    index = TitleIndex.load(job.titles)
    kept = np.load(job.index / "kept_items.npy", mmap_mode="r")
    row = read_json(job.index / "starts.json")[job.articles.name]
    kept_pages = np.load(job.index / "kept_pages.npy", mmap_mode="r")
    page_items = np.load(job.index / "page_items.npy", mmap_mode="r")
    page_codes = np.load(job.index / "page_codes.npy", mmap_mode="r")
    links, anchors = Counter(), Counter()
    with RecordWriter(job.folder / "leads.arrow", LEADS) as leads, sinks.RunWriter(job.folder, PAGES) as writer:
        for batch in read_record_batches(job.articles / "articles.arrow"):
            wanted = kept_pages[row : row + batch.num_rows]
            items = page_items[row : row + batch.num_rows][wanted]
            codes = page_codes[row : row + batch.num_rows][wanted]
            row += batch.num_rows
            articles = pa.Table.from_batches([batch]).filter(pa.array(wanted))
            pages = page_rows(articles, items, codes, index, kept, links)
            _count_anchors(pages, anchors)
            leads.write(_lead_rows(pages, items))
            pages = add_mentions(pages, job.mentions)
            writer.add(pages, pages["page_id"].to_numpy().astype(np.uint64))
    with RecordWriter(job.folder / "anchors.arrow", ANCHOR_COUNTS) as counts:
        for (surface, item), count in sorted(anchors.items()):
            counts.add({"surface": surface, "item": item, "count": count})
    write_json(job.marker, {"out": {"pages": writer.rows}, "link_entities": dict(links)})


def flatten_statements(table: pa.Table) -> tuple[I64, I64, I64]:
    """Columns item, relations, tails of an items table as flat heads, relations, tails."""
    lengths = pc.list_value_length(table["tails"]).to_numpy()
    relations = table["relations"].combine_chunks().flatten().to_numpy()
    tails = table["tails"].combine_chunks().flatten().to_numpy()
    return np.repeat(table["item"].to_numpy(), lengths), relations.astype(np.int64), tails


def page_rows(
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
    entities = _find(targets, index)
    links.update(count_without_entity(entities, kept))
    entities = np.where(are_in(entities, kept), entities, NO_ITEM)
    struct = pa.StructArray.from_arrays(
        [
            flat.field("start"),
            flat.field("end"),
            targets,
            entity_names(entities),
            pa.repeat(pa.scalar("link"), len(flat)),
        ],
        fields=list(PAGES.schema.field("links").type.value_type),
    )
    values = {
        **{
            name: articles[name]
            for name in ("page_id", "revision_id", "timestamp", "title", "text", "sections", "lead_end")
        },
        "entity": entity_names(items),
        "split": pa.array(split.NAMES).take(pa.array(codes)),
        "links": pa.ListArray.from_arrays(columns.offsets, struct, type=PAGES.schema.field("links").type),
    }
    return pa.table([values[name] for name in PAGES.schema.names], schema=PAGES.schema)


def count_without_entity(found: I64, kept: I64) -> Counter[str]:
    """How many of the items, or codes of UNRESOLVED, are not one of `kept` (sorted), by reason."""
    lost = Counter({name: int((found == code).sum()) for code, name in UNRESOLVED.items()})
    lost["item_not_kept"] = int(((found > NO_ITEM) & ~are_in(found, kept)).sum())
    return lost


def entity_names(items: npt.ArrayLike) -> pa.Array:
    """Item numbers as "Q42"; null for NO_ITEM."""
    numbers = np.asarray(items, np.int64)
    digits = pa.array(numbers, mask=numbers == NO_ITEM).cast(pa.string())
    return pc.binary_join_element_wise(pa.scalar("Q"), digits, "")


def _find(titles: pa.Array, index: TitleIndex) -> I64:
    """The item or code of each title; pages of one range link to the same titles again and again."""
    distinct = titles.dictionary_encode()
    return index.find_titles(distinct.dictionary.to_pylist())[distinct.indices.to_numpy()]


def _count_anchors(pages: pa.Table, anchors: Counter[tuple[str, int]]) -> None:
    """Count (surface, item) over the links of train pages, before mentions of other sources join them."""
    train = pages.filter(pc.equal(pages["split"], "train"))
    rows, links = elements(train, "links")
    items = pc.utf8_slice_codeunits(links["entity"], 1).cast(pa.int64())
    texts = train["text"].to_pylist()
    spans = zip(rows.tolist(), links["start"].to_pylist(), links["end"].to_pylist(), items.to_pylist(), strict=True)
    anchors.update((texts[row][start:end], item) for row, start, end, item in spans if item is not None)


def _lead_rows(pages: pa.Table, items: I64) -> pa.RecordBatch:
    """Rows of LEADS for the pages that have an item."""
    own = pages.filter(pa.array(items != NO_ITEM))
    ends = zip(own["text"].to_pylist(), own["lead_end"].to_pylist(), strict=True)
    columns = {
        "item": items[items != NO_ITEM],
        "page_id": own["page_id"].combine_chunks(),
        "page_title": own["title"].combine_chunks(),
        "text": [text[:end].strip() for text, end in ends],
    }
    return pa.record_batch([pa.array(columns[field.name], field.type) for field in LEADS], LEADS)
