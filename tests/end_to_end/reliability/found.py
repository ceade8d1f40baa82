"""What the harnesses found, and what was mended: a line each, in the order in which it was found."""

FOUND: tuple[str, ...] = ()
