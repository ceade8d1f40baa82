"""Passages of a text: whole sentences of one section packed up to a length; each may become a word-knowledge graph."""

import bisect
import dataclasses
import re
from collections.abc import Iterator, Sequence

from pipelines.transforms.sentences import Splitter

Span = tuple[int, int]
"""[start, end) in code points."""

# Where a sentence that is too long may be cut. Scripts without spaces do not show where a word ends: only their commas
# count.
GAP = re.compile(r"\s+|(?<=[、，；：])")
CLAUSE_MARKS = ",;:—–،؛、，；："


@dataclasses.dataclass
class Cutter:
    """Cuts texts into passages of at most `limit` code points; counts the sentences that do not fit into one."""

    splitter: Splitter
    limit: int
    cut_sentences: int = 0
    """Sentences longer than the limit, cut after a clause, else between words."""
    long_passages: int = 0
    """Passages longer than the limit all the same: a word or link of that length, or a script without spaces."""

    def passages(self, text: str, sections: Sequence[int], links: Sequence[Span]) -> list[Span]:
        """The passages of a text in order, no white space at their ends; every word is in one of them.

        `sections` are where sections start: a passage stays within one. `links` are in order and do not overlap: none
        is cut.
        """
        found: list[Span] = []
        for start, end, new_section in self._units(text, sections, links):
            if found and not new_section and end - found[-1][0] <= self.limit:
                found[-1] = (found[-1][0], end)
            else:
                found.append((start, end))
        self.long_passages += sum(end - start > self.limit for start, end in found)
        return found

    def _units(self, text: str, sections: Sequence[int], links: Sequence[Span]) -> Iterator[tuple[int, int, bool]]:
        """(start, end, whether a section starts since the unit before): sentences, and parts of those too long."""
        barriers = set(sections)
        last, new_section = 0, True
        for cut in _outside(sorted({*self.splitter(text), *barriers, len(text)}), links):
            piece = text[last:cut]
            new_section |= last in barriers
            start, end = cut - len(piece.lstrip()), last + len(piece.rstrip())
            last = cut
            if start >= end:
                continue
            parts = [(start, end)] if end - start <= self.limit else self._parts(text, start, end, links)
            for part in parts:
                yield *part, new_section
                new_section = False

    def _parts(self, text: str, start: int, end: int, links: Sequence[Span]) -> Iterator[Span]:
        """A sentence longer than the limit in parts, each as long as fits."""
        self.cut_sentences += 1
        gaps = dict(match.span() for match in GAP.finditer(text, start, end))
        places = _outside([place for place in gaps if start < place < end], links)
        clauses = [place for place in places if text[place - 1] in CLAUSE_MARKS]
        while end - start > self.limit:
            place = _last_up_to(clauses, start + self.limit)
            if place <= start + self.limit // 2:
                place = _last_up_to(places, start + self.limit)
            if place <= start:
                following = bisect.bisect_right(places, start)
                if following == len(places):
                    break
                place = places[following]
            yield start, place
            start = gaps[place]
        yield start, end


def _outside(places: list[int], links: Sequence[Span]) -> list[int]:
    """The places, in order, that lie inside no link."""
    kept, at = [], 0
    for place in places:
        while at < len(links) and links[at][1] <= place:
            at += 1
        if at == len(links) or links[at][0] >= place:
            kept.append(place)
    return kept


def _last_up_to(places: list[int], limit: int) -> int:
    """The last of the places that is not beyond `limit`; -1 for none."""
    at = bisect.bisect_right(places, limit)
    return places[at - 1] if at else -1
