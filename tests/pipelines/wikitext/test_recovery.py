"""Malformed markup costs its own line at most; nothing raises, whatever the input."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipelines.wikitext import Site, is_disambiguation, parse, redirect_target

ENGLISH = Site.from_siteinfo(None, "en")
BODY = "A [[heron]] waits in the reeds."
TAIL = "\n\nThe [[stork]]s came back in spring.\n\n== Diet ==\nFish, {{convert|2|lb}} a day.<ref>Smith</ref>\n"
SHOWN_TAIL = "The storks came back in spring.\nFish, 2 pounds a day."

UNCLOSED = [
    "{{Infobox bird\n| name = Heron\n| size = 1 m\n",
    "{{cite book|title=Birds",
    "{{lang|fr|",
    "{{a|{{b|{{c}}",
    "{|\n| cell\n|-\n| other",
    "{| class=wikitable",
    "{|\n| x\n{|\n| y\n|}\n",
    "<!-- a note",
    "<ref>Smith 2010",
    '<ref name="x">',
    "<nowiki>",
    "<math>x^2",
    "<gallery>\nFile:A.jpg|bird\n",
    "<syntaxhighlight lang=c>",
    "<table><tr><td>",
    "<div><span>",
    "[[File:A.jpg|thumb|A [[heron]]",
    "[[File:A.jpg|thumb|A [[stork] in spring]]",
    "[[Category:Birds",
    "[[stork",
    "[[stork|bird",
    "[[a|[[b|c",
    "[http://example.org the page",
    "'''''bold",
    "</ref></nowiki></math>-->|}}}}]]]",
    "== Heading",
    "{{{1|",
    "{{{{{{",
    "[[[[[[",
    "\n|}\n|}",
    "&#xD83D; &#" + "9" * 5000 + "; &#x110000;",
]


@pytest.mark.parametrize("opener", UNCLOSED)
@pytest.mark.parametrize("place", ["in a sentence", "on its own line"])
def test_an_unclosed_construct_never_costs_the_pages_tail(opener, place):
    page = f"{BODY} {opener}{TAIL}" if place == "in a sentence" else f"{BODY}\n{opener}{TAIL}"
    article = parse(page, ENGLISH)
    assert article.text.startswith("A heron waits in the reeds.")
    assert article.text.endswith(SHOWN_TAIL)
    assert [link.target for link in article.links if link.target in ("Heron", "Stork")][-1] == "Stork"
    assert article.sections[-1].title == "Diet"
    for leftover in ("{{", "}}", "[[", "]]", "thumb|", "''", "<ref", "<!--", "|}"):
        assert leftover not in article.text
    assert ("{|" in article.text) == (opener[:2] == "{|" and place == "in a sentence")  # there it is no table


@pytest.mark.parametrize(
    ("page", "text"),
    [
        ("a<ref name=x>b<ref>c</ref>d", "abd"),  # the first was meant to be <ref name=x />
        ("a<ref>b\n\n== H ==\nc</ref>", "ab\nc"),
        ("{{a|[[File:x.jpg|}} b", "b"),
        ("[[File:x.jpg|{{a|]]}} b]] c", "c"),
        ("{|\n| [[x {{a}}\n|}\nb", "b"),
        ("a {{b}} }} c", "a c"),
        ("a {{b}}} c {{{d}} e", "a c e"),
        ("[http://a b\nc] d", "b\nc] d"),
        ("== a == b", "== a == b"),
        ("<!-- a <!-- b --> c", "c"),
    ],
)
def test_crossed_markup_ends_where_mediawiki_ends_it(page, text):
    assert parse(page, ENGLISH).text == text


WORDS = """[[ ]] [ ] {{ }} {| |} | = == '' ''' * # : ; <ref> </ref> <ref/> <nowiki> </nowiki> <nowiki/> <!-- --> <math>
    </math> <br> <table> </table> File: Category: de: http://a ( ) , &amp; &#1; &nbsp; &#8195; lang|en| convert|1|mi
    nowrap| heron grey a __TOC__ É 鳥 ! ---- {{!}} {{'}} %C3%A9 mailto:a -{ }- <ref|name="a>b"/> l' <div"""
MARKUP = [*WORDS.split(), *"\n \t\r\x00\x01\x02\x03\x19\x1f\ud83d\u3000\u2028\ufdd0", "\n== a ==\n"]
pages = st.one_of(st.text(), st.lists(st.sampled_from(MARKUP), max_size=40).map("".join))


@settings(max_examples=600, deadline=None)
@given(pages)
@example("[[a|\u3000b]]")
@example("[[a|&#8195;]] b")
@example("[[a|({{x}})]]")
@example("[[a|&nbsp; [b]]]")
def test_any_string_gives_a_sound_article(page):
    article = parse(page, ENGLISH)
    text = article.text
    text.encode()
    assert text == text.strip()
    assert "  " not in text and "\n\n" not in text and " \n" not in text and "\n " not in text
    assert not set(text) & set(map(chr, [*range(10), *range(11, 32)]))
    end = 0
    for link in article.links:
        assert end <= link.start < link.end <= len(text)
        assert text[link.start : link.end] == text[link.start : link.end].strip()
        assert link.target == ENGLISH.normalize_title(link.target) != ""
        end = link.end
    end = article.lead_end
    for section in article.sections:
        assert end <= section.start <= section.end <= len(text)
        assert 1 <= section.level <= 6
        end = section.end
    assert all(count > 0 for count in article.drops.values())
    is_disambiguation(page, ENGLISH)
    redirect_target(page, ENGLISH)


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet="abcé鳥., \n", max_size=200))
def test_plain_text_keeps_every_word_and_parses_to_itself(page):
    text = parse(page, ENGLISH).text
    assert text.split() == page.split()
    assert parse(text, ENGLISH).text == text
