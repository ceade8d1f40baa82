"""Titles, namespaces, redirects and disambiguation pages."""

import pickle
import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pipelines.wikitext import Site, is_disambiguation, parse, redirect_target

ENGLISH = Site.from_siteinfo(None, "en")
SITEINFO = b"""<siteinfo><sitename>Vikio</sitename><case>case-sensitive</case><namespaces>
<namespace key="0" case="case-sensitive" /><namespace key="6" case="first-letter">Bildo</namespace>
<namespace key="14" case="first-letter">Kategorio</namespace>
<namespace key="5" case="first-letter">Vikio diskuto</namespace>
<namespace key="100" case="first-letter">R&amp;D_page</namespace></namespaces></siteinfo>"""


@pytest.mark.parametrize(
    ("raw", "title"),
    [
        ("heron", "Heron"),
        ("  grey_ heron ", "Grey heron"),
        ("Heron#Diet", "Heron"),
        (":heron", "Heron"),
        ("caf%C3%A9", "Café"),
        ("%", "%"),
        ("AT&amp;T", "AT&T"),
        ("&lt;b&gt;", ""),
        ("E\u0301tude", "Étude"),
        ("heron\u200e", "Heron"),
        ("\u00a0heron\u3000grey", "Heron grey"),
        ("éclair", "Éclair"),
        ("ßa", "ßa"),
        ("ı\u0301", "Í"),
        ("category: birds", "Category:Birds"),
        ("IMAGE:h.jpg", "IMAGE:H.jpg"),
        ("Duck: Rabbit", "Duck: Rabbit"),
        ("", ""),
        ("#Diet", ""),
        ("a|b", ""),
        ("a[b", ""),
        ("a\nb", "A b"),
        ("..", ""),
        ("../x", ""),
        ("a/./b", ""),
        ("Category:", ""),
        ("x" * 256, ""),
        ("é" * 128, ""),
        ("x" * 255, "X" + "x" * 254),
        ("&#" + "9" * 5000 + ";", ""),
        ("\ud83d", ""),
    ],
)
def test_titles_are_normalised(raw, title):
    assert ENGLISH.normalize_title(raw) == title


@given(st.text())
@example("50&#37;25")
@example("a%2525b")
@example("&amp;amp;")
@example("category: :x")
def test_a_normalised_title_stays(raw):
    once = ENGLISH.normalize_title(raw)
    assert ENGLISH.normalize_title(once) == once


@pytest.mark.parametrize(
    ("raw", "kind"),
    [
        ("heron", "article"),
        ("UTC-06:00", "article"),
        ("#x", "fragment_only"),
        ("Category:X", "category"),
        ("File:X.jpg", "file"),
        ("Media:X.ogg", "media"),
        ("WP:X", "other_namespace"),
        ("user talk:X", "other_namespace"),
        ("de:X", "language"),
        ("zh-min-nan:X", "language"),
        ("wikt:x", "interwiki"),
        ("Commons:X", "interwiki"),
        ("<x>", "invalid_title"),
    ],
)
def test_a_links_kind_is_told_by_its_prefix(raw, kind):
    assert ENGLISH.resolve(raw)[0] == kind


def test_siteinfo_names_the_namespaces():
    site = Site.from_siteinfo(SITEINFO, "eo")
    article = parse(
        "[[heron]] [[Bildo:A.jpg|x]] [[File:A.jpg]] [[Kategorio:Birdoj]] [[R&D page:x|y]] [[Datei:A]]", site
    )
    assert article.text == "heron y Datei:A"
    assert [link.target for link in article.links] == ["heron", "Datei:A"]
    assert article.drops == {"file": 2, "category": 1, "other_namespace": 1}
    assert site.namespace_of("vikio_diskuto:X") == 5 and site.namespace_of("Heron: grey") == 0


def test_a_site_travels_to_workers():
    site = Site.from_siteinfo(SITEINFO, "bg")
    assert re.fullmatch(site.trail, "ю")
    assert pickle.loads(pickle.dumps(site)) == site


@pytest.mark.parametrize(
    ("language", "page", "target"),
    [
        ("en", "#REDIRECT [[heron]]", "Heron"),
        ("en", " #redirect: [[Grey_heron#Diet|x]] {{R from move}}", "Grey heron"),
        ("en", "#REDIRECT[[Caf%C3%A9]]", "Café"),
        ("bg", "#виж [[Чапла]]", "Чапла"),
        ("de", "#WEITERLEITUNG [[Reiher]]", "Reiher"),
        ("ru", "#перенаправление [[Цапля]]", "Цапля"),
        ("ja", "#転送 [[サギ]]", "サギ"),
        ("fa", "#تغییر_مسیر [[حواصیل]]", "حواصیل"),
        ("en", "# first\n# [[second]]", None),
        ("en", "See #REDIRECT [[heron]]", None),
        ("en", "#REDIRECT heron", None),
        ("en", "", None),
    ],
)
def test_redirects_are_read_in_every_language(language, page, target):
    assert redirect_target(page, Site.from_siteinfo(None, language)) == target


@pytest.mark.parametrize(
    ("language", "page", "expected"),
    [
        ("en", "'''Heron''' may mean:\n* [[Heron]]\n{{disambiguation|geo}}", True),
        ("en", "{{Hndis|Heron, A}}", True),
        ("en", "{{ Disambig }}", True),
        ("en", "{{Template:Dab}}", True),
        ("en", "{{Infobox bird}} {{disambiguation needed}} [[Heron (disambiguation)]]", False),
        ("en", "{{About|x|other uses|Heron (disambiguation)}}", False),
        ("de", "{{Begriffsklärung}}", True),
        ("fr", "{{Homonymie}}", True),
        ("bg", "{{Шаблон:Пояснение}}", True),
        ("nl", "{{dp}}", True),
        ("en", "{{dp}}", False),
        ("en", "__DISAMBIG__", True),
    ],
)
def test_disambiguation_pages_are_known_by_their_templates(language, page, expected):
    assert is_disambiguation(page, Site.from_siteinfo(None, language)) is expected


def test_sections_cover_the_text_and_leave_the_titles_out():
    article = parse(
        "Lead [[a]].\n\n== One [[b]] ==\nFirst.\n\n=== ''Two'' ===\n== Three ==<!-- x -->\nThird [[c]].", ENGLISH
    )
    assert article.text == "Lead a.\nFirst.\nThird c."
    assert article.text[: article.lead_end] == "Lead a."
    shown = [(title, level, article.text[start:end]) for title, level, start, end in article.sections]
    assert shown == [("One b", 2, "First."), ("Two", 3, ""), ("Three", 2, "Third c.")]
    assert [link.target for link in article.links] == ["A", "C"]
    assert article.drops == {"heading": 1}


def test_every_dropped_link_is_counted():
    page = "[[a]] [[Category:B]] [[File:C.jpg|[[d]]]] [[#e|e]] [[de:F]] [[wikt:g]] [[Help:H]] [[<i>]]\n{|\n| [[j]]\n|}"
    article = parse(page, ENGLISH)
    assert len(article.links) == 1
    assert article.drops == {
        "category": 1, "file": 2, "fragment_only": 1, "language": 1, "interwiki": 1, "other_namespace": 1,
        "invalid_title": 1, "table": 1,
    }  # fmt: skip
