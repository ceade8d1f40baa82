"""What differs from language to language: link trails, namespace names, redirect words, disambiguation templates.

Facts as MediaWiki and Wikimedia's wikis have them, of every language and wiki they know. What a dump's siteinfo says
goes before.
"""

import dataclasses
import functools
import os
from collections.abc import Mapping

PATH = os.path.join(os.path.dirname(__file__), "languages.jsonl")
"""A first line for all wikis, then one a language; scripts/make_languages.py makes it."""

CANONICAL_NAMESPACES = {
    "media": -2,
    "special": -1,
    "talk": 1,
    "user": 2,
    "user talk": 3,
    "project": 4,
    "project talk": 5,
    "wikipedia": 4,
    "wikipedia talk": 5,
    "wp": 4,
    "file": 6,
    "file talk": 7,
    "image": 6,
    "image talk": 7,
    "mediawiki": 8,
    "mediawiki talk": 9,
    "template": 10,
    "template talk": 11,
    "help": 12,
    "help talk": 13,
    "category": 14,
    "category talk": 15,
    "education program": 446,
    "education program talk": 447,
    "timedtext": 710,
    "timedtext talk": 711,
    "module": 828,
    "module talk": 829,
    "gadget": 2300,
    "gadget talk": 2301,
    "gadget definition": 2302,
    "gadget definition talk": 2303,
    "topic": 2600,
}
"""Lower-cased names that every Wikipedia knows, or knew once."""
_EARLIER_NAMESPACES = {"en": {"book": 108, "book talk": 109}}
"""Namespaces that a wiki had until some years ago."""
_EARLIER_VARIANTS = {"kk": ("kk", "kk-cyrl", "kk-latn", "kk-arab", "kk-kz", "kk-tr", "kk-cn")}
"""Languages whose text MediaWiki converted from script to script until some years ago."""


@dataclasses.dataclass(frozen=True)
class Language:
    """How the wikis of a language are written. A language that MediaWiki doesn't know is written like English."""

    trail: str = "[a-z]*+"
    """Letters behind a link's brackets that belong to its text, as a regex without groups."""
    prefix: str = ""
    """Letters before a link's brackets that belong to its text, as the inside of a regex class."""
    redirect: tuple[str, ...] = ()
    """Lower-cased words that make a page a redirect, "#" among their letters, beside #redirect."""
    namespaces: Mapping[str, int] = dataclasses.field(default_factory=dict)
    """Lower-cased names beside the canonical ones -> namespace number."""
    local: frozenset[str] = frozenset()
    """Prefixes of links that lead to the wiki itself."""
    case_sensitive: bool = False
    """Titles may begin with a small letter."""
    dotted_i: bool = False
    """The capital of "i" is "İ", as in Turkish."""
    variants: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """Lower-cased names of the variants of its text -> their codes, the one of a reader who chose none first."""


@functools.lru_cache(maxsize=8)
def read_language(code: str) -> Language:
    """What holds for the wiki with this code in its address; of an unknown code, "de-x", its first part counts."""
    record = _line(f'{{"code":"{code}",')
    if record is None:
        base, hyphen, _ = code.rpartition("-")
        known = read_language(base) if hyphen else Language()
        return dataclasses.replace(known, local=frozenset([code]))
    return Language(
        trail=record["trail"],
        prefix=record.get("prefix", ""),
        redirect=tuple(record.get("redirect", ())),
        namespaces=_EARLIER_NAMESPACES.get(code, {}) | record.get("namespaces", {}),
        local=frozenset([code, *record.get("local", ())]),
        case_sensitive=record.get("case_sensitive", False),
        dotted_i=record.get("dotted_i", False),
        variants=record.get("variants", {}) or {name: name for name in _EARLIER_VARIANTS.get(code, ())},
    )


@functools.cache
def read_prefixes() -> tuple[frozenset[str], frozenset[str]]:
    """Lower-cased prefixes of links to other wikis: (those to the same page in another language, all)."""
    record = _line('{"source":')
    assert record is not None
    return frozenset(record["languages"]), frozenset(record["interwiki"])


def _line(beginning: str) -> dict | None:
    """The line of the file that begins so."""
    import json  # here: what only imports the parser must not wait for it

    with open(PATH, "rb") as file:
        data = file.read()
    start = data.find(f"\n{beginning}".encode()) + 1
    if start == 0 and not data.startswith(beginning.encode()):
        return None
    return json.loads(data[start : data.index(b"\n", start)])


def _words(text: str) -> frozenset[str]:
    """The words of `text`; "_" in one is a space."""
    return frozenset(word.replace("_", " ") for word in text.split())


DISAMBIGUATION_TEMPLATES = _words(
    """
    disambiguation disambig disamb dab disam disambig-cleanup disambiguation_cleanup disambiguation-cleanup hndis
    hndis-cleanup human_name_disambiguation hospital_disambiguation geodis geo-dis place_name_disambiguation
    letter_disambiguation letter-number_combination_disambiguation letter-number_combination numberdis
    number_disambiguation schooldis school_disambiguation roaddis road_disambiguation mathdab
    mathematical_disambiguation mathematics_disambiguation mountain_index shipindex airport_disambiguation
    airport_disambig callsigndis call_sign_disambiguation caselaw_disambiguation chinese_title_disambiguation
    fish-dab genus_disambiguation species_latin_name_disambiguation species_latin_name_abbreviation_disambiguation
    latin_name_disambiguation molforms molecular_formula_index chemistry_disambiguation opus_disambiguation
    phonetics_disambiguation biology_disambiguation music_disambiguation music_genre_disambiguation
    music_disambiguation/cleanup songdis station_disambiguation stationdis station_dis synagogue_disambiguation
    taxonomic_authority_disambiguation taxonomy_disambiguation template_disambiguation temple_disambiguation
    tva_disambiguation wp_disambig wp_disambiguation ship_index surname_disambiguation given_name_disambiguation
    political_disambiguation portal_disambiguation begriffsklärung bkl homonymie homonymie_de_personnes
    patronyme_disambig toponymie_disambig disambigua disambiga desambiguación desambiguacion desambig desambiguação
    doorverwijspagina ujednoznacznienie disambigr неоднозначность многозначность однофамильцы пояснение
    пояснителна_страница багатозначність неоднозначності omonimia одноимённые förgrening namngrening flertydig peker
    pekerside täsmennyssivu täsmennys rozcestník rozcestník_-_příjmení rozlišovacia_stránka egyért
    egyértelműsítő_lap dezambiguizare anlam_ayrımı anlamayrımı αποσαφήνιση توضيح ابهام‌زدایی ابهامزدایی פירושונים
    aimai 曖昧さ回避 人名の曖昧さ回避 地名の曖昧さ回避 동음이의 동명이인 消歧义 消歧義 消歧義頁 消歧义页 định_hướng
    thể_loại_định_hướng disambigpage вишезначна_одредница razdvojba razločitev argipen apartigilo täpsustus
    nuorodinis nozīmju_atdalīšana
    """
)
"""Lower-cased names of the templates that mark a disambiguation page, of all languages: none is common elsewhere."""

LOCAL_DISAMBIGUATION_TEMPLATES = {
    "es": _words("des"),
    "nl": _words("dp"),
    "sv": _words("gren grensida"),
}
"""Such names that are too short to mean this in every language."""
