"""The two mistakes a user can make; the console script prints them as one line and exits with their code."""


class WikiloomError(Exception):
    """Something the user can mend: the message says what, where, what was expected, and what to do."""

    exit_code = 1


class DataError(WikiloomError):
    """The data or the run is at fault: a missing file, a cut table, a dataset of another schema."""


class UsageError(WikiloomError):
    """The command line or the config is wrong."""

    exit_code = 2


def nearest(word: str, known: list[str]) -> str:
    """A tail for a message, " Did you mean X?", or "" where nothing known looks like `word`."""
    import difflib

    close = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    return f" Did you mean {close[0]}?" if close else ""


def first_line(error: BaseException, most: int = 200) -> str:
    """What another library's error says, in one line for a message of ours; its kind where it says nothing."""
    said = str(error).strip()
    return said.splitlines()[0][:most] if said else type(error).__name__


def printable(text: str) -> str:
    """The text without what a terminal would obey: control characters and changes of the writing direction."""
    return "".join("\N{REPLACEMENT CHARACTER}" if _commands(char) else char for char in text)


def _commands(char: str) -> bool:
    code = ord(char)
    return (code < 32 and char != "\n") or 127 <= code < 160 or 0x202A <= code <= 0x202E or 0x2066 <= code <= 0x2069
