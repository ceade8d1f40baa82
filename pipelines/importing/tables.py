"""The tables of an imported graph, made a row group at a time."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines import sinks
from pipelines.importing.graph import FIRST_NEGATIVE, Imported
from pipelines.importing.source import PARTS, Source
from pipelines.importing.told import SortedTexts, Values, write_texts
from pipelines.transforms.entities import find_mention
from pipelines.transforms.facts import Statements
from pipelines.transforms.inductive import SIDES
from pipelines.transforms.split import NAMES
from schemas.entities import ENTITIES, SPAN
from schemas.manifest import Shard
from schemas.relations import RELATIONS
from schemas.triples import TRIPLES


def write_entities(source: Source, made: Imported, folder: Path) -> list[Shard]:
    """Write the entities table into `folder`; the texts are read now, so the counts of their files end here."""
    place = np.argsort(made.graph.items)
    write_texts(source.texts, made.entities, place, folder / "texts")
    texts, values = SortedTexts(folder / "texts"), Values(source.entities, made.entities, place)

    def rows(part: str, start: int, end: int) -> pa.Table:
        return _entity_rows(source, made, values, texts.column(start, end), start, end)

    return sinks.write_parts(ENTITIES, {ENTITIES.name: len(made.graph.items)}, rows, folder)


def relation_rows(source: Source, made: Imported) -> pa.Table:
    """The relations table."""
    graph, count = made.graph, len(made.graph.properties)
    values = Values(source.relations, made.relations, np.argsort(graph.properties))
    columns = {
        "relation": made.relations.at(graph.properties).cast(pa.string()),
        "relation_index": pa.array(np.arange(count), pa.int32()),
        **{name: values.column(name, 0, count) for name in ("label", "aliases", "description")},
        "frequency": graph.relation_frequency,
        "graph_count": np.zeros(count, np.int64),
    }
    return pa.table(columns, schema=RELATIONS.schema)


def write_triples(made: Imported, folder: Path) -> list[Shard]:
    """Write the triples table into `folder`, each split sorted by indices."""
    graph, negatives = made.graph, made.negatives
    facts = Statements(graph.heads, graph.relations, graph.tails)
    of_part = {name: np.flatnonzero(graph.codes == code) for code, name in enumerate(PARTS[:FIRST_NEGATIVE])}
    false = {name: np.flatnonzero(negatives.parts == PARTS.index(name)) for name in PARTS[FIRST_NEGATIVE:]}

    def rows(part: str, start: int, end: int) -> pa.Table:
        if part in false:
            own = negatives.facts.where(false[part][start:end])
            return _triple_rows(made, own, part, pa.array(np.full(len(own), "dropped")))
        chosen = of_part[part][start:end]
        sides = pa.array(NAMES).take(pa.array(graph.inductive_codes[chosen]))
        return _triple_rows(made, facts.where(chosen), part, sides)

    return sinks.write_parts(TRIPLES, {name: len(own) for name, own in {**of_part, **false}.items()}, rows, folder)


def _triple_rows(made: Imported, facts: Statements, part: str, sides: pa.Array) -> pa.Table:
    items, properties = made.graph.items, made.graph.properties
    columns = {
        "head": made.entities.at(items[facts.heads]),
        "relation": made.relations.at(properties[facts.relations]),
        "tail": made.entities.at(items[facts.tails]),
        "head_index": facts.heads,
        "relation_index": facts.relations,
        "tail_index": facts.tails,
        "label": np.full(len(facts), part in PARTS[:FIRST_NEGATIVE]),
        "split": pa.array([part]).take(pa.array(np.zeros(len(facts), np.int64))),
        "inductive_split": sides,
    }
    return pa.table(columns).cast(TRIPLES.schema)


def _entity_rows(
    source: Source, made: Imported, values: Values, description: pa.Array, start: int, end: int
) -> pa.Table:
    graph = made.graph
    said = {name: values.column(name, start, end) for name in ("label", "aliases", "categories", "kind")}
    description = pc.coalesce(description, values.column("description", start, end))
    source_of = pc.if_else(description.is_valid(), "description", pc.if_else(said["label"].is_valid(), "label", "none"))
    text = pc.coalesce(description, said["label"], pa.scalar(""))
    zeros = np.zeros(end - start, np.int64)
    columns = {
        "entity": made.entities.at(graph.items[start:end]),
        "entity_index": np.arange(start, end),
        **{name: said[name] for name in ("label", "aliases", "categories")},
        "description": description,
        "page_id": pa.nulls(end - start, pa.int64()),
        "page_title": pa.nulls(end - start, pa.string()),
        "text": text,
        "text_source": source_of,
        "text_mention": _mentions(text, said["label"], said["aliases"]),
        "kind": pc.coalesce(said["kind"], pa.scalar(source.kind)),
        "mention_count": zeros,
        "in_degree": graph.in_degree[start:end],
        "out_degree": graph.out_degree[start:end],
        "frequency": graph.in_degree[start:end] + graph.out_degree[start:end],
        "graph_count": zeros,
        "inductive_split": pa.array(SIDES).take(pa.array(graph.inductive[start:end])),
    }
    return pa.table({name: columns[name] for name in ENTITIES.schema.names}).cast(ENTITIES.schema)


def _mentions(texts: pa.Array, labels: pa.Array, aliases: pa.Array) -> pa.Array:
    rows = zip(texts.to_pylist(), labels.to_pylist(), aliases.to_pylist(), strict=True)
    return pa.array([find_mention(text, [label or "", *others]) for text, label, others in rows], SPAN)
