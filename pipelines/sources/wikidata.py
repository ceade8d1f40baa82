"""Wikidata's JSON dump -> items with their best statements, and properties.

Lines are decoded into typed structs that name only what is used; msgspec skips the rest without building it.
"""

import functools
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import msgspec

from pipelines.sources import CUT, Reject
from pipelines.sources.lines import Line, Lost, read_lines
from pipelines.sources.ranges import Range, read_head

MAX_LINE = 256 << 20
"""Bytes that an entity may have."""

_MAX_DETAIL = 200
_OTHER_KINDS = ("lexeme", "mediainfo", "entity-schema", "form", "sense")

_ITEM = re.compile(r"Q[1-9][0-9]{0,18}")
_PROPERTY = re.compile(r"P[1-9][0-9]{0,18}")
_MAX_NUMBER = 2**63 - 1
_WIKI_LANGUAGES = {  # wikis whose name is not their language's code in Wikidata
    "als": "gsw",
    "bat-smg": "sgs",
    "be-x-old": "be-tarask",
    "fiu-vro": "vro",
    "no": "nb",
    "roa-rup": "rup",
    "simple": "en",
    "zh-classical": "lzh",
    "zh-min-nan": "nan",
    "zh-yue": "yue",
}
_RELATED_LANGUAGES = {"zh": ("zh-hans", "zh-cn", "zh-hant", "zh-tw"), "sr": ("sr-ec", "sr-el"), "nb": ("no", "nn")}


class Item(NamedTuple):
    """A Wikidata item."""

    entity: str
    label: str | None
    aliases: list[str]
    description: str | None
    title: str | None
    """Its article in the language's Wikipedia."""
    statements: list[tuple[str, str]]
    """(relation, tail), distinct, in the dump's order: the best rank of each relation, items only."""


class Property(NamedTuple):
    """A Wikidata property."""

    relation: str
    label: str | None
    aliases: list[str]
    description: str | None
    datatype: str


class _Text(msgspec.Struct):
    value: str


class _Sitelink(msgspec.Struct):
    title: str


class _EntityId(msgspec.Struct):
    id: str = ""
    kind: str = msgspec.field(name="entity-type", default="item")
    number: int = msgspec.field(name="numeric-id", default=0)


class _DataValue(msgspec.Struct):
    type: str
    value: msgspec.Raw


class _Snak(msgspec.Struct):
    snaktype: str
    datavalue: _DataValue | None = None


class _Statement(msgspec.Struct):
    mainsnak: _Snak
    rank: str = "normal"
    qualifiers: dict[str, list[msgspec.Raw]] | list[msgspec.Raw] = {}


class _Identity(msgspec.Struct):
    id: Any = None


_decode_entity_id = msgspec.json.Decoder(_EntityId).decode
_decode_identity = msgspec.json.Decoder(_Identity).decode


def language_chain(language: str) -> tuple[str, ...]:
    """Languages in which labels are looked for, first to last: the wiki's own, close variants of it, its base
    language, Wikidata's "mul" (any language), English."""
    own = _WIKI_LANGUAGES.get(language, language)
    base = own.partition("-")[0]
    chain = (own, *_RELATED_LANGUAGES.get(own, ()), base, "mul", "en")
    return tuple(dict.fromkeys(chain))


def read_entities(
    range: Range, language: str, drops: Counter[str], max_line: int = MAX_LINE
) -> Iterator[Item | Property | Reject]:
    """Items and properties of the range's lines, and a reject for each line that cannot be read.

    `drops` counts, by reason, every statement of an item that is not in its `statements` (not_best_rank, deprecated,
    novalue, somevalue, literal, non_item_entity, invalid_value, duplicate), what is left out beside them (qualifier,
    property_statement) and entities that are neither item nor property (entity_lexeme, ...).
    """
    reader = _Reader(language, drops)
    is_array = read_head(range.path).lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"[")
    last: Line | Lost | None = None
    for line in read_lines(range, max_line):
        if isinstance(line, Lost):
            last = line
            yield _reject("", line.reason, CUT if line.reason == "truncated" else f"more than {max_line} bytes")
            continue
        if line.data.strip():
            last = line
        record = reader.read(line.data)
        if record is not None and (line.ended or not isinstance(record, Reject)):
            yield record
        elif record is not None and not (is_array and _lacks_end(line)):
            yield _reject("", "truncated", CUT)  # cut inside a line; where the array's end is missing too, say it once
    is_last = range.end == os.path.getsize(range.path)
    if is_array and isinstance(last, Line) and (is_last or not last.ended) and _lacks_end(last):
        yield _reject("", "truncated", CUT)


def _lacks_end(line: Line) -> bool:
    return not line.data.rstrip().endswith(b"]")


class _Reader:
    """Decodes lines for one language; counts what it drops."""

    def __init__(self, language: str, drops: Counter[str]) -> None:
        self._languages = language_chain(language)
        self._decode = _entity_decoder(self._languages, language.replace("-", "_") + "wiki")
        self._drops = drops

    def read(self, line: bytes) -> Item | Property | Reject | None:
        """The entity on a line; None for the array's brackets, blank lines, and entities of other kinds."""
        line = line.strip(b" \t\r,")
        if line.startswith(b"\xef\xbb\xbf"):
            line = line[3:]
        if line.startswith(b"["):
            line = line[1:].strip()
        if line.endswith(b"]"):
            line = line[:-1].strip()
        if not line:
            return None
        try:
            entity = self._decode(line)
        except msgspec.ValidationError as error:
            return _reject(_identity(line), "wrong_type", str(error)[:_MAX_DETAIL])
        except msgspec.DecodeError as error:
            return _reject("", "invalid_json", str(error)[:_MAX_DETAIL])
        except RecursionError:
            return _reject("", "invalid_json", "nested too deeply")
        return self._convert(entity)

    def _convert(self, entity: Any) -> Item | Property | Reject | None:
        if entity.redirect:
            self._drops["entity_redirect"] += 1
            return None
        if entity.type not in ("item", "property"):
            self._drops[f"entity_{entity.type}" if entity.type in _OTHER_KINDS else "entity_other"] += 1
            return None
        if not entity.id:
            return _reject("", "missing_id", "")
        texts = (self._first(entity.labels), self._aliases(entity.aliases), self._first(entity.descriptions))
        if entity.type == "property":
            if not is_property_id(entity.id):
                return _reject(entity.id[:_MAX_DETAIL], "invalid_id", "expected P and a number")
            if entity.claims:
                self._drops["property_statement"] += sum(map(len, _items(entity.claims)))
            return Property(entity.id, *texts, entity.datatype)
        if not is_item_id(entity.id):
            return _reject(entity.id[:_MAX_DETAIL], "invalid_id", "expected Q and a number")
        statements = self._statements(entity.claims)
        sitelink = None if isinstance(entity.sitelinks, list) else entity.sitelinks.site
        return Item(entity.id, *texts, sitelink.title if sitelink and sitelink.title else None, statements)

    def _first(self, texts: Any) -> str | None:
        if isinstance(texts, list):
            return None
        found = (text.value for name in texts.__struct_fields__ if (text := getattr(texts, name)) and text.value)
        return next(found, None)

    def _aliases(self, texts: Any) -> list[str]:
        if isinstance(texts, list):
            return []
        found = (values for name in texts.__struct_fields__ if (values := getattr(texts, name)))
        return list(dict.fromkeys(text.value for text in next(found, ()) if text.value))

    def _statements(self, claims: Any) -> list[tuple[str, str]]:
        kept: dict[tuple[str, str], None] = {}
        for relation, group in claims.items() if isinstance(claims, dict) else ():
            best = "preferred" if any(one.rank == "preferred" for one in group) else "normal"
            for statement in group:
                if statement.qualifiers:
                    self._drops["qualifier"] += sum(map(len, _items(statement.qualifiers)))
                reason, tail = _value(statement, best) if is_property_id(relation) else ("invalid_value", "")
                if not reason and (relation, tail) in kept:
                    reason = "duplicate"
                if reason:
                    self._drops[reason] += 1
                else:
                    kept[relation, tail] = None
        return list(kept)


def _value(statement: _Statement, best: str) -> tuple[str, str]:
    """("", tail) of a statement that is kept, else (reason, "")."""
    if statement.rank != best:
        known = statement.rank in ("normal", "deprecated")
        return ("deprecated" if statement.rank == "deprecated" else "not_best_rank" if known else "invalid_value"), ""
    snak = statement.mainsnak
    if snak.snaktype != "value":
        return (snak.snaktype if snak.snaktype in ("novalue", "somevalue") else "invalid_value"), ""
    if snak.datavalue is None:
        return "invalid_value", ""
    if snak.datavalue.type != "wikibase-entityid":
        return "literal", ""
    try:
        value = _decode_entity_id(snak.datavalue.value)
    except msgspec.DecodeError:
        return "invalid_value", ""
    if value.kind != "item":
        return "non_item_entity", ""
    tail = value.id or f"Q{value.number}"  # dumps before 2017 have the number only
    return ("", tail) if is_item_id(tail) else ("invalid_value", "")


def is_item_id(text: str) -> bool:
    """Whether `text` is Q and a positive number that an int64 holds, as Wikidata writes it."""
    return _ITEM.fullmatch(text) is not None and int(text[1:]) <= _MAX_NUMBER


def is_property_id(text: str) -> bool:
    """Whether `text` is P and a positive number that an int64 holds, as Wikidata writes it."""
    return _PROPERTY.fullmatch(text) is not None and int(text[1:]) <= _MAX_NUMBER


@functools.lru_cache(maxsize=8)
def _entity_decoder(languages: tuple[str, ...], site: str) -> Any:
    """Decoder of an entity that keeps these languages and this site only; PHP writes an empty map as []."""

    def one_of(name: str, value: Any, default: Any) -> Any:
        fields = [(f"text{i}", value, msgspec.field(name=code, default=default)) for i, code in enumerate(languages)]
        return msgspec.defstruct(name, fields)

    texts = one_of("Texts", _Text | None, None) | list[msgspec.Raw]
    aliases = one_of("Aliases", list[_Text] | None, None) | list[msgspec.Raw]
    sitelinks = msgspec.defstruct("Sitelinks", [("site", _Sitelink | None, msgspec.field(name=site, default=None))])
    entity = msgspec.defstruct(
        "Entity",
        [
            ("id", str, ""),
            ("type", str, "item"),
            ("redirect", str, ""),
            ("datatype", str, ""),
            ("labels", texts, msgspec.field(default_factory=list)),
            ("aliases", aliases, msgspec.field(default_factory=list)),
            ("descriptions", texts, msgspec.field(default_factory=list)),
            ("sitelinks", sitelinks | list[msgspec.Raw], msgspec.field(default_factory=list)),
            ("claims", dict[str, list[_Statement]] | list[msgspec.Raw], msgspec.field(default_factory=list)),
        ],
    )
    return msgspec.json.Decoder(entity).decode


def _items(groups: dict[str, list[Any]] | list[Any]) -> Iterable[list[Any]]:
    return groups.values() if isinstance(groups, dict) else ()


def _identity(line: bytes) -> str:
    try:
        found = _decode_identity(line).id
    except (msgspec.MsgspecError, RecursionError):
        return ""
    return str(found)[:_MAX_DETAIL] if isinstance(found, str | int) else ""


def _reject(key: str, reason: str, detail: str) -> Reject:
    return Reject("wikidata", key, reason, detail)
