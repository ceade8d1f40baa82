"""Statistics of a dataset, read column by column and one row group at a time, so that memory stays bounded."""

import dataclasses
import itertools
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.columns import elements, lengths
from pipelines.scan import scan
from schemas.check import require_schema
from schemas.dataset import Dataset

SAMPLED_GROUPS = 32
"""Row groups that statistics about texts and lists are read from, spread over all of a table."""
TOP = 20
"""Rows of a list of the most frequent."""
LABEL = 200
"""Code points of a label that are shown, at most."""
ENTITY_TEXTS = "plot-text"
"""Id of the sample that the other distributions of entities stand beside."""


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
    """Sampled word-knowledge graphs: lengths in code points, mentions and triples, a value per graph."""

    length: Sample
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
class SplitEnds:
    """Triples of a split, the different entities and relations in them, and how many of those train does not have.

    The fields are in the order in which they are shown.
    """

    split: str
    triples: int
    entities: int
    new_entities: int
    relations: int
    new_relations: int


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
    texts, links, linked = [], [], []
    for batch in scan(dataset, "pages", ["text", "links.list.element.entity"], limit=SAMPLED_GROUPS):
        found = elements(batch, "links")
        texts.append(lengths(batch, "text"))
        links.append(np.bincount(found.rows, minlength=len(batch)))
        known = found.fields["entity"].is_valid().to_numpy(zero_copy_only=False)
        linked.append(np.bincount(found.rows[known], minlength=len(batch)))
    rows = dataset.rows("pages")
    return PageStatistics(*(sample_of(part, rows) for part in (texts, links, linked)))


def graph_statistics(dataset: Dataset) -> GraphStatistics:
    """Read a sample of the word-knowledge graphs."""
    texts, mentions, triples = [], [], []
    columns = ["text", "mentions.list.element.entity_index", "triples.list.element.anchor"]
    for batch in scan(dataset, "wk_graphs", columns, limit=SAMPLED_GROUPS):
        texts.append(lengths(batch, "text"))
        mentions.append(np.bincount(elements(batch, "mentions").rows, minlength=len(batch)))
        triples.append(np.bincount(elements(batch, "triples").rows, minlength=len(batch)))
    rows = dataset.rows("wk_graphs")
    return GraphStatistics(*(sample_of(part, rows) for part in (texts, mentions, triples)))


def text_lengths(dataset: Dataset, name: str) -> Sample:
    """Lengths of the texts of a table in code points, of a sample of its rows."""
    parts = [lengths(batch, "text") for batch in scan(dataset, name, ["text"], limit=SAMPLED_GROUPS)]
    return sample_of(parts, dataset.rows(name))


def samples(dataset: Dataset) -> list[tuple[str, str, str, Sample]]:
    """(id, heading, unit, numbers) of what is measured in each row of a table, of the tables that have rows."""
    pages, graphs = page_statistics(dataset), graph_statistics(dataset)
    measured = [
        ("plot-length", "Length of a page", "code points", pages.length),
        ("plot-links", "Links of a page", "links", pages.links),
        ("plot-linked", "Links with an entity", "links of a page", pages.linked),
        ("plot-passage", "Length of a graph's passage", "code points", graphs.length),
        ("plot-mentions", "Mentions of a graph", "mentions", graphs.mentions),
        ("plot-triples", "Triples of a graph", "triples", graphs.triples),
        (ENTITY_TEXTS, "Length of an entity's text", "code points", text_lengths(dataset, "entities")),
        ("plot-example", "Length of an example", "code points", text_lengths(dataset, "examples")),
    ]
    return [entry for entry in measured if entry[-1].rows]


def example_counts(dataset: Dataset) -> Counter[tuple[str, ...]]:
    """Examples by (task, group, split)."""
    return _grouped(dataset, "examples", ["task", "group", "split"])


def split_ends(dataset: Dataset) -> list[SplitEnds]:
    """What the triples of each split are about; memory is a byte an entity and relation."""
    trained: dict[str, npt.NDArray[np.bool_]] = {}
    ends = []
    for split in dataset.table("triples").parts:
        found = {side: np.zeros(dataset.rows(side), bool) for side in ("entities", "relations")}
        for batch in scan(dataset, "triples", ["head_index", "relation_index", "tail_index"], split=split):
            for side, column in (("entities", "head"), ("relations", "relation"), ("entities", "tail")):
                indices = batch[f"{column}_index"].to_numpy()
                # An index that the table of entities or relations lacks is for validate to tell of.
                found[side][indices[(indices >= 0) & (indices < len(found[side]))]] = True
        trained = found if split == "train" else trained
        if dataset.rows("triples", split):
            counts = [int(seen.sum()) for side in found for seen in (found[side], found[side] & ~trained[side])]
            ends.append(SplitEnds(split, dataset.rows("triples", split), *counts))
    return ends


def null_counts(dataset: Dataset, name: str) -> dict[str, int]:
    """Nulls of the nullable columns by their dotted names, from the footers; {} where one has no statistics."""
    leaves: Counter[str] = Counter()
    for shard in dataset.shards(name):
        metadata = require_schema(dataset.folder / shard.path, dataset.table(name))
        for group, position in itertools.product(range(metadata.num_row_groups), range(metadata.num_columns)):
            column = metadata.row_group(group).column(position)
            if not (column.is_stats_set and column.statistics.has_null_count):
                return {}
            leaves[column.path_in_schema.replace(".list.element", "")] += column.statistics.null_count
    return dict(_nulls(dataset.table(name).columns, leaves))


def _nulls(fields: Sequence[pa.Field], leaves: Mapping[str, int]) -> Iterator[tuple[str, int]]:
    """Parquet also counts an empty list, and a null struct, as a null in each column beneath."""
    for field in fields:
        kind = field.type.value_type if pa.types.is_list(field.type) else field.type
        absent = leaves.get(field.name, 0)
        if pa.types.is_struct(kind):
            inner = {f"{field.name}.{child.name}": child.nullable for child in kind}
            absent = min(leaves.get(path, 0) for path in inner)
            yield from ((path, leaves.get(path, 0) - absent) for path, nullable in inner.items() if nullable)
        if field.nullable:
            yield field.name, absent


def entity_statistics(dataset: Dataset) -> EntityStatistics:
    """Read the counting columns of every entity."""
    counted = {name: Counter() for name in ("text_source", "kind", "inductive_split", "categories")}
    degrees = {name: Counter() for name in ("in_degree", "out_degree")}
    wanted = np.unique(np.geomspace(1, max(1, dataset.rows("entities")), 60).astype(int))
    ranks, rank = [], 0
    for batch in scan(dataset, "entities", [*counted, *degrees, "frequency"]):
        for name, counter in counted.items():
            column = batch[name].combine_chunks()
            _count(column.flatten() if name == "categories" else column, counter)
        for name, counter in degrees.items():
            _count(batch[name], counter)
        frequencies = batch["frequency"].to_numpy()
        own = wanted[(wanted > rank) & (wanted <= rank + len(frequencies))]
        ranks += zip(own.tolist(), frequencies[own - rank - 1].tolist(), strict=True)
        rank += len(frequencies)
    return EntityStatistics(**counted, **degrees, ranks=ranks)


def top_relations(dataset: Dataset) -> list[tuple[str, str, int]]:
    """(id, label, train triples) of the most frequent relations; the table is in that order."""
    rows = dataset.read("relations", columns=["relation", "label", "frequency"]).slice(0, TOP).to_pylist()
    return [(row["relation"], _name(row["label"], row["relation"]), row["frequency"]) for row in rows]


def relation_labels(dataset: Dataset) -> dict[int, str]:
    """Label, else id, of every relation by its index."""
    rows = dataset.read("relations", columns=["relation_index", "relation", "label"]).to_pylist()
    return {row["relation_index"]: _name(row["label"], row["relation"]) for row in rows}


def relation_ids(dataset: Dataset) -> dict[str, str]:
    """Label of every relation that has one, by its id."""
    rows = dataset.read("relations", columns=["relation", "label"]).to_pylist()
    return {row["relation"]: _name(row["label"], row["relation"]) for row in rows if row["label"]}


def entity_names(dataset: Dataset, indices: set[int], ids: set[str]) -> Names:
    """Labels of the entities with these indices or ids, in one pass over two columns."""
    names = Names({}, {}, {})
    index_set, id_set = pa.array(sorted(indices), pa.int32()), pa.array(sorted(ids), pa.string())
    for batch in scan(dataset, "entities", ["entity", "entity_index", "label"]):
        found = pc.or_(pc.is_in(batch["entity_index"], index_set), pc.is_in(batch["entity"], id_set))
        for row in batch.filter(found).to_pylist():
            name = _name(row["label"], row["entity"])
            names.ids[row["entity_index"]] = row["entity"]
            names.labels[row["entity_index"]] = names.label_of[row["entity"]] = name
    return names


def split_counts(dataset: Dataset, name: str, column: str) -> Counter[str]:
    """Rows of a table by the value of a column."""
    counts: Counter[str] = Counter()
    for batch in scan(dataset, name, [column]):
        _count(batch[column], counts)
    return counts


def reject_counts(dataset: Dataset) -> Counter[tuple[str, ...]]:
    """Rejected records by (stage, reason)."""
    return _grouped(dataset, "rejects", ["stage", "reason"])


def _grouped(dataset: Dataset, name: str, columns: list[str]) -> Counter[tuple[str, ...]]:
    """Rows of a table by the values of some columns."""
    counts: Counter[tuple[str, ...]] = Counter()
    for batch in scan(dataset, name, columns):
        for row in batch.group_by(columns).aggregate([([], "count_all")]).to_pylist():
            counts[tuple(row[column] for column in columns)] += row["count_all"]
    return counts


def _name(label: str | None, id_: str) -> str:
    """The label, else the id; a giant is cut."""
    name = label if label and label.strip() else id_
    return name if len(name) <= LABEL else name[:LABEL] + "…"


def _count(values: pa.Array | pa.ChunkedArray, counter: Counter) -> None:
    for entry in pc.value_counts(values).to_pylist():
        counter[entry["values"]] += entry["counts"]
