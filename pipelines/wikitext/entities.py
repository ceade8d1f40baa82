"""Character references: &amp; &#233; &#xE9;"""

import functools
import html
import html.entities
import re

from pipelines.wikitext.marks import shield

_REFERENCE = re.compile(r"&(?:#[0-9]{1,8}|#[xX][0-9a-fA-F]{1,7}|[A-Za-z][A-Za-z0-9]{1,31});")
"""Complete ones of a sane length, so that nothing raises."""


def unescape(text: str) -> str:
    """Character references replaced. Surrogates and numbers beyond Unicode become U+FFFD."""
    return _REFERENCE.sub(lambda match: _character(match[0]), text) if "&" in text else text


def decode(text: str) -> str:
    """Character references replaced; what they give is text, never markup."""
    return _REFERENCE.sub(lambda match: _plain_character(match[0]), text) if "&" in text else text


def _character(reference: str) -> str:
    # html.unescape would read the beginning of a name that it does not know: &notit; as ¬it;
    return html.unescape(reference) if reference[1] == "#" else html.entities.html5.get(reference[1:], reference)


@functools.lru_cache(maxsize=4096)
def _plain_character(reference: str) -> str:
    character = _character(reference)
    if character == reference:
        return reference
    return " " if character.isspace() else shield(character)
