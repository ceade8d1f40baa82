"""From what a user types (an id, a label, another name) to an index, and back to something fit for a terminal."""

import dataclasses
import difflib
import itertools
import unicodedata
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from schemas.dataset import Dataset
from schemas.errors import UsageError

SHOWN = 5
"""Choices that an error lists."""
COMPARED = 200_000
"""Names that an unknown one is compared with: beyond it, only those with its first two letters."""


@dataclasses.dataclass(frozen=True)
class Names:
    """The ids, labels and other names of the entities or the relations of a dataset."""

    kind: str
    """entity or relation."""
    ids: pa.Array
    labels: pa.Array
    aliases: pa.Array
    descriptions: pa.Array
    folder: str

    def id(self, index: int) -> str:
        """The id, without control characters."""
        return plain(self.ids[index].as_py())

    def label(self, index: int) -> str:
        """The label, else the id; without control characters."""
        return plain(self.labels[index].as_py() or self.ids[index].as_py())

    def find(self, text: str) -> int:
        """The index of what `text` names: an id, else a label, else an alias, whatever its case.

        Raises UsageError where nothing or more than one thing is named so.
        """
        wanted = text.strip()
        exact = np.flatnonzero(pc.equal(self.ids, wanted).to_numpy(zero_copy_only=False))
        folded = _fold(pa.array([wanted]))[0]
        for found in itertools.chain([exact], self._matches(folded)):
            if len(found) == 1:
                return int(found[0])
            if len(found):
                raise UsageError(self._ambiguous(wanted, found))
        raise UsageError(
            f"{self.folder} has no {self.kind} {plain(wanted)!r}, neither an id nor a name.{self._near(wanted)}"
        )

    def _matches(self, folded: pa.Scalar) -> Iterator[np.ndarray]:
        """Indices that match by id, by label, by alias; each is looked for only when the one before found nothing."""
        yield _where(self.ids, folded)
        yield _where(self.labels, folded)
        parents = self.aliases.value_parent_indices()
        yield np.unique(parents.to_numpy(zero_copy_only=False)[_where(self.aliases.flatten(), folded)])

    def _ambiguous(self, wanted: str, found: np.ndarray) -> str:
        choices = [f"{self.id(i)} ({self._about(i)})" for i in found[:SHOWN].tolist()]
        more = f" and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
        return f"{plain(wanted)!r} names {len(found)} {self.kind} rows: {', '.join(choices)}{more}. Give the id."

    def _about(self, index: int) -> str:
        description = self.descriptions[index].as_py()
        return self.label(index) + (f", {plain(description)}" if description else "")

    def _near(self, wanted: str) -> str:
        known = pa.chunked_array([self.ids, self.labels.drop_null(), self.aliases.flatten()])
        if len(known) > COMPARED:
            known = known.filter(pc.starts_with(pc.utf8_lower(known), wanted[:2].lower()))[:COMPARED]
        originals = {name.casefold(): name for name in known.to_pylist()}
        close = difflib.get_close_matches(wanted.casefold(), list(originals), n=3, cutoff=0.6)
        return f" Did you mean {' or '.join(plain(originals[name]) for name in close)}?" if close else ""


def entity_names(dataset: Dataset) -> Names:
    """Names of the entities, by entity_index."""
    return _read(dataset, "entities", "entity")


def relation_names(dataset: Dataset) -> Names:
    """Names of the relations, by relation_index."""
    return _read(dataset, "relations", "relation")


def plain(text: str) -> str:
    """The text without control, format and line-breaking characters: nothing a terminal would act on."""
    return "".join(" " if unicodedata.category(c) in {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"} else c for c in text)


def _read(dataset: Dataset, table: str, kind: str) -> Names:
    rows = dataset.read(table, columns=[kind, "label", "aliases", "description"]).combine_chunks()
    columns = [_one(rows[name]) for name in (kind, "label", "aliases", "description")]
    return Names(kind, *columns, str(dataset.folder))


def _one(column: pa.ChunkedArray) -> pa.Array:
    return column.combine_chunks() if column.num_chunks != 1 else column.chunk(0)


def _fold(values: pa.Array) -> pa.Array:
    return pc.utf8_lower(values)


def _where(values: pa.Array, folded: pa.Scalar) -> np.ndarray:
    return np.flatnonzero(pc.fill_null(pc.equal(_fold(values), folded), False).to_numpy(zero_copy_only=False))
