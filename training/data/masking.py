"""Which nodes or tokens are predicted, and what stands in their place: 80 % mask, 10 % unchanged, 10 % random.

Every choice is made from 64-bit hashes that the caller draws by (seed, purpose, epoch, sample, place); nothing here
holds a generator. N nodes or tokens, G segments.
"""

import numpy as np
from jaxtyping import Bool, Int64, Integer, UInt64

from schemas.hashing import below


def budget(sizes: Int64[np.ndarray, " G"], share: float, cap: int) -> Int64[np.ndarray, " G"]:
    """How many of each segment's nodes are predicted: `share` of them, at least 1, at most `cap` (0 for no cap)."""
    wanted = np.maximum(1, np.rint(share * sizes).astype(np.int64))
    return np.minimum(wanted, cap) if cap else wanted


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
    actions: UInt64[np.ndarray, " N"],
    draws: UInt64[np.ndarray, " N"],
    *,
    masked: float = 0.8,
    random: float = 0.1,
) -> Int64[np.ndarray, " N"]:
    """What each chosen node shows: its table's mask symbol (`masks`), a random id below `tables`, or itself."""
    shown = np.where(actions < below(masked + random), (draws % tables.astype(np.uint64)).astype(np.int64), ids)
    return np.where(actions < below(masked), masks, shown)
