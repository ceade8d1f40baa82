"""Statistics of a dataset, read column by column and one row group at a time, so that memory stays bounded."""

import dataclasses
from collections import Counter
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.scan import groups, read_group, scan
from schemas.dataset import Dataset
from schemas.hashing import random_u64

SAMPLED_GROUPS = 32
"""Row groups of pages and wk_graphs that statistics and samples are read from, spread over all of them."""
TOP = 20
"""Rows of a list of the most frequent."""


@dataclasses.dataclass(frozen=True)
class Sample:
    """Whole numbers, one for each row that was read: the distinct ones ascending, with how often each occurs."""

    values: npt.NDArray[np.int64]
    counts: npt.NDArray[np.int64]
    rows: int
    """Rows that there are, read or not."""

    @property
    def read(self) -> int:
        """Rows that were read."""
        return int(self.counts.sum())

    @property
    def whole(self) -> bool:
        """Whether every row was read."""
        return self.read == self.rows

    @property
    def total(self) -> int:
        """The sum over the rows that were read."""
        return int((self.values * self.counts).sum())

    @property
    def mean(self) -> float:
        """The mean; 0 where there is no row."""
        return self.total / self.read if self.read else 0.0

    def quantile(self, q: int | float) -> int:
        """The q-quantile, one of the values; 0 where there is no row."""
        if not self.read:
            return 0
        return int(self.values[np.searchsorted(np.cumsum(self.counts), max(1, q * self.read))])


def sample_of(parts: Sequence[npt.NDArray[np.int64]], rows: int) -> Sample:
    """The numbers of some of `rows` rows, in parts."""
    return Sample(*np.unique(np.concatenate([np.empty(0, np.int64), *parts]), return_counts=True), rows)


def sample_of_counts(counts: Counter[int]) -> Sample:
    """Numbers that are counted already, for all rows."""
    values = np.array(sorted(counts), np.int64)
    return Sample(values, np.array([counts[value] for value in values.tolist()], np.int64), counts.total())


@dataclasses.dataclass(frozen=True)
class PageStatistics:
    """Sampled pages: lengths in code points, links, and links with an entity, a value per page."""

    length: Sample
    links: Sample
    linked: Sample


@dataclasses.dataclass(frozen=True)
class GraphStatistics:
    """Sampled word-knowledge graphs: mentions and triples, a value per graph."""

    mentions: Sample
    triples: Sample


@dataclasses.dataclass(frozen=True)
class EntityStatistics:
    """All entities: counts by column value, degrees, and frequency by rank."""

    text_source: Counter[str]
    kind: Counter[str]
    inductive_split: Counter[str]
    categories: Counter[str]
    in_degree: Counter[int]
    out_degree: Counter[int]
    ranks: list[tuple[int, int]]
    """(rank from 1, frequency), ranks evenly spread on a logarithmic axis."""


@dataclasses.dataclass(frozen=True)
class Names:
    """Ids and labels of the entities that were asked for."""

    ids: dict[int, str]
    labels: dict[int, str]
    """By entity_index; an entity without a label goes by its id."""
    label_of: dict[str, str]
    """By id."""


def page_statistics(dataset: Dataset) -> PageStatistics:
    """Read a sample of the pages."""
    lengths, links, linked = [], [], []
    for batch in scan(dataset, "pages", ["text", "links.list.element.entity"], limit=SAMPLED_GROUPS):
        lengths.append(_numbers(pc.utf8_length(batch["text"])))
        entities = batch["links"].combine_chunks()
        links.append(_numbers(pc.list_value_length(entities)))
        linked.append(_present(entities, "entity"))
    rows = dataset.rows("pages")
    return PageStatistics(*(sample_of(part, rows) for part in (lengths, links, linked)))


def graph_statistics(dataset: Dataset) -> GraphStatistics:
    """Read a sample of the word-knowledge graphs."""
    mentions, triples = [], []
    columns = ["mentions.list.element.entity_index", "triples.list.element.anchor"]
    for batch in scan(dataset, "wk_graphs", columns, limit=SAMPLED_GROUPS):
        mentions.append(_numbers(pc.list_value_length(batch["mentions"])))
        triples.append(_numbers(pc.list_value_length(batch["triples"])))
    rows = dataset.rows("wk_graphs")
    return GraphStatistics(*(sample_of(part, rows) for part in (mentions, triples)))


def entity_statistics(dataset: Dataset) -> EntityStatistics:
    """Read the counting columns of every entity."""
    counted = {name: Counter() for name in ("text_source", "kind", "inductive_split", "categories")}
    degrees = {name: Counter() for name in ("in_degree", "out_degree")}
    wanted = set(np.unique(np.geomspace(1, max(1, dataset.rows("entities")), 60).astype(int)).tolist())
    ranks, rank = [], 0
    for batch in scan(dataset, "entities", [*counted, *degrees, "frequency"]):
        for name, counter in counted.items():
            column = batch[name].combine_chunks()
            _count(column.flatten() if name == "categories" else column, counter)
        for name, counter in degrees.items():
            _count(batch[name], counter)
        frequencies = batch["frequency"].to_numpy()
        ranks += [(rank + i + 1, int(n)) for i, n in enumerate(frequencies) if rank + i + 1 in wanted]
        rank += len(frequencies)
    return EntityStatistics(**counted, **degrees, ranks=ranks)


def top_relations(dataset: Dataset) -> list[tuple[str, str, int]]:
    """(id, label, train triples) of the most frequent relations; the table is in that order."""
    rows = dataset.read("relations", columns=["relation", "label", "frequency"]).slice(0, TOP).to_pylist()
    return [(row["relation"], row["label"] or row["relation"], row["frequency"]) for row in rows]


def relation_labels(dataset: Dataset) -> dict[int, str]:
    """Label, else id, of every relation by its index."""
    rows = dataset.read("relations", columns=["relation_index", "relation", "label"]).to_pylist()
    return {row["relation_index"]: row["label"] or row["relation"] for row in rows}


def relation_ids(dataset: Dataset) -> dict[str, str]:
    """Label of every relation that has one, by its id."""
    rows = dataset.read("relations", columns=["relation", "label"]).to_pylist()
    return {row["relation"]: row["label"] for row in rows if row["label"]}


def entity_names(dataset: Dataset, indices: set[int], ids: set[str]) -> Names:
    """Labels of the entities with these indices or ids, in one pass over two columns."""
    names = Names({}, {}, {})
    index_set, id_set = pa.array(sorted(indices), pa.int32()), pa.array(sorted(ids), pa.string())
    for batch in scan(dataset, "entities", ["entity", "entity_index", "label"]):
        found = pc.or_(pc.is_in(batch["entity_index"], index_set), pc.is_in(batch["entity"], id_set))
        for row in batch.filter(found).to_pylist():
            name = row["label"] or row["entity"]
            names.ids[row["entity_index"]] = row["entity"]
            names.labels[row["entity_index"]] = names.label_of[row["entity"]] = name
    return names


def split_counts(dataset: Dataset, name: str, column: str) -> Counter[str]:
    """Rows of a table by the value of a column."""
    counts: Counter[str] = Counter()
    for batch in scan(dataset, name, [column]):
        _count(batch[column], counts)
    return counts


def reject_counts(dataset: Dataset) -> Counter[tuple[str, str]]:
    """Rejected records by (stage, reason)."""
    counts: Counter[tuple[str, str]] = Counter()
    for batch in scan(dataset, "rejects", ["stage", "reason"]):
        counts.update(zip(batch["stage"].to_pylist(), batch["reason"].to_pylist(), strict=True))
    return counts


def sample_rows(dataset: Dataset, name: str, count: int, columns: Sequence[str] | None = None) -> list[dict]:
    """`count` rows of a table (all of a smaller one) in their order, chosen by hash; reads their row groups only."""
    rows = dataset.rows(name)
    if not rows:
        return []
    if rows <= 10_000:
        chosen = np.argsort(random_u64(0, f"report/{name}", np.arange(rows)), kind="stable")[:count].tolist()
    else:
        draws = random_u64(0, f"report/{name}", np.arange(2 * count)) % np.uint64(rows)
        chosen = list(dict.fromkeys(draws.tolist()))[:count]
    found, seen = [], 0
    for path, group, size in groups(dataset, name):
        own = [place - seen for place in sorted(chosen) if seen <= place < seen + size]
        seen += size
        if own:
            found += read_group(path, group, columns).take(own).to_pylist()
    return found


def good_graphs(dataset: Dataset, count: int) -> list[dict]:
    """Train graphs that are pleasant to look at: a sentence or two, some anchors, some facts.

    The table is in hash order, so the first that fit are a random sample of those that do.
    """
    found: list[dict] = []
    small: list[dict] = []
    for batch in scan(dataset, "wk_graphs", None, split="train", limit=SAMPLED_GROUPS):
        for row in batch.to_pylist():
            if _is_good(row):
                found.append(row)
            elif 0 < len(row["triples"]) <= 40 and len(row["text"]) <= 1_200:
                small.append(row)
        small = small[:count]
        if len(found) >= count:
            break
    # The one with the most facts is drawn first.
    return sorted([*found, *small][:count], key=lambda row: -len(row["triples"]))


def _is_good(row: dict) -> bool:
    """A sentence or two, no list; several anchors, two of them with facts, and those neither many nor all alike."""
    facts = Counter(triple["anchor"] for triple in row["triples"])
    relations = {triple["relation_index"] for triple in row["triples"]}
    return (
        80 <= len(row["text"]) <= 420
        and "\n" not in row["text"]
        and 3 <= len(row["mentions"]) <= 7
        and len(facts) >= 2
        and max(facts.values()) <= 8
        and facts.total() <= 18
        and len(relations) >= 3
    )


def _numbers(column: pa.ChunkedArray | pa.Array) -> npt.NDArray[np.int64]:
    return column.to_numpy(zero_copy_only=False).astype(np.int64)


def _present(lists: pa.ListArray, child: str) -> npt.NDArray[np.int64]:
    """How many elements of each list have a non-null `child`."""
    parents = pc.list_parent_indices(lists).to_numpy(zero_copy_only=False)
    valid = pc.struct_field(lists.flatten(), child).is_valid().to_numpy(zero_copy_only=False)
    return np.bincount(parents[valid], minlength=len(lists)).astype(np.int64)


def _count(values: pa.Array | pa.ChunkedArray, counter: Counter) -> None:
    for entry in pc.value_counts(values).to_pylist():
        counter[entry["values"]] += entry["counts"]
