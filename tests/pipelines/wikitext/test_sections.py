"""mwparserfromhell as a slow oracle: words and links of random sections of real dumps.

From its tree we take off what we drop (extension tags, tables, templates, files, categories, language links); what it
then strips to must be our words, and its links ours. The sections that differ are judged in JUDGED.
"""

import dataclasses
import re

import mwparserfromhell
import pytest

from pipelines.sources.ranges import plan_ranges
from pipelines.sources.wikipedia import RawPage, read_pages, read_siteinfo
from pipelines.wikitext import Site, parse, redirect_target
from pipelines.wikitext.templates import Templates
from schemas.hashing import hash_string

TAGS = frozenset(
    ["ref", "references", "gallery", "math", "code", "pre", "syntaxhighlight", "source", "timeline", "score", "table"]
).union(["imagemap", "hiero", "style", "script"])
HEADING = re.compile(r"^(?===+[^=\n].*==+[ \t]*$)", re.MULTILINE)
WORD = re.compile(r"\w+")
JUDGED = {
    (
        "enwiki-sample",
        "Arthur Schopenhauer",
        18,
    ): "it leaves <blockquote> and the <ref> inside as text; we drop both tags",
    ("enwiki-sample", "Art", 14): "it leaves a <ref> as text, where quotes are not balanced; we drop it",
}


class NoTemplates(Templates):
    """Renders nothing: templates are compared elsewhere."""

    def find(self, name):
        return None


def read_sections(path):
    """(site, [(page, number, wikitext)]) of a dump's articles, in the order of a hash."""
    site = Site.from_siteinfo(read_siteinfo(str(path)), "en")
    pages = [page for part in plan_ranges(str(path)) for page in read_pages(part) if isinstance(page, RawPage)]
    articles = [page for page in pages if page.namespace == 0 and page.text and not redirect_target(page.text, site)]
    sections = [(page.title, *numbered) for page in articles for numbered in enumerate(HEADING.split(page.text))]
    sections.sort(key=lambda section: hash_string(f"{section[0]}#{section[1]}"))
    return dataclasses.replace(site, templates=NoTemplates("en")), sections


def read_slowly(site, wikitext):
    """(words, titles of links) by mwparserfromhell."""
    code = mwparserfromhell.parse(wikitext)
    links = code.filter_wikilinks(recursive=True)
    hidden = [link for link in links if site.resolve(str(link.title))[0] in ("file", "category", "language")]
    dropped = [
        *(tag for tag in code.filter_tags(recursive=True) if str(tag.tag).strip().lower() in TAGS),
        *code.filter_templates(recursive=True),
        *code.filter_comments(recursive=True),
        *code.filter_headings(recursive=True),
        *(link for link in hidden if not str(link.title).lstrip().startswith(":")),
    ]
    for node in dropped:
        if code.contains(node):  # else it went with what was around it
            code.remove(node)
    resolved = [site.resolve(link.title.strip_code()) for link in code.filter_wikilinks(recursive=True)]
    titles = [title for kind, title in resolved if kind == "article"]
    return WORD.findall(code.strip_code(normalize=True, collapse=True)), titles


@pytest.mark.parametrize(("dump", "count"), [("enwiki-sample", 250), ("enwiki-24", 100)])
def test_words_and_links_of_sections_are_mwparserfromhells(real_data, dump, count):
    site, sections = read_sections(real_data / f"wikipedia/{dump}.xml.bz2")
    different = set()
    for page, number, wikitext in sections[:count]:
        article = parse(wikitext, site)
        ours = WORD.findall(article.text), [link.target for link in article.links]
        if ours != read_slowly(site, wikitext):
            different.add((dump, page, number))
    assert different == {key for key in JUDGED if key[0] == dump}
