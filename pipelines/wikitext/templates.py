"""The small set of inline templates that are rendered; any other is dropped."""

import dataclasses
import functools
import re
from collections.abc import Callable

from pipelines.wikitext.marks import HOLE
from pipelines.wikitext.units import convert

Arguments = dict[str, str]
"""Positional arguments under "1", "2", ...; named ones under their names."""
Renderer = Callable[[Arguments], str]

_MONTHS = (
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
)  # not the calendar module's, which follow the machine's locale
_KEY = re.compile(r"\s*([\w \-]{1,40}?)\s*")
_YES = ("yes", "y", "true", "1")


@dataclasses.dataclass(frozen=True)
class Templates:
    """The templates that are rendered on a wiki of one language."""

    language: str
    extra: str = ""
    """TOML text of a user's own templates."""

    def find(self, name: str) -> Renderer | None:
        """The renderer of the template that is called `name` in wikitext, None for one that is dropped."""
        return _find(name) if len(name) <= 64 else None


@functools.lru_cache(maxsize=1 << 14)
def _find(name: str) -> Renderer | None:
    key = " ".join(name.replace("_", " ").split()).lower()
    found = _RENDERERS.get(key)
    if found is None and _LANGUAGE_TEMPLATE.fullmatch(key):
        return _argument("1")
    if found is None and ":" in key:
        function, _, value = name.partition(":")
        return _function(function.strip().lower(), value.strip())
    return found


def parse_arguments(content: str) -> Arguments:
    """Arguments of "name|a|k=b"; "|" inside [[...]] does not separate."""
    arguments: Arguments = {}
    position = 0
    for part in _split(content)[1:]:
        key, equals, value = part.partition("=")
        named = _KEY.fullmatch(key) if equals else None
        if named:
            arguments[named[1]] = value.strip()
        else:
            position += 1
            arguments[str(position)] = part.strip()
    return arguments


def _split(content: str) -> list[str]:
    parts = content.split("|")
    if "[[" not in content:
        return parts
    joined: list[str] = []
    depth = 0
    for part in parts:
        if depth > 0:
            joined[-1] += "|" + part
        else:
            joined.append(part)
        depth = max(0, depth) + part.count("[[") - part.count("]]")
    return joined


def _argument(*names: str, before: str = "", after: str = "") -> Renderer:
    """The first of these arguments that is given."""

    def render(arguments: Arguments) -> str:
        value = next((arguments[name] for name in names if arguments.get(name)), "")
        return f"{before}{value}{after}" if value else HOLE

    return render


def _constant(text: str) -> Renderer:
    return lambda arguments: text


def _function(name: str, value: str) -> Renderer | None:
    """Parser functions that only change how a text looks."""
    if name == "formatnum":
        return _constant(f"{int(value):,}" if re.fullmatch(r"[0-9]{1,30}", value) else value)
    change = {"lc": str.lower, "uc": str.upper}.get(name)
    return _constant(change(value)) if change else None


def _last(arguments: Arguments) -> str:
    return next((arguments[str(i)] for i in range(9, 0, -1) if arguments.get(str(i))), HOLE)


def _joined(separator: str) -> Renderer:
    def render(arguments: Arguments) -> str:
        return separator.join(v for k, v in arguments.items() if k.isdecimal() and v) or HOLE

    return render


def _nihongo(arguments: Arguments) -> str:
    english, *rest = (arguments.get(name, "") for name in ("1", "2", "3", "extra"))
    inside = ", ".join(text for text in rest if text)
    if english and inside:
        return f"{english} ({inside})"
    return english or inside or HOLE


def _fraction(arguments: Arguments) -> str:
    one, two, three = (arguments.get(name, "") for name in ("1", "2", "3"))
    if three:
        return f"{one} {two}/{three}"
    return f"{one}/{two}" if two else (f"1/{one}" if one else HOLE)


def _date(arguments: Arguments) -> str:
    year, month, day = (arguments.get(name, "") for name in ("1", "2", "3"))
    month = _month(month)
    if not (month and day):
        return f"{month} {year}".strip() or HOLE
    if arguments.get("df") in _YES:
        return f"{day} {month} {year}"
    return f"{month} {day}, {year}"


def _month(text: str) -> str:
    return _MONTHS[int(text) - 1] if re.fullmatch("0?[1-9]|1[0-2]", text) else text


def _as_of(arguments: Arguments) -> str:
    words = "since" if "since" in arguments else "as of"
    year, month, day = (arguments.get(name, "") for name in ("1", "2", "3"))
    month = _month(month)
    date = arguments.get("alt") or " ".join(part for part in (day, month, year) if part)
    if "alt" in arguments:
        return date or HOLE
    return f"{words if arguments.get('lc') in _YES else words.capitalize()} {date}"


def _value(arguments: Arguments) -> str:
    number = arguments.get("1", "")
    if arguments.get("e"):
        number += f"×10{arguments['e']}"
    return f"{number} {arguments.get('u') or arguments.get('ul') or ''}".strip() or HOLE


def _ship(arguments: Arguments) -> str:
    prefix, name = arguments.get("1", ""), arguments.get("2", "")
    return f"{prefix} {name}".strip() or HOLE


def _block(renderer: Renderer) -> Renderer:
    """On a line of its own, as a quotation stands."""
    return lambda arguments: f"\n{renderer(arguments)}\n"


def _names(text: str) -> list[str]:
    return [" ".join(name.split()) for name in text.split(",")]


_FIRST = """
    abbr, abbrv, tooltip, small, smaller, big, larger, nowrap, nobr, nowraplinks, sup, sub, sc, smallcaps, em, strong,
    mvar, var, math, mathit, bigmath, italics, correction, bold, notatypo, not a typo, proper name, linktext, vr,
    vanchor, visible anchor, keypress, key, birth-date, death-date, start-date, end-date, w, ill, interlanguage link,
    interlanguage link multi, angbr, angle bracket, flag, flagcountry, flagu, flagteam, country, resize, nobold, chem2,
    native name, noitalic, noitalics, ruby, dfn, kbd, samp, tt, mono, midsize, normal"""
_SECOND = "lang, wikt-lang, langue, langx, native phrase, resize text"
_LAST = "transl, transliteration, script, font color, color, colour, fontcolor"
_QUOTATION = (
    "quote, blockquote, cquote, quotation, bquote, zitat, citation bloc, verse translation, poemquote, poem quote"
)
_DATE = """
    birth date, death date, start date, end date, dob, film date, start date and age, birth date and age, bda, dda,
    death date and age, birth date and age2"""
_PREFIXED = {
    "circa": "c. ",
    "c.": "c. ",
    "ca": "c. ",
    "floruit": "fl. ",
    "fl.": "fl. ",
    "us$": "US$",
    "usd": "US$",
    "a$": "A$",
    "inr": "₹",
    "gbp": "£",
    "£": "£",
    "euro": "€",
    "€": "€",
    "10^": "10^",
    "e": "×10^",
}
_SHIPS = "uss, hms, hmas, hmcs, ss, rms, mv, sms, usns, uscgc"


def _build() -> dict[str, Renderer]:
    table: dict[str, Renderer] = {}
    for names, renderer in (
        (_FIRST, _argument("1")),
        (_SECOND, _argument("2", "text")),
        (_LAST, _last),
        (_QUOTATION, _block(_argument("text", "quote", "1"))),
        (_DATE, _date),
        ("convert, cvt, conv", convert),
        ("nihongo, nihongo2, nihongo3, nihongo foot", _nihongo),
        ("frac, fraction, sfrac, vulgar fraction", _fraction),
        ("as of", _as_of),
        ("val", _value),
        ("ship", _ship),
        ("chem", _joined("")),
        ("hlist, flatlist", _joined(", ")),
        ("music", _music),
        ("bce", _argument("1", after=" BCE")),
    ):
        table |= dict.fromkeys(_names(names), renderer)
    table |= {name: _argument("1", before=text) for name, text in _PREFIXED.items()}
    table |= {name: _argument("1", before=f"{name.upper()} ") for name in _names(_SHIPS)}
    return table | {name: _constant(text) for name, text in _SYMBOLS.items()}


def _music(arguments: Arguments) -> str:
    signs = {"flat": "♭", "b": "♭", "sharp": "♯", "#": "♯", "natural": "♮"}
    return signs.get(arguments.get("1", ""), HOLE)


_LANGUAGE_TEMPLATE = re.compile(r"lang-[a-z]{2,3}(?:-[a-z]{2,8})?")
_SYMBOLS = {
    "!": "|",
    "=": "=",
    "'": "'",
    "' ": "'",
    '"': '"',
    "'s": "'s",
    "'\"": "'\"",
    "-": "-",
    "·": " · ",
    "•": " • ",
    "\\": " / ",
    "ndash": "–",
    "endash": "–",
    "en dash": "–",
    "spaced ndash": " – ",
    "snd": " – ",
    "spnd": " – ",
    "spaced en dash": " – ",
    "mdash": "—",
    "emdash": "—",
    "em dash": "—",
    "spaced mdash": " — ",
    "nbsp": " ",
    "space": " ",
    "thinsp": " ",
    "dot": " · ",
    "bull": " • ",
    "bullet": " • ",
    "middot": " · ",
    "okina": "ʻ",
    "hamza": "ʾ",
    "ayin": "ʿ",
    "pi": "π",
    "shy": "",
    "zwj": "",
    "zwnj": "",
    "wbr": "",
    "clear": "\n",
    "pb": "\n",
    "paragraph break": "\n",
    "paragraph": "\n",
    "break": "\n",
    "cr": "\n",
}
_RENDERERS = _build()
