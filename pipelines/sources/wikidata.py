"""Wikidata's JSON dump -> items with their best statements, and properties.

Lines are decoded into typed structs that name only what is used; msgspec skips the rest without building it.
"""

import functools
import os
import re
from collections import Counter
from collections.abc import Iterator
from typing import Annotated, Any, NamedTuple

import msgspec

from pipelines.sources import CUT, Reject
from pipelines.sources.lines import Line, Lost, read_lines
from pipelines.sources.ranges import Range, read_head
from pipelines.sources.wikidata_languages import language_chain, site_name
from schemas.errors import DataError

MAX_LINE = 256 << 20
"""Bytes that an entity may have."""

_MAX_DETAIL = 200
_OTHER_KINDS = ("lexeme", "mediainfo", "entity-schema", "form", "sense")
_UNKNOWN_VALUES = ("novalue", "somevalue")
_LOWER_RANKS = {"normal": "not_best_rank", "deprecated": "deprecated"}

_MAX_NUMBER = 2**63 - 1
_ID = re.compile(rb'"id"\s*:\s*"([A-Z][0-9]{1,19})"')
_PRETTY = re.compile(rb"\s*(\[\s*)?\{\s*\n")
_BOM = b"\xef\xbb\xbf"


class Item(NamedTuple):
    """A Wikidata item; statement i says that `relations[i]` holds between it and `tails[i]`."""

    item: int
    """42 for Q42."""
    label: str | None
    aliases: list[str]
    description: str | None
    title: str | None
    """Its article in the language's Wikipedia."""
    relations: list[int]
    """31 for P31; in the dump's order, the best rank of each relation."""
    tails: list[int]
    """Items only, each once for a relation."""


class Property(NamedTuple):
    """A Wikidata property."""

    relation: int
    """31 for P31."""
    label: str | None
    aliases: list[str]
    description: str | None
    datatype: str
    """wikibase-item where its values are items, else string, time, ..."""


# No gc: what JSON gives has no cycles, and the collector would walk millions of these.
class _Text(msgspec.Struct, gc=False):
    value: str


class _Sitelink(msgspec.Struct, gc=False):
    title: str


class _EntityId(msgspec.Struct, gc=False):
    """A value that is an object. Any: a wrong type costs the statement, not the item."""

    id: Any = None
    kind: Any = msgspec.field(name="entity-type", default="item")
    number: Any = msgspec.field(name="numeric-id", default=None)


class _DataValue(msgspec.Struct, gc=False):
    type: str
    value: _EntityId | str | int | float | bool | list[msgspec.Raw] | None


class _Snak(msgspec.Struct, gc=False):
    snaktype: str
    datavalue: _DataValue | None = None


_Empty = Annotated[list[msgspec.Raw], msgspec.Meta(max_length=0)]
"""PHP writes an empty map as a list."""


class _Statement(msgspec.Struct, gc=False):
    mainsnak: _Snak
    rank: str = "normal"
    qualifiers: dict[str, list[msgspec.Raw]] | _Empty | None = None


class _Identity(msgspec.Struct):
    id: Any = None


_decode_identity = msgspec.json.Decoder(_Identity).decode
_decode_raw = msgspec.json.Decoder(msgspec.Raw).decode
_decode_array = msgspec.json.Decoder(list[msgspec.Raw]).decode
_UNREADABLE = (ValueError, RecursionError)
"""What a decoder raises: msgspec's errors and UnicodeDecodeError are ValueErrors."""


def read_entities(
    range: Range, language: str, drops: Counter[str], max_line: int = MAX_LINE
) -> Iterator[Item | Property | Reject]:
    """Items and properties of the range's lines, and a reject for each line that cannot be read.

    `drops` counts, by reason, every statement of an item that is not kept (not_best_rank, deprecated, novalue,
    somevalue, literal, non_item_entity, invalid_value, duplicate), what is left out beside them (qualifier,
    property_statement) and entities that are neither item nor property (entity_lexeme, ...). Raises DataError where an
    entity is spread over several lines.
    """
    reader = EntityReader(language, drops)
    head = read_head(range.path).removeprefix(_BOM)
    if _PRETTY.match(head):
        raise DataError(
            f"{range.path}: JSON spread over several lines; expected one entity a line, as in Wikidata's dumps. "
            "`jq -c '.[]'` writes an array so, `jq -c .` a single entity."
        )
    is_array = head.lstrip().startswith(b"[")
    last: Line | Lost | None = None
    for line in read_lines(range, max_line, keep_empty=False):
        if isinstance(line, Lost):
            last = line
            yield _reject("", line.reason, CUT if line.reason == "truncated" else f"more than {max_line} bytes")
            continue
        if line.data.strip():
            last = line
        for record in reader.read(line.data):
            if line.ended or not (isinstance(record, Reject) and record.reason == "invalid_json"):
                yield record
            elif not (is_array and _lacks_end(line)):
                yield _reject("", "truncated", CUT)  # where the array's end is missing too, it is said once, below
    is_last = range.end == os.path.getsize(range.path)
    if is_array and isinstance(last, Line) and (is_last or not last.ended) and _lacks_end(last):
        yield _reject("", "truncated", CUT)


def _lacks_end(line: Line) -> bool:
    return not line.data.rstrip().endswith(b"]")


class EntityReader:
    """Decodes lines for one language; counts in `drops` what it leaves out."""

    def __init__(self, language: str, drops: Counter[str]) -> None:
        languages = language_chain(language)
        self._texts = [f"text{i}" for i in range(len(languages))]
        self._decode = _entity_decoder(languages, site_name(language))
        self._drops = drops

    def read(self, line: bytes) -> list[Item | Property | Reject]:
        """What a line holds: an entity as dumps have it, or several where an array stands on one line; nothing for
        an array's brackets, blank lines and entities that are only counted."""
        text = _trim(line)
        record = self._read_entity(text) if text else None
        if isinstance(record, Reject) and record.reason == "invalid_json":
            several = [self._read_entity(bytes(one)) for one in _split_array(text)]
            return [one for one in several if one is not None] if len(several) > 1 else [record]
        return [] if record is None else [record]

    def _read_entity(self, text: bytes | memoryview) -> Item | Property | Reject | None:
        try:
            return self._convert(self._decode(text))
        except _UNREADABLE as error:
            reason, detail = _explain(text, error)
            return _reject(_identity(text), reason, detail)

    def _convert(self, entity: Any) -> Item | Property | Reject | None:
        kind, name = entity.type, entity.id
        if entity.redirect:
            self._drops["entity_redirect"] += 1
            return None
        if kind not in ("item", "property"):
            self._drops[f"entity_{kind}" if kind in _OTHER_KINDS else "entity_other"] += 1
            return None
        if not name:
            return _reject("", "missing_id", "")
        letter = "Q" if kind == "item" else "P"
        number = _number(name, letter)
        if not number:
            return _reject(name[:_MAX_DETAIL], "invalid_id", f"expected {letter} and a number")
        texts = (self._first(entity.labels), self._aliases(entity.aliases), self._first(entity.descriptions))
        if kind == "property":
            if entity.claims:
                self._drops["property_statement"] += sum(map(len, entity.claims.values()))
            return Property(number, *texts, entity.datatype)
        site = entity.sitelinks.site if entity.sitelinks else None
        title = site.title if site else None
        return Item(number, *texts, title or None, *self._statements(entity.claims))

    def _first(self, texts: Any) -> str | None:
        if texts:
            for name in self._texts:
                text = getattr(texts, name)
                if text and text.value:
                    return text.value
        return None

    def _aliases(self, texts: Any) -> list[str]:
        if texts:
            for name in self._texts:
                if values := getattr(texts, name):
                    return list(dict.fromkeys(text.value for text in values if text.value))
        return []

    def _statements(self, claims: Any) -> tuple[list[int], list[int]]:
        relations: list[int] = []
        tails: list[int] = []
        dropped: list[str] = []
        for relation, group in claims.items() if claims else ():
            best = "normal"
            for statement in group:
                if statement.rank == "preferred":
                    best = "preferred"
                    break
            found: dict[int, None] = {}
            for statement in group:
                if statement.qualifiers:
                    dropped += ["qualifier"] * sum(map(len, statement.qualifiers.values()))
                tail = _tail(statement, best)
                if isinstance(tail, str):
                    dropped.append(tail)
                elif tail in found:
                    dropped.append("duplicate")
                else:
                    found[tail] = None
            if found:
                number = _property_number(relation)
                if not number:
                    dropped += ["invalid_value"] * len(found)
                    continue
                relations += [number] * len(found)
                tails += found
        if dropped:
            self._drops.update(dropped)
        return relations, tails


def _tail(statement: _Statement, best: str) -> int | str:
    """The number of the item that a statement of the rank `best` has as its value, else the reason to drop it."""
    snak = statement.mainsnak
    data = snak.datavalue
    if statement.rank != best:
        return _LOWER_RANKS.get(statement.rank, "invalid_value")
    if snak.snaktype != "value":
        return snak.snaktype if snak.snaktype in _UNKNOWN_VALUES else "invalid_value"
    if data is None:
        return "invalid_value"
    if data.type != "wikibase-entityid":
        return "literal"
    value = data.value
    if not isinstance(value, _EntityId):
        return "invalid_value"
    if value.kind != "item":
        return "non_item_entity"
    number = value.number
    if type(number) is int and 0 < number <= _MAX_NUMBER:
        return number
    # Wikibase means to write the id only one day; dumps before 2017 have the number only.
    return (isinstance(value.id, str) and _number(value.id, "Q")) or "invalid_value"


def _trim(line: bytes) -> bytes | memoryview:
    """A line without what the dump's array puts around an entity."""
    if line.startswith(b"{") and line.endswith(b"},"):
        return memoryview(line)[:-1]  # nearly all of them, and a copy costs 5 % of the decoding
    text = line.removeprefix(_BOM).strip(b" \t\r,")
    if text.startswith(b"["):
        text = text[1:].strip()
    if text.endswith(b"]"):
        text = text[:-1].strip()
    return text


def is_item_id(text: str) -> bool:
    """Whether `text` is Q and a positive number that an int64 holds, as Wikidata writes it."""
    return _number(text, "Q") > 0


def is_property_id(text: str) -> bool:
    """Whether `text` is P and a positive number that an int64 holds, as Wikidata writes it."""
    return _number(text, "P") > 0


def _number(text: str, letter: str) -> int:
    """42 for Q42; 0 for what is no such id."""
    try:
        number = int(text[1:])
    except ValueError:
        return 0
    return number if 0 < number <= _MAX_NUMBER and text == f"{letter}{number}" else 0


@functools.lru_cache(maxsize=1 << 15)
def _property_number(text: str) -> int:
    return _number(text, "P")


@functools.lru_cache(maxsize=8)
def _entity_decoder(languages: tuple[str, ...], site: str) -> Any:
    """Decoder of an entity that keeps these languages and this site only."""

    def one_of(name: str, value: Any, names: dict[str, str]) -> Any:
        fields = [(field, value | None, msgspec.field(name=key, default=None)) for field, key in names.items()]
        return msgspec.defstruct(name, fields, gc=False) | _Empty | None

    codes = {f"text{i}": code for i, code in enumerate(languages)}
    fields = {
        "id": str,
        "type": str,
        "redirect": str,
        "datatype": str,
        "labels": one_of("Texts", _Text, codes),
        "aliases": one_of("Aliases", list[_Text], codes),
        "descriptions": one_of("Texts", _Text, codes),
        "sitelinks": one_of("Sitelinks", _Sitelink, {"site": site}),
        "claims": dict[str, list[_Statement]] | _Empty | None,
    }
    defaults = {"id": "", "type": "item", "redirect": "", "datatype": ""}
    entity = msgspec.defstruct("Entity", [(name, kind, defaults.get(name)) for name, kind in fields.items()], gc=False)
    return msgspec.json.Decoder(entity).decode


def _split_array(text: bytes | memoryview) -> list[msgspec.Raw]:
    """The entities of an array on one line; none for what is no array."""
    try:
        return _decode_array(b"[%b]" % text)
    except _UNREADABLE:
        return []


def _explain(text: bytes | memoryview, error: Exception) -> tuple[str, str]:
    """(reason, detail) of a reject."""
    if isinstance(error, msgspec.ValidationError):
        try:
            _decode_raw(text)
        except _UNREADABLE as malformed:
            error = malformed  # behind the wrong type; the line may be cut
        else:
            return "wrong_type", str(error)[:_MAX_DETAIL]
    return "invalid_json", "nested too deeply" if isinstance(error, RecursionError) else str(error)[:_MAX_DETAIL]


def _identity(text: bytes | memoryview) -> str:
    """The id of an entity that cannot be read, where it can still be told; else empty."""
    try:
        found = _decode_identity(text).id
    except _UNREADABLE:
        match = _ID.search(bytes(text).partition(b'"claims"')[0])  # statements have ids, too
        return match[1].decode() if match else ""
    return str(found)[:_MAX_DETAIL] if isinstance(found, str | int) else ""


def _reject(key: str, reason: str, detail: str) -> Reject:
    return Reject("wikidata", key, reason, detail)
