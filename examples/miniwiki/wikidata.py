"""Wikidata's JSON array dump: one entity a line, gzip of several members, as the dump's makers write it."""

import hashlib
import json
import zlib

from .facts import Statement, Thing, World, pick, read_table
from .prose import describe

LINES_PER_MEMBER = 100
DISAMBIGUATION = "Q4167410"
REDIRECTED = "Q9000090"
"""An id without a line: what a statement still names after its item became a redirect."""

Json = dict[str, object] | list[object]


def php_map(values: dict) -> Json:
    """PHP cannot tell an empty map from an empty list, and writes `[]`."""
    return values or []


def sha1(*parts: str) -> str:
    """Hex SHA-1 of the parts: what snak hashes and statement ids are cut from."""
    return hashlib.sha1("\x1f".join(parts).encode()).hexdigest()


def item_value(qid: str) -> dict:
    """Datavalue of an item."""
    value = {"entity-type": "item", "numeric-id": int(qid[1:]), "id": qid}
    return {"value": value, "type": "wikibase-entityid"}


def time_value(year: str) -> dict:
    """Datavalue of a year in the Gregorian calendar."""
    value = {
        "time": f"+{int(year):04}-00-00T00:00:00Z",
        "timezone": 0,
        "before": 0,
        "after": 0,
        "precision": 9,
        "calendarmodel": "http://www.wikidata.org/entity/Q1985727",
    }
    return {"value": value, "type": "time"}


def quantity_value(amount: str, unit: str = "1") -> dict:
    """Datavalue of a number, with a unit's item."""
    return {
        "value": {"amount": f"+{amount}", "unit": unit if unit == "1" else f"http://www.wikidata.org/entity/{unit}"},
        "type": "quantity",
    }


def coordinate_value(lat: str, lon: str) -> dict:
    """Datavalue of a place on Earth."""
    value = {
        "latitude": float(lat),
        "longitude": float(lon),
        "altitude": None,
        "precision": 0.1,
        "globe": "http://www.wikidata.org/entity/Q2",
    }
    return {"value": value, "type": "globecoordinate"}


def text_value(text: str, language: str) -> dict:
    """Datavalue of a text in one language."""
    return {"value": {"text": text, "language": language}, "type": "monolingualtext"}


def string_value(text: str) -> dict:
    """Datavalue of strings, external ids, file names and addresses."""
    return {"value": text, "type": "string"}


class Entities:
    """Writes items and properties as the dump's JSON."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.properties = {row["pid"]: row for row in read_table("properties")}
        self.claims: dict[str, list[Statement]] = {}
        for statement in world.statements:
            self.claims.setdefault(statement.head, []).append(statement)

    def items(self) -> list[dict]:
        """All items in the order of their numbers, disambiguations included."""
        made = [self._item(thing) for thing in self.world.things.values()]
        made += [self._disambiguation(row) for row in read_table("disambiguations")]
        return sorted(made, key=lambda item: int(item["id"][1:]))

    def property(self, row: dict[str, str]) -> dict:
        """A property: as an item, with a datatype and without sitelinks."""
        entity = self._entity("property", row["pid"], row["label"], row["description"], row["aliases"])
        return {
            "type": "property",
            "datatype": row["datatype"],
            **{k: v for k, v in entity.items() if k not in ("type", "sitelinks")},
            "claims": [],
            "title": f"Property:{row['pid']}",
        }

    def _entity(self, kind: str, number: str, label: str, description: str, aliases: str) -> dict:
        second, minute = pick(range(60), number, "second"), pick(range(60), number, "minute")
        words = [x for x in aliases.split("; ") if x]
        return {
            "type": kind,
            "id": number,
            "labels": {"en": {"language": "en", "value": label}},
            "descriptions": php_map({"en": {"language": "en", "value": description}} if description else {}),
            "aliases": php_map({"en": [{"language": "en", "value": x} for x in words]} if words else {}),
            "claims": [],
            "sitelinks": [],
            "pageid": 100 + int(number[1:]),
            "ns": 0 if kind == "item" else 120,
            "title": number,
            "lastrevid": 2_000_000_000 + int(sha1(number)[:6], 16),
            "modified": f"2024-06-01T10:{minute:02}:{second:02}Z",
        }

    def _item(self, thing: Thing) -> dict:
        item = self._entity("item", thing.qid, thing.label, describe(self.world, thing), thing.cell("aliases"))
        for language in ("de", "fr"):
            if thing.cell(language):
                item["labels"][language] = {"language": language, "value": thing.cell(language)}
        claims: dict[str, list[dict]] = {}
        for statement in self.claims.get(thing.label, []):
            claims.setdefault(statement.relation, []).append(self._statement(thing.qid, statement))
        for property_id, datavalue in self._literals(thing):
            claim = self._claim(thing.qid, property_id, self._snak(property_id, datavalue), json.dumps(datavalue))
            claims.setdefault(property_id, []).append(claim)
        if thing.label == "Albert Einstein":
            snak = self._snak("P69", item_value(REDIRECTED))
            claims["P69"].append(self._claim(thing.qid, "P69", snak, REDIRECTED))
        item["claims"] = php_map(claims)
        item["sitelinks"] = php_map(self._sitelinks(thing))
        return item

    def _disambiguation(self, row: dict[str, str]) -> dict:
        item = self._entity("item", row["qid"], row["title"], "Wikimedia disambiguation page", "")
        claim = self._claim(row["qid"], "P31", self._snak("P31", item_value(DISAMBIGUATION)), DISAMBIGUATION)
        item["claims"] = {"P31": [claim]}
        item["sitelinks"] = {"enwiki": {"site": "enwiki", "title": row["title"], "badges": []}}
        return item

    def _snak(self, property_id: str, datavalue: dict | None, kind: str = "value", hashed: bool = False) -> dict:
        snak: dict[str, object] = {"snaktype": kind, "property": property_id}
        if hashed:
            snak["hash"] = sha1(property_id, json.dumps(datavalue))
        if datavalue is not None:
            snak["datavalue"] = datavalue
        return snak | {"datatype": self.properties[property_id]["datatype"]}

    def _claim(self, qid: str, property_id: str, snak: dict, key: str, rank: str = "normal") -> dict:
        h = sha1(qid, property_id, key).upper()
        guid = f"{h[:8]}-{h[8:12]}-{h[12:16]}-{h[16:20]}-{h[20:32]}"
        return {"mainsnak": snak, "type": "statement", "id": f"{qid}${guid}", "rank": rank}

    def _statement(self, qid: str, statement: Statement) -> dict:
        value = item_value(self.world.things[statement.tail].qid) if statement.snak == "value" else None
        snak = self._snak(statement.relation, value, statement.snak)
        claim = self._claim(qid, statement.relation, snak, statement.tail, statement.rank)
        if statement.qualifier:
            qualifier = self._snak(statement.qualifier, time_value(statement.time), hashed=True)
            claim |= {"qualifiers": {statement.qualifier: [qualifier]}, "qualifiers-order": [statement.qualifier]}
        if pick([1, 0, 0, 0, 0, 0], qid, statement.relation, statement.tail, "reference"):
            source = self._snak("P854", string_value("https://example.org/facts"))
            read = self._snak("P813", time_value("2023"))
            snaks = {"P854": [source], "P813": [read]}
            claim["references"] = [{"hash": sha1(claim["id"]), "snaks": snaks, "snaks-order": ["P854", "P813"]}]
        return claim

    def _literals(self, thing: Thing) -> list[tuple[str, dict]]:
        cell = thing.cell
        found = []
        if cell("lat"):
            found.append(("P625", coordinate_value(cell("lat"), cell("lon"))))
        for column, property_id in (("born", "P569"), ("died", "P570"), ("founded", "P571"), ("year", "P577")):
            if cell(column) and thing.kind != "solar":
                found.append((property_id, time_value(cell(column))))
        for column, property_id in (("symbol", "P246"), ("iso", "P297")):
            if cell(column) and thing.kind in ("elements", "countries"):
                found.append((property_id, string_value(cell(column))))
        if cell("number"):
            found.append(("P1086", quantity_value(cell("number"))))
        if cell("length"):
            found.append(("P2043", quantity_value(cell("length"), "Q828224")))
        if cell("height"):
            found.append(("P2044", quantity_value(cell("height"), "Q11573")))
        if thing.kind == "cities" and cell("P17") in ("Germany", "Austria"):
            found.append(("P1705", text_value(cell("de"), "de")))
        if thing.page and pick([1, 0, 0], thing.qid, "image"):
            found.append(("P18", string_value(f"{thing.label}.jpg")))
        return found

    def _sitelinks(self, thing: Thing) -> dict[str, dict]:
        links: dict[str, dict] = {}
        if thing.cell("de"):
            links["dewiki"] = {"site": "dewiki", "title": thing.cell("de"), "badges": []}
        if thing.page:
            badges = ["Q17437796"] if pick([1] + [0] * 9, thing.qid, "badge") else []
            links["enwiki"] = {"site": "enwiki", "title": thing.title, "badges": badges}
        elif thing.kind == "other_countries":
            links["frwiki"] = {"site": "frwiki", "title": thing.label, "badges": []}
        return links


ODD_LINES = (
    '{"type":"lexeme","id":"L1347","lemmas":{"en":{"language":"en","value":"river"}},"lexicalCategory":"Q1084",'
    '"language":"Q1860","claims":[],"forms":[],"senses":[],"pageid":54387043,"ns":146,"title":"Lexeme:L1347",'
    '"lastrevid":2000000001,"modified":"2024-06-01T10:00:00Z"}',
    '{"type":"mediainfo","id":"M79","labels":{"en":{"language":"en","value":"The glass door"}},"descriptions":[],'
    '"statements":[],"pageid":79,"ns":6,"title":"File:Glass door.jpg","lastrevid":3,"modified":"2024-06-01T10:00:00Z"}',
    '{"type":"item","id":"Q9000098","labels":{"en":{"language":"en","value":"cut in the mid',
    '{"type":"item","labels":{"en":{"language":"en","value":"item without an id"}},"descriptions":[],"aliases":[],'
    '"claims":[],"sitelinks":[]}',
)
"""Lines that a reader has to skip or refuse: a lexeme, a file, broken JSON, an item without id."""


def lines(world: World) -> list[str]:
    """The dump's entity lines, without the commas between them."""
    entities = Entities(world)
    made = entities.items() + [entities.property(row) for row in read_table("properties")]
    dumped = [json.dumps(entity, separators=(",", ":")) for entity in made]
    step = len(dumped) // (len(ODD_LINES) + 1)
    for number, odd in enumerate(ODD_LINES, start=1):
        dumped.insert(number * step, odd)
    return dumped


def member(text: str) -> bytes:
    """One gzip member, its header written by hand: Python's own differs between versions in the byte for the system."""
    data = text.encode()
    deflate = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    body = deflate.compress(data) + deflate.flush()
    ends = zlib.crc32(data).to_bytes(4, "little") + (len(data) & 0xFFFFFFFF).to_bytes(4, "little")
    return b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\xff" + body + ends


def array(dumped: list[str]) -> bytes:
    """gzip members as the dump's makers write them: "[", batches, commas between the batches, "]"."""
    batches = [dumped[at : at + LINES_PER_MEMBER] for at in range(0, len(dumped), LINES_PER_MEMBER)]
    texts = ["[\n"]
    for number, batch in enumerate(batches):
        texts += ([",\n"] if number else []) + [",\n".join(batch)]
    texts.append("\n]\n")
    return b"".join(member(text) for text in texts)
