"""Rows of a dataset's tables -> token rows, one range of row groups at a time."""

import dataclasses
import functools
import itertools
import os
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipelines import sinks
from pipelines.columns import elements, lengths, list_column, numbers, values
from pipelines.records import write_json
from pipelines.scan import read_group
from pipelines.tokenizer import Encoded, Encoder
from pipelines.transforms.splice import Mentions, splice
from pipelines.transforms.token_spans import EntityPlaces, apart, token_spans
from schemas.errors import DataError
from schemas.hashing import row_order
from schemas.table import Table
from schemas.tables import TOKEN_TABLES

I32, I64 = npt.NDArray[np.int32], npt.NDArray[np.int64]

SOURCES = ("link", "self", "repeat")
"""pages.links.source by number."""
BATCH_BYTES = 2**20
"""Of text that is encoded at once: the library keeps about a hundred bytes a token."""


@dataclasses.dataclass(frozen=True)
class TokenRules:
    """What a range of rows is encoded with."""

    tokenizer: Path
    """tokenizer.json, under a path that every worker sees."""
    digest: str
    """sha256 of it."""
    max_length: int
    """Tokens of a description or a name, at most."""
    threads: bool
    """Let the library encode on all cores: for a worker that is alone on its machine."""
    entities: Path
    """The dataset's EntityPlaces."""


@dataclasses.dataclass(frozen=True)
class TokenizeJob:
    """Row groups [first, end) of a shard of a table, and the folder for the result."""

    table: str
    shard: Path
    first: int
    end: int
    rules: TokenRules
    folder: Path

    @property
    def marker(self) -> Path:
        """Written last: the counts of the range."""
        return self.folder / "done.json"


@dataclasses.dataclass
class Tally:
    """What a range counts: tokens encoded = tokens written + drops."""

    encoded: int = 0
    written: int = 0
    drops: Counter[str] = dataclasses.field(default_factory=Counter)
    figures: Counter[str] = dataclasses.field(default_factory=Counter)

    def add(self, ids: I32, encoder: Encoder, *, too_long: int = 0) -> None:
        """Count tokens that are written, and those that were left out for their text's length."""
        self.encoded += len(ids) + too_long
        self.written += len(ids)
        self.drops["too_long"] += too_long
        self.figures["unknown"] += int((ids == encoder.special["unk"]).sum())


def tokenize_range(job: TokenizeJob) -> None:
    """One range of rows -> runs of token rows."""
    os.environ["TOKENIZERS_PARALLELISM"] = "true" if job.rules.threads else "false"
    encoder = _encoder(job.rules).counting_anew()
    table, (key, columns, make) = TOKEN_TABLES[job.table], MAKERS[job.table]
    tally = Tally()
    with sinks.RunWriter(job.folder, table) as writer:
        for group in range(job.first, job.end):
            for rows in cut_by_bytes(read_group(job.shard, group, columns), BATCH_BYTES):
                try:
                    made = make(rows, encoder, job.rules, tally)
                except DataError as error:
                    raise DataError(f"{job.shard}: {error}") from error
                ids = numbers(made, key)
                writer.add(made, row_order(ids) if table.sort_by == [f"hash({key})"] else ids.astype(np.uint64))
    counts = {"in": tally.encoded, "out": tally.written, "rows": writer.rows, "drops": dict(tally.drops)}
    write_json(job.marker, {**counts, "figures": dict(tally.figures + encoder.counts)})


def cut_by_bytes(rows: pa.Table, size: int) -> Iterator[pa.Table]:
    """The rows in pieces of about `size` bytes, one row at least."""
    rows = rows.combine_chunks()
    if "text" not in rows.column_names:
        yield rows
        return
    reached = np.cumsum(pc.binary_length(values(rows, "text")).to_numpy(zero_copy_only=False).astype(np.int64)) // size
    edges = [0, *(np.flatnonzero(np.diff(reached)) + 1).tolist(), rows.num_rows]
    for start, end in itertools.pairwise(edges):
        if end > start:
            yield rows.slice(start, end - start)


def graph_rows(rows: pa.Table, encoder: Encoder, rules: TokenRules, tally: Tally) -> pa.Table:
    """Word-knowledge graphs: units, the anchors' entities and own tokens, facts."""
    found, facts = elements(rows, "mentions"), elements(rows, "triples")
    texts = values(rows, "text").to_pylist()
    mentions = Mentions(found.rows, found.numbers("start"), found.numbers("end"))
    _require_apart(rows, mentions)
    spliced = splice(texts, mentions, encoder)
    tally.add(np.concatenate([spliced.units[spliced.units >= 0], spliced.mention_ids]), encoder)
    empty = int((spliced.spans[:, 0] == spliced.spans[:, 1]).sum())
    tally.figures.update(tokens_cut_at_mentions=spliced.cut, mentions_without_tokens=empty)
    anchors = np.bincount(found.rows, minlength=rows.num_rows)
    triples = [facts.fields[name] for name in ("anchor", "relation_index", "tail_index")]
    columns = {
        "graph_id": rows["graph_id"],
        "split": rows["split"],
        "units": (spliced.unit_lengths, spliced.units),
        "anchors": (anchors, found.fields["entity_index"]),
        "spans": (anchors, spliced.spans.T),
        "mention_ids": (spliced.mention_lengths, spliced.mention_ids),
        "triples": (np.bincount(facts.rows, minlength=rows.num_rows), triples),
    }
    return _table(TOKEN_TABLES["wk_graphs"], columns)


def entity_rows(rows: pa.Table, encoder: Encoder, rules: TokenRules, tally: Tally) -> pa.Table:
    """Texts of entities, and their names."""
    ids, spans = _described(rows, encoder, rules.max_length, tally)
    columns = {
        "entity_index": rows["entity_index"],
        "ids": ids,
        "name_ids": _cut(_names(rows, "entity"), encoder, rules.max_length, tally),
        "mention_start": pa.array(spans[:, 0]),
        "mention_end": pa.array(spans[:, 1]),
    }
    return _table(TOKEN_TABLES["entities"], columns)


def relation_rows(rows: pa.Table, encoder: Encoder, rules: TokenRules, tally: Tally) -> pa.Table:
    """Names of relations with their descriptions, and alone."""
    names = _names(rows, "relation")
    described = pc.binary_join_element_wise(names, values(rows, "description"), ": ", null_handling="skip")
    columns = {
        "relation_index": rows["relation_index"],
        "ids": _cut(described, encoder, rules.max_length, tally),
        "name_ids": _cut(names, encoder, rules.max_length, tally),
    }
    return _table(TOKEN_TABLES["relations"], columns)


def page_rows(rows: pa.Table, encoder: Encoder, rules: TokenRules, tally: Tally) -> pa.Table:
    """Texts of pages, whole, and which of their tokens are links to the dataset's entities."""
    texts = values(rows, "text").to_pylist()
    encoded = encoder.encode(texts, offsets=True)
    tally.add(encoded.ids, encoder)
    links = elements(rows, "links")
    entities, named = _places(rules).find(links.fields["entity"]), links.fields["source"]
    kept = np.flatnonzero(entities >= 0)
    owners = links.rows[kept]
    spans = token_spans(texts, encoded, owners, *(links.numbers(side)[kept] for side in ("start", "end")))
    fine = apart(owners, spans)
    tally.figures["links_without_tokens"] += int((~fine).sum())
    sources = pc.index_in(named, value_set=pa.array(SOURCES)).to_numpy(zero_copy_only=False)[kept]
    columns = {
        "page_id": rows["page_id"],
        "split": rows["split"],
        "ids": (encoded.lengths, encoded.ids),
        "mentions": (
            np.bincount(owners[fine], minlength=rows.num_rows),
            [*spans[fine].T, entities[kept][fine], sources[fine]],
        ),
    }
    return _table(TOKEN_TABLES["pages"], columns)


MAKERS: dict[str, tuple[str, list[str], Callable[[pa.Table, Encoder, TokenRules, Tally], pa.Table]]] = {
    "wk_graphs": ("graph_id", ["graph_id", "split", "text", "mentions", "triples"], graph_rows),
    "entities": ("entity_index", ["entity_index", "entity", "label", "text", "text_mention"], entity_rows),
    "relations": ("relation_index", ["relation_index", "relation", "label", "description"], relation_rows),
    "pages": ("page_id", ["page_id", "split", "text", "links"], page_rows),
}
"""Table -> (the column that it is sorted by, columns that it is made from, rows -> token rows)."""


@functools.lru_cache(maxsize=1)
def _places(rules: TokenRules) -> EntityPlaces:
    return EntityPlaces.open(rules.entities)


@functools.lru_cache(maxsize=1)
def _encoder(rules: TokenRules) -> Encoder:
    """One for all ranges of a worker: reading a large tokenizer.json takes a second."""
    return Encoder("the tokenizer", rules.tokenizer.read_bytes())


def _require_apart(rows: pa.Table, mentions: Mentions) -> None:
    sizes = lengths(rows, "text")[mentions.rows]
    wrong = (mentions.starts < 0) | (mentions.starts >= mentions.ends) | (mentions.ends > sizes)
    wrong[1:] |= (mentions.rows[1:] == mentions.rows[:-1]) & (mentions.starts[1:] < mentions.ends[:-1])
    if wrong.any():
        graph = rows["graph_id"][int(mentions.rows[np.flatnonzero(wrong)[0]])]
        raise DataError(f"graph {graph}: its mentions overlap or leave its text. Run wikiloom validate.")


def _names(rows: pa.Table, key: str) -> pa.Array:
    """Labels, ids where there is none."""
    labels = values(rows, "label")
    named = pc.and_kleene(labels.is_valid(), pc.not_equal(labels, ""))
    return pc.if_else(pc.fill_null(named, False), labels, values(rows, key))


def _cut(texts: pa.Array, encoder: Encoder, max_length: int, tally: Tally) -> tuple[I64, I32]:
    """(lengths, ids) of texts of at most `max_length` tokens."""
    return _shortened(encoder.encode(texts.to_pylist()), encoder, max_length, tally)


def _shortened(encoded: Encoded, encoder: Encoder, max_length: int, tally: Tally) -> tuple[I64, I32]:
    lengths = np.minimum(encoded.lengths, max_length)
    within = np.arange(len(encoded.ids)) - np.repeat(np.cumsum(encoded.lengths) - encoded.lengths, encoded.lengths)
    ids = encoded.ids[within < max_length]
    tally.add(ids, encoder, too_long=len(encoded.ids) - len(ids))
    tally.figures["texts_cut"] += int((encoded.lengths > max_length).sum())
    return lengths, ids


def _described(
    rows: pa.Table, encoder: Encoder, max_length: int, tally: Tally
) -> tuple[tuple[I64, I32], npt.NDArray[np.int64]]:
    """((lengths, ids) of the entities' texts, cut; [start, end) of each one's own first mention in them, or -1)."""
    texts, mentions = values(rows, "text"), values(rows, "text_mention")
    spans, own = np.full((rows.num_rows, 2), -1), np.flatnonzero(mentions.is_valid().to_numpy(zero_copy_only=False))
    sides = [pc.struct_field(mentions, side).to_numpy(zero_copy_only=False)[own] for side in ("start", "end")]
    encoded = encoder.encode(texts.to_pylist(), offsets=True)
    found = token_spans(texts.to_pylist(), encoded, own, *(side.astype(np.int64) for side in sides))
    found = np.minimum(found, max_length)
    there = found[:, 0] < found[:, 1]
    spans[own[there]] = found[there]
    return _shortened(encoded, encoder, max_length, tally), spans


def _table(table: Table, columns: dict[str, Any]) -> pa.Table:
    """Columns as they are, and lists as (lengths, values) or (lengths, a column for each field of their structs)."""
    arrays = []
    for field in table.schema:
        column = columns[field.name]
        arrays.append(list_column(field.type, *column) if isinstance(column, tuple) else column.cast(field.type))
    return pa.table(arrays, schema=table.schema)
