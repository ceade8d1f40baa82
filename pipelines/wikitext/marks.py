"""Private marks that travel inside the text between the scanner's steps. XML allows none of them in a page."""

import re

LINK, END, HOLE, BREAK = "\x01", "\x02", "\x03", "\x19"
"""Begin and end of a link's visible text; a place where something was dropped; <nowiki/>, which parts brackets."""

LINE_MARKUP = frozenset("*#:;-=|!")
"""What a line that is not a paragraph may begin with."""
SPECIAL = "[]{}|<>'=*#:;!-_"
_SHIELDS = "".join(map(chr, range(0xFDD0, 0xFDD0 + len(SPECIAL))))
"""Non-characters: `in` finds quickly that none is there."""
_SHIELD = str.maketrans(SPECIAL, _SHIELDS)
_CONTROL = bytes([*range(9), 11, 12, *range(14, 32), 127])
_FOREIGN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]")
# 0xEF begins the UTF-8 of the non-characters (and of full-width letters): where it occurs the regex decides.
_SUSPECT = _CONTROL + b"\xef"


def shield(text: str) -> str:
    """Hide characters that mean something in wikitext: they are text here."""
    return text.translate(_SHIELD)


def unshield(text: str) -> str:
    """The shielded characters again, one for one: offsets stay."""
    for mark, character in zip(_SHIELDS, SPECIAL, strict=True):
        if mark in text:
            text = text.replace(mark, character)
    return text


def clean_input(text: str) -> str:
    """Text without marks of ours, lone surrogates and other code points that no page may have."""
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    return _FOREIGN.sub("\ufffd", text) if _is_suspect(text) else text


def _is_suspect(text: str) -> bool:
    """Whether a foreign code point may be in `text`; several times as fast as the regex."""
    try:
        data = text.encode()
    except UnicodeEncodeError:
        return True
    return len(data.translate(None, _SUSPECT)) != len(data)
