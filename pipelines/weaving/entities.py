"""Rows of entities and relations of a woven graph: of several datasets that say something, the first one is heard.

Each field is looked for by itself: a label, aliases, a description, categories, a text that is a lead or a
description. Datasets are spooled to uncompressed Arrow files, which are mapped, so that rows can be picked in any order
without a dataset in memory.
"""

import dataclasses
import itertools
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.columns import I64
from pipelines.records import save_array, whole_file
from pipelines.scan import scan
from pipelines.transforms.graph import Graph, load_columns, save_columns
from pipelines.transforms.inductive import SIDES
from schemas.dataset import Dataset
from schemas.entities import ENTITIES, SPAN
from schemas.relations import RELATIONS

I32 = npt.NDArray[np.int32]

ORIGIN = {
    "entity": "entity",
    "kind": "entity",
    "label": "label",
    "aliases": "aliases",
    "description": "description",
    "text": "text",
    "text_source": "text",
    "text_mention": "text",
    "categories": "categories",
    "page_id": "article",
    "page_title": "article",
}
"""Column -> the field of Origins that says where it is from; the other columns are counted anew."""
TOLD = [name for name, origin in ORIGIN.items() if origin != "article"]
TEXTS = pa.array(["lead", "description"])
"""Values of text_source that stand for a text of its own."""


@dataclasses.dataclass(frozen=True)
class Origins:
    """For each entity (place in the vocabulary) the spooled row that says it, -1 for none; shape (E,) each."""

    entity: I32
    label: I32
    aliases: I32
    description: I32
    text: I32
    categories: I32
    article: I32
    """Row in the articles of the text dataset."""


class Told:
    """What is said of each entity, by its place in the vocabulary."""

    def __init__(self, folder: Path) -> None:
        self._origins = load_columns(Origins, folder / "origins")
        self._said = Spool(sorted(folder.glob("entities-*.arrow")))
        self._articles = Spool([folder / "articles.arrow"])

    def say(self, name: str, entities: I64) -> pa.Array:
        """A column for these entities; null where nobody says anything, empty for a list."""
        field = ENTITIES.schema.field(name)
        missing = pa.array([[] if pa.types.is_list(field.type) else None], field.type)
        spool = self._articles if ORIGIN[name] == "article" else self._said
        return spool.take(name, self._origins[ORIGIN[name]][entities].astype(np.int64), missing)


class Spool:
    """Rows of Arrow files, one after the other, mapped: any of them can be picked."""

    def __init__(self, paths: Sequence[Path]) -> None:
        readers = [pa.ipc.open_file(pa.memory_map(str(path))) for path in paths]
        self._batches = [reader.get_batch(number) for reader in readers for number in range(reader.num_record_batches)]
        self._starts = np.cumsum([0, *(batch.num_rows for batch in self._batches)])

    def take(self, column: str, rows: I64, missing: pa.Array) -> pa.Array:
        """The column at each of the rows; `missing`, an array of one value, for -1."""
        order = np.argsort(rows, kind="stable")
        ordered = rows[order]
        cuts = np.searchsorted(ordered, self._starts)
        pieces = [missing]
        for number, (low, high) in enumerate(itertools.pairwise(cuts.tolist())):
            if high > low:
                batch = self._batches[number]
                pieces.append(batch[column].take(pa.array(ordered[low:high] - self._starts[number])))
        places = np.empty(len(rows), np.int64)
        places[order] = np.maximum(np.arange(len(rows)) - cuts[0] + 1, 0)
        return pa.concat_arrays(pieces).take(pa.array(places))


def spool_entities(datasets: Sequence[Dataset], places: Sequence[I64], entities: int, folder: Path) -> None:
    """Write what the datasets say of their entities, and for each of the `entities` which row of it is heard."""
    columns = {field.name: np.full(entities, -1, np.int32) for field in dataclasses.fields(Origins)}
    row = 0
    for number, (dataset, own) in enumerate(zip(datasets, places, strict=True)):
        start = 0
        schema = pa.schema([ENTITIES.schema.field(name) for name in TOLD])
        with whole_file(folder / f"entities-{number:03d}.arrow") as path, pa.ipc.new_file(str(path), schema) as writer:
            for rows in scan(dataset, "entities", TOLD):
                here = own[start : start + rows.num_rows]
                for name, says in _says(rows).items():
                    fresh = says & (columns[name][here] < 0)
                    columns[name][here[fresh]] = row + np.flatnonzero(fresh)
                writer.write_table(rows.select(TOLD).cast(schema).combine_chunks())
                start, row = start + rows.num_rows, row + rows.num_rows
    save_columns(Origins(**columns), folder / "origins")


def set_articles(articles: pa.Table, folder: Path) -> None:
    """Add the articles (entity: place in the vocabulary, page_id, page_title); of several the smallest id counts."""
    articles = articles.sort_by([("entity", "ascending"), ("page_id", "ascending")])
    entities = articles["entity"].to_numpy()
    first = np.append(True, entities[1:] != entities[:-1]) if len(entities) else np.empty(0, bool)
    articles = articles.filter(pa.array(first))
    with whole_file(folder / "articles.arrow") as path, pa.ipc.new_file(str(path), articles.schema) as writer:
        writer.write_table(articles, max_chunksize=20_000)
    article = np.full(len(np.load(folder / "origins" / "entity.npy", mmap_mode="r")), -1, np.int32)
    article[entities[first]] = np.arange(articles.num_rows)
    save_array(folder / "origins" / "article.npy", article)


def entity_rows(told: Told, graph: Graph, graph_count: I64, start: int, end: int) -> pa.Table:
    """Rows [start, end) of the entities table."""
    entities = graph.items[start:end]
    label = told.say("label", entities)
    counts = {name: getattr(graph, name)[start:end] for name in ("mention_count", "in_degree", "out_degree")}
    columns = {
        **{name: told.say(name, entities) for name in ("entity", "aliases", "description", "categories", "kind")},
        **{name: told.say(name, entities) for name in ("page_id", "page_title")},
        **_texts(label, *(told.say(name, entities) for name in ("text", "text_source", "text_mention"))),
        **counts,
        "label": label,
        "entity_index": np.arange(start, end),
        "frequency": sum(counts.values()),
        "graph_count": graph_count[start:end],
        "inductive_split": pa.array(SIDES).take(pa.array(graph.inductive[start:end])),
    }
    return pa.table([pa.array(columns[field.name], field.type) for field in ENTITIES.schema], ENTITIES.schema)


def relation_rows(datasets: Sequence[Dataset], places: Sequence[I64], graph: Graph, graph_count: I64) -> pa.Table:
    """The relations table."""
    known: dict[int, dict] = {}
    for dataset, own in zip(datasets, places, strict=True):
        for place, row in zip(own.tolist(), dataset.read("relations").to_pylist(), strict=True):
            fields = known.setdefault(place, {"relation": row["relation"], "label": None, "aliases": []})
            for name in ("label", "aliases", "description"):
                fields[name] = fields.get(name) or row[name]
    rows = [
        {
            **known[place],
            "relation_index": index,
            "frequency": int(graph.relation_frequency[index]),
            "graph_count": int(graph_count[index]),
        }
        for index, place in enumerate(graph.properties.tolist())
    ]
    return pa.Table.from_pylist(rows, schema=RELATIONS.schema)


def _says(rows: pa.Table) -> dict[str, npt.NDArray[np.bool_]]:
    """For each field of Origins, which of the rows say something there."""
    masks = {
        "entity": rows["entity"].is_valid(),
        **{name: pc.not_equal(pc.fill_null(rows[name], ""), "") for name in ("label", "description")},
        **{name: pc.greater(pc.list_value_length(rows[name]), 0) for name in ("aliases", "categories")},
        "text": pc.is_in(rows["text_source"], value_set=TEXTS),
    }
    return {name: mask.to_numpy() for name, mask in masks.items()}


def _texts(label: pa.Array, text: pa.Array, source: pa.Array, mention: pa.Array) -> dict[str, pa.Array]:
    """The columns of the text; an entity without one has its label for it."""
    named = label.is_valid()
    of_label = pa.StructArray.from_arrays(
        [pa.array(np.zeros(len(label)), pa.int32()), pc.fill_null(pc.utf8_length(label), 0)],
        fields=list(SPAN),
        mask=pc.invert(named),
    )
    return {
        "text": pc.coalesce(text, label, pa.scalar("")),
        "text_source": pc.coalesce(source, pc.if_else(named, "label", "none")),
        "text_mention": pc.if_else(source.is_valid(), mention, of_label),
    }
