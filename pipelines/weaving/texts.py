"""The texts of a woven dataset: links to the graph's entities, and the word-knowledge graphs of the passages."""

import dataclasses
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines import sinks
from pipelines.columns import values
from pipelines.records import RecordWriter, save_array, write_json
from pipelines.transforms.example_texts import as_pages
from pipelines.transforms.neighbourhood import Neighbourhood
from pipelines.transforms.passages import Cutter
from pipelines.transforms.sentences import make_splitter
from pipelines.transforms.wk_graphs import GraphRules, Tally, batch_graphs
from schemas.hashing import row_order
from schemas.pages import PAGES
from schemas.wk_graphs import WK_GRAPHS

ARTICLES = pa.schema({"entity": pa.int64(), "page_id": pa.int64(), "page_title": pa.string()})
"""`entity` is the entity's index."""


@dataclasses.dataclass(frozen=True)
class TextJob:
    """One shard of the text dataset's pages or examples, and the folder for the result."""

    table: str
    shard: Path
    numbers: Path | None
    """Of examples: the file with the page_id of each row of the table (number_examples), and the shard's first row."""
    first: int
    neighbourhood: Path
    folder: Path
    rules: GraphRules

    @property
    def marker(self) -> Path:
        """Written last: counts and drops of the shard."""
        return self.folder / "done.json"


def weave_texts(job: TextJob) -> None:
    """One shard -> runs of pages (of pages only) and wk_graphs, articles, and the counts of nodes and edges."""
    neighbourhood = Neighbourhood.load(job.neighbourhood)
    cutter = Cutter(make_splitter(job.rules.sentences, job.rules.language), job.rules.passage_chars)
    tally, lost, first = Tally(), Counter[str](), job.first
    with (
        sinks.RunWriter(job.folder, PAGES) as pages,
        sinks.RunWriter(job.folder, WK_GRAPHS) as graphs,
        RecordWriter(job.folder / "articles.arrow", ARTICLES) as articles,
    ):
        for rows in sinks.read_batches(job.shard):
            if job.table == "pages":
                texts = resolve(rows, "links", neighbourhood, lost)
                texts = _own_entities(texts, neighbourhood, articles)
                pages.add(texts, texts["page_id"].to_numpy().astype(np.uint64))
            else:
                numbers = np.load(job.numbers, mmap_mode="r")[first : first + rows.num_rows]  # type: ignore[arg-type]
                texts = as_pages(resolve(rows, "mentions", neighbourhood, lost), numbers)
                first += rows.num_rows
            for batch in texts.select(["page_id", "split", "text", "sections", "links"]).to_batches():
                made = batch_graphs(batch, neighbourhood, cutter, job.rules, tally)
                graphs.add(made, row_order(made["graph_id"].to_numpy()))
    for name, counted in (("nodes", tally.entities), ("edges", tally.relations)):
        save_array(job.folder / f"{name}.npy", counted.pairs())
    counts = {"in": tally.passages, "out": {"wk_graphs": graphs.rows}, "drops": dict(tally.drops)}
    write_json(job.marker, {**counts, "link_entities": dict(lost)})


def resolve(rows: pa.Table, column: str, neighbourhood: Neighbourhood, lost: Counter[str]) -> pa.Table:
    """The rows, their links (or mentions) with null for entities that the graph does not have, which are counted."""
    lists = values(rows, column)
    flat = lists.flatten()
    names = flat.field("entity") if len(flat) else pa.array([], pa.string())
    known = pa.array(neighbourhood.find(names) >= 0)
    lost["entity_not_in_graph"] += int(pc.and_(names.is_valid(), pc.invert(known)).sum().as_py() or 0)
    kept = pc.if_else(known, names, pa.scalar(None, pa.string()))
    fields = [kept if field.name == "entity" else flat.field(field.name) for field in flat.type]
    structs = pa.StructArray.from_arrays(fields, fields=list(flat.type))
    counts = pc.list_value_length(lists).to_numpy(zero_copy_only=False)
    offsets = pa.array(np.append(0, np.cumsum(counts)), pa.int32())
    place = rows.schema.get_field_index(column)
    resolved = pa.ListArray.from_arrays(offsets, structs, type=lists.type)
    return rows.set_column(place, rows.schema.field(column), resolved)


def _own_entities(pages: pa.Table, neighbourhood: Neighbourhood, articles: RecordWriter) -> pa.Table:
    """The pages, their own entity null where the graph does not have it; the others are taken down as articles."""
    names = values(pages, "entity")
    found = neighbourhood.find(names)
    known = pa.array(found >= 0)
    own = pages.filter(known)
    columns = [pa.array(found[found >= 0]), values(own, "page_id"), values(own, "title")]
    articles.write(pa.record_batch(columns, schema=ARTICLES))
    place = pages.schema.get_field_index("entity")
    kept = pc.if_else(known, names, pa.scalar(None, pa.string()))
    return pages.set_column(place, pages.schema.field("entity"), kept)
