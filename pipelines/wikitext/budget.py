"""How much markup a page may have. Budgets are counted in tokens and depth, never in seconds: a page is kept or
rejected on every machine alike."""

MAX_TOKENS = 2_000_000
"""Openings of markup on a page. A page of MediaWiki's greatest size (2 MiB) full of links has two fifths of it."""
MAX_DEPTH = 256
"""Templates, links or tables inside one another, each closed; MediaWiki stops at 100."""

_OPENINGS = ("{{", "''", "<", "[", "{|", "__", "&")


class OverBudget(Exception):
    """A page with more markup than any page that was written by people."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason, self.detail = reason, detail

    def __reduce__(self) -> tuple[type["OverBudget"], tuple[str, str]]:
        return OverBudget, (self.reason, self.detail)


def require_few_tokens(wikitext: str) -> None:
    """Raise OverBudget for a page of more than MAX_TOKENS openings."""
    if len(wikitext) <= MAX_TOKENS:
        return  # each takes a character at least
    count = sum(wikitext.count(opening) for opening in _OPENINGS)
    if count > MAX_TOKENS:
        raise OverBudget("too_many_tokens", f"{count} openings of markup, more than {MAX_TOKENS}")


def require_shallow(depth: int, what: str) -> None:
    """Raise OverBudget for markup nested deeper than MAX_DEPTH."""
    if depth > MAX_DEPTH:
        raise OverBudget("too_deep", f"{what} nested deeper than {MAX_DEPTH}")
