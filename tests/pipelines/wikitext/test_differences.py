"""Links beside wikipedia2vec's on real dumps: the same ones, but for the differences that differences.tsv lists.

wikipedia2vec's own code is the oracle, in an environment of its own. Differences that follow from a rule of ours are
checked against the rule: targets are titles (namespaces, interwiki, fragments, entities), a link's text takes its
trail, all spaces are one space. Every other is a row of the table, with the reason:

    dump, page, kind, target, count, reason

kind: missed (theirs only), template (ours only, in a template that we render and they drop), extra (ours only,
elsewhere), text (the same link, other words).
"""

import csv
import dataclasses
import difflib
import json
import re
from collections import Counter
from pathlib import Path

import pytest

from pipelines.sources.ranges import plan_ranges
from pipelines.sources.wikipedia import RawPage, read_pages, read_siteinfo
from pipelines.wikitext import Site, parse, redirect_target
from pipelines.wikitext.templates import Templates
from tests.extras.environments import make_environment, run_python

TABLE = Path(__file__).with_name("differences.tsv")
READ_LINKS = """
import json, pickle, sys, zlib
from wikipedia2vec.dump_db import _parse_page
from wikipedia2vec.utils.wiki_page import WikiPage

def links(title, wikitext):
    _, (_, packed) = _parse_page(WikiPage(title, "en", wikitext, None), None)
    paragraphs, _ = pickle.loads(zlib.decompress(packed))
    return [link[:2] for paragraph in paragraphs for link in paragraph[1]]

pages = json.load(open(sys.argv[1]))
print(json.dumps([[title, links(title, wikitext)] for title, wikitext in pages]))
"""


def read_articles(path, site):
    """[(title, wikitext)] of a dump's articles."""
    pages = [page for part in plan_ranges(str(path)) for page in read_pages(part) if isinstance(page, RawPage)]
    articles = [page for page in pages if page.namespace == 0 and page.text and not page.redirect]
    return [(page.title, page.text) for page in articles if not redirect_target(page.text, site)]


def one_space(text):
    return " ".join(text.split())


class NoTemplates(Templates):
    """Renders nothing, as wikipedia2vec."""

    def find(self, name):
        return None


def compare(site, wikitext, theirs):
    """(links that both have, links of theirs that ours should have, Counter of (kind, target))."""
    article = parse(wikitext, site)
    ours = [(link.target, article.text[link.start : link.end]) for link in article.links]
    resolved = [(*site.resolve(target), text) for target, text in theirs]
    wanted = [(title, text) for kind, title, text in resolved if kind == "article" and text.strip()]
    found, both = Counter(), 0
    for kind, a, b, c, d in align([one[0] for one in wanted], [one[0] for one in ours]):
        if kind == "equal":
            both += b - a
            pairs = zip(wanted[a:b], ours[c:d], strict=True)
            found.update(("text", target) for (target, their), (_, our) in pairs if not same_text(site, their, our))
        else:
            found.update(("missed", target) for target, _ in wanted[a:b])
            found.update(("extra", target) for target, _ in ours[c:d])
    plain = [link.target for link in parse(wikitext, dataclasses.replace(site, templates=NoTemplates("en"))).links]
    rendered = Counter(target for target, _ in ours) - Counter(plain)
    for target, count in rendered.items():
        moved = min(count, found["extra", target])
        found += Counter({("template", target): moved})
        found -= Counter({("extra", target): moved})
    return both, len(wanted), found


def align(theirs, ours):
    return difflib.SequenceMatcher(None, theirs, ours, autojunk=False).get_opcodes()


def same_text(site, theirs, ours):
    """Whether our words are theirs and a trail of letters behind the brackets."""
    theirs = one_space(theirs)
    return ours.startswith(theirs) and re.fullmatch(site.trail, ours[len(theirs) :])


def find_differences(path, run):
    """({(page, kind, target): count}, recall, precision) of a dump."""
    site = Site.from_siteinfo(read_siteinfo(str(path)), "en")
    pages = read_articles(path, site)
    rows, total = {}, Counter()
    for (title, wikitext), (same, theirs) in zip(pages, run(pages), strict=True):
        assert title == same
        both, wanted, found = compare(site, wikitext, theirs)
        extra = sum(count for (kind, _), count in found.items() if kind == "extra")
        total += Counter(both=both, wanted=wanted, extra=extra)
        rows |= {(title, kind, target): count for (kind, target), count in found.items()}
    return rows, total["both"] / total["wanted"], total["both"] / (total["both"] + total["extra"])


def read_table(dump):
    with TABLE.open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file, delimiter="\t") if row["dump"] == dump]
    assert all(row["reason"] for row in rows)
    return {(row["page"], row["kind"], row["target"]): int(row["count"]) for row in rows}


@pytest.fixture(scope="module")
def wikipedia2vec(tmp_path_factory):
    """Pages -> [(title, links)] by wikipedia2vec."""
    folder = tmp_path_factory.mktemp("wikipedia2vec")
    python = make_environment(folder, ["wikipedia2vec"])

    def run(pages):
        (folder / "pages.json").write_text(json.dumps(pages))
        return run_python(python, READ_LINKS, [folder / "pages.json"], folder)

    return run


@pytest.mark.extras
@pytest.mark.parametrize("dump", ["enwiki-sample", "enwiki-24"])
def test_links_are_wikipedia2vecs_but_for_the_listed_differences(real_data, wikipedia2vec, dump):
    rows, recall, precision = find_differences(real_data / f"wikipedia/{dump}.xml.bz2", wikipedia2vec)
    assert rows == read_table(dump)
    assert recall >= 0.999
    assert precision >= 0.999
