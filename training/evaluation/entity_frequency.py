"""How frequent the entities are that an example is about, and fifths by it (KEPLER, its analyses of TACRED by entity
frequency).

The frequency of a mention is its entity's in a dataset of pages and facts, where the examples link at least half of the
heads and tails and the dataset knows any; else it is how many heads and tails of train have its surface. An example has
that of its rarer end.
"""

import dataclasses
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Int64

from schemas.dataset import Dataset
from schemas.hashing import hash_string, hash_strings

ENDS = ("head", "tail")
FIFTHS = 5
Row = Mapping[str, Any]


@dataclasses.dataclass(frozen=True)
class Frequencies:
    """Of entities, or of surfaces."""

    rule: str
    """In words, for the protocol."""
    linked: bool
    """Whether `counts` is by entity; else it is by surface in lower case."""
    counts: Mapping[str, int]

    def key(self, row: Row, mention: Row) -> str:
        """What a mention is counted by; empty for one without an entity."""
        if self.linked:
            return mention["entity"] or ""
        return _surface(row, mention)

    def of_example(self, row: Row) -> int:
        """That of its rarer end; 0 where there is none."""
        return min((self.counts.get(self.key(row, mention), 0) for mention in ends(row)), default=0)


def ends(row: Row) -> Iterator[Row]:
    """The first mention of its head, and that of its tail, as they come in the text."""
    seen = set()
    for mention in row["mentions"]:
        if mention["role"] in ENDS and mention["role"] not in seen:
            seen.add(mention["role"])
            yield mention


def frequencies(dataset: Dataset, rows: Mapping[str, Sequence[Row]]) -> Frequencies:
    """What examples are sorted by, of which one part is `train`; `dataset` is that of the entities' frequencies."""
    entities = [mention["entity"] for part in rows.values() for row in part for mention in ends(row)]
    wanted = {entity for entity in entities if entity}
    if 2 * sum(entity is not None for entity in entities) >= len(entities):
        table = dataset.read("entities", columns=["entity", "frequency"])
        pairs = zip(table["entity"].to_pylist(), table["frequency"].to_pylist(), strict=True)
        counts = {entity: count for entity, count in pairs if entity in wanted and count}
        if counts:
            return Frequencies(f"entities.frequency of dataset {dataset.digest[:8]}", True, counts)
    surfaces = Counter(_surface(row, mention) for row in rows["train"] for mention in ends(row))
    return Frequencies("heads and tails of train with the same surface, in any case", False, surfaces)


def fifths(rows: Sequence[Row], found: Frequencies) -> list[Int64[np.ndarray, " G"]]:
    """Indices of the rows in five parts alike in size, from the rarest to the most frequent; ties by a hash."""
    ids = hash_strings(row["example_id"] for row in rows)
    return np.array_split(np.lexsort((ids, [found.of_example(row) for row in rows])).astype(np.int64), FIFTHS)


def fifths_of_entities(rows: Sequence[Row], found: Frequencies) -> dict[str, int]:
    """Key of a mention -> its fifth, from 1, of all heads and tails of these rows; those of an entity stay together,
    and one without an entity is in none."""
    keys = (found.key(row, mention) for row in rows for mention in ends(row))
    mentions = Counter(key for key in keys if key)
    ordered = sorted(mentions, key=lambda key: (found.counts.get(key, 0), hash_string(key)))
    before = np.cumsum([0, *(mentions[key] for key in ordered)])
    # By the middle of its mentions, so that no entity is on both sides of an edge.
    middles = (before[:-1] + before[1:]) / 2
    return {key: int(FIFTHS * middle / before[-1]) + 1 for key, middle in zip(ordered, middles, strict=True)}


def _surface(row: Row, mention: Row) -> str:
    return row["text"][mention["start"] : mention["end"]].lower()
