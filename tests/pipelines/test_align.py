"""Pages and links through the stages wikipedia and align, as the build runs them."""

import dataclasses
import datetime
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from pipelines.finish import redirect_rows
from pipelines.records import read_json, read_records
from pipelines.sinks import runs
from pipelines.sources.ranges import plan_ranges
from pipelines.transforms.align import AlignJob, align_range
from pipelines.transforms.articles import WikipediaJob, read_wikipedia_range
from pipelines.transforms.mentions import MentionRules
from pipelines.transforms.plan_align import AlignRules, plan_alignment
from pipelines.transforms.statements import WikidataJob, read_wikidata_range
from pipelines.transforms.title_lists import (
    ListedTitles,
    TitleLists,
    read_page_items,
    titles_from_lines,
    titles_from_tables,
)
from pipelines.wikitext import Site
from schemas.pages import PAGES
from tests.pipelines.sources.inputs import array, dump, entity, page, statement, write

RULES = AlignRules(
    keep="linked", min_lead_words=5, min_neighbors=0, min_mentions=0, seed=0, valid_pages=0.0, test_pages=0.0
)
SITE = Site.from_siteinfo(None, "en")


@dataclasses.dataclass
class Stages:
    """What the stages left."""

    folder: Path

    @property
    def pages(self):
        rows = [row for run in runs(self.folder / "align", PAGES) for row in read_records(run).to_pylist()]
        return {row["title"]: row for row in sorted(rows, key=lambda row: row["page_id"])}

    @property
    def links(self):
        """(target, entity) of every link."""
        return [(link["target"], link["entity"]) for row in self.pages.values() for link in row["links"]]

    @property
    def redirects(self):
        return {
            row["title"]: (row["target"], row["entity"]) for row in redirect_rows(self.folder / "index").to_pylist()
        }

    @property
    def kept(self):
        return np.load(self.folder / "index/kept_items.npy").tolist()

    def drops(self, name):
        """Reasons and counts of one name, of all stages."""
        counts = Counter()
        for stage in ("wikipedia", "index", "align"):
            document = read_json(self.folder / stage / "done.json")
            counts.update(document.get("drops" if name == stage else name, {}))
        return dict(+counts)


def item(number, title, *tails):
    return entity(number, tails=tails, sitelinks={"enwiki": {"site": "enwiki", "title": title, "badges": []}})


def run(tmp_path, pages, items=(), listed=None, props=(), rules=RULES, mentions=None, wrap=dump):
    """Run wikidata, wikipedia and align on <page> elements and entities."""
    xml = write(tmp_path, "w.xml", wrap(pages))
    [part] = plan_ranges(xml)
    read_wikipedia_range(WikipediaJob(part, tmp_path / "wikipedia", SITE))
    [part] = plan_ranges(write(tmp_path, "w.json", array(items or [item(99999, "Elsewhere")])))
    read_wikidata_range(WikidataJob(part, tmp_path / "wikidata", "en"))
    lists = TitleLists(
        listed or ListedTitles(), read_page_items(props), {"redirect_list": Counter(), "page_props": Counter()}
    )
    plan_alignment([tmp_path / "wikidata"], [tmp_path / "wikipedia"], lists, rules, tmp_path / "index")
    index = tmp_path / "index"
    align_range(AlignJob(tmp_path / "wikipedia", index, index, tmp_path / "align", mentions or MentionRules()))
    return Stages(tmp_path)


def redirect(number, title, target, **options):
    """A redirect as dumps have had it since 2010."""
    extra = f'    <redirect title="{target}" />\n'
    return page(number, f"#REDIRECT [[{target}]]", title=title, extra=extra, **options)


def old_redirect(number, title, target):
    """A redirect of which only the text tells."""
    return page(number, f"#redirect [[{target}]]", title=title)


@pytest.mark.parametrize("make", [redirect, old_redirect])
def test_links_follow_redirects_of_every_kind(tmp_path, make):
    names = "Oslo Kristiania Christiania One Self Gone Maps Wort Own Nowhere Plain"
    links = " ".join(f"[[{name}]]" for name in names.split())
    stages = run(
        tmp_path,
        [
            page(1, f"The page has links: {links}.", title="Page"),
            page(2, "Oslo is the capital city of Norway.", title="Oslo"),
            make(3, "Kristiania", "Oslo#History"),
            make(4, "Christiania", "kristiania"),
            make(5, "One", "Two"),
            make(6, "Two", "One"),
            make(7, "Self", "Self"),
            make(8, "Gone", "Missing"),
            make(9, "Maps", ":Category:Maps"),
            make(10, "Wort", "wikt:word"),
            make(11, "Own", "Oslo"),
            page(12, "Plain has no item at all.", title="Plain"),
        ],
        [item(585, "Oslo"), item(7, "Own"), item(8, "Category:Maps")],
    )
    assert stages.links == [
        ("Oslo", "Q585"),
        ("Kristiania", "Q585"),
        ("Christiania", "Q585"),
        ("One", None),
        ("Self", None),
        ("Gone", None),
        ("Maps", None),
        ("Wort", None),
        ("Own", "Q7"),
        ("Nowhere", None),
        ("Plain", None),
    ]
    assert stages.drops("link_entities") == {
        "redirect_cycle": 2,
        "redirect_to_no_page": 1,
        "redirect_to_other_namespace": 1,
        "redirect_to_interwiki": 1,
        "no_page": 1,
        "no_item": 1,
    }
    assert stages.redirects["Christiania"] == ("Kristiania", "Q585")
    assert stages.drops("redirect_entities") == {
        "redirect_cycle": 3,
        "redirect_to_no_page": 1,
        "redirect_to_other_namespace": 1,
        "redirect_to_interwiki": 1,
    }
    without = [title for title, (_, entity_) in stages.redirects.items() if entity_ is None]
    assert len(without) == sum(stages.drops("redirect_entities").values())


def test_every_link_has_an_entity_or_a_reason_why_not(tmp_path):
    pages = [
        page(i, f"Page {i} has [[Page {i * 7 % 90}]], [[R{i % 5}]], [[Talk:X]], [[Nothing {i}]] and [[de:X]].")
        for i in range(1, 60)
    ]
    pages += [redirect(100 + i, f"R{i}", f"Page {i * 20}") for i in range(5)]
    stages = run(tmp_path, pages, [entity(i) for i in range(1, 90, 2)], rules=dataclasses.replace(RULES, keep="paper"))
    links = stages.links
    unresolved = stages.drops("link_entities")
    assert len(links) == 3 * 59
    assert sum(found is None for _, found in links) == sum(unresolved.values())
    assert min(unresolved[kind] for kind in ("no_page", "no_item", "redirect_to_no_page", "item_not_kept")) > 0
    assert stages.drops("links") == {"other_namespace": 59, "language": 59}


def test_a_list_of_all_titles_tells_a_red_link_from_a_page_that_is_not_in_the_dump(tmp_path):
    sql = "INSERT INTO `page` VALUES (1,0,'Page',0),(2,0,'Other',0),(3,0,'Way',1),(4,0,'Lost',1);\n"
    ways = "INSERT INTO `redirect` VALUES (3,0,'Other','','');\n"
    names = write(tmp_path, "r.sql", ways.encode()), write(tmp_path, "p.sql", sql.encode())
    text = "It has [[Other]], [[Way]], [[Lost]] and [[Red]]."
    props = [(2, "wikibase_item", "Q2")]
    stages = run(tmp_path, [page(1, text, title="Page")], listed=titles_from_tables(*names, Counter()), props=props)
    assert stages.links == [("Other", "Q2"), ("Way", "Q2"), ("Lost", None), ("Red", None)]
    assert stages.drops("link_entities") == {"red_link": 1, "redirect_to_no_page": 1}
    assert stages.redirects == {"Way": ("Other", "Q2")}
    assert read_records(tmp_path / "index/redirects.arrow")["page_id"].to_pylist() == [3]


def test_page_props_and_sitelinks_both_give_items_and_page_props_count_first(tmp_path):
    pages = [
        page(1, "It has [[Page 2]], [[Page 3]] and [[Way]].", title="Page 1"),
        page(2, "The second page of the wiki."),
        page(3, "The third page of the wiki."),
        redirect(4, "Way", "Page 3"),
    ]
    props = [(2, "wikibase_item", "Q22"), (4, "wikibase_item", "Q44")]
    stages = run(tmp_path, pages, [entity(2), entity(3)], props=props)
    assert stages.links == [("Page 2", "Q22"), ("Page 3", "Q3"), ("Way", "Q44")]
    assert stages.pages["Page 2"]["entity"] == "Q22"


def test_an_article_of_the_dump_is_no_redirect_whatever_a_list_says(tmp_path):
    listed = titles_from_lines([("Page 2", "Page 3"), ("Way", "Page 3")], SITE, Counter())
    pages = [page(1, "It has [[Page 2]] and [[Way]]."), page(2, "The second page."), page(3, "The third page.")]
    stages = run(tmp_path, pages, [entity(3)], listed=listed)
    assert stages.links == [("Page 2", None), ("Way", "Q3")]
    assert stages.pages["Page 2"]["entity"] is None
    assert stages.drops("redirects") == {"in_dump_too": 1}


def test_disambiguation_pages_are_told_by_template_page_props_and_item(tmp_path):
    links = "[[By template]] [[By item]] [[By name item]] [[By props]] [[Kept]]"
    names = ("By template", "By item", "By name item", "By props", "Kept")
    texts = ("Kept may be this.\n{{disambig}}", *["Kept may be this."] * 3, "A page that is kept.")
    pages = [page(number, text, title=name) for number, (name, text) in enumerate(zip(names, texts, strict=True), 1)]
    items = [item(i, name) for i, name in enumerate(names, 1)]
    for number, kind in ((1, "Q4167410"), (2, "Q22808320")):
        items[number]["claims"] = {"P31": [statement(kind)]}
    # The fifth is in page_props only: its page is not in the dump.
    items.append(item(6, "Not in the dump"))
    props = [(4, "disambiguation", ""), (60, "disambiguation", ""), (60, "wikibase_item", "Q6")]
    stages = run(
        tmp_path, [*pages, page(7, f"Kept links: {links} [[Not in the dump]].", title="Links")], items, props=props
    )
    assert list(stages.pages) == ["Kept", "Links"]
    assert stages.drops("index") == {"disambiguation": 4}
    assert stages.kept == [5]
    assert stages.drops("link_entities") == {"item_not_kept": 5}


def test_pages_that_are_no_articles_are_counted_by_reason(tmp_path):
    deleted = page(5).replace(
        '<text bytes="18" xml:space="preserve">A [[heron]] waits.</text>', '<text deleted="deleted" />'
    )
    stub = page(6).replace('xml:space="preserve">A [[heron]] waits.</text>', "/>")
    assert "deleted=" in deleted and "bytes=" in stub
    pages = [
        page(1),
        page(2, namespace=10, title="Template:A"),
        page(3, title="Talk:Old dump").replace("    <ns>0</ns>\n", ""),
        page(4).replace("<model>wikitext", "<model>json"),
        deleted,
        stub,
        page(7, text=""),
        page(8).split("    <revision>")[0] + "  </page>\n",
        page(9).replace("<id>90</id>", "<id>-1</id>"),
        redirect(10, "User:A", "B"),
    ]
    stages = run(tmp_path, pages)
    assert list(stages.pages) == ["Page 1"]
    assert stages.drops("wikipedia") == {"other_namespace": 3, "other_model": 1, "no_text": 3, "missing_revision": 2}
    rejects = read_records(tmp_path / "wikipedia/rejects.arrow").to_pylist()
    assert [(row["key"], row["reason"]) for row in rejects] == [
        ("Page 8", "missing_revision"),
        ("Page 9", "missing_revision"),
    ]
    assert stages.redirects == {}


def test_a_page_over_a_budget_is_rejected_and_a_very_large_one_is_kept(tmp_path):
    sentence = "A heron waits for a [[fish]] at the river. "
    pages = [
        page(1, "{{a|" * 300 + "}}" * 300, title="Deep"),
        page(2, sentence * 60_000),
        page(3, "x " * 5_500_000),
        page(4),
    ]
    stages = run(tmp_path, pages)
    assert list(stages.pages) == ["Page 2", "Page 4"]
    assert len(stages.pages["Page 2"]["links"]) == 60_000
    assert stages.drops("wikipedia") == {"too_deep": 1, "page_too_large": 1}
    rejects = read_records(tmp_path / "wikipedia/rejects.arrow").to_pylist()
    assert [(row["stage"], row["key"], row["reason"]) for row in rejects] == [
        ("wikipedia", "Deep", "too_deep"),
        ("wikipedia", "Page 3", "page_too_large"),
    ]


def test_of_an_article_and_a_redirect_with_one_id_the_newer_revision_counts(tmp_path):
    pages = [
        page(1, "It has [[Was article]] and [[Was redirect]]."),
        page(2, "An article, then.", title="Was article", revision=20),
        redirect(2, "Was article", "Page 1", revision=21),
        redirect(3, "Was redirect", "Page 1", revision=30),
        page(3, "An article, now.", title="Was redirect", revision=31),
        redirect(4, "Twice", "Page 1", revision=41),
        redirect(4, "Twice", "Was redirect", revision=40),
    ]
    for order in (1, -1):
        stages = run(tmp_path, pages[::order], [entity(1)])
        assert list(stages.pages) == ["Page 1", "Was redirect"]
        assert dict(stages.links) == {"Was article": "Q1", "Was redirect": None}
        assert stages.redirects == {"Was article": ("Page 1", "Q1"), "Twice": ("Page 1", "Q1")}
        assert stages.drops("index") == {"older_revision": 1}
        assert stages.drops("redirects") == {"older_revision": 2}


def test_titles_are_compared_as_mediawiki_normalises_them(tmp_path):
    text = "[[cafe\u0301]] [[Caf%C3%A9]] [[_caf\u00e9_#Top|x]] [[caf&eacute;]] [[Café|y]] [[CAFÉ]]"
    stages = run(tmp_path, [page(1, text), page(2, "Coffee is served.", title="Café")], [item(5, "Café")])
    assert stages.links == [*[("Café", "Q5")] * 5, ("CAFÉ", None)]


def test_rows_that_lists_lost_are_rejects(tmp_path):
    lists = TitleLists(
        ListedTitles(),
        read_page_items([]),
        {"redirect_list": Counter(truncated=2), "page_props": Counter(malformed_row=1)},
    )
    run(tmp_path, [page(1)])
    plan_alignment([tmp_path / "wikidata"], [tmp_path / "wikipedia"], lists, RULES, tmp_path / "index")
    rejects = read_records(tmp_path / "index/rejects.arrow").to_pylist()
    assert [(row["stage"], row["reason"]) for row in rejects] == [
        ("redirect_list", "truncated"),
        ("redirect_list", "truncated"),
        ("page_props", "malformed_row"),
    ]


def test_mentions_join_the_links_and_leave_the_counts_alone(tmp_path):
    text = "'''Heron''' is a bird that eats [[fish]]. Heron eats fish."
    pages = [page(1, text, title="Heron (bird)"), page(2, "Fish is a kind of animal.", title="Fish")]
    items = [item(1, "Heron (bird)"), item(2, "Fish")]
    plain = run(tmp_path, pages, items)
    counts = {name: read_records(tmp_path / f"align/{name}.arrow").to_pylist() for name in ("anchors", "leads")}
    links = plain.pages["Heron (bird)"]["links"]
    both = run(tmp_path, pages, items, mentions=MentionRules(self_mentions=True, repeat_mentions=True))
    assert {name: read_records(tmp_path / f"align/{name}.arrow").to_pylist() for name in counts} == counts
    row = both.pages["Heron (bird)"]
    assert [link for link in row["links"] if link["source"] == "link"] == links
    assert [(row["text"][m["start"] : m["end"]], m["target"], m["entity"], m["source"]) for m in row["links"]] == [
        ("Heron", "Heron (bird)", "Q1", "self"),
        ("fish", "Fish", "Q2", "link"),
        ("Heron", "Heron (bird)", "Q1", "repeat"),
        ("fish", "Fish", "Q2", "repeat"),
    ]


def test_a_time_that_is_none_is_null(tmp_path):
    times = ["2024-01-02T03:04:05Z", "0001-01-01T00:00:00+01:00", "9999-12-31T23:59:59-01:00", "yesterday", ""]
    pages = [
        page(number).replace(f"2024-01-0{number + 1}T00:00:00Z", text) for number, text in enumerate(times, start=1)
    ]
    found = [row["timestamp"] for row in run(tmp_path, pages).pages.values()]
    assert found == [datetime.datetime(2024, 1, 2, 3, 4, 5), None, None, None, None]
