"""The little language in which it is written how a template reads; tables/base.toml explains it.

A pattern is compiled once, into a function from a template's arguments to its text, None where an argument that it
needs is missing. It takes time in proportion to the arguments' length.
"""

import re
from collections.abc import Callable, Sequence

from pipelines.wikitext.marks import HOLE
from pipelines.wikitext.units import convert
from pipelines.wikitext.words import Words

Arguments = dict[str, str]
"""Positional arguments under "1", "2", ...; named ones under their names."""
Renderer = Callable[[Arguments], str]
_Part = Callable[[Arguments], str | None]

_TOKEN = re.compile(r"\{([^{}]*)\}|\[\[|\]\]|([\[\]])|[^{}\[\]]+")
_NAME = re.compile(r"-1|\w[\w\-+.]*(?: [\w\-+.]+)*")
_NO = ("", "no", "n", "0", "false", "off")
_MAX_REPEATED = 2_000
"""Code points that a pattern which shows an argument twice may give: nested, it would double each time."""


class PatternError(ValueError):
    """A pattern is not well formed; the message says what is expected."""


def compile_patterns(patterns: Sequence[str], words: Words) -> Renderer:
    """What a template renders to: the text of the first pattern that fits, a HOLE where none does."""
    parts = [_Compiler(pattern, words).compile() for pattern in patterns]
    whole = parts[0] if len(parts) == 1 else _first(parts)

    def render(arguments: Arguments) -> str:
        text = whole(arguments)
        # Single braces that meet would look like a template.
        return HOLE if text is None or "{{" in text or "}}" in text else text

    return render


class _Compiler:
    """Reads one pattern."""

    def __init__(self, pattern: str, words: Words) -> None:
        self._pattern, self._words = pattern, words
        self._shown: list[str] = []
        """Arguments whose text the pattern shows."""

    def compile(self) -> _Part:
        outer: list[str | _Part] = []
        optional: list[str | _Part] | None = None
        position = 0
        while position < len(self._pattern):
            token = _TOKEN.match(self._pattern, position)
            if token is None:
                raise PatternError("a partner for each brace")
            position = token.end()
            if token[2] is None:
                piece = token[0] if token[1] is None else self._field(token[1])
                (outer if optional is None else optional).append(piece)
            elif (token[2] == "[") != (optional is None):
                raise PatternError("a partner for each bracket, and none inside another")
            elif optional is None:
                optional = []
            else:
                outer.append(_optional(_sequence(optional)))
                optional = None
        if optional is not None:
            raise PatternError("a ] for each [")
        repeats = len(set(self._shown)) < len(self._shown) or (len(self._shown) > 1 and "*" in self._shown)
        return _limited(_sequence(outer)) if repeats else _sequence(outer)

    def _field(self, field: str) -> _Part:
        """What stands between braces."""
        if field.startswith("?"):
            return _condition(self._name(field[1:]))
        if field.startswith("*"):
            self._shown.append("*")
            return _all(field[1:])
        name, equals, expected = field.partition("=")
        if equals:
            return _equals(self._name(name), expected.strip())
        function, _, rest = field.partition(" ")
        if function == "convert" and rest in ("", "short"):
            self._shown.append("*")
            return lambda arguments: convert(arguments, self._words, short=rest == "short") or None
        if function == "date" and rest:
            return self._date(rest.split())
        if function in _CHANGES and rest:
            return _changed(self._value(rest), _CHANGES[function], self._words)
        return self._value(field)

    def _value(self, field: str) -> _Part:
        """{1}, {1|text}, {2, 3} or {-1}."""
        names = [self._name(name) for name in re.split("[|,]", field)]
        self._shown += ["*" if name == "-1" else name for name in names]
        if len(names) == 1:
            return _last if names == ["-1"] else _argument(names[0])
        parts = [_last if name == "-1" else _argument(name) for name in names]
        return _first(parts) if "|" in field else _listed(parts)

    def _date(self, names: Sequence[str]) -> _Part:
        if len(names) != 3:
            raise PatternError("year, month and day in a {date}, as in {date 1 2 3}")
        parts = [self._value(name) for name in names]

        def render(arguments: Arguments) -> str | None:
            year, month, day = (part(arguments) or "" for part in parts)
            return self._words.format_date(year, month, day) or None

        return render

    def _name(self, text: str) -> str:
        name = text.strip()
        if _NAME.fullmatch(name) is None:
            raise PatternError(f"an argument's number or name in {{{text}}}")
        return name


def _sequence(pieces: Sequence[str | _Part]) -> _Part:
    """All the pieces one after the other; None where one of them is."""
    if len(pieces) == 1:
        only = pieces[0]
        return (lambda arguments: only) if isinstance(only, str) else only

    def render(arguments: Arguments) -> str | None:
        out = []
        for piece in pieces:
            text = piece if isinstance(piece, str) else piece(arguments)
            if text is None:
                return None
            out.append(text)
        return "".join(out)

    return render


def _optional(part: _Part) -> _Part:
    return lambda arguments: part(arguments) or ""


def _limited(part: _Part) -> _Part:
    def render(arguments: Arguments) -> str | None:
        text = part(arguments)
        return text if text is None or len(text) <= _MAX_REPEATED else None

    return render


def _condition(name: str) -> _Part:
    return lambda arguments: None if arguments.get(name, "").lower() in _NO else ""


def _equals(name: str, expected: str) -> _Part:
    return lambda arguments: "" if arguments.get(name, "") == expected else None


def _argument(name: str) -> _Part:
    # What a dropped template left behind is no text.
    return lambda arguments: None if (text := arguments.get(name)) == HOLE else text or None


def _first(parts: Sequence[_Part]) -> _Part:
    def render(arguments: Arguments) -> str | None:
        for part in parts:
            text = part(arguments)
            if text is not None:
                return text
        return None

    return render


def _listed(parts: Sequence[_Part]) -> _Part:
    return lambda arguments: ", ".join(text for part in parts if (text := part(arguments)) is not None) or None


def _last(arguments: Arguments) -> str | None:
    return next((text for i in range(len(arguments), 0, -1) if (text := arguments.get(str(i))) and text != HOLE), None)


def _all(separator: str) -> _Part:
    def render(arguments: Arguments) -> str | None:
        texts = (text for name, text in arguments.items() if name.isdecimal() and text and text != HOLE)
        return separator.join(texts) or None

    return render


def _changed(part: _Part, change: Callable[[Words, str], str | None], words: Words) -> _Part:
    return lambda arguments: None if (text := part(arguments)) is None else change(words, text)


_CHANGES: dict[str, Callable[[Words, str], str | None]] = {
    "number": Words.format_number,
    "month": Words.format_month,
    "day": lambda words, text: text.lstrip("0") or text,
    "lower": lambda words, text: text.lower(),
    "upper": lambda words, text: text.upper(),
    "first": lambda words, text: text[:1].upper() + text[1:],
}
