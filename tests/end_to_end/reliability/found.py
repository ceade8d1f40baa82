"""What the harnesses found, and what was mended: a line each, in the order in which it was found."""

FOUND: tuple[str, ...] = (
    "A page with `<nowıki>`, with a Turkish dotless i, ended the build with a KeyError: the scanner's regex took the "
    "letter for an i, and its table of tags did not. It is text now, as in MediaWiki.",
)
