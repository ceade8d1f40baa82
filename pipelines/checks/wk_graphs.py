"""Checks of word-knowledge graphs; what pages are asked for afterwards."""

import dataclasses
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipelines.checks.known import Known, add_at
from pipelines.checks.problems import Checker, Problem, span_problems, where
from pipelines.columns import I64, Elements, elements, lengths, numbers, values
from pipelines.facts import INDICES, Facts, graph_split, read_facts
from pipelines.report.about import parameters
from pipelines.transforms.titles import find
from schemas.hashing import hash_strings, random_u64

U64 = npt.NDArray[np.uint64]
PAGE_SHIFT = 27
"""graph_id = page_id * 2^27 + start."""
MAX_PAGE_ID = 2**36


def hash_array(texts: pa.Array) -> U64:
    """xxh3_64 of each text; of the empty one for null."""
    return hash_strings(text or "" for text in texts.to_pylist())


class PageIndex:
    """What other tables say of pages, sorted by page_id; 29 bytes a page."""

    def __init__(self) -> None:
        self._pieces: list[tuple[np.ndarray, ...]] = []

    def repeated(self) -> list[int]:
        """Ids that two pages have, of the pages so far."""
        ids = np.sort(np.concatenate([np.empty(0, np.int64), *(piece[0] for piece in self._pieces)]))
        return ids[1:][ids[1:] == ids[:-1]].tolist()

    def add(self, ids: I64, entities: I64, titles: U64, leads: U64, parts: npt.NDArray[np.int8]) -> None:
        """Pages of one row group: entity index or -1, hashes of title and lead, code of the split."""
        self._pieces.append((ids, entities.astype(np.int32), titles, leads, parts))

    def close(self) -> None:
        """All pages are there."""
        empty = (np.empty(0, kind) for kind in (np.int64, np.int32, np.uint64, np.uint64, np.int8))
        columns = [np.concatenate(parts) for parts in zip(tuple(empty), *self._pieces, strict=True)]
        order = np.argsort(columns[0], kind="stable")
        self._pieces = []
        self.ids, self.entities, self.titles, self.leads, self.parts = (column[order] for column in columns)

    def first(self, entities: int) -> I64:
        """The smallest id of each entity's pages, shape (entities,), -1 where it has none."""
        found = np.full(entities, -1, np.int64)
        known = np.flatnonzero(self.entities >= 0)[::-1]
        found[self.entities[known]] = self.ids[known]
        return found

    def __len__(self) -> int:
        return len(self.ids)

    def find(self, ids: I64) -> I64:
        """The row of each page, -1 where there is none."""
        return find(self.ids, np.arange(len(self.ids)), ids, missing=-1)


@dataclasses.dataclass
class Passages:
    """The word-knowledge graphs as their pages must bear them out, sorted by graph_id; 29 bytes a graph."""

    ids: I64
    ends: npt.NDArray[np.int32]
    texts: U64
    """Hash of the text."""
    mentions: U64
    """Sum, modulo 2^64, of the hashes of the mentions (start, end, entity)."""
    parts: npt.NDArray[np.int8]


class WkGraphs(Checker):
    """Ids, offsets, mentions and facts of the graphs; keeps what pages will be asked for."""

    def __init__(self, known: Known) -> None:
        self._known = known
        self._train: Facts = read_facts(known.dataset, ["train"], graph_split(known.dataset))
        neighbors = parameters(known.dataset.manifest).get("neighbors")
        self._neighbors = neighbors if isinstance(neighbors, int) else None
        self._splits = known.dataset.table("wk_graphs").splits
        self._pieces: list[tuple[np.ndarray, ...]] = []

    def check(self, rows: pa.Table, part: str) -> Iterator[Problem]:
        """One row group."""
        ids, pages, starts, ends = (numbers(rows, name) for name in ("graph_id", "page_id", "start", "end"))
        limits = lengths(rows, "text")
        yield from where(
            ids != (pages << PAGE_SHIFT) + starts,
            "graph_id",
            lambda i: f"graph_id {ids[i]} is not page_id {pages[i]} * 2^27 + start {starts[i]}",
        )
        yield from where(
            ends - starts != limits,
            "passage offsets",
            lambda i: f"the text has {limits[i]} code points, from start {starts[i]} to end {ends[i]} are others",
        )
        mentions, facts = elements(rows, "mentions"), elements(rows, "triples")
        yield from span_problems(mentions, limits, "mention")
        yield from self._mentions(mentions, len(ids))
        yield from self._anchors(mentions, facts, len(ids))
        yield from self._train_only(facts)
        entities = mentions.numbers("entity_index")
        if part == "train":
            # A row number and an index are below 2^31 each.
            nodes = np.concatenate([entities, facts.numbers("tail_index")])
            nodes += np.concatenate([mentions.rows, facts.rows]) * 2**31
            add_at(self._known.counted["graph_count"], np.unique(nodes) % 2**31)
            add_at(self._known.counted_relations["graph_count"], facts.numbers("relation_index"))
        sums = np.zeros(len(ids), np.uint64)
        spans = mentions.numbers("start"), mentions.numbers("end")
        np.add.at(sums, mentions.rows, random_u64(0, "mention", *spans, entities))
        codes = np.full(len(ids), self._splits.index(part), np.int8)
        self._pieces.append((ids, ends.astype(np.int32), hash_array(values(rows, "text")), sums, codes))

    def finish(self) -> Iterator[str]:
        """Graphs with the same id."""
        ids = np.sort(np.concatenate([np.empty(0, np.int64), *(piece[0] for piece in self._pieces)]))
        for again in ids[1:][ids[1:] == ids[:-1]][:1]:
            yield f"graph_id {again} has two rows"

    def passages(self) -> Passages:
        """What was kept; the checker is done with it."""
        empty = (np.empty(0, kind) for kind in (np.int64, np.int32, np.uint64, np.uint64, np.int8))
        columns = [np.concatenate(parts) for parts in zip(tuple(empty), *self._pieces, strict=True)]
        self._pieces = []
        order = np.argsort(columns[0], kind="stable")
        return Passages(*(column[order] for column in columns))

    def _mentions(self, mentions: Elements, graphs: int) -> Iterator[Problem]:
        """At least one, each of another entity."""
        entities, names = mentions.numbers("entity_index"), self._known.entities
        yield from where(
            (entities < 0) | (entities >= len(names)),
            "mention entity",
            lambda i: f"mention of entity_index {entities[i]}, not one of {len(names)}",
            mentions.rows,
        )
        again = _repeated(mentions.rows, entities)
        yield from where(again, "mentions", lambda i: f"{names[entities[i]]} is mentioned twice", mentions.rows)
        yield from where(np.bincount(mentions.rows, minlength=graphs) == 0, "mentions", lambda i: "no mention")

    def _anchors(self, mentions: Elements, facts: Elements, graphs: int) -> Iterator[Problem]:
        """Facts hang on one of the mentions, which is their head, and on none hang too many."""
        entities, names = mentions.numbers("entity_index"), self._known.entities
        anchors, heads = facts.numbers("anchor"), facts.numbers("head_index")
        counts = np.bincount(mentions.rows, minlength=graphs)
        inside = (anchors >= 0) & (anchors < counts[facts.rows])
        yield from where(
            ~inside,
            "anchor",
            lambda i: f"anchor {anchors[i]} is not one of {counts[facts.rows[i]]} mentions",
            facts.rows,
        )
        if not len(entities):
            return
        # Mentions of a row lie together, so an anchor's place is that of the row's first mention plus its number.
        first = np.cumsum(counts) - counts
        place = np.where(inside, first[facts.rows] + anchors, 0)
        yield from where(
            inside & (entities[place] != heads),
            "head_index",
            lambda i: f"head_index {heads[i]} ({names[heads[i]]}) is not the entity of anchor {anchors[i]}",
            facts.rows,
        )
        triples = np.bincount(place[inside], minlength=len(entities))
        yield from where(
            triples > (self._neighbors if self._neighbors is not None else len(anchors)),
            "neighbors",
            lambda i: f"{triples[i]} triples of anchor {names[entities[i]]}, expected at most {self._neighbors}",
            mentions.rows,
        )

    def _train_only(self, facts: Elements) -> Iterator[Problem]:
        heads, relations, tails = (facts.numbers(name) for name in INDICES)
        missing = self._train.find(heads, relations, tails) < 0
        yield from where(
            missing,
            "train facts",
            lambda i: f"{self._known.fact(heads[i], relations[i], tails[i])} is not a train triple",
            facts.rows,
        )
        again = _repeated(facts.rows, heads, relations, tails)
        yield from where(
            again,
            "facts",
            lambda i: f"{self._known.fact(heads[i], relations[i], tails[i])} is in the graph twice",
            facts.rows,
        )


def _repeated(rows: I64, *fields: I64) -> npt.NDArray[np.bool_]:
    """Elements whose fields an earlier element of the same row has."""
    order = np.lexsort((*fields, rows))
    again = np.zeros(len(rows), bool)
    ordered = [column[order] for column in (rows, *fields)]
    again[order[1:]] = np.logical_and.reduce([column[1:] == column[:-1] for column in ordered])
    return again
