"""What the parser must know of a wiki, and how it names pages."""

import dataclasses
import functools
import html
import re
import unicodedata
from collections.abc import Mapping
from urllib.parse import unquote_to_bytes

from pipelines.wikitext.entities import unescape
from pipelines.wikitext.languages import CANONICAL_NAMESPACES, LANGUAGES, PROJECTS, TRAILS, local_namespaces
from pipelines.wikitext.templates import Templates, load_templates

FILE, CATEGORY, MEDIA = 6, 14, -2

PROTOCOL = (
    r"(?i:(?:(?:https?|s?ftp|ftps|gopher|ircs?|ssh|svn|git|telnet|nntp|worldwind|mms|redis|ldap)?:)?//"
    r"|(?:mailto|news|urn|geo|tel|magnet|bitcoin|sips?|sms|xmpp):)"
)
"""What an external link begins with, as a regex without groups."""
_ADDRESS = re.compile(rf"\s*{PROTOCOL}")
_NAMESPACE = re.compile(r'<namespace\b[^<>]*?\bkey="(-?\d{1,6})"[^<>]*>([^<]{1,200})</namespace>')
_OVERLONG = re.compile(r"&#(?:[0-9]{9,}|[xX][0-9a-fA-F]{8,});")
_PLAIN_TITLE = re.compile(r"[A-Za-z0-9][A-Za-z0-9,.'()!?-]*+(?: [A-Za-z0-9(][A-Za-z0-9,.'()!?-]*+)*+")
_SPACE = re.compile("[ _\t\n\xa0\u1680\u180e\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]+")
_INVISIBLE = re.compile("[\u200e\u200f\u202a-\u202e]")
_ILLEGAL = re.compile(
    "[\x00-\x1f\x7f<>\\[\\]{}|\ufffd\ud800-\udfff]|^\\.\\.?$|^\\.\\.?/|/\\.\\.?/|/\\.\\.?$|~~~|%[0-9A-Fa-f]{2}|&#?[A-Za-z0-9]+;"
)
_SUSPECT = re.compile("[\x00-\x1f\x7f<>\\[\\]{}|\ufffd\ud800-\udfff~%&./]")
"""What every illegal title has; one class is searched many times as fast as the alternatives above."""
MAX_TITLE = 255
"""Bytes of UTF-8 that MediaWiki stores of a title."""


@dataclasses.dataclass(frozen=True)
class Site:
    """A wiki's language, namespaces, interwiki prefixes and title rules."""

    language: str
    namespaces: Mapping[str, int]
    """Lower-cased local names, canonical English names and aliases -> namespace number."""
    interwiki: frozenset[str]
    """Prefixes of links to other wikis, lower-cased, languages among them."""
    templates: Templates
    """The templates that are rendered."""
    first_letter: bool = True
    """Titles start with a capital."""

    @classmethod
    def from_siteinfo(cls, xml: bytes | None, language: str, extra_templates: str = "") -> "Site":
        """From the dump header's <siteinfo>; what it leaves open, or all without it, from built-in tables.

        `extra_templates` is the TOML text of templates beside the built-in ones.
        """
        text = (xml or b"").decode(errors="replace")
        named = ((html.unescape(name).lower().replace("_", " "), int(key)) for key, name in _NAMESPACE.findall(text))
        return cls(
            language=language,
            namespaces=CANONICAL_NAMESPACES | local_namespaces(language) | dict(named),
            interwiki=LANGUAGES | PROJECTS,
            templates=load_templates(language, extra_templates),
            first_letter="<case>case-sensitive</case>" not in text,
        )

    def __getstate__(self) -> dict[str, object]:
        """The fields without what was derived from them."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}

    @functools.cached_property
    def trail(self) -> str:
        """Letters behind a link's brackets that belong to its text, as a regex without groups."""
        letters = TRAILS.get(self.language, "a-z")
        return f"[{letters}]*+" if letters else ""

    @functools.cached_property
    def article_titles(self) -> "ArticleTitles":
        """Titles of the articles that targets lead to, as far as met."""
        return ArticleTitles(self)

    def normalize_title(self, raw: str) -> str:
        """The page that a link's target or a title as typed names, without fragment; empty where it names none.

        Entities, percent-encoding, underscores, spaces, leading colon and the first letter are normalised.
        """
        return self.resolve(raw)[1]

    def resolve(self, raw: str) -> tuple[str, str]:
        """(kind, title) of a link's target.

        Kinds: article, category, file, media, other_namespace, language, interwiki, and, with an empty title,
        fragment_only and invalid_title.
        """
        if title := self.plain_title(raw):
            return "article", title
        name, hash_sign, _ = _decode(raw).partition("#")
        title = _SPACE.sub(" ", name).strip(" ").removeprefix(":").lstrip(" ")
        if not title:
            return ("fragment_only" if hash_sign else "invalid_title"), ""
        if (_SUSPECT.search(title) and _ILLEGAL.search(title)) or title[0] == ":" or len(title.encode()) > MAX_TITLE:
            return "invalid_title", ""
        prefix, colon, rest = title.partition(":")
        if colon:
            key, rest = prefix.rstrip(" ").lower(), rest.lstrip(" ")
            number = self.namespaces.get(key)
            if number is not None and number != 0:
                kind = {FILE: "file", MEDIA: "media", CATEGORY: "category"}.get(number, "other_namespace")
                title = f"{_capital(prefix.rstrip(' '))}:{self._first(rest)}"
                return (kind, title) if rest else ("invalid_title", "")
            if key in self.interwiki:
                return ("language" if key in LANGUAGES else "interwiki"), title
        return "article", self._first(title)

    def plain_title(self, raw: str) -> str:
        """The title that a target of plain letters names, as most are; empty where it needs a second look."""
        if _PLAIN_TITLE.fullmatch(raw) and len(raw) <= MAX_TITLE:
            return raw[0].upper() + raw[1:] if self.first_letter else raw
        return ""

    def namespace_of(self, title: str) -> int:
        """Number of the namespace that a title's prefix names, 0 for an article."""
        prefix, colon, _ = title.partition(":")
        return self.namespaces.get(_SPACE.sub(" ", prefix).strip(" ").lower(), 0) if colon else 0

    def _first(self, title: str) -> str:
        return _capital(title) if self.first_letter else title


class ArticleTitles(dict[str, str]):
    """Target as typed -> article's title; empty for what is no plain link to an article."""

    _MOST = 1 << 17
    """Targets remembered; then it begins anew."""

    def __init__(self, site: Site) -> None:
        super().__init__()
        self._site = site

    def __missing__(self, target: str) -> str:
        if len(self) >= self._MOST:
            self.clear()
        title = self._site.plain_title(target)
        if not title and "//" not in target and "%" not in target and not target.lstrip().startswith(":"):
            kind, name = self._site.resolve(target)
            title = name if kind == "article" and not (":" in name and is_external(target)) else ""
        self[target] = title
        return title


def is_external(target: str) -> bool:
    """Whether [[target]] is an external link in one bracket too many."""
    return _ADDRESS.match(target) is not None


def percent_decode(text: str) -> str:
    """%C3%A9 replaced by é; `text` itself where it is not all UTF-8."""
    if "%" not in text:
        return text
    try:
        return unquote_to_bytes(text.encode()).decode()
    except UnicodeError:
        return text


def _decode(raw: str) -> str:
    text = percent_decode(raw)
    if "&" in text:
        text = unescape(_OVERLONG.sub("\ufffd", text))
    if text.isascii():
        return text
    return unicodedata.normalize("NFC", _INVISIBLE.sub("", text))


def _capital(text: str) -> str:
    """MediaWiki's ucfirst: one letter to one letter, and Georgian has no capitals."""
    first = text[:1]
    upper = first.upper()
    if len(upper) != 1 or "\u10d0" <= first <= "\u10ff":
        return text
    return upper + text[1:]
