"""What fuzzing harnesses share: changes of text, drawn by counter-based hashes for many tries at a time, and a net."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from schemas.hashing import random_u64

_BATCH = 4096
_ODD = "\0\t\n\r\x0b\x1f \x7f\x85\xa0\xadİıŁßǅ\u0301\u0600\u0e33\u1e9e\u200b\u200e\u2028\u202e\u3000\ufdd0\ufeff\ufffd"
_ODD_CHARACTERS = [*_ODD, "\ud83d", "\udc00", "鳥", "é", "\u1f88", "\U0001f426", "\U000e0041", "\U0010ffff"]
"""Marks, spaces, letters that change their length with their case, halves of surrogate pairs."""


def draws(seed: int, purpose: str, count: int, columns: int) -> Iterator[tuple[int, list[int]]]:
    """(number, `columns` times 64 random bits) of each try; row `number` is the same whatever `count` is."""
    for start in range(0, count, _BATCH):
        numbers = np.arange(start, min(count, start + _BATCH))
        words = random_u64(seed, purpose, numbers[:, None], np.arange(columns)[None])
        yield from zip(numbers.tolist(), words.tolist(), strict=True)


def mutated(text: str, bits: int, tokens: Sequence[str], other: str) -> str:
    """`text` with one change: which, where, how long and with which of the tokens is drawn from 64 random bits.

    Insert, replace, wrap, delete, duplicate, repeat, swap, cut, splice with `other`, or one odd character.
    """
    kind, place, span = bits & 15, (bits >> 4) & 0xFFFF, (bits >> 20) & 0xFF
    token = tokens[(bits >> 28) % len(tokens)]
    start = place % (len(text) + 1)
    end = start + 1 + (span & 7 if span < 192 else span & 63)
    if kind < 4:
        return f"{text[:start]}{token}{text[start:]}"
    if kind == 4:
        return f"{text[:start]}{token}{text[end:]}"
    if kind == 5:
        return f"{text[:start]}{token}{text[start:end]}{tokens[(bits >> 44) % len(tokens)]}{text[end:]}"
    if kind in (6, 7):
        return text[:start] + text[end:]
    if kind == 8:
        return text[:end] + text[start:]
    if kind == 9:  # seldom often enough for a budget
        return text[:start] + token * (300 if span > 252 else 2 + (span & 15)) + text[start:]
    if kind == 10:
        return text[start:end] + text[:start] + text[end:]
    if kind == 11:
        return text[:start]
    if kind in (12, 13):
        return text[:start] + other[(bits >> 44) % (len(other) + 1) :]
    return text[:start] + character(bits >> 28) + text[start + (kind & 1) :]


def character(bits: int) -> str:
    """Any code point, every second time one that trips programs up."""
    if bits & 1:
        return _ODD_CHARACTERS[(bits >> 1) % len(_ODD_CHARACTERS)]
    return chr((bits >> 1) % (0x110000 if bits & 2 else 0x3000))


def tolerant(check: Callable[..., str | None], *arguments: Any) -> str | None:
    """What a check finds, be it an exception."""
    try:
        return check(*arguments)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
