"""Wikitext -> plain text and its links as exact character offsets."""

from pipelines.wikitext.article import (
    Article,
    Link,
    Links,
    OverBudget,
    Section,
    is_disambiguation,
    parse,
    redirect_target,
)
from pipelines.wikitext.site import Site, find_wikis

__all__ = [
    "Article",
    "Link",
    "Links",
    "OverBudget",
    "Section",
    "Site",
    "find_wikis",
    "is_disambiguation",
    "parse",
    "redirect_target",
]
