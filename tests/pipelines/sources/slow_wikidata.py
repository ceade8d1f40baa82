"""A slow, obvious reader of Wikidata's entities, with json and dicts: the oracle of the fast one."""

from collections import Counter

from pipelines.sources.wikidata import Item, Property
from pipelines.sources.wikidata_languages import language_chain, site_name

KINDS = ("lexeme", "mediainfo", "entity-schema", "form", "sense")


class WrongTypeError(Exception):
    """A value is not of the type that the format says."""


def read_slowly(entity, language="en"):
    """(record, drops) of a decoded line; the record is an Item, a Property, a reject's reason, or None."""
    drops = Counter()
    try:
        return _read(entity, language_chain(language), site_name(language), drops), drops
    except WrongTypeError:
        return "wrong_type", Counter()


def _read(entity, languages, site, drops):
    _check_types(entity, languages, site)
    if entity.get("redirect"):
        drops["entity_redirect"] += 1
        return None
    kind, name = entity.get("type", "item"), entity.get("id", "")
    if kind not in ("item", "property"):
        drops[f"entity_{kind}" if kind in KINDS else "entity_other"] += 1
        return None
    if name == "":
        return "missing_id"
    number = id_number(name, "Q" if kind == "item" else "P")
    if number is None:
        return "invalid_id"
    texts = (
        _first_text(entity.get("labels"), languages),
        _aliases(entity.get("aliases"), languages),
        _first_text(entity.get("descriptions"), languages),
    )
    if kind == "property":
        drops["property_statement"] += count_statements(entity)
        return Property(number, *texts, entity.get("datatype", ""))
    article = (entity.get("sitelinks") or {}).get(site) or {}
    return Item(number, *texts, article.get("title") or None, *_statements(entity, drops))


def count_statements(entity):
    """Statements of an entity, kept or not."""
    return sum(len(group) for group in (entity.get("claims") or {}).values())


def count_qualifiers(entity):
    """Qualifiers of an entity's statements."""
    groups = (entity.get("claims") or {}).values()
    return sum(len(snaks) for group in groups for one in group for snaks in (one.get("qualifiers") or {}).values())


def id_number(text, letter):
    """42 of Q42, else None."""
    digits = text[1:]
    plain = text[:1] == letter and digits != "" and all(digit in "0123456789" for digit in digits)
    if not plain or digits[0] == "0" or len(digits) > 19 or int(digits) >= 2**63:
        return None
    return int(digits)


def _first_text(texts, languages):
    found = [texts[code]["value"] for code in languages if texts and texts.get(code) and texts[code]["value"]]
    return found[0] if found else None


def _aliases(texts, languages):
    found = [[text["value"] for text in texts[code]] for code in languages if texts and texts.get(code)]
    return [text for i, text in enumerate(found[0]) if text and text not in found[0][:i]] if found else []


def _statements(entity, drops):
    drops["qualifier"] += count_qualifiers(entity)
    kept = []
    for relation, group in (entity.get("claims") or {}).items():
        ranks = [one.get("rank", "normal") for one in group]
        best = "preferred" if "preferred" in ranks else "normal"
        tails = []
        for one, rank in zip(group, ranks, strict=True):
            reason, tail = _judge(one["mainsnak"], rank, best)
            if not reason and tail in tails:
                reason = "duplicate"
            if reason:
                drops[reason] += 1
            else:
                tails.append(tail)
        number = id_number(relation, "P")
        if number is None:
            drops["invalid_value"] += len(tails)
        else:
            kept += [(number, tail) for tail in tails]
    return [relation for relation, _ in kept], [tail for _, tail in kept]


def _judge(snak, rank, best):
    """(reason to drop a statement, its item)."""
    if rank == "deprecated":
        return "deprecated", None
    if rank not in ("normal", "preferred"):
        return "invalid_value", None
    if rank != best:
        return "not_best_rank", None
    if snak["snaktype"] in ("novalue", "somevalue"):
        return snak["snaktype"], None
    if snak["snaktype"] != "value" or not snak.get("datavalue"):
        return "invalid_value", None
    if snak["datavalue"]["type"] != "wikibase-entityid":
        return "literal", None
    value = snak["datavalue"]["value"]
    if not isinstance(value, dict):
        return "invalid_value", None
    if value.get("entity-type", "item") != "item":
        return "non_item_entity", None
    number = value.get("numeric-id")
    if type(number) is int and 0 < number < 2**63:
        return "", number
    tail = id_number(value["id"], "Q") if isinstance(value.get("id"), str) else None
    return ("", tail) if tail else ("invalid_value", None)


def _check_types(entity, languages, site):
    _require(isinstance(entity, dict))
    for name in ("id", "type", "redirect", "datatype"):
        _require(isinstance(entity.get(name, ""), str))
    for name in ("labels", "descriptions"):
        for text in _entries(entity.get(name), languages):
            _require_text(text, "value")
    for texts in _entries(entity.get("aliases"), languages):
        _require(isinstance(texts, list))
        for text in texts:
            _require_text(text, "value")
    for link in _entries(entity.get("sitelinks"), [site]):
        _require_text(link, "title")
    claims = entity.get("claims")
    for group in _entries(claims, claims if isinstance(claims, dict) else ()):
        _require(isinstance(group, list))
        for statement in group:
            _check_statement(statement)
    _require(not isinstance(claims, dict) or None not in claims.values())


def _entries(texts, names):
    """The values of some keys that are there and not null; an empty list is an empty map."""
    _require(texts is None or texts == [] or isinstance(texts, dict))
    return [texts[name] for name in names if texts and texts.get(name) is not None]


def _check_statement(statement):
    _require(isinstance(statement, dict) and isinstance(statement.get("mainsnak"), dict))
    _require(isinstance(statement.get("rank", "normal"), str))
    qualifiers = statement.get("qualifiers")
    for snaks in _entries(qualifiers, qualifiers if isinstance(qualifiers, dict) else ()):
        _require(isinstance(snaks, list))
    _require(not isinstance(qualifiers, dict) or None not in qualifiers.values())
    snak = statement["mainsnak"]
    _require(isinstance(snak.get("snaktype"), str))
    value = snak.get("datavalue")
    if value is not None:
        _require(isinstance(value, dict) and isinstance(value.get("type"), str) and "value" in value)


def _require_text(node, name):
    _require(isinstance(node, dict) and isinstance(node.get(name), str))


def _require(condition):
    if not condition:
        raise WrongTypeError
