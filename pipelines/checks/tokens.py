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
from schemas.dataset import Dataset

COPIED = {"wk_graphs": "graph_id", "pages": "page_id", "entities": "entity_index", "relations": "relation_index"}
"""Table -> the column that token rows take over."""


class TokenRows(Checker):
    """Token ids of one table."""

    def __init__(self, tokens: Dataset, table: str) -> None:
        self._table = table
        size = tokens.manifest.rest.get("vocab_size")
        self._vocabulary = size if isinstance(size, int) else 0

    def check(self, rows: pa.Table, part: str) -> Iterator[Problem]:
        """Ids lie in the vocabulary; each anchor of a graph has its one mark, and facts hang on anchors."""
        for name in ("units",) if self._table == "wk_graphs" else ("ids", "name_ids"):
            if name not in rows.column_names:
                continue
            lists = values(rows, name)
            ids = lists.flatten().to_numpy(zero_copy_only=False)
            wrong = (ids >= self._vocabulary) | ((ids < 0) & (name != "units"))
            parents = pc.list_parent_indices(lists).to_numpy(zero_copy_only=False).astype(np.int64)
            yield from where(
                wrong, name, lambda i, n=name, x=ids: f"{n} has {x[i]}, not one of {self._vocabulary}", parents
            )
        if self._table == "wk_graphs":
            yield from self._marks(rows)

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


def check_tokens(dataset: Dataset, tokens: Dataset) -> Iterator[str]:
    """The tokenizer is the one that made them; ids, anchors and facts are those of the dataset's rows, in its order."""
    made_by = tokens.folder / "tokenizer.json"
    if not made_by.is_file():
        yield f"{made_by} is missing. Tokenize again."
    elif sinks.file_digest(made_by) != tokens.manifest.rest.get("tokenizer"):
        yield f"{made_by}: its bytes are not those of the tokenizer that made these tokens. Tokenize again."
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
