"""Reads PHP literals out of PHP source, which is never run: strings, numbers, arrays, constants, `.` and `+`."""

import re
from collections.abc import Callable, Mapping

Value = str | int | dict
"""An array is a dict, as in PHP."""

_TOKEN = re.compile(
    r"""(?P<skip>(?:\s|\#[^\n]*|//[^\n]*|/\*.*?\*/)+)
    |'(?P<single>(?:[^'\\]|\\.)*)'
    |"(?P<double>(?:[^"\\]|\\.)*)"
    |(?P<number>-?\d+)
    |(?P<variable>\$\w+)
    |(?P<name>[A-Za-z_]\w*)
    |(?P<mark>=>|.)""",
    re.DOTALL | re.VERBOSE,
)
_ESCAPE = re.compile(r"\\(?:u\{([0-9A-Fa-f]+)\}|x([0-9A-Fa-f]{1,2})|([nrtvef\\$\"]))")
_ESCAPED = {"n": "\n", "r": "\r", "t": "\t", "v": "\v", "e": "\x1b", "f": "\f"}


class Literal:
    """The literal that begins at `position` of `source`; `value` is what it denotes, `end` where it ends."""

    def __init__(self, source: str, position: int, names: Mapping[str, Value]) -> None:
        """`names` are the constants and "$variables" that may be in it; ValueError for anything else."""
        self._source = source
        self._names = names
        self.end = position
        self._kind, self._text = "", ""
        self._next()
        self.value = self._sum()

    def _next(self) -> None:
        """Step to the next token."""
        while True:
            token = _TOKEN.match(self._source, self.end)
            if token is None or token.lastgroup is None:
                self._kind, self._text = "end", ""
                return
            self.end = token.end()
            if token.lastgroup != "skip":
                self._kind, self._text = token.lastgroup, token[token.lastgroup]
                return

    def _is(self, mark: str) -> bool:
        return self._kind == "mark" and self._text == mark

    def _require(self, mark: str) -> None:
        if not self._is(mark):
            line = self._source.count("\n", 0, self.end) + 1
            raise ValueError(f"line {line}: expected {mark!r}, found {self._text!r}")
        self._next()

    def _sum(self) -> Value:
        """One value, or several joined by "." (strings) or "+" (arrays, the first one's entries win)."""
        value = self._one()
        while self._is(".") or self._is("+"):
            self._next()
            other = self._one()
            value = {**other, **value} if isinstance(value, dict) else value + other
        return value

    def _one(self) -> Value:
        kind, text = self._kind, self._text
        if kind == "mark" and text == "[":
            self._next()
            return self._array("]")
        self._next()
        if kind == "name" and text == "array" and self._is("("):
            self._next()
            return self._array(")")
        if kind == "name" and text in ("true", "false"):
            return int(text == "true")
        readers: dict[str, Callable[[str], Value]] = {"single": _single, "double": _double, "number": int}
        if kind in readers:
            return readers[kind](text)
        if text in self._names:
            return self._names[text]
        line = self._source.count("\n", 0, self.end) + 1
        raise ValueError(f"line {line}: expected a literal, found {text!r}")

    def _array(self, closer: str) -> dict:
        entries: dict = {}
        following = 0
        while not self._is(closer):
            key: Value = following
            value = self._sum()
            if self._is("=>"):
                self._next()
                key, value = value, self._sum()
            entries[key] = value
            following = max(following, key + 1) if isinstance(key, int) else following
            if not self._is(closer):
                self._require(",")
        self._next()
        return entries


def _single(text: str) -> str:
    return re.sub(r"\\([\\'])", r"\1", text)


def _double(text: str) -> str:
    def read(escape: re.Match[str]) -> str:
        if escape[3]:
            return _ESCAPED.get(escape[3], escape[3])
        return chr(int(escape[1] or escape[2], 16))

    return _ESCAPE.sub(read, text)


def find(source: str, pattern: str, names: Mapping[str, Value]) -> Value | None:
    """The literal behind the last place where `pattern` matches, "^" a line's beginning; None where it does not."""
    places = [match.end() for match in re.finditer(pattern, source, re.MULTILINE)]
    return Literal(source, places[-1], names).value if places else None
