"""Where the surfaces of a dictionary stand in a text: the longest ones from left to right, at the ends of words.

A text is read once, unit by unit; a unit is a word, or a letter of a script that puts no spaces between words, or any
other character. A table holds the hash of every surface and of what it begins with, up to the end of a unit: where
nothing begins like the units read so far, the search ends. So a text costs a few look-ups a word, however many surfaces
there are. The hashes have 63 bits; whoever needs certainty looks the span's text up.
"""

import functools
import itertools
import sys
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from typing import no_type_check

import numpy as np
from jaxtyping import Int32, Int64, UInt8, UInt32

from training.compiled import compiled

UNSPACED = ("\u0e00\u0eff", "\u1000\u109f", "\u1780\u17ff", "\u3040\u30ff", "\u3400\u9fff")
"""First and last of the Thai and Lao, Burmese, Khmer, Japanese and Chinese letters, between which a word may end."""
JOINERS = "_\u200c\u200d"
"""What else stands in a word."""
OTHER, JOINS, SPACE = 0, 1, 2
"""Kinds of characters: white space, those that join with their like to a word, and all others."""

AT_ONCE = 1 << 18
"""Surfaces that are read at a time."""
FIRST, PRIME = np.uint64(0xCBF29CE484222325), np.uint64(0x100000001B3)
"""FNV-1a, over code points."""
SPREAD, LAST = np.uint64(0x9E3779B97F4A7C15), np.uint64(1)


class Detector:
    """Finds surfaces in texts. S slots, a power of two."""

    def __init__(self, surfaces: Iterable[str]) -> None:
        # Empty, or the hash of a surface (lowest bit 1) or of what one begins with (0).
        self._slots = np.zeros(2, dtype=np.uint64)
        self._used = 0
        for points, starts in _blocks(surfaces):
            more = int(count(points, starts, kinds()))
            self._make_room(self._used + more)
            self._used += int(enter(points, starts, kinds(), self._slots))

    @property
    def nbytes(self) -> int:
        """Of the table."""
        return self._slots.nbytes

    def forget(self, surfaces: Iterable[str]) -> None:
        """No longer find these surfaces; longer ones that begin with them are found as before."""
        for points, starts in _blocks(surfaces):
            forget(points, starts, self._slots)

    def spans(self, texts: Sequence[str]) -> tuple[Int32[np.ndarray, "M 2"], Int64[np.ndarray, " M"]]:
        """[start, end) of the surfaces in each text, in code points, apart from each other; and which text it is."""
        [(points, starts)] = _blocks(texts, len(texts)) if texts else [(_points(""), np.zeros(1, np.int64))]
        found, counts = np.empty((len(points), 2), dtype=np.int32), np.empty(len(texts), dtype=np.int64)
        number = detect(points, starts, kinds(), self._slots, found, counts)
        return found[:number].copy(), np.repeat(np.arange(len(texts)), counts)

    def _make_room(self, entries: int) -> None:
        """At most 2/3 of the slots are used, so that a search is short."""
        size = 1 << (entries + entries // 2).bit_length()
        if size > len(self._slots):
            before, self._slots = self._slots, np.zeros(size, dtype=np.uint64)
            move(before, self._slots)


@functools.cache
def kinds() -> UInt8[np.ndarray, " P"]:
    """OTHER, JOINS or SPACE of each code point."""
    chars = list(map(chr, range(sys.maxunicode + 1)))
    joins = np.fromiter(map(str.isalnum, chars), dtype=bool) | np.fromiter(map(_is_mark, chars), dtype=bool)
    joins[[ord(char) for char in JOINERS]] = True
    for first, last in UNSPACED:
        joins[ord(first) : ord(last) + 1] = False
    space = np.fromiter(map(str.isspace, chars), dtype=bool)
    return np.where(space, SPACE, np.where(joins, JOINS, OTHER)).astype(np.uint8)


@no_type_check  # a million calls
def _is_mark(char):
    return unicodedata.category(char)[0] == "M"


def _points(text: str) -> UInt32[np.ndarray, " N"]:
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype=np.uint32)


def _blocks(
    strings: Iterable[str], size: int = AT_ONCE
) -> Iterator[tuple[UInt32[np.ndarray, " N"], Int64[np.ndarray, " K1"]]]:
    """(code points of some strings, where each starts and the last one ends)."""
    rest = iter(strings)
    while block := list(itertools.islice(rest, size)):
        yield _points("".join(block)), np.cumsum([0, *map(len, block)])


@compiled
@no_type_check
def _added(state, point):
    return (state ^ np.uint64(point)) * PRIME


@compiled
@no_type_check
def _slot(slots, state):
    """Where the hash is, or the empty slot where it would be. The low bit says something else."""
    key, size = state | LAST, np.uint64(len(slots) - 1)
    place = ((key * SPREAD) >> np.uint64(20)) & size
    while slots[place] != 0 and (slots[place] | LAST) != key:
        place = (place + LAST) & size
    return place


@compiled
@no_type_check
def _unit_ends(points, place, end, kinds):
    """Whether a unit that is no white space ends before `place`; between `place` and `end` it may go on."""
    kind = kinds[points[place - 1]]
    if kind == SPACE:
        return False
    return place == end or kind != JOINS or kinds[points[place]] != JOINS


@compiled
@no_type_check
def count(points, starts, kinds):
    """Units of all surfaces."""
    total = 0
    for k in range(len(starts) - 1):
        for place in range(starts[k] + 1, starts[k + 1] + 1):
            total += _unit_ends(points, place, starts[k + 1], kinds)
    return total


@compiled
@no_type_check
def enter(points, starts, kinds, slots):
    """Put the surfaces and what they begin with into the slots; returns how many slots that took."""
    taken = 0
    for k in range(len(starts) - 1):
        state = FIRST
        for place in range(starts[k] + 1, starts[k + 1] + 1):
            state = _added(state, points[place - 1])
            if not _unit_ends(points, place, starts[k + 1], kinds):
                continue
            slot = _slot(slots, state)
            taken += slots[slot] == 0
            if slots[slot] == 0:
                slots[slot] = (state | LAST) ^ LAST
            if place == starts[k + 1]:
                slots[slot] |= LAST
    return taken


@compiled
@no_type_check
def forget(points, starts, slots):
    """The surfaces become what longer ones begin with."""
    for k in range(len(starts) - 1):
        state = FIRST
        for place in range(starts[k], starts[k + 1]):
            state = _added(state, points[place])
        slot = _slot(slots, state)
        if slots[slot] != 0:
            slots[slot] = (state | LAST) ^ LAST


@compiled
@no_type_check
def move(before, slots):
    """What is in some slots into more of them."""
    for entry in before:
        if entry != 0:
            slots[_slot(slots, entry)] = entry


@compiled
@no_type_check
def _longest(points, start, end, kinds, slots):
    """Where the longest surface ends that begins at `start`; `start` where there is none."""
    longest, state = start, FIRST
    if kinds[points[start]] == SPACE:
        return longest
    for place in range(start + 1, end + 1):
        state = _added(state, points[place - 1])
        if not _unit_ends(points, place, end, kinds):
            continue
        entry = slots[_slot(slots, state)]
        if entry == 0:
            break
        if entry & LAST:
            longest = place
    return longest


@compiled
@no_type_check
def detect(points, starts, kinds, slots, found, counts):
    """Write the spans to `found` and how many each text has to `counts`; returns how many there are."""
    number = 0
    for k in range(len(starts) - 1):
        before, start, end = number, starts[k], starts[k + 1]
        while start < end:
            longest = _longest(points, start, end, kinds, slots)
            if longest > start:
                found[number, 0], found[number, 1] = start - starts[k], longest - starts[k]
                number, start = number + 1, longest
                continue
            start += 1
            while start < end and kinds[points[start - 1]] == JOINS and kinds[points[start]] == JOINS:
                start += 1
        counts[k] = number - before
    return number
