"""Which nodes or tokens are predicted, and what stands in their place: 80 % mask, 10 % unchanged, 10 % random.

Every choice is made from the words of one hash that the caller draws by (seed, epoch, stream, sample, place): two for
whether, one for what, one for which; nothing here holds a generator. N nodes or tokens, G segments.
"""

import dataclasses

import numpy as np
from jaxtyping import Bool, Int64, Integer, UInt64

from schemas.hashing import below, joined, random_words

CODE_CAP = 15
"""Nodes of a kind that CoLAKE's code predicts at most."""

_WORD = np.uint64(32)
_SPARE = np.uint64(11)
"""Bits of 64 that a float has no room for."""


@dataclasses.dataclass(frozen=True)
class Draws:
    """What chance says about each node or token."""

    select: UInt64[np.ndarray, " N"]
    """64 bits."""
    action: UInt64[np.ndarray, " N"]
    """32 bits."""
    random: UInt64[np.ndarray, " N"]
    """32 bits."""


def draw(keys: UInt64[np.ndarray, " N"], places: Int64[np.ndarray, " N"]) -> Draws:
    """The draws of the places of samples; each sample has a key, which is a hash of its own."""
    low, high, action, random = random_words(keys, places)
    return Draws(joined(low, high), action, random)


def budget(sizes: Int64[np.ndarray, " G"], share: float, chance: UInt64[np.ndarray, " G"]) -> Int64[np.ndarray, " G"]:
    """How many of each segment's nodes are predicted: `share` of them; 64 bits decide about the last, partial one."""
    return np.floor(share * sizes + (chance >> _SPARE) * 2.0**-53).astype(np.int64)


def code_budget(sizes: Int64[np.ndarray, " G"], share: float) -> Int64[np.ndarray, " G"]:
    """The same as CoLAKE's code has it: rounded, at least 1 and at most 15."""
    return np.clip(np.rint(share * sizes).astype(np.int64), 1, CODE_CAP)


def choose(
    segments: Integer[np.ndarray, " N"],
    budgets: Int64[np.ndarray, " G"],
    candidates: Bool[np.ndarray, " N"],
    scores: UInt64[np.ndarray, " N"],
) -> Bool[np.ndarray, " N"]:
    """The candidates of each segment with its smallest scores, as many as its budget allows."""
    order = np.lexsort((scores, ~candidates, segments))
    sizes = np.bincount(segments, minlength=len(budgets))
    rank = np.empty(len(segments), dtype=np.int64)
    rank[order] = np.arange(len(segments)) - (np.cumsum(sizes) - sizes)[segments[order]]
    return candidates & (rank < budgets[segments])


def corrupted(
    ids: Int64[np.ndarray, " N"],
    masks: Int64[np.ndarray, " N"],
    tables: Int64[np.ndarray, " N"],
    draws: Draws,
    *,
    masked: float = 0.8,
    random: float = 0.1,
) -> Int64[np.ndarray, " N"]:
    """What each chosen node shows: its table's mask symbol (`masks`), a random id below `tables`, or itself."""
    # The high word of a product with 32 random bits: uniform below the table's size.
    other = ((draws.random * tables.astype(np.uint64)) >> _WORD).astype(np.int64)
    shown = np.where(draws.action < below(masked + random) >> _WORD, other, ids)
    return np.where(draws.action < below(masked) >> _WORD, masks, shown)
