"""What the scanner makes of real dumps."""

import re

import pytest

from pipelines.sources.ranges import plan_ranges
from pipelines.sources.wikipedia import RawPage, read_pages, read_siteinfo
from pipelines.wikitext import Site, is_disambiguation, parse, redirect_target

LEFTOVERS = re.compile(r"\{\{|\}\}|\[\[|\]\]|thumb\||''|[(（]\s*[)）]|<ref|<!--|\{\||\|\}")


def read_articles(path, language):
    """(site, pages) of a dump: articles of all namespaces, no redirects."""
    site = Site.from_siteinfo(read_siteinfo(str(path)), language)
    pages = [page for part in plan_ranges(str(path)) for page in read_pages(part) if isinstance(page, RawPage)]
    return site, [page for page in pages if not page.redirect and not redirect_target(page.text or "", site)]


@pytest.mark.parametrize(
    ("name", "language", "articles", "disambiguations", "links"),
    [
        ("enwiki-sample", "en", 106, 8, 22_000),
        ("enwiki-24", "en", 25, 1, 4_900),
        ("enwiki-table-markup", "en", 5, 0, 400),
    ],
)
def test_real_articles_become_clean_text_with_their_links(real_data, name, language, articles, disambiguations, links):
    site, pages = read_articles(real_data / f"wikipedia/{name}.xml.bz2", language)
    kept = [page for page in pages if not is_disambiguation(page.text, site)]
    assert (len(pages), len(pages) - len(kept)) == (articles, disambiguations)
    parsed = [parse(page.text, site) for page in kept]
    assert sum(len(article.links) for article in parsed) >= links
    assert [found for article in parsed for found in LEFTOVERS.findall(article.text)] == []


def test_a_bulgarian_dump_in_utf16_is_read(real_data):
    site, pages = read_articles(real_data / "wikipedia/bgwiki-sample.xml.bz2", "bg")
    article = next(parse(page.text, site) for page in pages if page.namespace == 0)
    assert page_titles(pages)[0] == "Григориански календар"
    assert len(article.links) >= 50
    assert LEFTOVERS.search(article.text) is None


def page_titles(pages):
    return [page.title for page in pages]
