"""{{convert|230|acre}} -> "230 acres": the value and unit as given; the converted value is left out."""

import re
from typing import NamedTuple

from pipelines.wikitext.marks import HOLE
from pipelines.wikitext.words import Words

_ONE = re.compile(r"[+\-−]?1(?:\.0+)?")
_SCALE = re.compile("e[0-9]{1,2}")


class _Style(NamedTuple):
    """How a {{convert}} asks for its units."""

    symbols: bool
    adjective: bool
    """A 6-foot wall."""
    american: bool


def convert(arguments: dict[str, str], words: Words, *, short: bool) -> str:
    """Value, range and unit, in words or symbols as abbr and adj say; empty without a value.

    `short` is {{cvt}}, which has symbols unless abbr=off asks for words.
    """
    values = _positional(arguments)
    if not values or values[0] in ("", HOLE):
        return ""
    text, unit_at = words.format_number(values[0]), 1
    while unit_at + 1 < len(values) and values[unit_at] in words.ranges:
        text += words.ranges[values[unit_at]] + words.format_number(values[unit_at + 1])
        unit_at += 2
    if unit_at == len(values):
        return text
    adjective = arguments.get("adj") or arguments.get("sing")
    style = _Style(
        symbols=arguments.get("abbr", "on" if short else "") in ("on", "in", "y", "yes"),
        adjective=adjective in ("on", "1", "mid"),
        american=arguments.get("sp") == "us",
    )
    unit, rest = values[unit_at], values[unit_at + 1 :]
    result = _quantity(text, unit_at == 1 and _is_one(values[0]), unit, words, style)
    # Feet and inches, pounds and ounces: a value and a smaller unit follow.
    if len(rest) > 1 and rest[0][:1].isdigit() and unit in words.units and rest[1] in words.units:
        result += " " + _quantity(rest[0], _is_one(rest[0]), rest[1], words, style)
    # adj=mid|-long: the last value stands behind the unit.
    return result + values[-1] if adjective == "mid" and values[-1].startswith("-") else result


def _positional(arguments: dict[str, str]) -> list[str]:
    values: list[str] = []
    while (value := arguments.get(str(len(values) + 1))) is not None:
        values.append(value)
    return values


def _is_one(value: str) -> bool:
    return _ONE.fullmatch(value) is not None


def _quantity(text: str, is_one: bool, code: str, words: Words, style: _Style) -> str:
    symbol, singular, plural = _unit(code, words)
    if style.symbols or not singular:
        return f"{text} {symbol}"
    if style.american:
        singular, plural = _american(singular), _american(plural)
    if style.adjective:
        return f"{text}-{singular.replace(' ', '-')}"
    return f"{text} {singular if is_one and not _is_scaled(singular, words) else plural}"


def _unit(code: str, words: Words) -> tuple[str, str, str]:
    """(symbol, singular, plural) of a unit's code; no words where the language gives none."""
    names = words.units.get(code)
    if names is not None:
        return names[0], names[1] if len(names) > 1 else "", names[-1] if len(names) > 1 else ""
    scale = _SCALE.match(code)
    if scale and scale[0] in words.units and code[scale.end() :] in words.units:
        word = words.units[scale[0]][0]
        symbol, singular, plural = _unit(code[scale.end() :], words)
        return f"{word} {symbol}", singular and f"{word} {singular}", plural and f"{word} {plural}"
    upper, slash, lower = code.partition("/")
    if not (slash and upper in words.units and lower in words.units):
        return code, "", ""
    top, bottom, per = _unit(upper, words), _unit(lower, words), words.units.get("/", [])
    symbol = f"{top[0]}/{bottom[0]}"
    if len(per) > 1 and top[1] and bottom[1]:
        return symbol, f"{top[1]} {per[1]} {bottom[1]}", f"{top[2]} {per[1]} {bottom[1]}"
    return symbol, "", ""


def _is_scaled(name: str, words: Words) -> bool:
    """1 million barrels, not barrel."""
    first, space, _ = name.partition(" ")
    return bool(space) and any(names[0] == first for code, names in words.units.items() if _SCALE.fullmatch(code))


def _american(word: str) -> str:
    return word.replace("metre", "meter").replace("litre", "liter")
