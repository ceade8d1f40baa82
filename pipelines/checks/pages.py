"""Checks of pages, their graphs against them, and of anchors."""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.checks.known import Known, add_at
from pipelines.checks.problems import MAX_LINES, Checker, Problem, span_problems, where
from pipelines.checks.wk_graphs import MAX_PAGE_ID, PAGE_SHIFT, U64, PageIndex, Passages, hash_array
from pipelines.columns import I64, elements, lengths, numbers, values
from pipelines.scan import scan_places
from schemas.hashing import hash_strings, random_u64


class Pages(Checker):
    """Offsets and references of pages; what their graphs hold; counts links of train pages."""

    def __init__(self, known: Known, passages: Passages, index: PageIndex) -> None:
        self._known, self._passages, self.index = known, passages, index
        self._seen = np.zeros(len(passages.ids), bool)
        self._wrong: dict[int, str] = {}
        self._splits = known.dataset.table("pages").splits

    def check(self, rows: pa.Table, part: str) -> Iterator[Problem]:
        """One row group."""
        ids, limits, leads = numbers(rows, "page_id"), lengths(rows, "text"), numbers(rows, "lead_end")
        yield from where((ids < 0) | (ids >= MAX_PAGE_ID), "page_id", lambda i: f"page_id {ids[i]}, expected 0 to 2^36")
        yield from where(
            (leads < 0) | (leads > limits),
            "lead_end",
            lambda i: f"lead_end {leads[i]} is outside the text of {limits[i]} code points",
        )
        sections = elements(rows, "sections")
        yield from span_problems(sections, limits, "section", empty=True)
        early = sections.numbers("start") < leads[sections.rows]
        yield from where(
            early,
            "section offsets",
            lambda i: f"section {sections.fields['title'][i]} begins inside the lead",
            sections.rows,
        )
        levels = sections.numbers("level")
        odd = (levels < 1) | (levels > 6)
        yield from where(odd, "section level", lambda i: f"section level {levels[i]}, expected 1 to 6", sections.rows)
        names = values(rows, "entity")
        entities = self._known.entities.index(names)
        unknown = names.is_valid().to_numpy(zero_copy_only=False) & (entities < 0)
        yield from where(unknown, "entity", lambda i: f"entity {names[i]} is not in table entities")
        texts = values(rows, "text").to_pylist()
        yield from self._links(rows, texts, limits, ids, part)
        lead_texts = hash_strings(text[: max(end, 0)].strip() for text, end in zip(texts, leads.tolist(), strict=True))
        codes = np.full(len(ids), self._splits.index(part), np.int8)
        self.index.add(ids, entities, hash_array(values(rows, "title")), lead_texts, codes)

    def finish(self) -> Iterator[str]:
        """Pages with one id; graphs that no page bears out, with their places."""
        for again in self.index.repeated()[:1]:
            yield f"page_id {again} has two rows"
        for graph in np.flatnonzero(~self._seen)[:MAX_LINES].tolist():
            self._wrong[int(self._passages.ids[graph])] = "its page is not in table pages"
        yield from self._placed(self._wrong)

    def _links(self, rows: pa.Table, texts: list[str], limits: I64, ids: I64, part: str) -> Iterator[Problem]:
        links = elements(rows, "links")
        yield from span_problems(links, limits, "link")
        source, names, targets = (links.fields[name] for name in ("source", "entity", "target"))
        unknown = ~pc.is_in(source, value_set=pa.array(["link", "self", "repeat"])).to_numpy(zero_copy_only=False)
        yield from where(
            unknown,
            "link source",
            lambda i: f"link to {targets[i]}: source {source[i].as_py()!r} is unknown",
            links.rows,
        )
        entities = self._known.entities.index(names)
        dangling = names.is_valid().to_numpy(zero_copy_only=False) & (entities < 0)
        yield from where(
            dangling,
            "link entity",
            lambda i: f"link to {targets[i]}: entity {names[i]} is not in table entities",
            links.rows,
        )
        starts, ends = links.numbers("start"), links.numbers("end")
        if part == "train":
            own = (entities >= 0) & pc.equal(source, "link").to_numpy(zero_copy_only=False)
            add_at(self._known.counted["mention_count"], entities[own])
            spans = zip(links.rows[own].tolist(), starts[own].tolist(), ends[own].tolist(), strict=True)
            np.add.at(
                self._known.surfaces, entities[own], hash_strings(texts[row][start:end] for row, start, end in spans)
            )
        linked = entities >= 0
        self._graphs(texts, ids, (links.rows[linked], starts[linked], ends[linked], entities[linked]), part)

    def _graphs(self, texts: list[str], ids: I64, links: tuple[I64, I64, I64, I64], part: str) -> None:
        """Compare the graphs of these pages with their texts and links."""
        ours = self._passages
        low, high = (np.searchsorted(ours.ids, np.clip(ids + more, 0, MAX_PAGE_ID) << PAGE_SHIFT) for more in (0, 1))
        rows = np.repeat(np.arange(len(ids)), high - low)
        graphs = np.concatenate(
            [np.empty(0, np.int64), *(np.arange(a, b) for a, b in zip(low, high, strict=True))]
        ).astype(np.int64)
        self._seen[graphs] = True
        starts, ends = ours.ids[graphs] & (2**PAGE_SHIFT - 1), ours.ends[graphs].astype(np.int64)
        spans = zip(rows.tolist(), starts.tolist(), ends.tolist(), strict=True)
        passages = hash_strings(texts[row][start:end] for row, start, end in spans)
        checks = (
            (ours.parts[graphs] == self._splits.index(part), f"its page is in split {part}"),
            (
                ours.mentions[graphs] == _first_mentions(rows, starts, ends, links),
                "its mentions are not the first links of their entities in the passage",
            ),
            (ours.texts[graphs] == passages, "its text is not that of its page at start and end"),
        )
        for right, text in checks:
            for graph in graphs[~right].tolist():
                if len(self._wrong) < 10 * MAX_LINES or int(ours.ids[graph]) in self._wrong:
                    self._wrong[int(ours.ids[graph])] = text

    def _placed(self, graphs: dict[int, str]) -> Iterator[str]:
        if not graphs:
            return
        wanted = np.array(sorted(graphs), np.int64)
        for path, start, rows in scan_places(self._known.dataset, "wk_graphs", ["graph_id"]):
            ids = rows["graph_id"].to_numpy()
            for row in np.flatnonzero(np.isin(ids, wanted)).tolist():
                yield f"{path}, row {start + row}: graph {ids[row]}: {graphs[int(ids[row])]}"


class Anchors(Checker):
    """Counts of surface forms against the links of the train pages."""

    def __init__(self, known: Known) -> None:
        self._known = known
        self._counts = np.zeros(len(known.entities), np.int64)
        self._surfaces = np.zeros(len(known.entities), np.uint64)

    def check(self, rows: pa.Table, part: str) -> Iterator[Problem]:
        """One row group."""
        index, counts = numbers(rows, "entity_index"), numbers(rows, "count")
        inside = (index >= 0) & (index < len(self._counts))
        yield from where(
            ~inside, "entity_index", lambda i: f"entity_index {index[i]} is not one of {len(self._counts)}"
        )
        yield from where(counts < 1, "count", lambda i: f"count {counts[i]}")
        np.add.at(self._counts, index[inside], counts[inside])
        hashes = hash_array(values(rows, "surface")) * counts.astype(np.uint64)
        np.add.at(self._surfaces, index[inside], hashes[inside])

    def finish(self) -> Iterator[str]:
        """Entities whose surface forms or counts differ from their links; read after the pages."""
        links = self._known.counted["mention_count"]
        for entity in np.flatnonzero(self._counts != links)[:MAX_LINES].tolist():
            name = self._known.entities[entity]
            yield f"{self._counts[entity]} anchors of {name}, train pages have {links[entity]} links to it"
        other = (self._counts == links) & (self._surfaces != self._known.surfaces)
        for entity in np.flatnonzero(other)[:MAX_LINES].tolist():
            yield f"surfaces of {self._known.entities[entity]} are not the texts of the links to it in train pages"


def _first_mentions(rows: I64, starts: I64, ends: I64, links: tuple[I64, I64, I64, I64]) -> U64:
    """For each passage [start, end) of a page (row), the sum of its mentions' hashes: the first link of each entity."""
    link_rows, link_starts, link_ends, entities = links
    sums = np.zeros(len(rows), np.uint64)
    if not len(rows):
        return sums
    graph = np.searchsorted((rows << 32) | starts, (link_rows << 32) | link_starts, side="right") - 1
    inside = (graph >= 0) & (rows[graph] == link_rows) & (link_ends <= ends[graph])
    graph, link_starts, link_ends, entities = (c[inside] for c in (graph, link_starts, link_ends, entities))
    _, first = np.unique(graph * 2**31 + entities, return_index=True)  # both are below 2^31
    graph, link_starts, link_ends, entities = (c[first] for c in (graph, link_starts, link_ends, entities))
    np.add.at(sums, graph, random_u64(0, "mention", link_starts - starts[graph], link_ends - starts[graph], entities))
    return sums
