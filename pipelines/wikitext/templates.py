"""The inline templates that are rendered, from the tables beside this file and a user's own; any other is dropped."""

import functools
import re
from collections.abc import Mapping, Sequence
from typing import Any

from pipelines.wikitext.patterns import Arguments, Renderer, compile_patterns
from pipelines.wikitext.template_tables import merge_tables, parse_table, read_table
from pipelines.wikitext.words import Words

_MAX_NAME = 64
_MAX_KNOWN = 1 << 14
_MAX_KEY = 40
_NOT_IN_KEY = re.compile("[\x00-\x1f<>\\[\\]{}\"'&/:?]")


class Templates:
    """The templates that are rendered on a wiki of one language; made by `load_templates`."""

    def __init__(self, language: str, extra: str = "") -> None:
        self._source = language, extra
        tables = [read_table("base"), read_table(language), parse_table(extra)]
        self._known = _Known(*merge_tables(tables))

    def __reduce__(self) -> tuple[Any, ...]:
        # Functions do not travel to another process: it reads the tables itself, once.
        return load_templates, self._source

    def find(self, name: str) -> Renderer | None:
        """The renderer of the template that is called `name` in wikitext, None for one that is dropped."""
        return self._known[name]


@functools.lru_cache(maxsize=32)
def load_templates(language: str, extra: str) -> Templates:
    """The built-in templates of a language, and over them a user's own: a table as TOML text.

    DataError where that is not well formed.
    """
    return Templates(language, extra)


class _Known(dict[str, Renderer | None]):
    """Renderers by name as typed; a name is looked up once, and compiled when it is first met."""

    def __init__(self, patterns: Mapping[str, Sequence[str] | None], words: Words) -> None:
        self._patterns, self._words = patterns, words
        self._prefixes = sorted((name[:-1] for name in patterns if name.endswith("*")), key=len, reverse=True)

    def __missing__(self, name: str) -> Renderer | None:
        found = self._look_up(name)
        if len(name) <= _MAX_NAME:
            if len(self) >= _MAX_KNOWN:
                self.clear()
            self[name] = found
        return found

    def _look_up(self, name: str) -> Renderer | None:
        function, colon, _ = name[:_MAX_NAME].partition(":")
        if colon and (render := self._compile(f"{function.strip().lower()}:")):
            value = name.partition(":")[2].strip()
            return lambda arguments: render({"1": value})
        if len(name) > _MAX_NAME:
            return None
        key = " ".join(name.replace("_", " ").split()).lower().removeprefix("template:")
        if key not in self._patterns:
            key = next((f"{prefix}*" for prefix in self._prefixes if key.startswith(prefix)), "")
        return self._compile(key)

    def _compile(self, key: str) -> Renderer | None:
        patterns = self._patterns.get(key)
        return compile_patterns(patterns, self._words) if patterns else None


def parse_arguments(content: str) -> Arguments:
    """Arguments of "name|a|k=b"; "|" inside [[...]] does not separate."""
    arguments: Arguments = {}
    position = 0
    for part in _split(content)[1:]:
        key, equals, value = part.partition("=")
        if equals and _is_key(key := key.strip()):
            arguments[key] = value.strip()
        else:
            position += 1
            arguments[str(position)] = part.strip()
    return arguments


def _is_key(text: str) -> bool:
    return 0 < len(text) <= _MAX_KEY and _NOT_IN_KEY.search(text) is None


def _split(content: str) -> list[str]:
    parts = content.split("|")
    if "[[" not in content:
        return parts
    joined: list[str] = []
    open_parts: list[str] = []
    depth = 0
    for part in parts:
        open_parts.append(part)
        depth = max(0, depth + part.count("[[") - part.count("]]"))
        if depth == 0:
            joined.append("|".join(open_parts))
            open_parts = []
    return [*joined, "|".join(open_parts)] if open_parts else joined
