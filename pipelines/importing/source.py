"""What the reader of a format returns: columns, never a Python object per row."""

import dataclasses
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipelines.sources.published import File
from pipelines.sources.tab_files import Count
from schemas.table import list_of
from schemas.triples import TRIPLES

NAME = pa.dictionary(pa.int32(), pa.string())
FACTS = pa.schema({"head": NAME, "relation": NAME, "tail": NAME, "part": pa.int8()})
"""Triples by name; `part` is an index into PARTS, and says with it whether they are true."""
PARTS = tuple(TRIPLES.splits)
"""train, valid, test, valid_negatives, test_negatives."""
VALUES = {
    "label": pa.string(),
    "description": pa.string(),
    "aliases": list_of(pa.string()),
    "categories": list_of(pa.string()),
    "kind": pa.string(),
    "item": pa.string(),
}
"""What may be said of an entity or relation; item: the one of Wikidata that an id of another source stands for."""
PAGE_TEXTS = pa.schema({"title": pa.string(), "text": pa.string()})


@dataclasses.dataclass
class Ledger:
    """The files that a reader opens, and what becomes of their lines."""

    counts: dict[str, Count] = dataclasses.field(default_factory=dict)
    """By published name."""
    files: dict[str, File] = dataclasses.field(default_factory=dict)
    """Role and name of each, "triples train.tsv" -> the file."""

    def open(self, file: File, role: str, what: str, name: str = "") -> Count:
        """Take down a file that is read for `role`, where a line of it gives a `what`.

        `name` is its own, if that of the file is not. An option's file may bear the name of a published one.
        """
        name = name or (f"{role} {file.name}" if role.startswith("--") else file.name)
        self.files[f"{role} {name}"] = file
        return self.counts.setdefault(name, Count(what))


class Told(NamedTuple):
    """What a file says of entities or relations: ids and, beside each, a value (VALUES, or a longer text).

    Where two files say something of the same one, the first in their list wins; within a file the value that is larger
    in UTF-8, so that the order of lines decides nothing.
    """

    name: str
    ids: pa.ChunkedArray
    values: pa.ChunkedArray
    count: Count
    lines: npt.NDArray[np.int64] | None = None
    """Lines of the file that each value is made of; one, if it is not said."""


class Texts(NamedTuple):
    """A file of descriptions that may be larger than memory: batches of (ids, texts), read once."""

    batches: Iterator[tuple[pa.Array, pa.Array]]
    count: Count


class Pages(NamedTuple):
    """Texts without links, which may be larger than memory."""

    batches: Iterator[pa.RecordBatch]
    """Of PAGE_TEXTS, read once."""
    rejects: Sequence[dict[str, str]]
    """Rows of the table rejects, in any order; complete when `batches` have been read."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Source:
    """All that a format's files say; what a format does not have is left out."""

    facts: pa.Table = dataclasses.field(default_factory=FACTS.empty_table)
    has_splits: bool = True
    """Whether `facts.part` is a published split; else all of it is 0."""
    inductive: pa.Table | None = None
    """The triples of a published inductive split (FACTS)."""
    kind: str = "node"
    """entities.kind, where `entities` does not tell it."""
    listed: Sequence[pa.Array] = ()
    """Ids of entities that stay also where no triple has them."""
    listed_relations: Sequence[pa.Array] = ()
    entities: Sequence[Told] = ()
    texts: Sequence[Texts] = ()
    """Descriptions of entities, the better ones first: they become `description` and `text`."""
    relations: Sequence[Told] = ()
    examples: pa.Table | None = None
    """Rows of the table examples, in any order."""
    rejects: pa.Table | None = None
    """Rows of the table rejects, in any order; each is one of the drops of `counts`."""
    pages: Pages | None = None
    ledger: Ledger
    """The files that were read; complete when `texts` and `pages` have been."""
    language: str = "en"
    licence: str = "unknown"
    """As the Hub names it (mit, cc-by-4.0, other, ...)."""
