"""Pages as windows of text with linked mentions: JAKET's text, masked afresh each epoch.

B windows, S tokens of the longest, M mentions.
"""

import dataclasses

import numpy as np
import pyarrow as pa
import torch
from jaxtyping import Bool, Int64, UInt64

from schemas.hashing import below, joined, random_u64, random_words
from training.data.batch import Ragged, offsets, ragged
from training.data.groups import RowGroups
from training.data.stream import Part
from training.data.text import TextBatch, TextFeed

MENTION = pa.struct([("start", pa.int32()), ("end", pa.int32()), ("entity_index", pa.int32())])
COLUMNS = ("page_id", "ids", "mentions")
"""Of tokens/NAME/pages."""


class LinkedWindows:
    """Windows of `length` tokens (specials included) of pages: row groups of (text, place, ids, mentions), where
    mentions are [start, end) in the window's ids. A mention that a cut goes through is left out.

    All pages are read once at the start, to count their windows.
    """

    schema = pa.schema(
        [("text", pa.int64()), ("place", pa.int64()), ("ids", pa.list_(pa.int32())), ("mentions", pa.list_(MENTION))]
    )

    def __init__(
        self,
        pages: RowGroups,
        length: int,
        kept: Bool[np.ndarray, " E"],
        sources: tuple[int, ...],
        least_links: int = 0,
    ) -> None:
        """`kept` says which entities are linked, `sources` by which kinds of links. Windows with fewer than
        `least_links` of them are left out."""
        self._pages, self._own, self._kept, self._sources = pages, length - 2, kept, np.array(sources)
        self._least = least_links
        self.sizes: Int64[np.ndarray, " G"] = np.array(
            [len(self._chosen(pages.read(group))[1]) for group in range(len(pages.sizes))], dtype=np.int64
        )

    def read(self, group: int) -> pa.Table:
        """The windows of one row group of pages."""
        rows = self._pages.read(group)
        texts, (mentions, chosen) = ragged(rows["ids"]), self._chosen(rows)
        text, place = self._windows(texts)
        # Windows lie end to end, as texts do.
        edges = np.append(texts.cu_seqlens[text] + place, len(texts.values))
        ids = Ragged(texts.values, edges).take(chosen)
        return pa.table(
            [
                rows["page_id"].to_numpy().astype(np.int64)[text[chosen]],
                place[chosen],
                pa.ListArray.from_arrays(ids.cu_seqlens.astype(np.int32), ids.values),
                _list_of_mentions(mentions.take(chosen)),
            ],
            schema=self.schema,
        )

    def name(self, group: int) -> str:
        """As the pages' row group's."""
        return self._pages.name(group)

    def _windows(self, texts: Ragged) -> tuple[Int64[np.ndarray, " W"], Int64[np.ndarray, " W"]]:
        """Of each window the text, and where in it it begins."""
        counts = -(-texts.lengths // self._own)
        text = np.repeat(np.arange(len(counts)), counts)
        return text, (np.arange(len(text)) - (np.cumsum(counts) - counts)[text]) * self._own

    def _chosen(self, rows: pa.Table) -> tuple[Ragged, Int64[np.ndarray, " W"]]:
        """(the mentions of all windows of these pages, the windows that are read)."""
        texts = ragged(rows["ids"])
        mentions = self._cut(ragged(rows["mentions"]), offsets(-(-texts.lengths // self._own)))
        return mentions, np.flatnonzero(mentions.lengths >= self._least)

    def _cut(self, mentions: Ragged, first: Int64[np.ndarray, " P1"]) -> Ragged:
        """The mentions of pages -> those of their windows, of which `first` says where each page's begin."""
        values = mentions.values
        start, end = (values[side].astype(np.int64) for side in ("start", "end"))
        fine = start // self._own == (end - 1) // self._own
        fine &= self._kept[values["entity_index"]] & np.isin(values["source"], self._sources)
        start, end, window = start[fine], end[fine], first[mentions.rows[fine]] + start[fine] // self._own
        cut = np.empty(len(start), dtype=[("start", "i4"), ("end", "i4"), ("entity_index", "i4")])
        cut["start"], cut["end"] = start % self._own, (end - 1) % self._own + 1
        cut["entity_index"] = values["entity_index"][fine]
        return Ragged(cut, offsets(np.bincount(window, minlength=int(first[-1]))))


def _list_of_mentions(mentions: Ragged) -> pa.ListArray:
    fields = [pa.array(np.ascontiguousarray(mentions.values[field.name])) for field in MENTION]
    inner = pa.StructArray.from_arrays(fields, fields=list(MENTION))
    return pa.ListArray.from_arrays(mentions.cu_seqlens.astype(np.int32), inner)


class DescribedWindows:
    """The same of the entities' descriptions, for a dataset without pages: each is one text, its own entity is linked
    where it is named."""

    schema = pa.schema([("page_id", pa.int64()), ("ids", pa.list_(pa.int32())), ("mentions", pa.list_(MENTION))])

    def __init__(self, entities: RowGroups) -> None:
        """Row groups of tokens/NAME/entities, its columns entity_index, ids, mention_start and mention_end."""
        self._entities, self.sizes = entities, entities.sizes

    def read(self, group: int) -> pa.Table:
        """As pages."""
        rows = self._entities.read(group)
        starts, ends, own = (rows[name].to_numpy() for name in ("mention_start", "mention_end", "entity_index"))
        named = starts >= 0
        mentions = np.zeros(
            int(named.sum()), dtype=[("start", "i4"), ("end", "i4"), ("entity_index", "i4"), ("source", "i4")]
        )
        for field, values in (("start", starts), ("end", ends), ("entity_index", own)):
            mentions[field] = values[named]
        inner = pa.StructArray.from_arrays(
            [pa.array(mentions[name].copy()) for name in mentions.dtype.names], names=list(mentions.dtype.names)
        )
        lists = pa.ListArray.from_arrays(offsets(named.astype(np.int64)).astype(np.int32), inner)
        return pa.table({"page_id": own.astype(np.int64), "ids": rows["ids"], "mentions": lists})

    def name(self, group: int) -> str:
        """As the entities' row group's."""
        return self._entities.name(group)


@dataclasses.dataclass(frozen=True)
class LinkedText:
    """Masked windows, and what was drawn about their mentions."""

    texts: TextBatch
    rows: Int64[np.ndarray, " M"]
    """The window of each mention."""
    starts: Int64[np.ndarray, " M"]
    """Its first token, <s> counted."""
    ends: Int64[np.ndarray, " M"]
    """Its last token."""
    entities: Int64[np.ndarray, " M"]
    asked: Bool[np.ndarray, " M"]
    """Whether its entity is not shown, but asked for."""


@dataclasses.dataclass(frozen=True)
class LinkedFeed:
    """Windows -> masked text; what is drawn depends on seed, epoch, page and place."""

    text: TextFeed
    asked_share: float
    """Of the mentions: their entities are not shown, but asked for."""
    surface_share: float
    """Of those: their words are masked as well."""
    seed: int
    stream: str

    def batch(self, windows: Part) -> LinkedText:
        """One piece."""
        found, numbers = windows.columns.lists["mentions"], windows.columns.numbers
        starts, ends, entities = (found.values[name].astype(np.int64) for name in MENTION.names)
        keys: UInt64[np.ndarray, " B"] = random_u64(
            self.seed, f"{self.stream}/mentions", windows.epochs, numbers["text"]
        )
        low, high, coin, _ = random_words(keys[found.rows], numbers["place"][found.rows] + starts)
        asked = joined(low, high) < below(self.asked_share)
        texts = self.text.batch(windows)
        hidden = np.flatnonzero(asked & (coin < below(self.surface_share) >> np.uint64(32)))
        rows, spans = found.rows, ends - starts
        within = np.arange(spans[hidden].sum()) - np.repeat(np.cumsum(spans[hidden]) - spans[hidden], spans[hidden])
        places = np.repeat(rows[hidden], spans[hidden]), np.repeat(starts[hidden] + 1, spans[hidden]) + within
        texts.ids[torch.from_numpy(places[0]), torch.from_numpy(places[1])] = self.text.special.mask
        return LinkedText(texts, rows, starts + 1, ends, entities, asked)
