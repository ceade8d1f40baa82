"""Private marks that travel inside the text between the scanner's steps. XML allows none of them in a page."""

import re

LINK, END, HOLE, BREAK = "\x01", "\x02", "\x03", "\x19"
"""Begin and end of a link's visible text; a place where something was dropped; <nowiki/>, which parts brackets."""

SPECIAL = "[]{}|<>'=*#:;!-_"
_SHIELDS = "\x04\x05\x06\x07\x08\x0e\x0f\x10\x11\x12\x13\x14\x15\x16\x17\x18"
_SHIELD = str.maketrans(SPECIAL, _SHIELDS)
_UNSHIELD = str.maketrans(_SHIELDS, SPECIAL)
_ANY_SHIELD = re.compile(f"[{_SHIELDS}]")
_FOREIGN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]")


def shield(text: str) -> str:
    """Hide characters that mean something in wikitext: they are text here."""
    return text.translate(_SHIELD)


def unshield(text: str) -> str:
    """The shielded characters again, one for one: offsets stay."""
    return text.translate(_UNSHIELD) if _ANY_SHIELD.search(text) else text


def clean_input(text: str) -> str:
    """Text without marks of ours, lone surrogates and other code points that no page may have."""
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    return _FOREIGN.sub("\ufffd", text) if _FOREIGN.search(text) else text
