"""The hashes of schemas/hashing.py as torch operations: the same integers on a CPU and on a GPU.

torch has no arithmetic on unsigned integers: 32-bit words are held in int64, 64-bit ones as the int64 of the same bits
(its products wrap around as unsigned ones do, and a shift to the right is masked).
"""

import torch
from jaxtyping import Int64
from torch import Tensor

from schemas.hashing import hash_string

_LOW = 0xFFFFFFFF
_MULTIPLY0, _MULTIPLY1 = 0xD2511F53, 0xCD9E8D57
_WEYL0, _WEYL1 = 0x9E3779B9, 0xBB67AE85

Words = tuple[Tensor, Tensor, Tensor, Tensor]


def philox4x32(counter: Int64[Tensor, "*S 4"], key: Int64[Tensor, "*T 2"]) -> Int64[Tensor, "*U 4"]:
    """Philox4x32-10: counter and key to random words, each of 0 <= w < 2**32."""
    words = _rounds(*counter.unbind(dim=-1), *key.unbind(dim=-1))
    return torch.stack(torch.broadcast_tensors(*words), dim=-1)


def random_u64(seed: int, purpose: str, *ids: Tensor | int) -> Tensor:
    """schemas.hashing.random_u64 as the int64 of the same bits, on the ids' device; at least one id is a tensor."""
    device = next(column.device for column in ids if isinstance(column, Tensor))
    low, high, _, _ = random_words(_as_tensor(hash_string(f"{seed}/{purpose}"), device), *ids)
    return low | (high << 32)


def random_words(key: Int64[Tensor, "..."], *ids: Tensor | int) -> Words:
    """schemas.hashing.random_words: four 32-bit words per element; the 64-bit keys are int64 of the same bits."""
    columns = [_as_tensor(column, key.device) for column in ids] or [torch.zeros_like(key)]
    if len(columns) % 2:
        columns.append(torch.zeros_like(columns[0]))
    words = None
    for first, second in zip(columns[::2], columns[1::2], strict=True):
        if words is not None:
            key = words[0] | (words[1] << 32)
        words = _rounds(*_halves(first), *_halves(second), *_halves(key))
    assert words is not None
    return words


def _rounds(c0: Tensor, c1: Tensor, c2: Tensor, c3: Tensor, k0: Tensor, k1: Tensor) -> Words:
    for _ in range(10):
        product0, product1 = c0 * _MULTIPLY0, c2 * _MULTIPLY1
        c0, c1, c2, c3 = (
            ((product1 >> 32) & _LOW) ^ c1 ^ k0,
            product1 & _LOW,
            ((product0 >> 32) & _LOW) ^ c3 ^ k1,
            product0 & _LOW,
        )
        k0, k1 = (k0 + _WEYL0) & _LOW, (k1 + _WEYL1) & _LOW
    return c0, c1, c2, c3


def _halves(values: Tensor) -> tuple[Tensor, Tensor]:
    return values & _LOW, (values >> 32) & _LOW


def _as_tensor(values: Tensor | int, device: torch.device) -> Tensor:
    if isinstance(values, Tensor):
        return values.to(torch.int64)
    values %= 1 << 64
    return torch.tensor(values - (1 << 64) if values >= 1 << 63 else values, dtype=torch.int64, device=device)
