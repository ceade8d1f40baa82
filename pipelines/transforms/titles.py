"""Titles -> items: sitelinks, redirect chains and page_props as sorted 64-bit hashes, one process, numpy on columns."""

import dataclasses
from collections import Counter
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from schemas.hashing import hash_strings

U64 = npt.NDArray[np.uint64]
I64 = npt.NDArray[np.int64]

MAX_REDIRECTS = 16
"""Redirects followed one after the other; MediaWiki itself follows one, dumps hold chains of two or three."""

NO_ITEM = -1


@dataclasses.dataclass(frozen=True)
class TitleIndex:
    """Title hash -> item number, by binary search; two arrays that workers memory-map."""

    hashes: U64
    """Sorted, distinct."""
    items: I64
    """Item number of each hash."""

    def find(self, hashes: U64) -> I64:
        """The item of each hash, NO_ITEM where there is none."""
        return find(self.hashes, self.items, hashes)

    def find_titles(self, titles: Iterable[str]) -> I64:
        """The item of each title, NO_ITEM where there is none."""
        return self.find(hash_strings(titles))


def find(keys: U64, values: I64, wanted: U64) -> I64:
    """values[i] where keys[i] == wanted, else NO_ITEM; `keys` sorted."""
    if not len(keys):
        return np.full(len(wanted), NO_ITEM, np.int64)
    places = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return np.where(keys[places] == wanted, values[places], NO_ITEM)


def index_titles(hashes: U64, items: I64, redirects: tuple[U64, U64], drops: Counter[str]) -> TitleIndex:
    """Join sitelinks with redirects (title hash, target hash), chains followed to their end.

    A title with a sitelink of its own keeps it, even where it redirects. Second targets of a title, cycles and chains
    that end nowhere are counted in `drops`.
    """
    keys, values = _distinct(hashes, items)
    sources, targets = _distinct(*redirects)
    drops["duplicate_title"] += len(redirects[0]) - len(sources)
    own = find(keys, values, sources) != NO_ITEM
    found = find(keys, values, targets)
    current, open_ = targets, (found == NO_ITEM) & ~own
    for _ in range(MAX_REDIRECTS):
        following = find(sources, np.arange(len(sources), dtype=np.int64), current)
        open_ &= following != NO_ITEM
        if not open_.any():
            break
        current = np.where(open_, targets[following], current)
        found = np.where(open_, find(keys, values, current), found)
        open_ &= found == NO_ITEM
    drops["redirect_cycle"] += int(open_.sum())
    drops["redirect_to_no_item"] += int(((found == NO_ITEM) & ~open_ & ~own).sum())
    through = (found != NO_ITEM) & ~own
    all_keys = np.concatenate([keys, sources[through]])
    order = np.argsort(all_keys, kind="stable")
    return TitleIndex(all_keys[order], np.concatenate([values, found[through]])[order])


def _distinct(keys: U64, values: np.ndarray) -> tuple[U64, np.ndarray]:
    """Sorted by key; of several values for one key the smallest, so that order decides nothing."""
    order = np.lexsort((values, keys))
    keys, values = keys[order], values[order]
    first = np.concatenate([[True], keys[1:] != keys[:-1]]) if len(keys) else np.empty(0, bool)
    return keys[first], values[first]
