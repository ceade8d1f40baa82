"""A page's wikitext -> Article, and the two questions asked before: is it a redirect, is it a disambiguation page."""

import dataclasses
import re
from collections import Counter

from pipelines.wikitext.budget import OverBudget, require_few_tokens
from pipelines.wikitext.expand import expand
from pipelines.wikitext.inline import Inline
from pipelines.wikitext.languages import DISAMBIGUATION_TEMPLATES, LOCAL_DISAMBIGUATION_TEMPLATES
from pipelines.wikitext.layout import Link, Links, Section, lay_out
from pipelines.wikitext.marks import clean_input
from pipelines.wikitext.site import Site
from pipelines.wikitext.variants import convert_variants, part_closers

__all__ = ["Article", "Link", "Links", "OverBudget", "Section", "is_disambiguation", "parse", "redirect_target"]

_REDIRECT = re.compile(r"\s*+([^\[\]]{2,60})\[\[([^\[\]|\n]{1,1000})(?:\|[^\[\]\n]{0,1000})?\]\]")
_TEMPLATE_NAME = re.compile(r"\{\{\s*+([^{}|<\n]{1,80})")
_DISAMBIGUATION_WORD = "__DISAMBIG__"


@dataclasses.dataclass(frozen=True)
class Article:
    """A page as a reader sees it. Offsets are code points of `text`, half-open."""

    text: str
    """Paragraphs and list items, one a line; headings are not in it."""
    lead_end: int
    """text[:lead_end] is the text before the first heading."""
    sections: list[Section]
    links: Links
    """Links to articles, in order, not overlapping."""
    drops: Counter[str]
    """Links that are not kept, by kind: category, file, media, language, interwiki, other_namespace, fragment_only,
    invalid_title, external (an address in double brackets), empty, nested, table (inside one), heading."""


def parse(wikitext: str, site: Site) -> Article:
    """Plain text, sections and links of a page, in time proportional to its length.

    Raises OverBudget for a page with more markup than people write; nothing else, whatever the text.
    """
    require_few_tokens(wikitext)
    variants = site.rules.variants
    whole = part_closers(clean_input(wikitext), variants)
    inline = Inline(convert_variants(expand(whole, site.templates), variants), site)
    layout = lay_out(site.join_prefixes(inline.text), inline.targets, inline.has_broken_table)
    drops = inline.drops
    drops["heading"] += layout.dropped
    drops["empty"] += layout.empty
    return Article(layout.text, layout.lead_end, layout.sections, layout.links, +drops)


def is_disambiguation(wikitext: str, site: Site) -> bool:
    """Whether a template (or magic word) says that the page only tells apart others of the same name."""
    if _DISAMBIGUATION_WORD in wikitext:
        return True
    known = DISAMBIGUATION_TEMPLATES | LOCAL_DISAMBIGUATION_TEMPLATES.get(site.language, frozenset())
    for match in _TEMPLATE_NAME.finditer(wikitext):
        name = " ".join(match[1].replace("_", " ").split()).lower()
        prefix, colon, rest = name.partition(":")
        if colon and site.namespaces.get(prefix.strip()) == 10:
            name = rest.strip()
        if name in known:
            return True
    return False


def redirect_target(wikitext: str, site: Site) -> str | None:
    """Title that a redirect page leads to, normalised; None for any other page."""
    match = _REDIRECT.match(wikitext)
    if match is None:
        return None
    word = match[1].rstrip().removesuffix(":").rstrip().lower()
    if word != "#redirect" and word not in site.rules.redirect:
        return None
    return site.normalize_title(match[2]) or None
