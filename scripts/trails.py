"""MediaWiki's link trails (PCRE) as regexes of Python's `re`, linear in time."""

import re
import unicodedata

_TRAIL = re.compile(r"/\^\((.*)\)\(\.\*\)\$/[sDu]*", re.DOTALL)
_CLASS = re.compile(r"\[((?:[^\]\\]|\\.)*)\]")
_UNIT = re.compile(r"\\x\{([0-9A-Fa-f]+)\}|\\x([0-9A-Fa-f]{2})|\\p\{(\w+)\}|\\(.)|(.)", re.DOTALL)
_SCRIPTS = {"Chakma": [(0x11100, 0x1114F), (0x9E6, 0x9EF), (0x1040, 0x1049)]}
"""Blocks of a script, and the digits that it shares with others."""


def to_regex(trail: str) -> str:
    """The regex that matches what `trail`, "/^(letters+)(.*)$/sDu", takes off the beginning of a text.

    ValueError for a trail of a form not seen yet.
    """
    whole = _TRAIL.fullmatch(trail)
    if whole is None:
        raise ValueError(f"unknown link trail {trail}")
    body = whole[1]
    if not body:
        return ""
    if body == r"\p{L}+":
        return rf"[^\W\d_{_numerals()}]*+"
    optional, body = (":?", body[2:]) if body.startswith(":?[") else ("", body)
    alternatives = body[3:-2].split("|") if body.startswith("(?:") and body.endswith(")+") else [body[:-1]]
    points: set[int] = set()
    others: list[str] = []
    for alternative in alternatives:
        found = _CLASS.fullmatch(alternative)
        if found:
            points |= to_points(found[1])
        elif len(alternative) == 1:
            points.add(ord(alternative))
        else:
            others.append(alternative)
    letters = f"[{to_class(points)}]"
    if optional:
        return f"(?:{optional}{letters}++)?+"
    return f"(?:{'|'.join([*others, letters])})*+" if others else f"{letters}*+"


def to_points(inside: str) -> set[int]:
    """Code points of the inside of a class."""
    points: set[int] = set()
    units = [unit for match in _UNIT.finditer(inside) for unit in _units(match)]
    position = 0
    while position < len(units):
        low, high = units[position]
        # A hyphen behind a range, or at an end, is a letter.
        if position + 2 < len(units) and units[position + 1] == (45, 45) and low == high:
            high = units[position + 2][1]
            position += 2
        points.update(range(low, high + 1))
        position += 1
    return points


def _units(match: re.Match[str]) -> list[tuple[int, int]]:
    if match[3]:
        return _SCRIPTS[match[3]]
    point = int(match[1] or match[2], 16) if match[1] or match[2] else ord(match[4] or match[5])
    return [(point, point)]


def to_class(points: set[int]) -> str:
    """The inside of a class with these code points, as ranges in order."""
    runs: list[list[int]] = []
    for point in sorted(points):
        if runs and runs[-1][1] == point - 1:
            runs[-1][1] = point
        else:
            runs.append([point, point])
    return "".join(
        _shown(low) + ("-" if high - low > 1 else "") + (_shown(high) if high > low else "") for low, high in runs
    )


def _shown(point: int) -> str:
    char = chr(point)
    if char in "-\\]^[":
        return "\\" + char
    return (
        char if unicodedata.category(char)[0] in "LNPS" else f"\\u{point:04x}" if point < 0x10000 else f"\\U{point:08x}"
    )


def _numerals() -> str:
    r"""What [^\W\d_] has beside letters."""
    every = (chr(point) for point in range(0x110000))
    numbers = (char for char in every if char.isnumeric() and not char.isdecimal())
    return to_class({ord(char) for char in numbers if unicodedata.category(char)[0] != "L"})
