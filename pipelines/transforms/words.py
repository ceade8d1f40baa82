"""Words of a text, in scripts that put spaces between them and in those that do not."""

import re
import unicodedata

UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff"
"""Thai, Lao, Burmese, Khmer, Japanese and Chinese letters, as a regex class without brackets."""
WORD = re.compile(rf"[{UNSPACED}]|[^\W{UNSPACED}]+")
"""A word; in scripts without spaces a letter."""

_UNSPACED = re.compile(f"[{UNSPACED}]")
_SIGN = re.compile(rf"[^\x00-\x7f\w\s{UNSPACED}](?=[^\W{UNSPACED}])")
"""What stands before letters and is none: a quotation mark, or a mark that parts no word."""
_JOINERS = "\u200c\u200d"


def count_words(text: str) -> int:
    """Words of a text; in scripts without spaces, letters."""
    # A vowel sign, an accent or a joiner is none of WORD's letters, and parts no word: हिन्दी is one.
    return len(WORD.findall(text)) - sum(map(_is_letter, _SIGN.findall(text)))


def is_bounded(text: str, start: int, end: int) -> bool:
    """Whether no word goes over an end of text[start:end], not empty; between letters of UNSPACED a word may end."""
    if start > 0 and _joins(text[start - 1], text[start]):
        return False
    return end == len(text) or not _joins(text[end - 1], text[end])


def goes_on(edge: str, beside: str) -> bool:
    """Whether a word goes on from a name's edge, a letter or not, to the character beside it ("" for none)."""
    return _is_letter(beside) and not (_UNSPACED.match(beside) or _UNSPACED.match(edge))


def _joins(left: str, right: str) -> bool:
    """Whether two neighbours are parts of one word."""
    return _is_letter(left) and goes_on(left, right)


def _is_letter(char: str) -> bool:
    """Letters and digits, and what only stands with them: marks (Python's \\w lacks them), joiners."""
    if char.isascii():
        return char.isalnum() or char == "_"
    return char.isalnum() or char in _JOINERS or unicodedata.category(char)[0] == "M"
