"""What --redirects and --page-props say of titles: every row is used or counted."""

from collections import Counter
from pathlib import Path

import pytest

from pipelines.config import Build
from pipelines.inputs import redirect_files
from pipelines.sources.lists import read_redirect_lines
from pipelines.transforms.title_lists import read_page_items, titles_from_lines, titles_from_tables
from pipelines.transforms.titles import INTERWIKI, NO_ITEM, NO_TARGET, OTHER_NAMESPACE
from pipelines.wikitext import Site
from schemas.errors import UsageError
from schemas.hashing import hash_strings
from tests.pipelines.sources.inputs import write

SITE = Site.from_siteinfo(None, "en")

PAGE = """CREATE TABLE `page` (`page_id` int, `page_namespace` int, `page_title` blob, `page_is_redirect` int);
INSERT INTO `page` VALUES (1,0,'Norge',1),(2,0,'Norway',0),(3,4,'N',1),
(4,0,'Kart',1),(5,0,'Far',1),(6,0,'Lost',1),(7,0,'Empty',1);
"""
REDIRECT = """INSERT INTO `redirect` VALUES (1,0,'Norway','','History'),(3,0,'Norway','',''),(4,14,'Maps','',''),
(5,0,'Norge','no',''),(7,0,'','','top'),(99,0,'Norway','',''),(98,1,'Norway','','');
"""


def redirects(listed):
    return [tuple(row.values()) for row in listed.redirects().to_pylist()]


def others(listed):
    hashes, codes, ids = listed.others()
    names = {int(hash_strings([name])[0]): name for name in ("Norway", "Kart", "Far", "Lost", "Empty", "F")}
    return {
        names[title]: (code, page_id)
        for title, code, page_id in zip(hashes.tolist(), codes.tolist(), ids.tolist(), strict=True)
    }


def tables(tmp_path, page=PAGE, redirect=REDIRECT):
    drops = Counter()
    paths = write(tmp_path, "redirect.sql", redirect.encode()), write(tmp_path, "page.sql", page.encode())
    return titles_from_tables(*paths, drops), drops


def test_redirect_and_page_table_are_joined_and_each_row_is_used_or_counted(tmp_path):
    listed, drops = tables(tmp_path)
    assert redirects(listed) == [("Norge", "Norway", 1)]
    assert others(listed) == {
        "Norway": (NO_ITEM, 2),
        "Kart": (OTHER_NAMESPACE, 4),
        "Far": (INTERWIKI, 5),
        "Lost": (NO_TARGET, 6),
        "Empty": (NO_TARGET, 7),
    }
    assert +drops == {
        "from_other_namespace": 1,
        "redirect_to_other_namespace": 1,
        "redirect_to_interwiki": 1,
        "redirect_to_no_page": 1,
        "page_not_listed": 2,
    }
    assert drops.total() + listed.redirects().num_rows == REDIRECT.count("),") + 1
    assert listed.is_complete


def test_a_cut_page_table_does_not_have_all_titles(tmp_path):
    listed, drops = tables(tmp_path, page=PAGE[: PAGE.index(",(6")])
    assert drops["truncated"] == 1 and not listed.is_complete
    listed, drops = tables(tmp_path, redirect=REDIRECT[:-30])
    assert drops["truncated"] == 1 and listed.is_complete


def test_listed_titles_are_normalised_and_each_line_is_used_or_counted():
    lines = [
        ("norge", "norway#History"),
        ("Kart", ":Category:Maps"),
        ("F", "no:Norge"),
        ("WP:N", "Norway"),
        ("Talk:Norge", "Talk:Norway"),
        ("#top", "Norway"),
        ("Norge", "#top"),
        ("A%20B", "Caf\u0065\u0301"),
    ]
    drops = Counter()
    listed = titles_from_lines(lines, SITE, drops)
    assert redirects(listed) == [("Norge", "Norway", None), ("A B", "Café", None)]
    assert others(listed) == {"Kart": (OTHER_NAMESPACE, 0), "F": (INTERWIKI, 0)}
    assert drops == {
        "redirect_to_other_namespace": 1,
        "redirect_to_interwiki": 1,
        "from_other_namespace": 2,
        "invalid_title": 2,
    }
    assert not listed.is_complete


def test_a_case_sensitive_wiki_keeps_small_first_letters():
    siteinfo = b"<siteinfo><case>case-sensitive</case></siteinfo>"
    listed = titles_from_lines([("cats", "cat")], Site.from_siteinfo(siteinfo, "en"), Counter())
    assert redirects(listed) == [("cats", "cat", None)]


def test_page_props_give_items_and_disambiguation_pages():
    rows = [
        (9, "wikibase_item", "Q7"),
        (3, "wikibase_item", "Q5"),
        (3, "wikibase_item", "Q4"),
        (5, "disambiguation", ""),
        (6, "wikibase_item", "Q"),
        (8, "wikibase_item", "Q" + "9" * 30),
    ]
    props = read_page_items(rows)
    assert (props.ids.tolist(), props.items.tolist(), props.disambiguations.tolist()) == ([3, 9], [4, 7], [5])
    assert props.items_of(props.disambiguations).tolist() == [NO_ITEM]
    assert read_page_items([]).items_of(props.ids).tolist() == [NO_ITEM, NO_ITEM]


def test_the_join_of_the_real_tables_gives_the_pairs_of_the_real_list(real_data):
    folder, drops = real_data / "wikipedia", Counter()
    paths = [str(folder / f"enwiki-20150112-{name}.sql.head.gz") for name in ("redirect", "page")]
    listed = titles_from_tables(*paths, drops)
    pairs = {(title, target) for title, target, _ in redirects(listed)}
    assert len(pairs) == 2001
    assert pairs <= set(read_redirect_lines(str(folder / "enwiki-redirects.tsv"), drops))
    assert drops == {"from_other_namespace": 17, "page_not_listed": 25_995, "truncated": 2}
    assert len(pairs) + drops["from_other_namespace"] + drops["page_not_listed"] == 28_013


def config(*paths):
    return Build(wikipedia=(), redirects=paths, out=Path("d"))


def test_the_files_of_redirects_are_told_apart_by_what_is_in_them(tmp_path):
    titles = tmp_path / "t.tsv"
    titles.write_text("Norge\tNorway\n")
    redirect, page = tmp_path / "wiki-redirect.sql", tmp_path / "wiki-page.sql"
    redirect.write_text(REDIRECT)
    with pytest.raises(
        UsageError, match=r"wiki-redirect\.sql: it names pages by id\. Give the dump's page\.sql behind it"
    ):
        redirect_files(config(redirect))
    page.write_text(PAGE)
    assert redirect_files(config()) == []
    assert redirect_files(config(titles)) == [titles]
    assert redirect_files(config(page, redirect)) == redirect_files(config(redirect)) == [redirect, page]
    for wrong in (
        (page,),
        (titles, page),
        (titles, redirect),
        (titles, titles),
        (redirect, redirect),
        (redirect, page, page),
    ):
        with pytest.raises(UsageError, match="expected a file of lines title TAB target, or"):
            redirect_files(config(*wrong))
