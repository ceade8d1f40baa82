"""The miniature wiki is what its README says: read here with json, re and bz2 alone, not with the pipelines."""

import bz2
import collections
import dataclasses
import gzip
import html
import json
import re
import subprocess
import sys
import zlib
from functools import cache
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
DUMP, INDEX = EXAMPLES / "enwiki-mini.xml.bz2", EXAMPLES / "enwiki-mini-index.txt.bz2"
WIKIDATA, REDIRECTS = EXAMPLES / "wikidata-mini.json.gz", EXAMPLES / "enwiki-mini-redirects.tsv"
OUTPUTS = (DUMP, INDEX, WIKIDATA, REDIRECTS)

RED_LINKS = {"Café talk", "Gravity", "Rhineland (region)", "São Paulo (city)", "Tale of the lighthouse"}
PAGE = re.compile(r"  <page>\n.*?\n  </page>\n", re.DOTALL)
LINK = re.compile(r"\[\[([^\[\]|]+)(?:\|[^\[\]]*)?\]\]")
UNREAD = re.compile(r"<!--.*?(?:-->|\Z)|<nowiki>.*?</nowiki>|<syntaxhighlight.*?</syntaxhighlight>", re.DOTALL)


@dataclasses.dataclass(frozen=True)
class Page:
    """One page of the dump, as regular expressions see it."""

    title: str
    ns: int
    page_id: int
    redirect: str | None
    text: str


def field(name: str, page: str) -> str:
    """Content of the page's first element of that name."""
    found = re.search(rf"<{name}[^>/]*>(.*?)</{name}>", page, re.DOTALL)
    return html.unescape(found[1]) if found else ""


def read_page(page: str) -> Page:
    redirect = re.search(r'<redirect title="(.*?)" />', page)
    target = html.unescape(redirect[1]) if redirect else None
    return Page(field("title", page), int(field("ns", page)), int(field("id", page)), target, field("text", page))


@cache
def pages() -> list[Page]:
    return [read_page(page) for page in PAGE.findall(bz2.decompress(DUMP.read_bytes()).decode())]


def main_pages() -> dict[str, Page]:
    """Pages of the main namespace by title."""
    return {page.title: page for page in pages() if page.ns == 0}


def is_disambiguation(page: Page) -> bool:
    return re.search(r"\{\{disambig(uation)?[|}]", page.text, re.IGNORECASE) is not None


def articles() -> dict[str, Page]:
    """Pages of the main namespace that have text and are neither redirects nor disambiguations."""
    return {t: p for t, p in main_pages().items() if p.text and p.redirect is None and not is_disambiguation(p)}


@cache
def entities() -> list[dict]:
    """The entities whose lines are whole; what else is in the dump is counted by another test."""
    found = []
    for line in gzip.decompress(WIKIDATA.read_bytes()).decode().splitlines():
        try:
            entity = json.loads(line.rstrip(","))
        except json.JSONDecodeError:
            continue
        if "id" in entity and entity["type"] in ("item", "property"):
            found.append(entity)
    return found


def items() -> list[dict]:
    return [entity for entity in entities() if entity["type"] == "item"]


def sitelinks() -> dict[str, str]:
    """enwiki title -> item."""
    return {
        i["sitelinks"]["enwiki"]["title"]: i["id"] for i in items() if i["sitelinks"] and "enwiki" in i["sitelinks"]
    }


def triples() -> set[tuple[str, str, str]]:
    """Item-valued best-rank triples of all items."""
    found = set()
    for item in items():
        for relation, claims in dict(item["claims"] or {}).items():
            ranks = {claim["rank"] for claim in claims}
            best = "preferred" if "preferred" in ranks else "normal"
            for claim in claims:
                value = claim["mainsnak"].get("datavalue", {})
                if claim["rank"] == best and value.get("type") == "wikibase-entityid":
                    found.add((item["id"], relation, value["value"]["id"]))
    return found


def lead(page: Page) -> str:
    """A rough reading of the lead: no templates, references or files, links as their text."""
    text = re.sub(r"<ref[^>]*/>|<ref.*?</ref>|<!--.*?-->", "", page.text.partition("\n==")[0], flags=re.DOTALL)
    while (bare := re.sub(r"\{\{[^{}]*\}\}", "", text)) != text:
        text = bare
    text = re.sub(r"^\[\[(?:File|Image):.*\]\]$", "", text, flags=re.MULTILINE)
    text = re.sub(r"\[\[(?:[^\[\]|]*\|)?([^\[\]]*)\]\]", r"\1", text)
    return html.unescape(text.replace("'''", "").replace("''", "")).strip()


def kept() -> set[tuple[str, str, str]]:
    """Triples whose two items have an article with a lead of five words and whose relation has a label."""
    texts = articles()
    with_text = {q for title, q in sitelinks().items() if title in texts and len(lead(texts[title]).split()) >= 5}
    labelled = {e["id"] for e in entities() if e["type"] == "property" and e["labels"]}
    return {t for t in triples() if t[0] in with_text and t[2] in with_text and t[1] in labelled}


def resolve(target: str) -> str:
    """The title that a link's target names: entities, underscores, spaces, fragment and first letter."""
    title = " ".join(html.unescape(target).partition("#")[0].replace("_", " ").split())
    return title[:1].upper() + title[1:]


def members(data: bytes) -> list[bytes]:
    """What each gzip member holds."""
    found = []
    while data:
        inflate = zlib.decompressobj(wbits=31)
        found.append(inflate.decompress(data))
        data = inflate.unused_data
    return found


@cache
def counts() -> dict[str, int]:
    """The counts of the README's table."""
    main = main_pages().values()
    lines = gzip.decompress(WIKIDATA.read_bytes()).decode().splitlines()
    return {
        "pages": len(pages()),
        "articles": len(articles()),
        "redirects": sum(page.redirect is not None for page in main),
        "disambiguation pages": sum(is_disambiguation(page) for page in main),
        "pages without text": sum(not page.text for page in main),
        "pages of other namespaces": sum(page.ns != 0 for page in pages()),
        "redirects beside the dump": len(REDIRECTS.read_text("utf-8").splitlines()),
        "items": len(items()),
        "properties": len(entities()) - len(items()),
        "lines to skip or refuse": len(lines) - 2 - len(entities()),
        "item-valued best-rank triples": len(triples()),
        "triples kept by `--keep paper`": len(kept()),
        "relations among the kept triples": len({relation for _, relation, _ in kept()}),
    }


def test_a_rerun_gives_the_committed_files(tmp_path):
    subprocess.run([sys.executable, EXAMPLES / "make_examples.py", "--out", tmp_path], check=True, capture_output=True)
    for path in OUTPUTS:
        new, old = (tmp_path / path.name).read_bytes(), path.read_bytes()
        if path is WIKIDATA:
            assert members(new) == members(old)
            if "ng" in zlib.ZLIB_RUNTIME_VERSION:
                continue  # zlib-ng deflates to other bytes
        assert new == old, f"{path.name} differs: run python examples/make_examples.py"


def test_the_readme_states_the_counts():
    table = re.findall(r"^\| (.+?) \| ([\d,]+) \|$", (EXAMPLES / "README.md").read_text("utf-8"), re.MULTILINE)
    assert {name: int(number.replace(",", "")) for name, number in table} == counts()


@pytest.mark.parametrize(
    ("name", "least"),
    [
        ("articles", 200),
        ("redirects", 15),
        ("disambiguation pages", 3),
        ("items", 350),
        ("triples kept by `--keep paper`", 1001),
        ("relations among the kept triples", 20),
    ],
)
def test_there_is_enough_of(name, least):
    assert counts()[name] >= least


def test_the_files_stay_small():
    assert sum(path.stat().st_size for path in OUTPUTS) < 400_000


def test_every_sitelink_has_its_page_and_every_page_one_item():
    linked = [i["sitelinks"]["enwiki"]["title"] for i in items() if i["sitelinks"] and "enwiki" in i["sitelinks"]]
    assert len(linked) == len(set(linked))
    main = main_pages()
    assert [t for t in linked if t not in main or main[t].redirect is not None] == []
    assert set(articles()) - set(linked) == {"Odd links", "Unfinished draft"}


def test_no_item_appears_twice_and_only_disambiguations_share_a_label():
    assert len({item["id"] for item in items()}) == len(items())
    uses = collections.Counter(item["labels"]["en"]["value"] for item in items())
    assert {label for label, n in uses.items() if n > 1} == {t for t, p in main_pages().items() if is_disambiguation(p)}


def test_every_link_leads_to_a_page_or_redirect_but_for_the_red_ones():
    beside = {line.split("\t")[0] for line in REDIRECTS.read_text("utf-8").splitlines()}
    known = main_pages().keys() | beside
    red = set()
    for page in articles().values():
        for target in LINK.findall(UNREAD.sub("", page.text)):
            if ":" not in target and not target.startswith("#") and resolve(target) not in known:
                red.add(resolve(target))
    assert red == RED_LINKS


def test_redirects_hold_a_chain_a_cycle_a_section_and_a_missing_target():
    target = {title: page.redirect for title, page in main_pages().items() if page.redirect is not None}
    assert target[target["Skłodowska"]] == "Marie Curie"
    assert target[target["Tweedledum"]] == "Tweedledum"
    assert "Theory of relativity#Two halves" in main_pages()["Special relativity"].text
    missing = {t for t in target.values() if t not in main_pages()}
    assert missing == {"Lost island"}


def test_index_offsets_point_at_streams_that_hold_the_named_pages():
    data, streams = DUMP.read_bytes(), collections.defaultdict(list)
    for line in bz2.decompress(INDEX.read_bytes()).decode().splitlines():
        offset, page_id, title = line.split(":", 2)
        streams[int(offset)].append((int(page_id), html.unescape(title)))
    assert sum(map(len, streams.values())) == len(pages())
    for offset, named in streams.items():
        text = bz2.BZ2Decompressor().decompress(data[offset:]).decode()
        assert [(p.page_id, p.title) for p in map(read_page, PAGE.findall(text))] == named


def test_deprecated_statements_and_passed_over_ranks_are_not_among_the_triples():
    by_label = {i["labels"]["en"]["value"]: i["id"] for i in items()}
    capitals = {h: t for h, r, t in triples() if r == "P36"}
    assert {name: capitals[by_label[name]] for name in ("Australia", "Turkey", "Germany", "Brazil")} == {
        "Australia": by_label["Canberra"],
        "Turkey": by_label["Ankara"],
        "Germany": by_label["Berlin"],
        "Brazil": by_label["Brasília"],
    }
    claims = [c for i in items() for group in dict(i["claims"] or {}).values() for c in group]
    assert {c["rank"] for c in claims} == {"preferred", "normal", "deprecated"}
    assert {c["mainsnak"]["snaktype"] for c in claims} == {"value", "novalue", "somevalue"}
    assert {c["mainsnak"]["datatype"] for c in claims} >= {
        *("wikibase-item", "time", "quantity", "string", "monolingualtext", "globe-coordinate", "external-id"),
    }


def test_one_statement_names_an_item_that_is_not_in_the_dump():
    assert {t for _, _, t in triples()} - {i["id"] for i in items()} == {"Q9000090"}


def test_leads_are_of_20_to_60_words():
    lengths = {t: len(lead(page).split()) for t, page in articles().items() if t in sitelinks()}
    assert {t: n for t, n in lengths.items() if not 20 <= n <= 60} == {}


def test_gzip_members_are_those_of_a_wikidata_dump():
    texts = members(WIKIDATA.read_bytes())
    assert texts[0] == b"[\n"
    assert texts[-1] == b"\n]\n"
    assert all(text == b",\n" for text in texts[2:-1:2])
    assert all(text[:1] == b"{" and text[-1:] != b"\n" for text in texts[1:-1:2])


@pytest.mark.parametrize(
    "markup",
    [
        *("{{disambiguation}}", "{{Infobox", "{{convert|", "{{lang|", "{{plainlist|", "{| class=", "|-\n", "<ref>"),
        *('<ref name="atlas" />', "<ref name=far/>", "<gallery", "<math>", "<math display", "<!--", "<nowiki>"),
        *("<syntaxhighlight", "<poem>", "<blockquote>", "[[File:", "[[Image:", "[[Category:", "[[:Category:", "[[de:"),
        *(
            "[[wikt:",
            "&nbsp;",
            "&ndash;",
            "&amp;",
            "&#x2295;",
            "]]s",
            "\n# ",
            "\n* ",
            "\n** ",
            "\n; ",
            "\n:",
            "🎼",
            "ü",
        ),
        *("__NOTOC__", "[http://example.org", "<sub>", "'''''", "日本", "भारत", "{{reflist}}", "[[rome]]", "|]]"),
    ],
)
def test_some_page_has(markup):
    assert any(markup in page.text for page in pages())


@pytest.mark.parametrize("element", ['deleted="deleted"', 'bytes="0"', '<text bytes="512"', "<ip>", "<minor />"])
def test_the_dump_has_the_rarer_forms_of(element):
    assert element in bz2.decompress(DUMP.read_bytes()).decode()
