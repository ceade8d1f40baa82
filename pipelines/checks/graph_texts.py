"""Word-knowledge graphs against the texts that they were cut from: pages, or examples numbered like pages."""

from collections.abc import Iterator

import numpy as np

from pipelines.checks.known import Known
from pipelines.checks.problems import MAX_LINES
from pipelines.checks.wk_graphs import MAX_PAGE_ID, PAGE_SHIFT, U64, Passages
from pipelines.columns import I64
from pipelines.scan import scan_places
from pipelines.transforms.neighbourhood import ranges
from schemas.hashing import hash_strings, random_u64


class GraphTexts:
    """What the graphs claim of their texts, and which claims the texts do not bear out."""

    def __init__(self, known: Known, passages: Passages, table: str) -> None:
        """`table` is that of the texts: pages or examples."""
        self._known, self._passages, self._table, self._what = known, passages, table, table.removesuffix("s")
        self._seen = np.zeros(len(passages.ids), bool)
        self._wrong: dict[int, str] = {}
        self._splits = known.dataset.table(table).splits

    def compare(self, texts: list[str], ids: I64, links: tuple[I64, I64, I64, I64], part: str) -> None:
        """Compare the graphs of some texts, in the order of their page ids, with them and with their links to entities:
        row, start, end and entity of each, in order."""
        ours = self._passages
        low, high = (np.searchsorted(ours.ids, np.clip(ids + more, 0, MAX_PAGE_ID) << PAGE_SHIFT) for more in (0, 1))
        rows = np.repeat(np.arange(len(ids)), high - low)
        graphs = ranges(low, high - low)
        self._seen[graphs] = True
        starts, ends = ours.ids[graphs] & (2**PAGE_SHIFT - 1), ours.ends[graphs].astype(np.int64)
        spans = zip(rows.tolist(), starts.tolist(), ends.tolist(), strict=True)
        passages = hash_strings(texts[row][start:end] for row, start, end in spans)
        checks = (
            (ours.parts[graphs] == self._splits.index(part), f"its {self._what} is in split {part}"),
            (
                ours.mentions[graphs] == _first_mentions(rows, starts, ends, links),
                "its mentions are not the first links of their entities in the passage",
            ),
            (ours.texts[graphs] == passages, f"its text is not that of its {self._what} at start and end"),
        )
        for right, text in checks:
            for graph in graphs[~right].tolist():
                if len(self._wrong) < 10 * MAX_LINES or int(ours.ids[graph]) in self._wrong:
                    self._wrong[int(ours.ids[graph])] = text

    def finish(self) -> Iterator[str]:
        """The graphs that no text bears out, with their places."""
        for graph in np.flatnonzero(~self._seen)[:MAX_LINES].tolist():
            self._wrong[int(self._passages.ids[graph])] = f"its {self._what} is not in table {self._table}"
        if not self._wrong:
            return
        wanted = np.array(sorted(self._wrong), np.int64)
        for path, start, rows in scan_places(self._known.dataset, "wk_graphs", ["graph_id"]):
            ids = rows["graph_id"].to_numpy()
            for row in np.flatnonzero(np.isin(ids, wanted)).tolist():
                yield f"{path}, row {start + row}: graph {ids[row]}: {self._wrong[int(ids[row])]}"


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
