"""The triples of a dataset as index arrays, and the lookups that filters and rules are made of."""

import dataclasses
import math
from typing import Literal

import numpy as np
from jaxtyping import Int64

from schemas.dataset import Dataset
from schemas.errors import DataError
from training.data.setting import SPLITS, Setting, as_array, known_entities, read_triples

Array = np.ndarray


class Groups:
    """Rows grouped by an integer key, found by binary search: M matches for B wanted keys, without a loop."""

    def __init__(self, keys: Int64[Array, " N"]) -> None:
        self._order = np.argsort(keys, kind="stable")
        self._keys = keys[self._order]

    def find(self, wanted: Int64[Array, " B"]) -> tuple[Int64[Array, " M"], Int64[Array, " M"]]:
        """(which of `wanted`, which row): one pair for each row whose key is wanted."""
        starts = np.searchsorted(self._keys, wanted, side="left")
        counts = np.searchsorted(self._keys, wanted, side="right") - starts
        queries = np.repeat(np.arange(len(wanted)), counts)
        within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        return queries, self._order[np.repeat(starts, counts) + within]


@dataclasses.dataclass(frozen=True)
class Facts:
    """True triples of a knowledge graph as (head, relation, tail) indices, by the splits of a setting."""

    entities: int
    relations: int
    splits: dict[str, Int64[Array, "_ 3"]]
    setting: Setting = "transductive"

    @property
    def learnable(self) -> Int64[Array, " K"]:
        """Entities that training may meet, as negatives too: all, or in the inductive setting those of train."""
        if self.setting == "transductive":
            return np.arange(self.entities)
        return known_entities(self.splits["train"])

    def triples(self, *splits: str, by: Literal["head", "tail"] = "head") -> Int64[Array, "N 3"]:
        """The distinct triples of some splits together, sorted by head, relation and tail, or by tail, relation and
        head."""
        turned = slice(None, None, 1 if by == "head" else -1)
        chosen = np.concatenate([np.empty((0, 3), np.int64), *(self.splits[split] for split in splits)])[:, turned]
        shape = (self.entities, self.relations, self.entities)
        if math.prod(shape) >= 2**63:
            return np.unique(chosen, axis=0)[:, turned]
        # As one number each, sorted: 20 million triples take seconds (np.unique: minutes).
        keys = np.sort(np.ravel_multi_index(tuple(chosen.T), shape))
        keys = keys[np.append(True, keys[1:] != keys[:-1])[: len(keys)]]
        pairs, last = np.divmod(keys, self.entities)
        first, relations = np.divmod(pairs, self.relations)
        return np.stack([first, relations, last], axis=1)[:, turned]

    def unseen(self, triples: Int64[Array, "N 3"]) -> np.ndarray:
        """Which triples have a head or a tail that no train triple has; bool (N,)."""
        seen = self.seen()
        return ~(seen[triples[:, 0]] & seen[triples[:, 2]])

    def seen(self) -> np.ndarray:
        """Which entities some train triple has; bool (E,)."""
        seen = np.zeros(self.entities, dtype=bool)
        seen[self.splits["train"][:, [0, 2]]] = True
        return seen


def read_facts(dataset: Dataset, setting: Setting = "transductive") -> Facts:
    """Read the true triples of a dataset, split as the setting has it."""
    facts = Facts(
        entities=dataset.rows("entities"),
        relations=dataset.rows("relations"),
        splits={split: as_array(read_triples(dataset, split, setting)) for split in SPLITS},
        setting=setting,
    )
    for split, triples in facts.splits.items():
        largest = triples.max(axis=0, initial=-1)
        if (largest >= (facts.entities, facts.relations, facts.entities)).any() or triples.min(initial=0) < 0:
            raise DataError(
                f"{dataset.folder}: triples of {split} name entity or relation {largest.tolist()}, but there are "
                f"{facts.entities} entities and {facts.relations} relations. Build the dataset again."
            )
    return facts
