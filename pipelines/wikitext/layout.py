"""Last step: lines, holes, white space; then offsets.

Everything before works on marked text; only here, when nothing moves any more, are the marks turned into offsets.
"""

import dataclasses
import itertools
import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from pipelines.wikitext.entities import decode
from pipelines.wikitext.marks import BREAK, END, HOLE, LINE_MARKUP, LINK, shield, unshield

_DEFINITION = re.compile(" ?:(?!//) ?")
# Behind a <nowiki/>, or in the middle of a line of the page, these begin no list, heading or table.
_NO_MARKUP = re.compile(rf"\n[ \t]*+{BREAK}[ \t{BREAK}]*+([*#:;=|!-]++)")
# One for each opening bracket: a regex that begins with one literal finds its candidates at once.
_EMPTY_PARENTHESES = {"(": re.compile(r"\([\s,;:/]{0,8}[)）]"), "（": re.compile(r"（[\s,;:/]{0,8}[)）]")}
_EMPTY_LINK = re.compile(rf"{LINK}\s*+{END}")
_WIDE = "\x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000"
_WIDE_SPACE = re.compile(f"[{_WIDE}]")
_LINK_SPACE, _SPACE_END = f"{LINK} ", f" {END}"
_SEPARATORS = f" ,;:{_WIDE}"
_TAIL = 64
_OPENING, _CLOSING = ("(", "（"), (")", "）")
_TOUCHY = frozenset((" ", "\n", "(", "（", ",", ";", ""))


class Section(NamedTuple):
    """A section's own text, without its subsections."""

    title: str
    level: int
    start: int
    end: int


class Link(NamedTuple):
    """A link to an article; text[start:end] is what a reader sees."""

    start: int
    end: int
    target: str
    """Title, normalised, without fragment."""


@dataclasses.dataclass(frozen=True)
class Links(Sequence[Link]):
    """A page's links in order, as columns: a page may have many, and most readers want columns."""

    starts: list[int]
    ends: list[int]
    targets: list[str]

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, index: int) -> Link:
        return Link(self.starts[index], self.ends[index], self.targets[index])

    def __iter__(self) -> Iterator[Link]:
        return map(Link, self.starts, self.ends, self.targets)


class Layout(NamedTuple):
    """The finished text."""

    text: str
    lead_end: int
    sections: list[Section]
    links: Links
    dropped: int
    """Links that are in no text: in headings, and in what is left of broken tables."""
    empty: int
    """Links with nothing to see."""


def lay_out(marked: str, targets: list[str], has_broken_table: bool) -> Layout:
    """Text, sections and links of a page from its marked text."""
    if BREAK in marked:
        marked = _NO_MARKUP.sub(lambda match: f"\n{shield(match[1])}", marked).replace(BREAK, "")
    marked = _mend(_drop_empty_parentheses(decode(marked.replace("\t", " "))))
    marked, shown = _drop_empty_links(marked, targets)
    for is_loose in (False, True):
        lines = _Lines("|!" if has_broken_table else "|")
        lines.read(marked, is_loose)
        # Outside and inside of links by turns: the running lengths are the links' bounds.
        pieces = unshield("\n".join(lines.kept)).replace(END, LINK).split(LINK)
        if pieces[1::2] == list(map(str.strip, pieces[1::2])):
            break  # else, seldom, a space stands at a link's inner edge
    bounds = list(itertools.accumulate(map(len, pieces)))
    links = Links(bounds[:-1:2], bounds[1::2], lines.without_dropped(shown))
    sections, lead_end = lines.sections()
    dropped = sum(end - start for start, end in lines.dropped)
    return Layout("".join(pieces), lead_end, sections, links, dropped, len(targets) - len(shown))


def _drop_empty_parentheses(text: str) -> str:
    """Those with a space before them: main() keeps its own."""
    for bracket, pattern in _EMPTY_PARENTHESES.items():
        if bracket in text:
            text = pattern.sub(_drop_one_empty, text)
    return text


def _drop_one_empty(match: re.Match[str]) -> str:
    before = match.string[match.start() - 1] if match.start() else ""
    return HOLE if before in (" ", "\n", HOLE, "") else match[0]


def _mend(text: str) -> str:
    """Close the holes: "Alabama (_) is" -> "Alabama is", "At _, it" -> "At, it", "(born: _)" -> "(born)"."""
    first, *rest = text.split(HOLE)
    out = [first]
    for right in rest:
        if out[-1][-1:] in _TOUCHY:
            # Only a piece's last characters change; apart, so that many holes do not copy a long piece many times.
            if len(out[-1]) > _TAIL:
                out[-1:] = [out[-1][:-_TAIL], out[-1][-_TAIL:]]
            left, right = _mend_one(out[-1], right, before=out[-2][-1:] if len(out) > 1 else "")
            out[-1] = left
            if not left and len(out) > 1:
                out.pop()
        if right:
            out.append(right)
    return "".join(out)


def _mend_one(left: str, right: str, before: str) -> tuple[str, str]:
    """What stays on both sides of one hole; `before` is the character before `left`."""
    core, tail = left.rstrip(_SEPARATORS), right.lstrip(_SEPARATORS)
    if tail.startswith(_CLOSING):
        if not core.endswith(_OPENING):
            return core, tail
        # Parentheses with nothing inside: they are a hole themselves.
        left, right = core[:-1], tail[1:]
    elif core.endswith(_OPENING) or (not core and before in _OPENING):
        return core, tail
    right_core = right.lstrip(" ")
    mark = right_core[:1]
    if mark and mark in ",.;:!?":
        left = left.rstrip(" ")
        end = left[-1:] or before
        if end in (",", ";") and mark in ",;.":
            left = left.rstrip(_SEPARATORS)
        elif end in ("", "\n") and mark == ",":
            right_core = right_core.lstrip(", ")
        return left, right_core
    return left, right_core if (left[-1:] or before) in (" ", "\n", "") else right


def _drop_empty_links(text: str, targets: list[str]) -> tuple[str, list[str]]:
    if _EMPTY_LINK.search(text) is None:
        return text, targets
    labels = (piece.partition(END)[0] for piece in text.split(LINK)[1:])
    kept = [target for target, label in zip(targets, labels, strict=True) if label.strip()]
    return _EMPTY_LINK.sub("", text), kept


def _squeeze(line: str) -> str:
    """One space between words, none at a link's inner edges or at the line's."""
    while "  " in line:
        line = line.replace("  ", " ")
    line = line.replace(_LINK_SPACE, f" {LINK}").replace(_SPACE_END, f"{END} ")
    while "  " in line:
        line = line.replace("  ", " ")
    return line.strip(" ")


class _Lines:
    """Takes a page's lines, tells text from headings and leftovers, and counts characters and links as it goes."""

    def __init__(self, leftovers: str) -> None:
        self.dropped: list[tuple[int, int]] = []
        """[start, end) of the links on lines that are not text."""
        self.kept: list[str] = []
        self._leftovers = leftovers
        self._length = 0
        """Characters of all kept lines, marks not counted, with a newline behind each."""
        self._headings: list[tuple[str, int, int]] = []
        """(title, level, length before it)."""

    def read(self, text: str, is_loose: bool) -> None:
        """Sort the lines of a page; `is_loose` where spaces may stand at the inner edges of links."""
        kept, length, seen = self.kept, 0, 0
        for line in text.split("\n"):
            line = line.strip()
            if not line:
                continue
            if not line.isascii():
                line = _WIDE_SPACE.sub(" ", line)
            if is_loose or "  " in line:
                line = _squeeze(line)
            links = line.count(LINK)
            if line[0] not in LINE_MARKUP:
                kept.append(line)
                length += len(line) + 1 - 2 * links
            elif items := self._read_marked(line, length):
                kept += items
                length += sum(map(len, items)) + len(items) - 2 * links
            elif links:
                self.dropped.append((seen, seen + links))
            seen += links
        self._length = length

    def _read_marked(self, line: str, length: int) -> list[str]:
        """The text of a line that begins with markup, behind `length` characters; empty for headings and leftovers."""
        if line[0] in self._leftovers:
            return []
        if line[0] == line[-1] == "=" and len(line) > 2:
            level = min(len(line) - len(line.lstrip("=")), len(line) - len(line.rstrip("=")), 6)
            title = unshield(line[level:-level].replace(LINK, "").replace(END, "").strip())
            if title:
                self._headings.append((title, level, length))
            return []
        return _items(line)

    def sections(self) -> tuple[list[Section], int]:
        """The sections, and where the lead ends."""
        starts = [length for _, _, length in self._headings] + [self._length]
        # A section without text lies where the text before it ends; others begin behind a newline.
        ends = [max(0, length - 1) for length in starts]
        sections = [
            Section(title, level, start if start < following else max(0, start - 1), end)
            for (title, level, start), following, end in zip(self._headings, starts[1:], ends[1:], strict=True)
        ]
        return sections, ends[0]

    def without_dropped(self, targets: list[str]) -> list[str]:
        """The targets of the links in the text."""
        kept = targets.copy()
        for start, end in reversed(self.dropped):
            del kept[start:end]
        return kept


def _items(line: str) -> list[str]:
    """A line as it reads: list markers and rules off; of a definition list, term and definition apart."""
    mark = line[0]
    if mark in "*#:;":
        line = line.lstrip("*#:; ")
        colon = _DEFINITION.search(line) if mark == ";" else None
        if colon is not None and line.count(LINK, 0, colon.start()) == line.count(END, 0, colon.start()):
            return [part for part in (line[: colon.start()].strip(), line[colon.end() :].strip()) if part]
    elif line.startswith("----"):
        line = line.lstrip("-").lstrip()
    return [line] if line else []
