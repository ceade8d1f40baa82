"""Negative samples: by graph_count^0.75 for CoLAKE's entities, uniform and filtered for triples."""

import dataclasses

import numpy as np
from jaxtyping import Bool, Float64, Int64, Real, UInt64

from schemas.hashing import random_u64

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
    """In the order of head, relation, tail."""
    mirrored: Int64[np.ndarray, " T"]
    """The same triples as (tail, relation, head), in that order."""
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
        return _found(self.keys, self._keys(heads, relations, tails))

    def among(
        self, triples: Int64[np.ndarray, "B 3"], candidates: Int64[np.ndarray, " K"], *, heads: bool = False
    ) -> Int64[np.ndarray, "X 2"]:
        """(row, place) of every candidate that makes a train triple as the tail of a row (or as its head), in order.

        `candidates` are distinct entities in ascending order. B x K is never held: a hub's facts are many, and those
        of most entities are few.
        """
        table, given = (self.mirrored, triples[:, 2]) if heads else (self.keys, triples[:, 0])
        first, of_row = np.unique(self._keys(given, triples[:, 1], np.zeros_like(given)), return_inverse=True)
        start, end = np.searchsorted(table, first), np.searchsorted(table, first + self.entities)
        # The shorter one of a query's facts and the candidates is looked up in the other.
        few = np.flatnonzero(end - start <= len(candidates))
        query, fact = _stretches(start[few], (end - start)[few])
        query, entity = few[query], table[fact] - first[few[query]]
        place = np.searchsorted(candidates, entity)
        is_there = _found(candidates, entity)
        many = np.flatnonzero(end - start > len(candidates))
        more, other = np.nonzero(_found(table, first[many, None] + candidates))
        query, place = np.append(query[is_there], many[more]), np.append(place[is_there], other)
        order = np.lexsort((place, query))
        query, place = query[order], place[order]
        begin = np.searchsorted(query, of_row)
        row, pair = _stretches(begin, np.searchsorted(query, of_row, side="right") - begin)
        return np.stack([row, place[pair]], axis=-1)

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
    nothing = np.empty(0, dtype=np.int64)
    empty = KnownFacts(nothing, nothing, entities, relations, drawn_from)
    keys = (np.unique(empty._keys(*side)) for side in (triples.T, triples.T[::-1]))
    return KnownFacts(*keys, entities, relations, drawn_from)


def _found(table: Int64[np.ndarray, " T"], values: Int64[np.ndarray, "*S"]) -> Bool[np.ndarray, "*S"]:
    """Which values are in the sorted table."""
    if not len(table):
        return np.zeros(values.shape, dtype=bool)
    return table[np.minimum(np.searchsorted(table, values), len(table) - 1)] == values


def _stretches(
    starts: Int64[np.ndarray, " S"], lengths: Int64[np.ndarray, " S"]
) -> tuple[Int64[np.ndarray, " N"], Int64[np.ndarray, " N"]]:
    """(which stretch, index) of every index of stretches of these starts and lengths."""
    which = np.repeat(np.arange(len(starts)), lengths)
    before = np.cumsum(lengths) - lengths
    return which, np.arange(len(which)) + (starts - before)[which]


def draws_of(
    seed: int,
    purpose: str,
    epochs: Int64[np.ndarray, " B"],
    rows: Int64[np.ndarray, " B"],
    negatives: int,
    draws: int = REDRAWS,
) -> UInt64[np.ndarray, "B N D"]:
    """The words that so many negatives of each triple are drawn by: hashes of (seed, epoch, row, number)."""
    numbers = np.arange(negatives * draws).reshape(negatives, draws)
    return random_u64(seed, purpose, epochs[:, None, None], rows[:, None, None], numbers[None])


def corrupt_tails(
    triples: Int64[np.ndarray, "B 3"], known: KnownFacts, words: UInt64[np.ndarray, "B N D"], *, heads: bool = False
) -> Int64[np.ndarray, "B N"]:
    """N other entities per triple, uniform over those to draw from, that make no known fact as its tail (or as its
    head).

    `words` are D random 64-bit words per negative: redrawing is a fixed number of draws, so nothing depends on luck.
    """
    drawn = (words % np.uint64(known.drawable)).astype(np.int64)
    if known.drawn_from is not None:
        drawn = known.drawn_from[drawn]
    head, relation, tail = (np.broadcast_to(triples[:, i, None, None], drawn.shape) for i in range(3))
    false = ~(known.holds(drawn, relation, tail) if heads else known.holds(head, relation, drawn))
    # Of what is not in train, its own entity makes no known fact.
    return _first(drawn, false & (drawn != (head if heads else tail)))


def corrupt_relations(
    triples: Int64[np.ndarray, "B 3"], known: KnownFacts, words: UInt64[np.ndarray, "B N D"]
) -> Int64[np.ndarray, "B N"]:
    """The same of relations, uniform over all of them."""
    drawn = (words % np.uint64(known.relations)).astype(np.int64)
    head, own, tail = triples.T[..., None, None]
    return _first(drawn, ~known.holds(head, drawn, tail) & (drawn != own))


def _first(drawn: Int64[np.ndarray, "B N D"], false: Bool[np.ndarray, "B N D"]) -> Int64[np.ndarray, "B N"]:
    """The first of the draws that makes nothing true, the last one where none does."""
    chosen = np.where(false.any(axis=-1), false.argmax(axis=-1), drawn.shape[-1] - 1)
    return np.take_along_axis(drawn, chosen[..., None], axis=-1)[..., 0]
