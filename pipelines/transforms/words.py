"""Words of a text, in scripts that put spaces between them and in those that do not."""

import re

UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff"
"""Thai, Lao, Burmese, Khmer, Japanese and Chinese letters, as a regex class without brackets."""
WORD = re.compile(rf"[{UNSPACED}]|[^\W{UNSPACED}]+")
"""A word; in scripts without spaces a letter."""


def count_words(text: str) -> int:
    """Words of a text; in scripts without spaces, letters."""
    return sum(1 for _ in WORD.finditer(text))
