"""Last step: lines, holes, white space; then offsets.

Everything before works on marked text; only here, when nothing moves any more, are the marks turned into offsets.
"""

import re
from typing import NamedTuple

from pipelines.wikitext.marks import BREAK, END, HOLE, LINK, shield, unshield
from pipelines.wikitext.site import unescape

_ENTITY = re.compile(r"&#?[A-Za-z0-9]{1,32};")
_WIDE_SPACE = re.compile("[\t\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]")
_SPACES = re.compile("  +")
_MARKED_SPACES = re.compile(f" ([{LINK}{END}]) ")
_DEFINITION = re.compile(" ?: ")
_EMPTY_PARENTHESES = re.compile("[(（][ ,;:/]{0,8}[)）]")
_EMPTY_LINK = re.compile(f"{LINK} *+{END}")
_MARKS = re.compile(f"[{LINK}{END}]")
_SEPARATORS = " ,;:"
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


class Layout(NamedTuple):
    """The finished text."""

    text: str
    lead_end: int
    sections: list[Section]
    links: list[Link]
    dropped: int
    """Links that are in no text: in headings, and in what is left of broken tables."""


class _Body(NamedTuple):
    """The lines under one heading."""

    title: str
    level: int
    lines: list[str]


def lay_out(marked: str, targets: list[str], has_broken_table: bool) -> Layout:
    """Text, sections and links of a page from its marked text."""
    marked = _mend(_drop_empty_parentheses(_decode(marked.replace(BREAK, ""))))
    marked, kept = _drop_empty_links(marked, targets)
    lines = _Lines(kept, has_broken_table)
    for line in _squeeze(marked).split("\n"):
        lines.add(line)
    return _measure(lines)


def _decode(text: str) -> str:
    """Character references replaced; what they give is text, never markup."""
    return _ENTITY.sub(_decode_one, text) if "&" in text else text


def _decode_one(match: re.Match[str]) -> str:
    decoded = unescape(match[0])
    if decoded == match[0]:
        return decoded
    return " " if decoded.isspace() else shield(decoded)


def _drop_empty_parentheses(text: str) -> str:
    """Those with a space before them: main() keeps its own."""

    def drop(match: re.Match[str]) -> str:
        return HOLE if text[match.start() - 1 : match.start()] in (" ", "\n", HOLE, "") else match[0]

    return _EMPTY_PARENTHESES.sub(drop, text)


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


def _squeeze(text: str) -> str:
    """One space between words, none at a link's inner edges."""
    if _WIDE_SPACE.search(text):
        text = _WIDE_SPACE.sub(" ", text)
    if "  " in text:
        text = _SPACES.sub(" ", text)
    if f"{LINK} " in text or f" {END}" in text:
        text = _SPACES.sub(" ", text.replace(f"{LINK} ", f" {LINK}").replace(f" {END}", f"{END} "))
    # A space may stand on both sides of a mark.
    return _MARKED_SPACES.sub(r" \1", text) if f" {LINK} " in text else text


class _Lines:
    """Sorts a page's lines into sections, and its links with them."""

    def __init__(self, targets: list[str], has_broken_table: bool) -> None:
        self.bodies = [_Body("", 0, [])]
        self.kept: list[str] = []
        self.dropped = 0
        self._targets = targets
        self._next = 0
        self._leftovers = "|!" if has_broken_table else "|"

    def add(self, line: str) -> None:
        line = line.strip()
        if not line:
            return
        links = line.count(LINK)
        first = self._next
        self._next += links
        if line[0] == "=" and line[-1] == "=" and len(line) > 2:
            level = min(len(line) - len(line.lstrip("=")), len(line) - len(line.rstrip("=")), 6)
            title = _MARKS.sub("", line[level:-level]).strip()
            if title:
                self.bodies.append(_Body(unshield(title), level, []))
            self.dropped += links
        elif line[0] in self._leftovers:
            self.dropped += links
        else:
            self.kept += self._targets[first : self._next]
            self.bodies[-1].lines.extend(_items(line))


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


def _measure(lines: _Lines) -> Layout:
    """Join the lines, take the marks out and count."""
    pieces: list[str] = []
    sections: list[Section] = []
    links: list[Link] = []
    targets = iter(lines.kept)
    position = lead_end = 0
    for number, body in enumerate(lines.bodies):
        if body.lines and position:
            pieces.append("\n")
            position += 1
        start = position
        for i, piece in enumerate(_MARKS.split("\n".join(body.lines))):
            if i % 2:  # between LINK and END
                links.append(Link(position, position + len(piece), next(targets)))
            pieces.append(piece)
            position += len(piece)
        if number:
            sections.append(Section(body.title, body.level, start, position))
        else:
            lead_end = position
    return Layout(unshield("".join(pieces)), lead_end, sections, links, lines.dropped)
