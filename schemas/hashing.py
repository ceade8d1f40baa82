"""Counter-based randomness: every random choice is a pure function of (seed, purpose, stable ids).

Strings are hashed by xxh3_64 of their UTF-8; integers by Philox4x32-10 (Salmon et al., "Parallel random numbers: as
easy as 1, 2, 3", SC 2011), tested against the published vectors. Nothing here holds state, so no choice depends on
order, on the number of workers or on the machine.
"""

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
import xxhash

U32 = npt.NDArray[np.uint32]
U64 = npt.NDArray[np.uint64]

_LOW = np.uint64(0xFFFFFFFF)
_SHIFT = np.uint64(32)


def hash_string(text: str, seed: int = 0) -> int:
    """xxh3_64 of the UTF-8 bytes: 0 <= h < 2**64."""
    return xxhash.xxh3_64_intdigest(text.encode("utf-8", "surrogatepass"), seed)


def hash_strings(texts: Iterable[str]) -> U64:
    """xxh3_64 of each text, shape (N,)."""
    return np.fromiter((hash_string(text) for text in texts), dtype=np.uint64)


def philox4x32(counter: U32, key: U32) -> U32:
    """Philox4x32-10: counter (..., 4) and key (..., 2) to random words (..., 4)."""
    c0, c1, c2, c3 = (counter[..., i].astype(np.uint64) for i in range(4))
    k0, k1 = key[..., 0].astype(np.uint64), key[..., 1].astype(np.uint64)
    for _ in range(10):
        product0 = np.uint64(0xD2511F53) * c0
        product1 = np.uint64(0xCD9E8D57) * c2
        c0, c1, c2, c3 = (
            (product1 >> _SHIFT) ^ c1 ^ k0,
            product1 & _LOW,
            (product0 >> _SHIFT) ^ c3 ^ k1,
            product0 & _LOW,
        )
        k0 = (k0 + np.uint64(0x9E3779B9)) & _LOW
        k1 = (k1 + np.uint64(0xBB67AE85)) & _LOW
    return np.stack(np.broadcast_arrays(c0, c1, c2, c3), axis=-1).astype(np.uint32)


def random_u64(seed: int, purpose: str, *ids: Any) -> U64:
    """Uniform 64-bit integers, one per element of the ids.

    `ids` are integers or integer arrays that broadcast together; two of them fill a counter, more are chained
    (each further pair is hashed under the words of the pair before). Values are taken modulo 2**64.
    """
    columns = [_as_u64(column) for column in ids] or [_as_u64(0)]
    if len(columns) % 2:
        columns.append(_as_u64(0))
    key: U64 = np.asarray(hash_string(f"{seed}/{purpose}"), dtype=np.uint64)
    for first, second in zip(columns[::2], columns[1::2], strict=True):
        first, second, under = np.broadcast_arrays(first, second, key)
        words = philox4x32(np.concatenate([_words(first), _words(second)], axis=-1), _words(under))
        key = words[..., 0].astype(np.uint64) | (words[..., 1].astype(np.uint64) << _SHIFT)
    return np.asarray(key)


def row_order(graph_ids: Any) -> U64:
    """The sort key of wk_graphs: a hash of graph_id, so that any stretch of rows is a random sample."""
    return random_u64(0, "row_order", graph_ids)


def below(share: float) -> np.uint64:
    """The threshold t such that P(random_u64 < t) = share, for 0 <= share < 1."""
    return np.uint64(int(share * 2.0**64))


def _as_u64(values: Any) -> U64:
    array = np.asarray(values)
    if array.dtype == np.uint64:
        return array
    return array.astype(np.int64).view(np.uint64)


def _words(values: U64) -> U32:
    return np.stack([values & _LOW, values >> _SHIFT], axis=-1).astype(np.uint32)
