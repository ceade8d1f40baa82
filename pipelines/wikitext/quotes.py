"""Bold and italics: runs of quotes, and the apostrophes among them."""

import re

_RUN = re.compile("''+")
_BEHIND_WORD = re.compile(r"'''(?<=[\w\]]''')(?!')")


def is_behind_word(text: str, at: int) -> bool:
    """Whether a word or a link ends at `at`."""
    before = text[at - 1 : at]
    return before.isalnum() or before == "]"


def find_apostrophes(text: str, at: int) -> tuple[set[int], int]:
    """(starts of three quotes that are an apostrophe and italics, end) of the line around `at`, or up to behind it.

    l'''Iliade'' is l' and italics, ''Iliad'''s is italics and 's: MediaWiki reads it so where bold and italics do not
    come out even; here, also where they would cross.
    """
    begin = text.rfind("\n", 0, at) + 1
    before = text.rfind("''", begin, at)
    if before > begin and text[before - 1] == "'" and text.find("''", begin) == before - 1:
        return set(), at + 3  # as most: they end the bold that the line's first quotes began
    end = text.find("\n", at)
    end = len(text) if end < 0 else end
    bold = text.count("'''", begin, end)
    if bold % 2 == 0 and text.count("''", begin, end) == bold:
        return set(), end  # no italics
    runs = [(match.start(), len(match[0])) for match in _RUN.finditer(text, begin, end)]
    return (set() if _are_nested(runs) else _behind_words(text, runs)), end


def _are_nested(runs: list[tuple[int, int]]) -> bool:
    """Whether all that begins on a line also ends there, and in turn."""
    italics = bold = -1
    for at, length in runs:
        begins = [at if start < 0 else -1 for start in (italics, bold)]
        if length == 2:
            if bold > italics >= 0:
                return False
            italics = begins[0]
        elif length < 5:
            if italics > bold >= 0:
                return False
            bold = begins[1]
        else:
            italics, bold = begins
    return italics == bold == -1


def _behind_words(text: str, runs: list[tuple[int, int]]) -> set[int]:
    """Of each three quotes behind a word or link: those that open bold which the next quotes do not close."""
    found = set()
    is_italic = is_bold = False
    for (at, length), (_, following) in zip(runs, [*runs[1:], (-1, 0)], strict=True):
        opens_bold = length == 3 and not is_bold and is_behind_word(text, at)
        if opens_bold and (following in (0, 2) if is_italic else following == 2):
            found.add(at)
            length = 2
        is_italic ^= length == 2 or length > 4
        is_bold ^= length > 2
    return found


def without_quotes(text: str) -> str:
    """`text`, of one line, without bold and italics."""
    if match := _BEHIND_WORD.search(text):
        for at in sorted(find_apostrophes(text, match.start())[0], reverse=True):
            text = f"{text[:at]}'{text[at + 3 :]}"
    return _RUN.sub(lambda run: "'" if len(run[0]) == 4 else "", text)
