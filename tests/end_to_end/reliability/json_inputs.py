"""Wikidata dumps that are hostile, odd or broken as JSON, and entities that are odd as entities."""

import codecs
import json
from collections.abc import Callable

from tests.end_to_end.reliability.inputs_tried import COUNT, ENTITIES, Kind, whole_entities
from tests.pipelines.sources.inputs import entity, statement

WHOLE = whole_entities()
LINES = [line.rstrip(b",") for line in WHOLE.splitlines()[1:-1]]


def _kind(data: "bytes | str", **expected: object) -> Kind:
    made = data.encode("utf-8", "surrogateescape") if isinstance(data, str) else data
    return Kind(ENTITIES, lambda: made, **expected)  # type: ignore[arg-type]


def _with(odd: str, **expected: object) -> Kind:
    """Two items, with an odd line between them."""
    return _large(lambda: odd, **expected)


def _large(odd: Callable[[], str], **expected: object) -> Kind:
    """The same, made when it is needed."""

    def make() -> bytes:
        lines = f"[\n{json.dumps(entity(1))},\n{odd()},\n{json.dumps(entity(2))}\n]\n"
        return lines.encode("utf-8", "surrogateescape")

    return Kind(ENTITIES, make, **expected)  # type: ignore[arg-type]


def _item(**more: object) -> str:
    return json.dumps(entity(3) | more)


def _claim(**snak: object) -> str:
    return _item(claims={"P31": [{"mainsnak": snak, "rank": "normal"}]})


INVALID = {"kept": 2, "rejects": ("invalid_json",)}
WRONG = {"kept": 2, "rejects": ("wrong_type",)}
FILES = {
    "an array on one line": _kind(b"[" + b",".join(LINES) + b"]"),
    "lines without an array": _kind(b"\n".join(LINES)),
    "lines of Windows": _kind(WHOLE.replace(b"\n", b"\r\n")),
    "a byte order mark": _kind(codecs.BOM_UTF8 + WHOLE),
    "UTF-16": _kind(WHOLE.decode().encode("utf-16")),
    "no bracket first": _kind(WHOLE[2:]),
    "no bracket last": _kind(WHOLE[:-2], kept=COUNT, rejects=("truncated",)),
    "no bracket and no newline last": _kind(WHOLE[:-3], kept=COUNT, rejects=("truncated",)),
    "cut in an item": _kind(WHOLE[: len(WHOLE) * 2 // 3], kept=(1, COUNT - 1), rejects=("truncated",)),
    "brackets alone": _kind(b"[\n]\n", kept=0),
    "an empty array": _kind(b"[]", kept=0),
    "blank lines between": _kind(WHOLE.replace(b"\n", b"\n\n\n")),
    "no commas": _kind(WHOLE.replace(b",\n", b"\n")),
    "two commas": _kind(WHOLE.replace(b",\n", b",,\n")),
    "a trailing comma": _kind(WHOLE.replace(b"\n]", b",\n]")),
    "two arrays": _kind(WHOLE + WHOLE, kept=2 * COUNT),
    "one item, no newline": _kind(LINES[0], kept=1),
    "spread over lines": _kind(json.dumps([entity(1)], indent=1), error="one entity a line"),
    "one object of all": _kind(json.dumps({"entities": {"Q1": entity(1)}}), kept=0, rejects=("missing_id",)),
    "text": _kind(b"just words\nand more\n", kept=0, rejects=("invalid_json",)),
    "an HTML page": _kind(b"<html>404</html>", error="an HTML page"),
    "XML": _kind(b"<mediawiki><page></page></mediawiki>\n", kept=0, rejects=("invalid_json",)),
    "old line ends of Macs": _kind(WHOLE.replace(b"\n", b"\r"), kept=(0, COUNT)),
    "JSON text sequences": _kind(b"\x1e" + b"\n\x1e".join(LINES) + b"\n", kept=0, rejects=("invalid_json",)),
    "items on one line, without an array": _kind(b"".join(LINES) + b"\n", kept=0, rejects=("invalid_json",)),
}
LINE = {
    "no JSON": _with("heron", **INVALID),
    "nested 100,000 deep": _with("[" * 100_000 + "]" * 100_000, **INVALID),
    "labels nested 100,000 deep": _with('{"id": "Q3", "labels": ' + '{"x":' * 100_000 + "1" + "}" * 100_001, **INVALID),
    "what is skipped nested 100,000 deep": _with('{"id": "Q3", "x": ' + "[" * 100_000 + "]" * 100_000 + "}", **INVALID),
    "a lone surrogate escape": _with('{"id": "Q3", "labels": {"en": {"value": "\\ud83d"}}}', **INVALID),
    "surrogate escapes the wrong way round": _with(
        '{"id": "Q3", "labels": {"en": {"value": "\\ude00\\ud83d"}}}', **INVALID
    ),
    "a pair of surrogate escapes": _with('{"id": "Q3", "labels": {"en": {"value": "\\ud83d\\ude00"}}}', kept=3),
    "a byte that is no UTF-8": _with('{"id": "Q3", "labels": {"en": {"value": "\udcff"}}}', **INVALID),
    "NUL": _with('{"id": "Q3\0"}', may_fail=True, **INVALID),
    "NUL escaped": _with('{"id": "Q3", "labels": {"en": {"value": "\\u0000"}}}', kept=3),
    "single quotes": _with("{'id': 'Q3'}", **INVALID),
    "a comment": _with('{"id": "Q3"} // heron', **INVALID),
    "NaN": _with('{"id": "Q3", "x": NaN}', **INVALID),
    "Infinity": _with('{"id": "Q3", "x": Infinity}', **INVALID),
    "a number of 100,000 digits": _with('{"id": "Q3", "x": ' + "9" * 100_000 + "}", kept=(2, 3), rejects=()),
    "a number of 1e999": _with('{"id": "Q3", "x": 1e999}', kept=(2, 3), rejects=()),
    "a key twice": _with('{"id": "Q9", "id": "Q3"}', kept=3),
    "a trailing comma": _with('{"id": "Q3",}', **INVALID),
    "null": _with("null", **WRONG),
    "a number": _with("3", **WRONG),
    "a text": _with('"Q3"', **WRONG),
}
ENTITY = {
    "an integer id": _with('{"type": "item", "id": 3}', **WRONG),
    "no id": _with('{"type": "item"}', kept=2, rejects=("missing_id",)),
    "an id of 10^30": _with(f'{{"id": "Q{10**30}"}}', kept=2, rejects=("invalid_id",)),
    "an id of 5,000 digits": _with(f'{{"id": "Q{"9" * 5000}"}}', kept=2, rejects=("invalid_id",)),
    "an id in other digits": _with('{"id": "Q३"}', kept=2, rejects=("invalid_id",)),
    "an id that leads up": _with('{"id": "../Q3"}', kept=2, rejects=("invalid_id",)),
    "the same item twice": _with(json.dumps(entity(2)), kept=3),
    "labels as a list": _with(_item(labels=[]), kept=3),
    "labels as a full list": _with(_item(labels=[1]), **WRONG),
    "claims as a list": _with(_item(claims=[]), kept=3),
    "a claim without a snak": _with(_item(claims={"P31": [{}]}), **WRONG),
    "a claim of an item of 10^30": _with(_item(claims={"P31": [statement(f"Q{10**30}")]}), kept=3),
    "a claim of no item": _with(
        _claim(snaktype="value", datavalue={"type": "wikibase-entityid", "value": {"id": 7, "numeric-id": "x"}}), kept=3
    ),
    "a claim of nothing": _with(_claim(snaktype="value"), kept=3),
    "a claim of an unknown kind": _with(_claim(snaktype="heron"), kept=3),
    "a property that is none": _with(_item(claims={"heron": [statement("Q1")]}), kept=3),
    "100,000 claims": _large(lambda: _item(claims={"P31": [statement("Q1")] * 100_000}), kept=3),
    "a label of 10 MB": _large(lambda: _item(labels={"en": {"language": "en", "value": "x" * 10_000_000}}), kept=3),
    "a label of markup": _with(_item(labels={"en": {"language": "en", "value": "<script>alert(1)</script>"}}), kept=3),
    "100,000 languages": _large(
        lambda: _item(labels={f"x{i}": {"language": f"x{i}", "value": "a"} for i in range(100_000)}), kept=3
    ),
    "a lexeme": _with('{"type": "lexeme", "id": "L3"}', kept=2),
    "a redirect": _with('{"entity": "Q3", "redirect": "Q1"}', kept=2),
    "a property": _with('{"type": "property", "id": "P3", "datatype": "string"}', kept=3),
}
JSON = {f"JSON: {name}": kind for found in (FILES, LINE, ENTITY) for name, kind in found.items()}
