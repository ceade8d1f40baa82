"""JAKET's filter (Yu et al., AAAI 2022): entities that neither the graph nor the text says much of are left out."""

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from pipelines.transforms.titles import are_in, distinct

I64 = npt.NDArray[np.int64]
Pairs = tuple[I64, I64]
"""(heads, tails) of some statements."""


def prune(
    kept: I64, statements: Iterable[Pairs], linked: Iterable[I64], *, min_neighbors: int, min_mentions: int
) -> I64:
    """The items of `kept` (sorted) with so many neighbours or so many mentions; a threshold of 0 is not asked for.

    Neighbours are the other kept items that one of the `statements` joins it with, in either direction, each once.
    `linked` holds, for each article, the item of each title that it links to: a mention is an article that names it.
    """
    enough = np.zeros(len(kept), bool)
    if min_neighbors:
        enough |= _neighbours(kept, statements) >= min_neighbors
    if min_mentions:
        mentions = np.zeros(len(kept), np.int64)
        for numbers in linked:
            found = np.searchsorted(kept, numbers[are_in(numbers, kept)])
            mentions += np.bincount(found, minlength=len(kept))
        enough |= mentions >= min_mentions
    return kept[enough] if min_neighbors or min_mentions else kept


def _neighbours(kept: I64, statements: Iterable[Pairs]) -> I64:
    pairs = [np.empty(0, np.int64)]
    for heads, tails in statements:
        inside = are_in(heads, kept) & are_in(tails, kept) & (heads != tails)
        ends = np.searchsorted(kept, heads[inside]), np.searchsorted(kept, tails[inside])
        pairs.append(distinct(np.minimum(*ends) * len(kept) + np.maximum(*ends)))
    first, second = np.divmod(distinct(np.concatenate(pairs)), max(len(kept), 1))
    return np.bincount(first, minlength=len(kept)) + np.bincount(second, minlength=len(kept))
