"""The entities and relations tables: what Wikidata says of each, the lead of its article, and its counts."""

import dataclasses
import itertools
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipelines import sinks
from pipelines.records import BATCH_ROWS, read_record_batches, read_records, write_json, write_records
from pipelines.transforms.align import INSTANCE_OF
from pipelines.transforms.facts import winners
from pipelines.transforms.graph import Graph
from pipelines.transforms.inductive import SIDES
from pipelines.transforms.neighbourhood import Neighbourhood
from pipelines.transforms.words import goes_on
from schemas.entities import ENTITIES
from schemas.relations import RELATIONS
from schemas.table import list_of

I64 = npt.NDArray[np.int64]

RECORD = pa.schema(
    {
        "entity_index": pa.int64(),
        "label": pa.string(),
        "aliases": list_of(pa.string()),
        "description": pa.string(),
        "categories": list_of(pa.string()),
        "page_id": pa.int64(),
        "page_title": pa.string(),
        "text": pa.string(),
    }
)
"""What is known of an entity: from its item (no page columns) or from its article (page columns only)."""


Slice = tuple[Path, int, int]
"""A file of records, and the rows [first, behind) of it."""


@dataclasses.dataclass(frozen=True)
class RecordJob:
    """A range's file of items or leads, the folder of the neighbourhood, and the folder for the entities' records."""

    source: Path
    winning: Path | None
    neighbourhood: Path
    folder: Path

    @property
    def marker(self) -> Path:
        """Written last."""
        return self.folder / "done.json"


@dataclasses.dataclass(frozen=True)
class EntityShardJob:
    """One shard of the entities table: indices [start, end)."""

    start: int
    end: int
    number: int
    count: int
    slices: Sequence[Slice]
    graph: Path
    out: Path
    """Folder of the table, in which graph_count.npy lies: how often each entity is a node of a train wk_graph."""
    marker: Path


def record_range(job: RecordJob) -> None:
    """Items or leads of one range -> records of kept entities, sorted by entity_index."""
    neighbourhood = Neighbourhood.load(job.neighbourhood)
    winning = np.load(job.winning) if job.winning else None
    tables = [RECORD.empty_table()]
    row = 0
    for batch in read_record_batches(job.source):
        indices = neighbourhood.find_keys(batch["item"].to_numpy())
        kept = indices >= 0
        if winning is not None:
            kept &= winning[row : row + batch.num_rows]
            row += batch.num_rows
        rows = pa.Table.from_batches([batch]).filter(pa.array(kept)).to_pylist()
        records = [_record(row, index) for row, index in zip(rows, indices[kept].tolist(), strict=True)]
        tables.append(pa.Table.from_pylist(records, schema=RECORD))
    table = pa.concat_tables(tables).sort_by("entity_index").combine_chunks()
    write_records(job.folder / "records.arrow", table)
    write_json(job.marker, {})


def cut_records(files: Sequence[Path], cuts: Sequence[tuple[int, int]]) -> list[list[Slice]]:
    """For each shard, the records that are its own; `cuts` are the shards' indices, one after the other."""
    slices: list[list[Slice]] = [[] for _ in cuts]
    edges = [start for start, _ in cuts]
    for path in files:
        indices = read_records(path, ["entity_index"])["entity_index"].to_numpy()
        places = [*np.searchsorted(indices, edges).tolist(), len(indices)]
        for own, (first, behind) in zip(slices, itertools.pairwise(places), strict=True):
            if first < behind:
                own.append((path, first, behind))
    return slices


def write_entity_shard(job: EntityShardJob) -> None:
    """Join the records of [start, end) and write them as one Parquet file."""
    graph = Graph.load(job.graph)
    known: list[dict] = [{} for _ in range(job.end - job.start)]
    for path, start, end in job.slices:
        first, behind = start // BATCH_ROWS, -(-end // BATCH_ROWS)
        for number, batch in enumerate(
            itertools.islice(read_record_batches(path, first=first), behind - first), start=first
        ):
            begin = number * BATCH_ROWS
            own = batch.slice(max(start - begin, 0), min(end - begin, BATCH_ROWS) - max(start - begin, 0))
            for row in own.to_pylist():
                _merge(known[row["entity_index"] - job.start], row)
    counts = _counts(graph, np.load(job.out / "graph_count.npy", mmap_mode="r"), job.start, job.end)
    names = [f"Q{item}" for item in graph.items[job.start : job.end].tolist()]
    rows = [_entity_row(name, fields, count) for name, fields, count in zip(names, known, counts, strict=True)]
    table = pa.Table.from_pylist(rows, schema=ENTITIES.schema)
    path = job.out / ENTITIES.folder / f"{ENTITIES.name}-{job.number:05d}-of-{job.count:05d}.parquet"
    shard = sinks.write_parquet(ENTITIES, table, path)
    write_json(job.marker, dataclasses.asdict(shard))


def relation_rows(wikidata: Sequence[Path], graph: Graph, graph_count: I64) -> pa.Table:
    """The relations table."""
    records: dict[int, dict] = {}
    tables = [read_records(path / "properties.arrow") for path in wikidata]
    if tables:
        whole = pa.concat_tables(tables)
        winning = winners(whole["relation"].to_numpy().astype(np.int64), whole["content"].to_numpy())
        records = {row["relation"]: row for row in whole.filter(pa.array(winning)).to_pylist()}
    rows = []
    for index, number in enumerate(graph.properties.tolist()):
        record = records.get(number, {})
        rows.append(
            {
                "relation": f"P{number}",
                "relation_index": index,
                "label": record.get("label"),
                "aliases": record.get("aliases", []),
                "description": record.get("description"),
                "frequency": int(graph.relation_frequency[index]),
                "graph_count": int(graph_count[index]),
            }
        )
    return pa.Table.from_pylist(rows, schema=RELATIONS.schema)


def entity_text(lead: str | None, description: str | None, label: str | None) -> tuple[str, str]:
    """(text, text_source): lead, else description, else label, else none."""
    for text, source in ((lead, "lead"), (description, "description"), (label, "label")):
        if text:
            return text, source
    return "", "none"


def find_mention(text: str, names: Sequence[str]) -> dict | None:
    """The first whole-word mention of one of the names in the text, the longest of several; None for none."""
    found = [(start, -start - len(name)) for name in names if name and (start := _find_words(text, name)) >= 0]
    if not found:
        return None
    start, end = min(found)
    return {"start": start, "end": -end}


def _find_words(text: str, name: str) -> int:
    """Where `name` first stands in the text with no word going on beside it; -1 for nowhere."""
    start = text.find(name)
    while start >= 0:
        end = start + len(name)
        if not goes_on(name[0], text[start - 1 : start]) and not goes_on(name[-1], text[end : end + 1]):
            break
        start = text.find(name, start + 1)
    return start


def _record(row: dict, index: int) -> dict:
    if "page_id" in row:
        return {**row, "entity_index": index, "aliases": [], "categories": []}
    categories = [
        f"Q{tail}" for relation, tail in zip(row["relations"], row["tails"], strict=True) if relation == INSTANCE_OF
    ]
    return {**row, "entity_index": index, "categories": categories}


def _merge(known: dict, row: dict) -> None:
    """Join an item's record with its article's; of several articles the one with the smallest id stays."""
    if row["page_id"] is None:
        known.update({name: row[name] for name in ("label", "aliases", "description", "categories")})
    elif row["page_id"] <= known.get("page_id", row["page_id"]):
        known.update({name: row[name] for name in ("page_id", "page_title", "text")})


def _counts(graph: Graph, graph_count: I64, start: int, end: int) -> list[dict]:
    columns = {
        "entity_index": np.arange(start, end),
        "mention_count": graph.mention_count[start:end],
        "in_degree": graph.in_degree[start:end],
        "out_degree": graph.out_degree[start:end],
        "graph_count": graph_count[start:end],
        "inductive": graph.inductive[start:end],
    }
    rows = zip(*(column.tolist() for column in columns.values()), strict=True)
    return [dict(zip(columns, row, strict=True)) for row in rows]


def _entity_row(name: str, known: dict, counts: dict) -> dict:
    label = known.get("label") or known.get("page_title")
    text, source = entity_text(known.get("text"), known.get("description"), label)
    base_title = re.sub(r" \([^()]*\)$", "", known.get("page_title") or "")
    inductive = counts.pop("inductive")
    return {
        "entity": name,
        "label": label,
        "aliases": known.get("aliases", []),
        "description": known.get("description"),
        "page_id": known.get("page_id"),
        "page_title": known.get("page_title"),
        "text": text,
        "text_source": source,
        "text_mention": find_mention(text, [base_title, label or "", *known.get("aliases", [])]),
        "categories": known.get("categories", []),
        "kind": "item",
        "frequency": counts["mention_count"] + counts["in_degree"] + counts["out_degree"],
        "inductive_split": SIDES[inductive],
        **counts,
    }
