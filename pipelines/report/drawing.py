"""Word-knowledge graphs and funnels drawn as SVG by hand: no binary, no script, the same bytes every time.

Colours are plain attributes, for any viewer, and classes, for a page that sets its own. Every piece of text has its
width fixed (`textLength`), so nothing overflows its place whatever font the viewer has.
"""

import dataclasses
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence

from pipelines.report.markup import Number, attributes, text, visible

WIDTH, NARROW = 960, 420
"""Widths of the view box: on a page or on paper, and on a telephone's screen."""
SENTENCE, SMALL = 19.0, 13.5
"""Font sizes of the sentence, and of relations and tails, in units of the view box."""
ROW, LINE, DROP = 26.0, 30.0, 26.0
"""Heights of a fact's row and of a line of the sentence; what lies between a line and its first fact."""
COLUMN_GAP, MARGIN = 22.0, 20
RELATION_MAX, TAIL_MAX = 230.0, 190.0
"""The longest label of a relation and of a tail; a narrow drawing has less room for the former."""

INK, QUIET, ACCENT, TINT, SOFT, BORDER, WARM = (
    "#1d2126",
    "#626a73",
    "#1f5fa8",
    "#e4edf8",
    "#f5f6f8",
    "#d5d9de",
    "#b4541a",
)

_WIDTHS = {
    0.28: "ijlI!|',.:;` ",
    0.36: 'ft()[]{}r/\\-"',
    0.53: "ckszvxyJ*^",
    0.58: "abdeghnopqu0123456789L?$#_+=<>~FTZ",
    0.68: "ABEKPSVXY&",
    0.76: "CDHNRUwGOQ",
    0.9: "mM%W@",
}
_WIDTH_OF = {char: width for width, chars in _WIDTHS.items() for char in chars}


def draw_graph(
    row: Mapping, entity_labels: Mapping[int, str], relation_labels: Mapping[int, str], width: int = WIDTH
) -> str:
    """One row of wk_graphs as SVG: the passage, and under each anchor its facts, relation and tail a row.

    Labels are looked up by index, and an index without one is shown as such. Counted by class, the drawing has
    `node anchor` once per mention, `node relation` and `node tail` once per triple, and two `edge` per triple; a tail
    that is an anchor of the same passage is drawn again, marked `shared`.
    """
    entities = [mention["entity_index"] for mention in row["mentions"]]
    scene = _Scene(entity_labels, relation_labels, entities, width)
    columns = [_column(position, row, scene) for position in range(len(row["mentions"]))]
    parts: list[str] = []
    top = 4.0
    for line in _lines(row, columns, width):
        parts.append(line.draw(top, columns, scene))
        top += line.height(columns)
    name = f"graph-{row['graph_id']}" + "-narrow" * (width < WIDTH)
    title = f"Word-knowledge graph {row['graph_id']}: {len(row['mentions'])} anchors, {len(row['triples'])} facts"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-labelledby="{name}-title {name}-text" '
        f'viewBox="0 0 {width} {top:.0f}" width="{width}" height="{top:.0f}" font-family="system-ui, sans-serif">'
        f'<title id="{name}-title">{text(title)}</title><desc id="{name}-text">{text(_sentences(row, scene))}</desc>'
        f"{''.join(parts)}</svg>"
    )


def on_paper(svg: str) -> str:
    """The drawing as a file of its own: on white, with a margin, whatever the viewer's background."""
    (top,) = re.findall(rf'viewBox="0 0 {WIDTH} (\d+)"', svg)[:1]
    width, height = WIDTH + 2 * MARGIN, int(top) + 2 * MARGIN
    frame = f'viewBox="{-MARGIN} {-MARGIN} {width} {height}" width="{width}" height="{height}"'
    paper = f'<rect x="{-MARGIN}" y="{-MARGIN}" width="{width}" height="{height}" fill="#fff"/>'
    svg = svg.replace(f'viewBox="0 0 {WIDTH} {top}" width="{WIDTH}" height="{top}"', frame, 1)
    return svg.replace("</desc>", f"</desc>{paper}", 1) + "\n"


def text_width(string: str, size: Number) -> float:
    """About how wide the string is at a font size, on the generous side."""
    return size * sum(map(_char_width, string), 0.0)


def shorten(string: str, size: Number, limit: Number) -> str:
    """The string on one line, cut with an ellipsis to fit `limit`."""
    string = " ".join(visible(string).split())
    if text_width(string, size) <= limit:
        return string
    room = limit - size
    for end, char in enumerate(string):
        room -= size * _char_width(char)
        if room < 0:
            return string[:end].rstrip() + "…"
    return string


def label(string: str, x: Number, y: Number, size: Number, **values: object) -> str:
    """A text element of a width that does not depend on the viewer's font."""
    width = text_width(string, size)
    known = {"x": f"{x:.1f}", "y": f"{y:.1f}", "font-size": f"{size:g}"}
    fixed = {"textLength": f"{width:.1f}", "lengthAdjust": "spacingAndGlyphs"} if width else {}
    return f"<text{attributes({**known, **fixed, **values})}>{text(string)}</text>"


@dataclasses.dataclass(frozen=True)
class _Scene:
    """What a drawing needs to know everywhere: labels by index, the entity of each anchor, and its width."""

    entities: Mapping[int, str]
    relations: Mapping[int, str]
    anchors: Sequence[int]
    width: int

    @property
    def relation_max(self) -> float:
        return min(RELATION_MAX, self.width - TAIL_MAX - 80)

    def entity(self, index: int) -> str:
        return self.entities.get(index) or f"entity {index}"

    def relation(self, index: int) -> str:
        return self.relations.get(index) or f"relation {index}"


@dataclasses.dataclass(frozen=True)
class _Column:
    """The facts of one anchor, and the widths of their two sides."""

    facts: Sequence[Mapping]
    relation_width: float
    tail_width: float

    @property
    def width(self) -> float:
        return 44 + self.relation_width + self.tail_width if self.facts else 0.0

    def draw(self, x: float, top: float, scene: _Scene) -> str:
        """The rows from `top` down, hung on a stem at x."""
        last = top + ROW * (len(self.facts) - 1) + ROW / 2
        stem = f'<path class="wk-edge" d="M{x:.1f} {top:.1f}V{last:.1f}" fill="none" stroke="{ACCENT}"/>'
        rows = [self._row(fact, x, top + ROW * i, scene) for i, fact in enumerate(self.facts)]
        return stem + "".join(rows)

    def _row(self, fact: Mapping, x: float, top: float, scene: _Scene) -> str:
        relation, tail = scene.relation(fact["relation_index"]), scene.entity(fact["tail_index"])
        shared = fact["tail_index"] in scene.anchors
        middle, base = top + ROW / 2, top + ROW / 2 + SMALL * 0.35
        start = x + 14
        shown = shorten(relation, SMALL, scene.relation_max)
        end = start + text_width(shown, SMALL)
        box = start + self.relation_width + 14
        kind, fill, stroke = ("wk-shared", TINT, ACCENT) if shared else ("wk-tail", SOFT, BORDER)
        return (
            f'<g class="fact"><title>{text(f"{relation}: {tail}")}</title>'
            f"{_edge(x, start - 4, middle)}{_edge(end + 4, box, middle)}"
            f'<g class="node relation">{label(shown, start, base, SMALL, class_="wk-quiet", fill=QUIET)}</g>'
            f'<g class="node tail{" shared" * shared}"><rect class="{kind}" x="{box:.1f}" y="{top + 2:.1f}" '
            f'width="{self.tail_width + 16:.1f}" height="{ROW - 4:g}" rx="4" fill="{fill}" stroke="{stroke}"/>'
            f"{label(shorten(tail, SMALL, TAIL_MAX), box + 8, base, SMALL, class_='wk-ink', fill=INK)}</g></g>"
        )


@dataclasses.dataclass(frozen=True)
class _Run:
    """A word of the passage, or the whole of an anchor."""

    string: str
    anchor: int | None
    space: bool
    """Whether white space comes before it."""

    @property
    def width(self) -> float:
        return text_width(self.string, SENTENCE)


@dataclasses.dataclass
class _Line:
    """Runs of the passage with their distance from where the line begins, and the places of the columns beneath."""

    width: int
    from_right: bool
    runs: list[tuple[float, _Run]] = dataclasses.field(default_factory=list)
    places: dict[int, float] = dataclasses.field(default_factory=dict)

    @property
    def end(self) -> float:
        return self.runs[-1][0] + self.runs[-1][1].width if self.runs else 0.0

    def left(self, x: float, width: float) -> float:
        """The left edge of what begins x into the line."""
        return self.width - x - width if self.from_right else x

    def add(self, run: _Run, columns: Sequence[_Column]) -> bool:
        """Put the run at the end; False where it, or the facts beneath it, would not fit."""
        x = self.end + (text_width(" ", SENTENCE) if run.space and self.runs else 0.0) + 2 * (run.anchor is not None)
        places = self.places
        if run.anchor is not None and columns[run.anchor].facts:
            wanted = {**self.places, run.anchor: self.left(x, run.width) + 10}
            # The columns stand as their anchors do: the one that is read last leftmost, in some scripts.
            places = _settle(dict(sorted(wanted.items(), reverse=self.from_right)), columns, self.width)
        if self.runs and (x + run.width > self.width - 6 or min(places.values(), default=4.0) < 4.0):
            return False
        self.runs.append((x, run))
        self.places = places
        return True

    def height(self, columns: Sequence[_Column]) -> float:
        deepest = max((len(columns[anchor].facts) for anchor in self.places), default=0)
        return LINE + (DROP + ROW * deepest + 16 if deepest else 4.0)

    def draw(self, top: float, columns: Sequence[_Column], scene: _Scene) -> str:
        base = top + SENTENCE
        below = top + LINE - 2
        parts = [self._words(words, base) for words in _joined(self.runs)]
        for start, run in self.runs:
            if run.anchor is None:
                continue
            x = self.left(start, run.width)
            parts.append(_anchor(x, base, run, scene.entity(scene.anchors[run.anchor])))
            if run.anchor in self.places:
                place, first = self.places[run.anchor], below + DROP
                parts.append(_hang(min(x + 10, x + run.width / 2), below, place, first))
                parts.append(columns[run.anchor].draw(place, first, scene))
        return "".join(parts)

    def _words(self, words: Sequence[tuple[float, _Run]], base: float) -> str:
        string = "".join(" " * (run.space and i > 0) + run.string for i, (_, run) in enumerate(words))
        x = self.width - words[0][0] if self.from_right else words[0][0]
        way = {"direction": "rtl"} if self.from_right else {}
        return label(string, x, base, SENTENCE, **way, class_="wk-ink", fill=INK)


def _column(position: int, row: Mapping, scene: _Scene) -> _Column:
    facts = [triple for triple in row["triples"] if triple["anchor"] == position]
    relations = [shorten(scene.relation(fact["relation_index"]), SMALL, scene.relation_max) for fact in facts]
    tails = [shorten(scene.entity(fact["tail_index"]), SMALL, TAIL_MAX) for fact in facts]
    return _Column(facts, *(max((text_width(s, SMALL) for s in side), default=0.0) for side in (relations, tails)))


def _lines(row: Mapping, columns: Sequence[_Column], width: int) -> list[_Line]:
    """Break the passage where a word, or the facts of an anchor, would not fit."""
    from_right = _reads_from_right(row["text"])
    lines = [_Line(width, from_right)]
    for run in _runs(row, width - 40):
        if not lines[-1].add(run, columns):
            lines.append(_Line(width, from_right))
            lines[-1].add(run, columns)
    return lines


def _runs(row: Mapping, longest: Number) -> Iterator[_Run]:
    """The passage's words and anchors in order, none wider than `longest`; any white space is one space."""
    passage, at = visible(row["text"]), 0
    spans = [(mention["start"], mention["end"]) for mention in row["mentions"]]
    for anchor, (start, end) in enumerate(spans):
        start = max(start, at)
        yield from _plain(passage, at, start, longest)
        surface = shorten(passage[start:end], SENTENCE, longest) or "∅"
        yield _Run(surface, anchor, passage[max(start - 1, 0) : start].isspace())
        at = max(end, at)
    yield from _plain(passage, at, len(passage), longest)


def _plain(passage: str, start: int, end: int, longest: Number) -> Iterator[_Run]:
    """The words of passage[start:end], each told whether white space comes before it."""
    word, space = "", False
    for place in range(start, end):
        char = passage[place]
        # Scripts without spaces break between any two characters, and an endless word breaks at the line's width.
        wide = unicodedata.east_asian_width(char) in "WF"
        if word and (char.isspace() or wide or text_width(word + char, SENTENCE) > longest):
            yield _Run(word, None, space)
            word = ""
        if not char.isspace():
            space = space if word else passage[max(place - 1, 0) : place].isspace()
            word += char
    if word:
        yield _Run(word, None, space)


def _settle(wanted: Mapping[int, float], columns: Sequence[_Column], width: int) -> dict[int, float]:
    """Move columns apart: to the right until none touches the one before, then back from the right edge."""
    places: dict[int, float] = {}
    free = 4.0
    for anchor, x in wanted.items():
        places[anchor] = max(x, free)
        free = places[anchor] + columns[anchor].width + COLUMN_GAP
    limit = width - 2.0
    for anchor in reversed(places):
        places[anchor] = min(places[anchor], limit - columns[anchor].width)
        limit = places[anchor] - COLUMN_GAP
    return places


def _joined(runs: Sequence[tuple[float, _Run]]) -> Iterator[list[tuple[float, _Run]]]:
    """Plain words between anchors, together."""
    words: list[tuple[float, _Run]] = []
    for x, run in runs:
        if run.anchor is None:
            words.append((x, run))
        elif words:
            yield words
            words = []
    if words:
        yield words


def _reads_from_right(passage: str) -> bool:
    """Whether the first letter with a direction is of a script that is written from right to left."""
    kinds = (unicodedata.bidirectional(char) for char in passage)
    return next((kind in ("R", "AL") for kind in kinds if kind in ("L", "R", "AL")), False)


def _anchor(x: float, base: float, run: _Run, entity: str) -> str:
    return (
        f'<g class="node anchor"><title>{text(f"{run.string}: {entity}")}</title><rect class="wk-chip" x="{x - 2:.1f}" '
        f'y="{base - SENTENCE + 1:.1f}" width="{run.width + 4:.1f}" height="{SENTENCE + 6:g}" rx="4" fill="{TINT}"/>'
        f"{label(run.string, x, base, SENTENCE, class_='wk-accent', fill=ACCENT)}</g>"
    )


def _hang(x: float, top: float, place: float, bottom: float) -> str:
    """The stem's way from the anchor to its column."""
    half = (top + bottom) / 2
    curve = f"M{x:.1f} {top:.1f}C{x:.1f} {half:.1f} {place:.1f} {half:.1f} {place:.1f} {bottom:.1f}"
    return f'<path class="wk-edge" d="{curve}" fill="none" stroke="{ACCENT}"/>'


def _edge(start: float, end: float, y: float) -> str:
    return f'<path class="edge wk-edge" d="M{start:.1f} {y:.1f}H{end:.1f}" fill="none" stroke="{ACCENT}"/>'


def _sentences(row: Mapping, scene: _Scene) -> str:
    """The drawing in words."""
    facts = [
        f"{scene.entity(t['head_index'])}, {scene.relation(t['relation_index'])}: {scene.entity(t['tail_index'])}."
        for t in row["triples"]
    ]
    return " ".join([row["text"], *facts])


def _char_width(char: str) -> float:
    known = _WIDTH_OF.get(char)
    if known is not None:
        return known
    if unicodedata.combining(char) or unicodedata.category(char) in ("Mn", "Me", "Cf"):
        return 0.0
    return 1.0 if unicodedata.east_asian_width(char) in "WF" else 0.64
