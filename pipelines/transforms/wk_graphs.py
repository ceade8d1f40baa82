"""Stage wk_graphs: pages -> word-knowledge graphs of a passage, its linked entities and their sampled neighbours.

CoLAKE (Sun et al., COLING 2020), section 3.1: the first mention of an entity in the passage is its anchor; each anchor
brings at most `neighbors` triples with it as head. Only train triples are used, so no test fact can leak.
"""

import dataclasses
from collections import Counter
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipelines import sinks
from pipelines.columns import list_column
from pipelines.records import read_record_batches, save_array, write_json
from pipelines.transforms.neighbourhood import Neighbourhood, ranges
from pipelines.transforms.passages import Cutter
from pipelines.transforms.sentences import make_splitter
from schemas.hashing import row_order
from schemas.pages import PAGES
from schemas.wk_graphs import WK_GRAPHS

I64 = npt.NDArray[np.int64]

COUNTED_AT_ONCE = 1 << 18
"""Numbers that wait in memory to be counted, about."""
PAGE_SHIFT = 2**27
"""graph_id = page_id * 2^27 + start: pages are shorter than 64 MB, page ids below 2^36."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class GraphRules:
    """How passages are cut and neighbours sampled."""

    language: str
    sentences: str
    """What splits them: rules or spacy."""
    passage_chars: int
    neighbors: int
    seed: int


@dataclasses.dataclass(frozen=True)
class WkGraphJob:
    """The folder of a range of aligned pages, that of the neighbourhood, and the folder for the result."""

    pages: Path
    neighbourhood: Path
    folder: Path
    rules: GraphRules

    @property
    def marker(self) -> Path:
        """Written last: counts and drops of the range."""
        return self.folder / "done.json"


class Counts:
    """How often each number was added; its memory follows from how many numbers there are."""

    def __init__(self) -> None:
        self._pairs = np.empty((0, 2), np.int64)
        self._waiting: list[I64] = []

    def add(self, numbers: I64) -> None:
        """Count some numbers."""
        self._waiting.append(numbers)
        if sum(map(len, self._waiting)) >= COUNTED_AT_ONCE:
            self._pairs, self._waiting = self.pairs(), []

    def pairs(self) -> I64:
        """(number, how often), sorted by number, shape (N, 2)."""
        values, places = np.unique(np.concatenate([self._pairs[:, 0], *self._waiting]), return_inverse=True)
        weights = np.ones(len(places), np.int64)
        weights[: len(self._pairs)] = self._pairs[:, 1]
        counts = np.zeros(len(values), np.int64)
        np.add.at(counts, places, weights)
        return np.stack([values, counts], axis=-1)


@dataclasses.dataclass
class Tally:
    """What a range counts. passages = graphs + drops."""

    passages: int = 0
    drops: Counter[str] = dataclasses.field(default_factory=Counter)
    entities: Counts = dataclasses.field(default_factory=Counts)
    """Their indices, once for each train graph that has them as a node."""
    relations: Counts = dataclasses.field(default_factory=Counts)
    """The same of relations, once for each triple: every triple has a relation node of its own."""


@dataclasses.dataclass(frozen=True)
class _Passages:
    """Passages of a batch of pages: the page's row and the range in its text, shape (S,)."""

    page: I64
    start: I64
    end: I64


@dataclasses.dataclass(frozen=True)
class _Mentions:
    """First mentions, shape (M,), in text order: the passage's row, the range in the passage, the entity's index."""

    passage: I64
    start: I64
    end: I64
    entity: I64


def wk_graph_range(job: WkGraphJob) -> None:
    """One range of pages -> wk_graphs rows, and how often each entity and relation is a node of a train graph."""
    neighbourhood = Neighbourhood.load(job.neighbourhood)
    cutter = Cutter(make_splitter(job.rules.sentences, job.rules.language), job.rules.passage_chars)
    tally = Tally()
    with sinks.RunWriter(job.folder, WK_GRAPHS) as writer:
        for run in sinks.runs(job.pages, PAGES):
            for batch in read_record_batches(run, ["page_id", "split", "text", "sections", "links"]):
                graphs = batch_graphs(batch, neighbourhood, cutter, job.rules, tally)
                writer.add(graphs, row_order(graphs["graph_id"].to_numpy()))
    for name, counted in (("nodes", tally.entities), ("edges", tally.relations)):
        save_array(job.folder / f"{name}.npy", counted.pairs())
    counts = {"in": tally.passages, "out": {"wk_graphs": writer.rows}, "drops": dict(tally.drops)}
    figures = {"cut_sentences": cutter.cut_sentences, "long_passages": cutter.long_passages}
    write_json(job.marker, {**counts, "figures": figures})


def batch_graphs(
    pages: pa.RecordBatch, neighbourhood: Neighbourhood, cutter: Cutter, rules: GraphRules, tally: Tally
) -> pa.Table:
    """The word-knowledge graphs of some pages; passages without a linked entity are dropped and counted."""
    passages = _cut(pages, cutter)
    mentions = _first_mentions(pages, passages, neighbourhood)
    linked, graph = np.unique(mentions.passage, return_inverse=True)
    tally.passages += len(passages.page)
    tally.drops["no_linked_entity"] += len(passages.page) - len(linked)
    page, start, end = passages.page[linked], passages.start[linked], passages.end[linked]
    page_ids = pages["page_id"].to_numpy()
    counts, rows = _sample(page[graph], mentions.entity, page_ids, neighbourhood, rules)
    relations, tails = neighbourhood.relations[rows], neighbourhood.tails[rows]
    anchor = np.arange(len(graph)) - np.searchsorted(graph, graph)
    facts = (np.repeat(anchor, counts), np.repeat(mentions.entity, counts), relations, tails)
    texts = pages["text"].to_pylist()
    spans = zip(page.tolist(), start.tolist(), end.tolist(), strict=True)
    columns = {
        "graph_id": page_ids[page] * PAGE_SHIFT + start,
        "page_id": page_ids[page],
        "split": pages["split"].take(pa.array(page)),
        "start": start,
        "end": end,
        "text": [texts[number][first:last] for number, first, last in spans],
        "mentions": _lists("mentions", (mentions.start, mentions.end, mentions.entity), graph, len(linked)),
        "triples": _lists("triples", facts, np.repeat(graph, counts), len(linked)),
    }
    table = pa.table([pa.array(columns[field.name], field.type) for field in WK_GRAPHS.schema], WK_GRAPHS.schema)
    train = pc.equal(table["split"], "train").to_numpy()
    of_graphs = np.concatenate([graph, np.repeat(graph, counts)]), np.concatenate([mentions.entity, tails])
    tally.entities.add(_nodes(*of_graphs, train))
    tally.relations.add(relations[train[np.repeat(graph, counts)]])
    return table


def _cut(pages: pa.RecordBatch, cutter: Cutter) -> _Passages:
    """The passages of each page."""
    sections, links = pages["sections"], pages["links"]
    starts = sections.flatten().field("start").to_pylist()
    spans = list(zip(*(links.flatten().field(name).to_pylist() for name in ("start", "end")), strict=True))
    rows: list[tuple[int, int, int]] = []
    section = link = 0
    counts = (pc.list_value_length(lists).to_pylist() for lists in (sections, links))
    for number, (text, own_sections, own_links) in enumerate(zip(pages["text"].to_pylist(), *counts, strict=True)):
        own = starts[section : section + own_sections], spans[link : link + own_links]
        section, link = section + own_sections, link + own_links
        rows += [(number, start, end) for start, end in cutter.passages(text, *own)]
    return _Passages(*np.array(rows, np.int64).reshape(-1, 3).T)


def _first_mentions(pages: pa.RecordBatch, passages: _Passages, neighbourhood: Neighbourhood) -> _Mentions:
    """The first link to each entity in each passage."""
    links = pages["links"].flatten()
    known = links.field("entity").is_valid()
    links = links.filter(known)
    page = np.repeat(np.arange(len(pages)), pc.list_value_length(pages["links"]).to_numpy())
    page = page[known.to_numpy(zero_copy_only=False)]
    # Places grow over the whole batch. No passage cuts a link, but white space at a passage's ends is not in it.
    first, last = (passages.page * PAGE_SHIFT + edge for edge in (passages.start, passages.end))
    start, end = (page * PAGE_SHIFT + links.field(name).to_numpy() for name in ("start", "end"))
    passage = np.searchsorted(last, start, side="right")
    inside = np.flatnonzero(passage < len(last))
    passage, start, end = passage[inside], start[inside], end[inside]
    start, end = np.maximum(start, first[passage]), np.minimum(end, last[passage])
    entity = neighbourhood.find(links.field("entity"))[inside]
    found = np.flatnonzero(start < end)
    _, earliest = np.unique(passage[found] * len(neighbourhood.keys) + entity[found], return_index=True)
    kept = found[np.sort(earliest)]
    passage = passage[kept]
    return _Mentions(passage, start[kept] - first[passage], end[kept] - first[passage], entity[kept])


def _sample(page: I64, entity: I64, page_ids: I64, neighbourhood: Neighbourhood, rules: GraphRules) -> tuple[I64, I64]:
    """How many triples each mention has, and their rows in the neighbourhood, mention by mention.

    An entity has the same triples in every passage of a page, so they are drawn once.
    """
    entities = len(neighbourhood.keys)
    pairs, pair = np.unique(page * entities + entity, return_inverse=True)
    of_page, of_entity = np.divmod(pairs, max(entities, 1))
    counts, rows = neighbourhood.sample(page_ids[of_page], of_entity, rules.seed, rules.neighbors)
    starts = np.cumsum(counts) - counts
    return counts[pair], rows[ranges(starts[pair], counts[pair])]


def _lists(name: str, columns: tuple[I64, ...], row: I64, rows: int) -> pa.ListArray:
    """A column of lists of structs: the flat columns, and for each of their elements its row, in order."""
    return list_column(WK_GRAPHS.schema.field(name).type, np.bincount(row, minlength=rows), columns)


def _nodes(graph: I64, entity: I64, train: npt.NDArray[np.bool_]) -> I64:
    """Each entity of each train graph once."""
    ours = train[graph]
    width = int(entity.max(initial=0)) + 1
    return np.unique(graph[ours] * width + entity[ours]) % width
