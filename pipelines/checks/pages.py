"""Checks of pages and of anchors."""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.checks.graph_texts import GraphTexts
from pipelines.checks.known import Known, add_at
from pipelines.checks.problems import MAX_LINES, Checker, Problem, span_problems, where
from pipelines.checks.wk_graphs import MAX_PAGE_ID, PageIndex, hash_array
from pipelines.columns import I64, elements, lengths, numbers, values
from pipelines.report.about import parameters
from schemas.hashing import hash_strings


class Pages(Checker):
    """Offsets and references of pages; what their graphs hold; counts links of train pages."""

    def __init__(self, known: Known, graphs: GraphTexts | None, index: PageIndex) -> None:
        self._known, self._graph_texts, self.index = known, graphs, index
        self._splits = known.dataset.table("pages").splits
        told = parameters(known.dataset.manifest)
        self._sources = ["link", *(kind for kind in ("self", "repeat") if told.get(f"{kind}_mentions") is not False)]

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
        if self._graph_texts is not None:
            yield from self._graph_texts.finish()

    def _links(self, rows: pa.Table, texts: list[str], limits: I64, ids: I64, part: str) -> Iterator[Problem]:
        links = elements(rows, "links")
        yield from span_problems(links, limits, "link")
        source, names, targets = (links.fields[name] for name in ("source", "entity", "target"))
        unknown = ~pc.is_in(source, value_set=pa.array(self._sources)).to_numpy(zero_copy_only=False)
        yield from where(
            unknown,
            "link source",
            lambda i: f"link to {targets[i]}: source {source[i].as_py()!r}, expected {' or '.join(self._sources)}",
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
        if self._graph_texts is not None:
            found = links.rows[linked], starts[linked], ends[linked], entities[linked]
            self._graph_texts.compare(texts, ids, found, part)


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
