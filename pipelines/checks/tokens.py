"""Checks of tokens/NAME: ids of its vocabulary, and row for row the dataset that it was made from."""

import hashlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines import sinks
from pipelines.checks.problems import Checker, Problem, where
from pipelines.columns import elements, numbers, values
from pipelines.scan import scan
from pipelines.tokenizer import Encoder, read_tokenizer
from schemas.dataset import Dataset

COPIED = {"wk_graphs": "graph_id", "pages": "page_id", "entities": "entity_index", "relations": "relation_index"}
"""Table -> the column that token rows take over."""


class TokenRows(Checker):
    """Token ids of one table."""

    def __init__(self, tokens: Dataset, table: str) -> None:
        self._table, self._entities = table, tokens.rows("entities")
        size, special, parameters = (tokens.manifest.rest.get(key) for key in ("vocab_size", "special", "parameters"))
        self._vocabulary = size if isinstance(size, int) else 0
        special = special if isinstance(special, dict) else {}
        self._special = [number for role, number in special.items() if role != "unk" and isinstance(number, int)]
        longest = parameters.get("max_length") if isinstance(parameters, dict) else 0
        self._longest = longest if isinstance(longest, int) else 0

    def check(self, rows: pa.Table, part: str) -> Iterator[Problem]:
        """Ids lie in the vocabulary and are no special tokens; each anchor has its one mark, and its own tokens."""
        for name in ("units", "mention_ids", "ids", "name_ids"):
            if name in rows.column_names:
                yield from self._ids(name, values(rows, name))
        if self._table == "wk_graphs":
            yield from self._marks(rows)
            yield from self._spans(rows)
        if self._table == "pages":
            yield from self._links(rows)
        if self._table == "entities":
            yield from self._own(rows)

    def _ids(self, name: str, lists: pa.Array) -> Iterator[Problem]:
        ids = lists.flatten().to_numpy(zero_copy_only=False)
        parents = pc.list_parent_indices(lists).to_numpy(zero_copy_only=False).astype(np.int64)
        wrong = (ids >= self._vocabulary) | ((ids < 0) & (name != "units"))
        yield from where(wrong, name, lambda i: f"{name} has {ids[i]}, not one of {self._vocabulary}", parents)
        special = np.isin(ids, self._special)
        yield from where(special, "special", lambda i: f"{name} has {ids[i]}, a special token", parents)
        if self._table in ("entities", "relations"):
            sizes = pc.list_value_length(lists).to_numpy(zero_copy_only=False)
            yield from where(
                sizes > self._longest,
                "max_length",
                lambda i: f"{name} has {sizes[i]} tokens, expected at most {self._longest}",
            )

    def _links(self, rows: pa.Table) -> Iterator[Problem]:
        """Links have tokens of their page, none in two of them, and are of entities that there are."""
        found = elements(rows, "mentions")
        starts, ends, entities, sources = (found.numbers(name) for name in ("start", "end", "entity_index", "source"))
        sizes = pc.list_value_length(values(rows, "ids")).to_numpy(zero_copy_only=False)[found.rows]
        before = np.append(0, ends[:-1])[: len(ends)] * (np.append(-1, found.rows[:-1])[: len(ends)] == found.rows)
        wrong = (starts < before) | (starts >= ends) | (ends > sizes)
        yield from where(wrong, "mentions", lambda i: f"mention {starts[i]}-{ends[i]} is out of its place", found.rows)
        unknown = (entities < 0) | (entities >= self._entities) | (sources < 0) | (sources > 2)
        yield from where(
            unknown, "mentions", lambda i: f"mention of entity {entities[i]} from source {sources[i]}", found.rows
        )

    def _own(self, rows: pa.Table) -> Iterator[Problem]:
        """An entity's mention of itself is within its text, or -1."""
        starts, ends = numbers(rows, "mention_start"), numbers(rows, "mention_end")
        sizes = pc.list_value_length(values(rows, "ids")).to_numpy(zero_copy_only=False)
        wrong = ((starts != -1) | (ends != -1)) & ((starts < 0) | (starts >= ends) | (ends > sizes))
        yield from where(wrong, "mention", lambda i: f"mention {starts[i]}-{ends[i]} is outside of {sizes[i]} tokens")

    def _marks(self, rows: pa.Table) -> Iterator[Problem]:
        units, count = (
            values(rows, "units"),
            pc.list_value_length(values(rows, "anchors")).to_numpy(zero_copy_only=False),
        )
        ids = units.flatten().to_numpy(zero_copy_only=False)
        marks = pc.list_parent_indices(units).to_numpy(zero_copy_only=False)[ids < 0].astype(np.int64)
        # In text order the marks of a row are -1, -2, ...: each anchor once.
        first = np.cumsum(np.bincount(marks, minlength=rows.num_rows)) - np.bincount(marks, minlength=rows.num_rows)
        wrong = -1 - ids[ids < 0] != np.arange(len(marks)) - first[marks]
        yield from where(wrong, "marks", lambda i: f"units has the mark {ids[ids < 0][i]} out of its place", marks)
        other = np.bincount(marks, minlength=rows.num_rows) != count
        yield from where(other, "marks", lambda i: f"units has not one mark for each of {count[i]} anchors")
        facts = elements(rows, "triples")
        anchors = facts.numbers("anchor")
        outside = (anchors < 0) | (anchors >= count[facts.rows])
        yield from where(
            outside, "anchor", lambda i: f"anchor {anchors[i]} is not one of {count[facts.rows[i]]}", facts.rows
        )

    def _spans(self, rows: pa.Table) -> Iterator[Problem]:
        """A span begins behind the words before its mark and the anchors' tokens before it; its size is that of its own
        tokens, of which there are as many as in mention_ids."""
        spans = elements(rows, "spans")
        starts, ends = spans.numbers("start"), spans.numbers("end")
        units = values(rows, "units")
        ids = units.flatten().to_numpy(zero_copy_only=False)
        marks = np.flatnonzero(ids < 0)
        of_marks = pc.list_parent_indices(units).to_numpy(zero_copy_only=False).astype(np.int64)[marks]
        if not np.array_equal(of_marks, spans.rows):
            counts = [np.bincount(found, minlength=rows.num_rows) for found in (of_marks, spans.rows)]
            yield from where(
                counts[0] != counts[1], "spans", lambda i: f"{counts[1][i]} spans for {counts[0][i]} marks"
            )
            return
        first = np.append(0, np.cumsum(pc.list_value_length(units).to_numpy(zero_copy_only=False)))[spans.rows]
        number = np.arange(len(marks)) - np.searchsorted(spans.rows, spans.rows)
        sizes = np.append(0, np.cumsum(ends - starts))
        before = sizes[:-1] - sizes[np.searchsorted(spans.rows, spans.rows)]
        wrong = (starts != marks - first - number + before) | (ends < starts)
        yield from where(wrong, "spans", lambda i: f"span {starts[i]}-{ends[i]} is not where its mark is", spans.rows)
        own = pc.list_value_length(values(rows, "mention_ids")).to_numpy(zero_copy_only=False)
        asked = np.bincount(spans.rows, weights=ends - starts, minlength=rows.num_rows)
        yield from where(
            own != asked, "mention_ids", lambda i: f"mention_ids has {own[i]} tokens, the spans {asked[i]:.0f}"
        )


def check_tokens(dataset: Dataset, tokens: Dataset) -> Iterator[str]:
    """The tokenizer is the one that made them; ids, anchors and facts are those of the dataset's rows, in its order."""
    made_by = tokens.folder / "tokenizer.json"
    if not made_by.is_file():
        yield f"{made_by} is missing. Tokenize again."
    elif sinks.file_digest(made_by) != tokens.manifest.rest.get("tokenizer"):
        yield f"{made_by}: its bytes are not those of the tokenizer that made these tokens. Tokenize again."
    else:
        encoder = Encoder(str(made_by), read_tokenizer(str(tokens.folder)).data)
        for key, true in (("vocab_size", encoder.vocab_size), ("special", encoder.special)):
            if (said := tokens.manifest.rest.get(key)) != true:
                yield f"{tokens.folder}/manifest.json: {key} is {said}, the tokenizer's {true}. Tokenize again."
    for name, column in COPIED.items():
        if name not in tokens.manifest.tables:
            yield f"{tokens.folder}/manifest.json: table {name} is missing. Tokenize again."
            continue
        for split in dataset.table(name).splits or [None]:
            if _copied(dataset, name, column, split) != _copied(tokens, name, column, split):
                of_split = f", split {split}" if split else ""
                yield f"{tokens.folder}, table {name}{of_split}: not row for row the dataset's. Tokenize again."


def _copied(dataset: Dataset, name: str, column: str, split: str | None) -> tuple[str, ...]:
    """A digest of each thing that both sides hold, whatever their row groups."""
    graphs = name == "wk_graphs"
    ours = "mentions" in dataset.table(name).schema.names
    columns = [column, *(["mentions" if ours else "anchors", "triples"] if graphs else [])]
    streams = [hashlib.sha256() for _ in range(6)]
    for rows in scan(dataset, name, columns, split=split):
        for stream, array in zip(streams, _arrays(rows, column, graphs, ours), strict=False):
            stream.update(np.ascontiguousarray(array, np.int64).tobytes())
    return tuple(stream.hexdigest() for stream in streams)


def _arrays(rows: pa.Table, column: str, graphs: bool, ours: bool) -> Iterator[Any]:
    yield numbers(rows, column)
    if graphs:
        facts = elements(rows, "triples")
        yield from (facts.numbers(name) for name in ("anchor", "relation_index", "tail_index"))
        yield np.bincount(facts.rows, minlength=rows.num_rows)
        anchors = values(rows, "mentions" if ours else "anchors").flatten()
        anchors = pc.struct_field(anchors, "entity_index") if ours else anchors
        yield anchors.to_numpy(zero_copy_only=False)
