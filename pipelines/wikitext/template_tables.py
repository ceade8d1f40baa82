"""Tables of templates: read, checked, and laid one over the other. tables/base.toml explains their form."""

import functools
import tomllib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from pipelines.wikitext.marks import clean_input
from pipelines.wikitext.patterns import PatternError, compile_patterns
from pipelines.wikitext.words import Words
from schemas.errors import DataError, first_line, nearest

TABLES = Path(__file__).with_name("tables")
_SAME_TABLE = {"simple": "en"}
_MAX_PATTERN = 1_000

Table = dict[str, dict[str, Any]]
"""Section -> key -> value."""


@functools.cache
def read_table(name: str) -> Table:
    """A table of ours, empty where the language has none."""
    path = TABLES / f"{_SAME_TABLE.get(name, name)}.toml"
    return tomllib.loads(path.read_text("utf-8")) if name == "base" or path.is_file() else {}


def parse_table(text: str) -> Table:
    """A user's table, checked; DataError says which key is wrong and what is expected."""
    try:
        table = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise DataError(f'not TOML: {first_line(error)}. Expected lines like "name" = "{{1}}".') from error
    for section, content in table.items():
        checks = _CHECKS.get(section)
        if checks is None or not isinstance(content, dict):
            hint = nearest(section, list(_CHECKS))
            raise DataError(f"[{section}] is no section.{hint} Expected: {', '.join(f'[{name}]' for name in _CHECKS)}.")
        for key, value in content.items():
            check = checks.get(key, checks.get("*"))
            if check is None:
                raise DataError(f"[{section}] {key}: unknown.{nearest(key, list(checks))} Known: {', '.join(checks)}.")
            if expected := check(value):
                raise DataError(f"[{section}] {key!r:.80}: expected {expected}, found {value!r:.80}.")
    return table


def merge_tables(tables: Sequence[Table]) -> tuple[dict[str, Sequence[str] | None], Words]:
    """(name of a template -> its patterns, None for one that is dropped; words): a later table wins, key by key."""
    merged: Table = {section: {} for section in _CHECKS}
    patterns: dict[str, Sequence[str] | None] = {}
    for table in tables:
        for section, content in table.items():
            merged[section] |= content
        for names, value in table.get("templates", {}).items():
            found = None if value is False else value if isinstance(value, list) else [value]
            patterns |= {" ".join(name.replace("_", " ").split()).lower(): found for name in names.split(", ")}
    return patterns, Words(**merged["numbers"], **merged["dates"], units=merged["units"], ranges=merged["ranges"])


def _text(value: Any) -> str:
    return "" if _are_texts([value], 1) else "a text"


def _count(value: Any) -> str:
    return "" if type(value) is int and 1 <= value <= 40 else "a whole number from 1 to 40"


def _months(value: Any) -> str:
    return "" if _are_texts(value, 12) else "a list of twelve names"


def _unit(value: Any) -> str:
    return "" if _are_texts(value, 1, 3) else '["symbol"] or ["symbol", "singular", "plural"]'


def _patterns(value: Any) -> str:
    if value is False:
        return ""
    patterns = value if isinstance(value, list) else [value]
    if not patterns or not _are_texts(patterns, len(patterns)) or max(map(len, patterns)) > _MAX_PATTERN:
        return 'a pattern such as "{1}", a list of patterns, or false'
    try:
        compile_patterns(patterns, Words())
    except PatternError as error:
        return str(error)
    return ""


def _are_texts(value: Any, *lengths: int) -> bool:
    # A control character would pass for a mark of ours.
    clean = isinstance(value, list) and all(isinstance(text, str) and clean_input(text) == text for text in value)
    return clean and len(value) in lengths


_CHECKS: dict[str, dict[str, Callable[[Any], str]]] = {
    "templates": {"*": _patterns},
    "numbers": {"decimal": _text, "group": _text, "group_from": _count},
    "dates": {"months": _months, "months_alone": _months, "date": _text, "month_year": _text},
    "units": {"*": _unit},
    "ranges": {"*": _text},
}
"""Section -> key, "*" any -> what is expected instead of a value, empty where all is well."""
