"""What the parser must know of a wiki, and how it names pages."""

import dataclasses
import functools
import html
import re
import unicodedata
from collections.abc import Mapping
from urllib.parse import unquote_to_bytes

from pipelines.wikitext.entities import unescape
from pipelines.wikitext.languages import CANONICAL_NAMESPACES, Language, read_language, read_prefixes
from pipelines.wikitext.marks import LINK
from pipelines.wikitext.templates import Templates, load_templates

FILE, CATEGORY, MEDIA = 6, 14, -2

PROTOCOL = (
    r"(?i:(?:(?:https?|s?ftp|ftps|gopher|ircs?|ssh|svn|git|telnet|nntp|worldwind|mms|redis|ldap)?:)?//"
    r"|(?:mailto|news|urn|geo|tel|magnet|bitcoin|sips?|sms|xmpp):)"
)
"""What an external link begins with, as a regex without groups."""
_ADDRESS = re.compile(rf"\s*{PROTOCOL}")
_NAMESPACE = re.compile(r'<namespace\b[^<>]*?\bkey="(-?\d{1,6})"[^<>]*>([^<]{1,200})</namespace>')
_DATABASE = r"<dbname>\s*(\w{1,60}?)wik(?:i|ibooks|inews|iquote|isource|iversity|ivoyage|tionary)\s*</dbname>"
_BASE = r"<base>\s*(?:https?:)?//([\w-]{1,60})\.wik[a-z]{1,20}\.org/"
_OVERLONG = re.compile(r"&#(?:[0-9]{9,}|[xX][0-9a-fA-F]{8,});")
_PLAIN_TITLE = re.compile(r"[A-Za-z0-9][A-Za-z0-9,.'()!?-]*+(?: [A-Za-z0-9(][A-Za-z0-9,.'()!?-]*+)*")
_SPACE = re.compile("[ _\t\n\xa0\u1680\u180e\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]+")
_INVISIBLE = re.compile("[\u200e\u200f\u202a-\u202e]")
_ILLEGAL = re.compile(
    "[\x00-\x1f\x7f<>\\[\\]{}|\ufffd\ud800-\udfff]|^\\.\\.?$|^\\.\\.?/|/\\.\\.?/|/\\.\\.?$|~~~|%[0-9A-Fa-f]{2}|&#?[A-Za-z0-9]+;"
)
_SUSPECT = re.compile("[\x00-\x1f\x7f<>\\[\\]{}|\ufffd\ud800-\udfff~%&./]")
"""What every illegal title has; one class is searched many times as fast as the alternatives above."""
_VISIBLE = {"category": "other_namespace", "file": "other_namespace", "language": "interwiki"}
"""What a link is that would not be shown, behind a prefix of the wiki itself."""
MAX_TITLE = 255
"""Bytes of UTF-8 that MediaWiki stores of a title."""


@dataclasses.dataclass(frozen=True)
class Site:
    """A wiki's language, namespaces, interwiki prefixes and title rules."""

    language: str
    namespaces: Mapping[str, int]
    """Lower-cased local names, canonical English names and aliases -> namespace number."""
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
        named = {html.unescape(name).lower().replace("_", " "): int(key) for key, name in _NAMESPACE.findall(text)}
        rules = read_language(language)
        known = CANONICAL_NAMESPACES | rules.namespaces
        if named:
            # Every wiki has the first ones; of others, the wiki's own list says which.
            known = {name: number for name, number in known.items() if number <= 15 or number in named.values()}
        return cls(
            language=language,
            namespaces=known | named,
            templates=load_templates(language, extra_templates),
            first_letter="<case>case-sensitive</case>" not in text if "<case>" in text else not rules.case_sensitive,
        )

    def __getstate__(self) -> dict[str, object]:
        """The fields without what was derived from them."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}

    @functools.cached_property
    def rules(self) -> Language:
        """What holds for all wikis of the language."""
        return read_language(self.language)

    @property
    def trail(self) -> str:
        """Letters behind a link's brackets that belong to its text, as a regex without groups."""
        return self.rules.trail

    def join_prefixes(self, text: str) -> str:
        """`text` with the letters right before a link taken into it, in languages where they belong to it."""
        return _prefixed(self.rules.prefix).sub(rf"{LINK}\1", text) if self.rules.prefix else text

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
        fragment_only and invalid_title. A prefix of the wiki itself makes what follows a visible link.
        """
        if title := self.plain_title(raw):
            return "article", title
        name, hash_sign, _ = _decode(raw).partition("#")
        title = _SPACE.sub(" ", name).strip(" ").removeprefix(":").lstrip(" ")
        if not title:
            return ("fragment_only" if hash_sign else "invalid_title"), ""
        return self._kind(title)

    def _kind(self, title: str) -> tuple[str, str]:
        """(kind, title) of a target without fragment and outer spaces."""
        if (_SUSPECT.search(title) and _ILLEGAL.search(title)) or title[0] == ":" or len(title.encode()) > MAX_TITLE:
            return "invalid_title", ""
        prefix, colon, rest = title.partition(":")
        if colon:
            key, rest = prefix.rstrip(" ").lower(), rest.lstrip(" ")
            number = self.namespaces.get(key)
            if number:
                kind = {FILE: "file", MEDIA: "media", CATEGORY: "category"}.get(number, "other_namespace")
                title = f"{self._capital(prefix.rstrip(' '))}:{self._first(rest)}"
                return (kind, title) if rest else ("invalid_title", "")
            if rest and key in self.rules.local:
                kind, title = self._kind(rest)
                return _VISIBLE.get(kind, kind), title
            languages, interwiki = read_prefixes()
            if key in interwiki:
                return ("language" if key in languages else "interwiki"), title
        return "article", self._first(title)

    def plain_title(self, raw: str) -> str:
        """The title that a target of plain letters names, as most are; empty where it needs a second look."""
        if _PLAIN_TITLE.fullmatch(raw) and len(raw) <= MAX_TITLE and not (raw[0] == "i" and self.rules.dotted_i):
            return raw[0].upper() + raw[1:] if self.first_letter else raw
        return ""

    def namespace_of(self, title: str) -> int:
        """Number of the namespace that a title's prefix names, 0 for an article."""
        prefix, colon, _ = title.partition(":")
        return self.namespaces.get(_SPACE.sub(" ", prefix).strip(" ").lower(), 0) if colon else 0

    def _first(self, title: str) -> str:
        return self._capital(title) if self.first_letter else title

    def _capital(self, text: str) -> str:
        """MediaWiki's ucfirst: one letter in title case, in which Georgian has no capitals, to one letter."""
        first = text[:1]
        capital = "İ" if first == "i" and self.rules.dotted_i else unicodedata.normalize("NFC", first.title())
        if len(capital) != 1:
            return text
        # A capital may join the accent behind it where the small letter did not: ı and an acute.
        return capital + text[1:] if text.isascii() else unicodedata.normalize("NFC", capital + text[1:])


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


def find_wikis(siteinfo: bytes) -> frozenset[str]:
    """Codes of the wiki of a language that a dump's <siteinfo> says it is from: by its address and its database."""
    text = siteinfo.decode(errors="replace")
    names = [match[1] for rule in (_BASE, _DATABASE) if (match := re.search(rule, text))]
    languages, _ = read_prefixes()
    return languages.intersection(name.replace("_", "-").lower() for name in names)


@functools.cache
def _prefixed(letters: str) -> re.Pattern[str]:
    # Looked at once a word: where it begins.
    return re.compile(f"(?<![{letters}])([{letters}]++){LINK}")
