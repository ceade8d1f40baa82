"""HTML's tags and MediaWiki's magic words, as far as text around them depends on them."""

_BLOCK = "br p div center blockquote poem li ul ol dl dt dd hr h1 h2 h3 h4 h5 h6 tr td th caption"
_INLINE = """
    b i u s em strong small big sub sup span font tt kbd samp var cite dfn del ins strike abbr acronym q bdi bdo ruby rb
    rp rt rtc rbc tbody thead tfoot onlyinclude noinclude section mark time data wbr a img ref references nowiki math
    chem ce gallery imagemap timeline score hiero graph mapframe maplink templatedata templatestyles syntaxhighlight
    source code pre includeonly inputbox categorytree indicator style script col colgroup phonos langconvert translate
    tvar languages"""
ATTRIBUTES = r"[^<>\n]*+(?:\n(?!\n|==)[^<>\n]*+)*"
"""What may stand in a tag behind its name, as a regex; a blank line or a heading says that it was never finished."""
BLOCK, INLINE, TABLE = 1, 2, 3
TAGS = {
    **dict.fromkeys([*_BLOCK.split(), *(f"/{name}" for name in _BLOCK.split())], BLOCK),
    **dict.fromkeys([*_INLINE.split(), *(f"/{name}" for name in _INLINE.split())], INLINE),
    **dict.fromkeys(("table", "/table"), TABLE),
}
"""Those that begin and end lines, those that leave the text around as it is, and tables. Any other is text."""

_ANY_CASE = "NOTOC FORCETOC TOC NOEDITSECTION NOGALLERY NOTITLECONVERT NOTC NOCONTENTCONVERT NOCC"
_CAPITALS = """
    NEWSECTIONLINK NONEWSECTIONLINK HIDDENCAT EXPECTUNUSEDCATEGORY EXPECTUNUSEDTEMPLATE INDEX NOINDEX STATICREDIRECT
    DISAMBIG NOGLOBAL EXPECTED_UNCONNECTED_PAGE ARCHIVEDTALK NOTALK"""
_SWITCHES, _CAPITAL_SWITCHES = frozenset(_ANY_CASE.split()), frozenset(_CAPITALS.split())


def is_magic_word(text: str, language: str) -> bool:
    """Whether __text__ is one that says how to show a page; other languages' names for them are written in capitals."""
    name = text.strip("_")
    if name.upper() in _SWITCHES or name in _CAPITAL_SWITCHES:
        return True
    return name.upper() == name and language not in ("en", "simple")
