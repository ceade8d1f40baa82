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
Word = U64 | np.uint64
"""32-bit words, each in a 64-bit integer."""

_LOW = np.uint64(0xFFFFFFFF)
_SHIFT = np.uint64(32)
_MULTIPLY0, _MULTIPLY1 = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
_WEYL0, _WEYL1 = np.uint64(0x9E3779B9), np.uint64(0xBB67AE85)


def hash_string(text: str, seed: int = 0) -> int:
    """xxh3_64 of the UTF-8 bytes: 0 <= h < 2**64."""
    return xxhash.xxh3_64_intdigest(text.encode("utf-8", "surrogatepass"), seed)


def hash_strings(texts: Iterable[str]) -> U64:
    """xxh3_64 of each text, shape (N,)."""
    return np.fromiter((hash_string(text) for text in texts), dtype=np.uint64)


def philox4x32(counter: U32, key: U32) -> U32:
    """Philox4x32-10: counter (..., 4) and key (..., 2) to random words (..., 4)."""
    c0, c1, c2, c3 = (counter[..., i].astype(np.uint64) for i in range(4))
    words = _rounds(c0, c1, c2, c3, key[..., 0].astype(np.uint64), key[..., 1].astype(np.uint64))
    return np.stack(np.broadcast_arrays(*words), axis=-1).astype(np.uint32)


def random_u64(seed: int, purpose: str, *ids: Any) -> U64:
    """Uniform 64-bit integers, one per element of the ids.

    `ids` are integers or integer arrays that broadcast together; two of them fill a counter, more are chained
    (each further pair is hashed under the words of the pair before). Values are taken modulo 2**64.
    """
    low, high, _, _ = random_words(hash_string(f"{seed}/{purpose}"), *ids)
    return joined(low, high)


def random_words(key: Any, *ids: Any) -> tuple[Word, Word, Word, Word]:
    """Four uniform 32-bit words per element: what random_u64 draws under the key of its seed and purpose, and two more.

    `key` is one 64-bit integer or an array of them: random_u64(s, p, a, b, c) comes out of the first two words under
    random_u64(s, p, a, b) for c, so what the elements of a group share is hashed once for each group.
    """
    columns = [_as_u64(column) for column in ids] or [_as_u64(0)]
    if len(columns) % 2:
        columns.append(_as_u64(0))
    under: Word = _as_u64(key)
    words: tuple[Word, Word, Word, Word] | None = None
    for first, second in zip(columns[::2], columns[1::2], strict=True):
        if words is not None:
            under = joined(words[0], words[1])
        counter = (first & _LOW, first >> _SHIFT, second & _LOW, second >> _SHIFT)
        words = _rounds(*counter, under & _LOW, under >> _SHIFT)
    assert words is not None
    return words


def joined(low: Word, high: Word) -> U64:
    """The 64 bits of two 32-bit words."""
    return np.asarray(low | (high << _SHIFT))


def row_order(graph_ids: Any) -> U64:
    """The sort key of wk_graphs: a hash of graph_id, so that any stretch of rows is a random sample."""
    return random_u64(0, "row_order", graph_ids)


def below(share: float) -> np.uint64:
    """The threshold t such that P(random_u64 < t) = share, for 0 <= share <= 1 (of 1 one number in 2^64 is short)."""
    return np.uint64(min(int(share * 2.0**64), 2**64 - 1))


def normal(words: U64) -> npt.NDArray[np.float64]:
    """A normal deviate (mean 0, variance 1) for each 64 random bits, by Box and Muller; none is beyond 6.8."""
    radius = np.sqrt(-2 * np.log(((words >> _SHIFT) + 0.5) * 2.0**-32))
    return np.asarray(radius * np.cos((words & _LOW) * (2.0**-31 * np.pi)))


def _rounds(c0: Word, c1: Word, c2: Word, c3: Word, k0: Word, k1: Word) -> tuple[Word, Word, Word, Word]:
    """Philox's ten rounds over 32-bit words, each in a 64-bit integer."""
    for _ in range(10):
        product0 = _MULTIPLY0 * c0
        product1 = _MULTIPLY1 * c2
        c0, c1, c2, c3 = (
            (product1 >> _SHIFT) ^ c1 ^ k0,
            product1 & _LOW,
            (product0 >> _SHIFT) ^ c3 ^ k1,
            product0 & _LOW,
        )
        k0 = (k0 + _WEYL0) & _LOW
        k1 = (k1 + _WEYL1) & _LOW
    return c0, c1, c2, c3


def _as_u64(values: Any) -> U64:
    if isinstance(values, int):
        values %= 1 << 64
    array = np.asarray(values)
    if array.dtype == np.uint64:
        return array
    return array.astype(np.int64).view(np.uint64)
