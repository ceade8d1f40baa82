"""Negative samples: by graph_count^0.75 for CoLAKE's entities, uniform and filtered for KEPLER's triples."""

import dataclasses

import numpy as np
from jaxtyping import Bool, Float64, Int64, Real, UInt64

REDRAWS = 8
"""Draws per corrupted entity; where all of them make a known fact, the last one is kept."""


@dataclasses.dataclass(frozen=True)
class AliasTable:
    """Walker's alias table: a draw from any distribution in O(1). C columns."""

    keep: Float64[np.ndarray, " C"]
    """Chance that a column gives itself."""
    alias: Int64[np.ndarray, " C"]
    """What it gives else."""
    chance: Float64[np.ndarray, " C"]
    """Of each id to be the one that is drawn."""

    def sample(self, words: UInt64[np.ndarray, " N"]) -> Int64[np.ndarray, " N"]:
        """One id per random 64-bit word: the high half picks the column, the low half its side."""
        column = ((words >> np.uint64(32)) * np.uint64(len(self.keep)) >> np.uint64(32)).astype(np.int64)
        coin = (words & np.uint64(0xFFFFFFFF)).astype(np.float64) / 2.0**32
        return np.where(coin < self.keep[column], column, self.alias[column])


def alias_table(weights: Real[np.ndarray, " C"]) -> AliasTable:
    """The table of these weights (uniform where all are 0), built without a loop over columns.

    Columns below the mean are filled by those above it, both in order: the cumulative deficit and surplus tell who
    fills whom, and a column that has given too much is filled by the next one above the mean.
    """
    scaled = np.asarray(weights, dtype=np.float64)
    scaled = scaled / scaled.max() if scaled.any() else np.ones(len(weights))
    scaled = scaled * (len(scaled) / scaled.sum())
    # The heaviest is never below the mean, whatever rounding says.
    is_large = (scaled >= 1) | (np.arange(len(scaled)) == scaled.argmax())
    small, large = np.flatnonzero(~is_large), np.flatnonzero(is_large)
    keep, alias = np.minimum(scaled, 1.0), np.arange(len(scaled))
    deficit, surplus = np.cumsum(1 - scaled[small]), np.cumsum(scaled[large] - 1)
    before = np.concatenate([[0.0], deficit])[:-1]
    # A small column is filled by the first large one whose cumulative surplus lies beyond the deficit before it.
    alias[small] = large[np.minimum(np.searchsorted(surplus, before, side="right"), len(large) - 1)]
    if len(small):
        # Where that deficit ends beyond the surplus, the large column lacks the difference; the last one lacks nothing.
        first = np.minimum(np.searchsorted(deficit, surplus, side="left"), len(small) - 1)
        lacking = np.where(before[first] < surplus, np.clip(deficit[first] - surplus, 0, 1), 0.0)
        lacking[-1] = 0.0
        keep[large] = 1 - lacking
        alias[large[:-1]] = large[1:]
    return AliasTable(keep, alias, scaled / len(scaled))


@dataclasses.dataclass(frozen=True)
class KnownFacts:
    """The train triples as sorted keys, to tell a corrupted triple from a true one."""

    keys: Int64[np.ndarray, " T"]
    entities: int
    relations: int
    drawn_from: Int64[np.ndarray, " C"] | None = None
    """The entities that corrupt triples; None for all."""

    @property
    def drawable(self) -> int:
        """How many entities there are to draw from."""
        return self.entities if self.drawn_from is None else len(self.drawn_from)

    def holds(
        self, heads: Int64[np.ndarray, "*#S"], relations: Int64[np.ndarray, "*#S"], tails: Int64[np.ndarray, "*#S"]
    ) -> Bool[np.ndarray, "*#S"]:
        """Which of these are train triples."""
        keys = self._keys(heads, relations, tails)
        if not len(self.keys):
            return np.zeros(keys.shape, dtype=bool)
        return self.keys[np.minimum(np.searchsorted(self.keys, keys), len(self.keys) - 1)] == keys

    def _keys(
        self, heads: Int64[np.ndarray, "*#S"], relations: Int64[np.ndarray, "*#S"], tails: Int64[np.ndarray, "*#S"]
    ) -> Int64[np.ndarray, "*#S"]:
        return (heads * self.relations + relations) * self.entities + tails


def known_facts(
    triples: Int64[np.ndarray, "T 3"],
    entities: int,
    relations: int,
    drawn_from: Int64[np.ndarray, " C"] | None = None,
) -> KnownFacts:
    """The index of these (head, relation, tail) rows."""
    empty = KnownFacts(np.empty(0, dtype=np.int64), entities, relations, drawn_from)
    keys = np.sort(empty._keys(triples[:, 0], triples[:, 1], triples[:, 2]))
    return dataclasses.replace(empty, keys=keys)


def corrupt_tails(
    triples: Int64[np.ndarray, "B 3"], known: KnownFacts, words: UInt64[np.ndarray, "B N D"], *, heads: bool = False
) -> Int64[np.ndarray, "B N"]:
    """N entities per triple, uniform over those to draw from, that make no known fact as its tail (or as its head).

    `words` are D random 64-bit words per negative: redrawing is a fixed number of draws, so nothing depends on luck.
    """
    drawn = (words % np.uint64(known.drawable)).astype(np.int64)
    if known.drawn_from is not None:
        drawn = known.drawn_from[drawn]
    head, relation, tail = (np.broadcast_to(triples[:, i, None, None], drawn.shape) for i in range(3))
    false = ~(known.holds(drawn, relation, tail) if heads else known.holds(head, relation, drawn))
    first = np.where(false.any(axis=-1), false.argmax(axis=-1), words.shape[-1] - 1)
    return np.take_along_axis(drawn, first[..., None], axis=-1)[..., 0]
