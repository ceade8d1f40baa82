"""Where sentences end, in any language: by rules (fast, the default) or by spaCy's sentencizer (an extra).

No sentence goes over the end of a line, which is a paragraph's. Where the rules doubt they do not cut: two sentences in
one passage read well, half a sentence does not.
"""

import importlib.util
import re
from collections.abc import Callable
from typing import Any

from pipelines.transforms.abbreviations import ANYWHERE, AT_NAMES, BEFORE_NUMBERS, ORDINALS, STARTERS, WORDS
from schemas.errors import UsageError

Splitter = Callable[[str], list[int]]
"""A text -> where its sentences end, in order; the white space between two belongs to neither."""

STOPS = ".!?‼‽⁇⁈⁉…؟۔܀܁܂"
"""End a sentence before white space."""
DANDAS = "।॥։။።፧፨។៕᠃᠉᱾᱿꓿꘎꘏꛳꛷。！？｡"
"""End a sentence, white space or not."""
OWN_STOPS = {"el": ";\u037e", "hy": ":"}
"""Greek asks with a semicolon; Armenian is often typed with a colon for its full stop."""
WIDE_CLOSING = "」』）】〕"
"""After a CJK full stop these go on with the sentence around the quotation."""
SPACES = re.compile(r"[^\S\n]*")
OPENING = re.compile(r"""["'«“„‘‚‹(\[{¿¡—–•*-]{0,4}+ ?""")
GOES_ON = ",;:)]}»”’›%…\n"
"""No sentence begins with these."""
LOOK_BACK = 40
"""How far back the word before a full stop is looked for, in code points."""
INITIALS = re.compile(r"(?:[^\W\d_]{1,4}\.-?)*[^\W\d_]|(?:[^\W\d_]{1,4}\.-?)+[^\W\d_]{1,4}")
ROMAN = re.compile(r"[IVXLC]+")
NAME_PART = re.compile("['’/-]")
WORD = re.compile(r"\w+")
GEORGIAN = re.compile("[\u10d0-\u10ff]")
"""Lower case to Unicode, but Georgian writes no other."""


def make_splitter(kind: str, language: str) -> Splitter:
    """The splitter that --set sentences names: rules or spacy."""
    return _spacy_splitter(language) if kind == "spacy" else _Rules(language).ends


def require_splitter(kind: str) -> None:
    """UsageError where the library of a splitter is not installed."""
    if kind == "spacy" and importlib.util.find_spec("spacy") is None:
        raise UsageError(
            "--set sentences=spacy: spaCy is not installed. pip install '.[spacy]', or leave the setting out."
        )


class _Rules:
    """The rules of one language."""

    def __init__(self, language: str) -> None:
        language = {"nb": "no", "nn": "no", "bs": "hr", "sh": "hr", "sr": "hr", "simple": "en"}.get(language, language)
        self._words = ANYWHERE | WORDS.get(language, frozenset())
        self._starters = STARTERS if language == "en" else frozenset()
        self._ordinals = language in ORDINALS
        marks = re.escape(STOPS + DANDAS + OWN_STOPS.get(language, ""))
        # Begins with one class, so the search is fast; runs are taken whole, so time is linear. Marks of the writing
        # direction, which Arabic and Hebrew put behind a full stop, belong to it.
        self._candidate = re.compile(rf"""[\n{marks}][{marks}]*+[\])}}"'»”’›\u200e\u200f\u202c]*+""")

    def ends(self, text: str) -> list[int]:
        """Where the sentences of a text end."""
        found = []
        for match in self._candidate.finditer(text):
            if text[match.start()] == "\n":
                found.append(match.start() + 1)
            elif self._is_end(text, match.start(), match.end()):
                found.append(match.end())
        return [*found, len(text)]

    def _is_end(self, text: str, stop: int, end: int) -> bool:
        """Whether the marks text[stop:end] end a sentence."""
        following = text[end : end + 1]
        if text[stop] in DANDAS:
            return following not in WIDE_CLOSING
        if not following.isspace():
            return False
        after = SPACES.match(text, end).end()  # type: ignore[union-attr]
        if text[after : after + 1] in GOES_ON:
            return False
        begin = OPENING.match(text, after).end()  # type: ignore[union-attr]
        first = text[begin : begin + 1]
        if first.islower() and not GEORGIAN.match(first):
            return False
        return text[stop] != "." or text[stop + 1] == "." or not self._is_abbreviation(text, stop, begin)

    def _is_abbreviation(self, text: str, stop: int, begin: int) -> bool:
        """Whether the full stop at `stop` belongs to the word before it; the next sentence would start at `begin`."""
        before = text[max(stop - LOOK_BACK, 0) : stop].rsplit(None, 1)[-1:]
        word = before[0].lstrip("\"'«“„‘(¿¡[") if before and not text[stop - 1].isspace() else ""
        if word.isdigit():
            begins_line = stop == len(word) or text[stop - len(word) - 1] == "\n"
            return (begins_line and len(word) <= 3) or (self._ordinals and len(word) <= 2)
        if self._ordinals and ROMAN.fullmatch(word):
            return True
        lower = NAME_PART.split(word.lower())[-1]
        if lower in BEFORE_NUMBERS and text[begin : begin + 1].isdigit():
            return True
        if lower in AT_NAMES or INITIALS.fullmatch(word):
            following = WORD.match(text, begin)
            return not following or following.group() not in self._starters
        return lower in self._words


def _spacy_splitter(language: str) -> Splitter:
    """spaCy's sentencizer on the language's tokens; on those of any language where it has none of its own."""
    import spacy

    try:
        pipeline: Any = spacy.blank(language)
    except ImportError:
        pipeline = spacy.blank("xx")
    pipeline.add_pipe("sentencizer")

    def ends(text: str) -> list[int]:
        found, start = [], 0
        for line in text.splitlines(keepends=True):
            pipeline.max_length = max(pipeline.max_length, len(line) + 1)
            found += [start + sentence.end_char for sentence in pipeline(line).sents]
            start += len(line)
        return found

    return ends
