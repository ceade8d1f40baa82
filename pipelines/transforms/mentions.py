"""More mentions than the links of a page: its own name in the lead, and later repeats of names.

A repeat has the target and the entity of the first link with its surface form. Names are matched as they are written
(case-sensitive, whole words; in scripts without spaces anywhere), from left to right, the longest at each place,
outside links. A surface form that the page links to two things is ambiguous: its repeats are left out. So are names of
one character, without a letter, and of more than MAX_NAME code points.
"""

import dataclasses
import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence

import pyarrow as pa

from pipelines.transforms.words import WORD, is_bounded
from schemas.pages import PAGES

MAX_NAME = 100
"""Code points of a name that is looked for. So the search is linear in the text, however many names begin alike."""

_TOKEN = re.compile(rf"{WORD.pattern}|[^\w\s]")
"""Where a name may begin: at a word, or at a character between words."""
_QUALIFIER = re.compile(r"\s*[(（][^()（）]*[)）]$")


@dataclasses.dataclass(frozen=True, kw_only=True)
class MentionRules:
    """Which mentions are added to the links."""

    self_mentions: bool = False
    repeat_mentions: bool = False


@dataclasses.dataclass(frozen=True)
class Name:
    """What a surface form stands for on a page."""

    target: str
    entity: str | None
    end: int
    """Where its first mention ends; repeats come behind it."""
    is_ambiguous: bool = False


class Spans:
    """Spans of a text, sorted and not overlapping."""

    def __init__(self, links: Sequence[dict]) -> None:
        self._starts = [link["start"] for link in links]
        self._ends = [link["end"] for link in links]

    def overlap(self, start: int, end: int) -> bool:
        """Whether one of them has a character of [start, end)."""
        last = bisect_left(self._starts, end) - 1
        return last >= 0 and self._ends[last] > start


def add_mentions(pages: pa.Table, rules: MentionRules) -> pa.Table:
    """Rows of pages, with the mentions that `rules` ask for among their links."""
    if not (rules.self_mentions or rules.repeat_mentions):
        return pages
    columns = (pages[name].to_pylist() for name in ("title", "entity", "text", "lead_end", "links"))
    rows = [page_mentions(*page, rules) for page in zip(*columns, strict=True)]
    place = PAGES.schema.get_field_index("links")
    field = PAGES.schema.field(place)
    return pages.set_column(place, field, pa.array(rows, field.type))


def page_mentions(
    title: str, entity: str | None, text: str, lead_end: int, links: list[dict], rules: MentionRules
) -> list[dict]:
    """A page's links, sorted and not overlapping, and the mentions that `rules` ask for, sorted by start."""
    taken = Spans(links)
    own = find_own_name(title, text[:lead_end], taken)
    found = []
    if own is not None and rules.self_mentions:
        found.append({"start": own[0], "end": own[1], "target": title, "entity": entity, "source": "self"})
    if rules.repeat_mentions:
        names = names_of_links(text, links)
        # Without a mention in the lead only the whole title is sure to mean the page.
        for surface in {title} if own is None else {title, text[own[0] : own[1]]}:
            _add_name(names, surface, Name(title, entity, 0 if own is None else own[1]))
        for start, end in find_names(text, names, taken):
            name = names[text[start:end]]
            if not name.is_ambiguous and start >= name.end:
                found.append(
                    {"start": start, "end": end, "target": name.target, "entity": name.entity, "source": "repeat"}
                )
    return sorted([*links, *found], key=lambda link: link["start"])


def find_own_name(title: str, lead: str, taken: Spans) -> tuple[int, int] | None:
    """[start, end) of a page's own name in the first paragraph of its lead, outside `taken`; None for none.

    The longest of the title and the title without its qualifier (in parentheses, or behind a comma), at its first
    place. Its first letter may be small: titles begin with a capital.
    """
    end = lead.find("\n") if "\n" in lead else len(lead)
    base = _QUALIFIER.sub("", title)
    for name in filter(None, dict.fromkeys([title, base, base.partition(", ")[0]])):
        small = name[0].lower() + name[1:]
        variants = {name, small} if len(small) == len(name) > 1 else {name}
        places = [_find(lead, variant, end, taken) for variant in variants]
        if found := [place for place in places if place >= 0]:
            return min(found), min(found) + len(name)
    return None


def names_of_links(text: str, links: Sequence[dict]) -> dict[str, Name]:
    """The surface forms of a page's links and what they stand for."""
    names: dict[str, Name] = {}
    for link in links:
        surface = text[link["start"] : link["end"]]
        _add_name(names, surface, Name(link["target"], link["entity"], link["end"]))
    return names


def find_names(text: str, names: Mapping[str, Name], taken: Spans) -> Iterator[tuple[int, int]]:
    """[start, end) of whole-word occurrences of names, from left to right, the longest at each place; none overlaps
    another or one of `taken`."""
    lengths = _lengths_by_beginning(names)
    last = 0
    for token in _TOKEN.finditer(text):
        for length in lengths.get(token[0], ()):
            start = token.start()
            end = start + length
            if start < last or end > len(text) or text[start:end] not in names:
                continue
            if not taken.overlap(start, end) and is_bounded(text, start, end):
                yield start, end
                last = end
                break


def _lengths_by_beginning(names: Iterable[str]) -> dict[str, list[int]]:
    """First token of the names -> lengths of the names that begin with it, the longest first."""
    lengths: dict[str, set[int]] = {}
    for name in names:
        if first := _TOKEN.match(name):
            lengths.setdefault(first[0], set()).add(len(name))
    return {token: sorted(found, reverse=True) for token, found in lengths.items()}


def _add_name(names: dict[str, Name], surface: str, name: Name) -> None:
    if not 1 < len(surface) <= MAX_NAME or not any(map(str.isalpha, surface)):
        return
    known = names.setdefault(surface, name)
    if (known.entity or known.target) != (name.entity or name.target):
        names[surface] = dataclasses.replace(known, is_ambiguous=True)


def _find(text: str, name: str, end: int, taken: Spans) -> int:
    """The first whole-word occurrence of a name in text[:end] outside the spans `taken`, -1 for none."""
    place = text.find(name, 0, end)
    while place >= 0 and (taken.overlap(place, place + len(name)) or not is_bounded(text, place, place + len(name))):
        place = text.find(name, place + 1, end)
    return place
