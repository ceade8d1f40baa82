"""Text and links of each section of real dumps beside mwparserfromhell's: the same, but for what sections.tsv judges.

It is the slow oracle: the tree of another parser, from which what we drop by contract is removed (files, categories,
tables, references, math and their kin), and in which a template stands for what our tables make of it alone. Compared
are the words in order, and the links' targets in order. Every difference is a row of the table:

    dump, page, section, kind, ours, theirs, judgement

kind: words or links (targets): the first one and how many, on either side. Sections begin at headings of the second
level; 0 is the lead.
"""

import csv
import difflib
import html
import re
from collections import Counter
from pathlib import Path

import mwparserfromhell
import pytest
from mwparserfromhell.nodes import Comment, ExternalLink, Heading, Tag, Template, Wikilink

from pipelines.sources.ranges import plan_ranges
from pipelines.sources.wikipedia import RawPage, read_pages, read_siteinfo
from pipelines.wikitext import Site, parse, redirect_target

TABLE = Path(__file__).with_name("sections.tsv")
DROPPED_TAG = re.compile(
    "table|ref|references|math|chem|ce|gallery|imagemap|timeline|score|syntaxhighlight|source|code|pre", re.IGNORECASE
)
BREAK = re.compile("br|p|div|center|blockquote|poem|li|ul|ol|dl|dt|dd|hr", re.IGNORECASE)
LANGUAGES = "[a-z]{2,3}(?:-[a-z]+)*|simple"
PROJECTS = "wikt|wiktionary|wikisource|commons|s|q|b|n|v|d|m"
NAMESPACES = "user|talk|wikipedia|wp|help|template|portal|special|media|mediawiki|project|draft"
HIDDEN = re.compile(rf"\s*(?:(?:file|image|category)\s*:|(?:{LANGUAGES})\s*:(?!\s))", re.IGNORECASE)
ELSEWHERE = re.compile(rf"\s*:?\s*(?:{NAMESPACES}|{PROJECTS}|file|image|category|{LANGUAGES})\s*:(?!\s)", re.IGNORECASE)


def read_sections(path):
    """(site, [(title, number, wikitext)]) of a dump's articles, each up to the next heading."""
    site = Site.from_siteinfo(read_siteinfo(str(path)), "en")
    sections = []
    for part in plan_ranges(str(path)):
        for page in read_pages(part):
            if isinstance(page, RawPage) and not page.namespace and page.text and not redirect_target(page.text, site):
                pieces = re.split(r"(?m)^(?===[^=].*==\s*$)", page.text)
                sections += [(page.title, number, piece) for number, piece in enumerate(pieces)]
    return site, sections


def words(text):
    return re.findall(r"\w+(?:['’]\w+)?", text)


def their_view(wikitext, site):
    """(words, targets) of a section as mwparserfromhell reads it."""
    tree = mwparserfromhell.parse(wikitext)
    clear(tree, site)
    targets = [target for link in tree.filter_wikilinks() if (target := title_of(link))]
    text = str(tree.strip_code(normalize=True, collapse=True, keep_template_params=False))
    return words(re.sub(r"__[A-Z]+__", "", text)), targets


def clear(tree, site):
    """Remove what we drop by contract, and put text for templates and breaks, all the way down."""
    for node in list(tree.nodes):
        if isinstance(node, Heading | Comment):
            tree.remove(node)
        elif isinstance(node, Template):
            tree.replace(node, rendered(str(node), site))
        elif isinstance(node, Wikilink):
            if HIDDEN.match(str(node.title)):
                tree.remove(node)
            elif node.text is not None:
                clear(node.text, site)
        elif isinstance(node, Tag):
            name = str(node.tag).strip()
            if DROPPED_TAG.fullmatch(name):
                tree.remove(node)
                continue
            if node.contents is not None:
                clear(node.contents, site)
            if BREAK.fullmatch(name):
                tree.insert_before(node, "\n")
                tree.insert_after(node, "\n")
        elif isinstance(node, ExternalLink) and node.title is not None:
            clear(node.title, site)


def rendered(template, site):
    """What a template alone turns into, with its links in brackets."""
    article = parse(f"«{template}»", site)
    out, position = [], 1
    for start, end, target in article.links:
        out += [article.text[position:start], f"[[{target}|{article.text[start:end]}]]"]
        position = end
    return "".join([*out, article.text[position:-1]])


def title_of(link):
    """The article that a link names, empty for one that leads elsewhere."""
    name = html.unescape(str(link.title)).partition("#")[0].replace("_", " ")
    name = re.sub("^(?::en:|:?w:|:)", "", " ".join(name.split())).strip()
    if not name or ELSEWHERE.match(name):
        return ""
    capital = name[0].upper()
    return (capital if len(capital) == 1 else name[0]) + name[1:]


def compare(site, wikitext):
    """[(kind, ours, theirs)] of a section: each difference."""
    article = parse(wikitext, site)
    their_words, their_targets = their_view(wikitext, site)
    pairs = {"words": (words(article.text), their_words), "links": (article.links.targets, their_targets)}
    return [
        (kind, *(f"{part[0]} ({len(part)})" if part else "" for part in parts))
        for kind, both in pairs.items()
        for parts in differ(*both)
    ]


def differ(ours, theirs):
    """[(part of ours, part of theirs)] where they are not the same."""
    codes = difflib.SequenceMatcher(None, ours, theirs, autojunk=False).get_opcodes()
    return [(ours[a:b], theirs[c:d]) for kind, a, b, c, d in codes if kind != "equal"]


@pytest.mark.slow
@pytest.mark.parametrize(("dump", "least"), [("enwiki-sample", 1_100), ("enwiki-24", 200), ("enwiki-table-markup", 20)])
def test_sections_are_mwparserfromhells_but_for_the_judged_differences(real_data, dump, least):
    site, sections = read_sections(real_data / f"wikipedia/{dump}.xml.bz2")
    assert len(sections) >= least
    found = Counter(
        (title, str(number), *difference)
        for title, number, wikitext in sections
        for difference in compare(site, wikitext)
    )
    with TABLE.open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file, delimiter="\t") if row["dump"] == dump]
    assert all(row["judgement"] for row in rows)
    judged = Counter((row["page"], row["section"], row["kind"], row["ours"], row["theirs"]) for row in rows)
    assert found == judged
