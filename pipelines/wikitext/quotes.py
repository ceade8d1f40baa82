"""Bold and italics: runs of quotes, and the apostrophes among them."""

import re

_RUN = re.compile("''+")
_BEHIND_LETTER = re.compile(r"'''(?<=[^\W\d_]''')(?!')")


def find_apostrophe(text: str, at: int) -> tuple[int, int]:
    """(start of three quotes of which one is an apostrophe, or -1; end) of the line around `at`.

    MediaWiki so reads a line that has one bold too many and one italics too few: l'''Iliade'' is l' and italics.
    """
    begin, end = text.rfind("\n", 0, at) + 1, text.find("\n", at)
    end = len(text) if end < 0 else end
    if text.count("'''", begin, end) % 2 == 0:
        return -1, end
    runs = [(match.start(), len(match[0])) for match in _RUN.finditer(text, begin, end)]
    bold = sum(length != 2 for _, length in runs)
    italics = sum(length == 2 or length > 4 for _, length in runs)
    return _first_behind_letter(text, runs) if bold % 2 and italics % 2 else -1, end


def _first_behind_letter(text: str, runs: list[tuple[int, int]]) -> int:
    is_bold, found = False, -1
    for at, length in runs:
        if length == 3 and not is_bold and text[at - 1 : at].isalpha():
            if not text[at - 2 : at - 1].isalnum():
                return at  # a word of one letter, as MediaWiki prefers
            found = at if found < 0 else found
        is_bold ^= length != 2
    return found


def without_quotes(text: str) -> str:
    """`text` without bold and italics."""
    if (match := _BEHIND_LETTER.search(text)) and (at := find_apostrophe(text, match.start())[0]) >= 0:
        text = f"{text[:at]}'{text[at + 3 :]}"
    return _RUN.sub(lambda run: "'" if len(run[0]) == 4 else "", text)
