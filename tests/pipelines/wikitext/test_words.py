"""Words outside of markup are never lost, whatever stands between them."""

import itertools
import re

from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipelines.wikitext import Site, parse

ENGLISH = Site.from_siteinfo(None, "en")

AROUND = [
    "''{}''", "'''{}'''", "'''''{}'''''", "<b>{}</b>", "<span style='x'>{}</span>", "{{{{nowrap|{}}}}}",
    "{{{{lang|de|{}}}}}",
    "({})", "\"{}\",", "{}&nbsp;", "&ndash; {}", "{}<ref>gone</ref>", "{}<ref name=gone />", "{} <!-- gone -->",
    "<sup>{}</sup>",
    "{}{{{{unknown|gone}}}}", "{} ({{{{unknown|gone}}}})", "{} <math>gone</math>", "{}<br>", "<br />{}",
    "{}.{{{{sfn|gone}}}}",
]  # fmt: skip
"""Markup inside a line: what stands for {} is seen."""
LINKS = [
    "{}", "{}", "[[{}]]", "[[target|{}]]", "[http://example.org {}]", "[{}]", "[[File:Gone.jpg|20px|gone]] {}",
    "{} [[Category:Gone]]", "{} <gallery>gone</gallery>", "[[target|bird [{}]]]", "<nowiki>{}</nowiki>",
]  # fmt: skip
LINES = [
    "{}", "* {}", "#* {}", ": {}", "; {}", " {}", "<blockquote>{}</blockquote>", "<div>{}</div>", "<p>{}",
    "{{{{quote|{}}}}}", "<poem>{}</poem>", "<li>{}",
]  # fmt: skip
DROPPED = [
    "{{unknown|gone|[[gone]]}}", "{{Infobox gone\n| gone = gone\n| gone = [[gone]]\n}}",
    "{|\n! gone\n|-\n| [[gone]]\n|}",
    "<ref>gone [[gone]]</ref>", "[[File:Gone.jpg|thumb|gone [[gone]]\ngone]]", "[[Category:Gone|gone]]", "[[de:gone]]",
    "<gallery>\nGone.jpg|gone\n</gallery>", "<syntaxhighlight>\n== gone ==\n</syntaxhighlight>", ":{|\n| gone\n|}",
    "<table><tr><td>gone</td></tr></table>", "{{DEFAULTSORT:gone}}", "<references>\n<ref>gone</ref>\n</references>",
    "[http://example.org/gone]", "<timeline>\ngone\n</timeline>", "__NOTOC__",
]  # fmt: skip
OPENERS = [
    "{{unknown|odd", "{{Infobox odd\n| odd = odd", "{|\n| odd", "{| odd", "<ref>odd", "<ref name=\"odd\">",
    "<math>odd", "<div",
    "<gallery>\nodd", "<table>", "[[File:Odd.jpg|thumb|odd", "[[Category:Odd", "[[odd", "[[odd|odd", "[http://odd odd",
    "'''odd", "''odd", "'''''", "== odd", "{{{odd|", "{{{{", "[[[[", "[[File:Odd|[[odd]", "{{lang|de|odd",
    "<span style=\"odd",
    "<ref name=odd", "<b", "&#", "(", "[", "{", "<div><b>", "{{unknown|[[odd", "[[odd|{{unknown", "{{#if:odd|",
    "__odd", "-{",
]  # fmt: skip
NEVER_CLOSED = ["<nowiki>", "<pre>odd", "<syntaxhighlight lang=odd>"]
"""What these hold may look like a heading: only the lack of a closer shows that they are not closed."""
CLOSERS = [
    "}}", "]]", "|}", "</ref>", "</table>", "</div>", "</nowiki>", "}}}", "]", "'''", "</b>", "|-", "| odd",
    "</math>", "-->",
    ")", "}-", "</gallery>", "</span></small>", "|}}", "]]]]",
]  # fmt: skip


HEADING = "== WORD =="


@st.composite
def lines(draw):
    """A line of text: words, each with markup around it."""
    words = []
    for _ in range(draw(st.integers(1, 3))):
        word = draw(st.sampled_from(LINKS)).format("WORD")
        for around in draw(st.lists(st.sampled_from(AROUND), max_size=2)):
            word = around.format(word)
        words.append(word)
    return draw(st.sampled_from(LINES)).format(" ".join(words))


def parts(malformed):
    """Lines of text, of what is dropped, and of what is no markup at all."""
    return st.lists(st.one_of(lines(), st.sampled_from(DROPPED), st.sampled_from(malformed)), max_size=6)


def assert_no_word_is_lost(page_lines):
    count = itertools.count(1)
    page = re.sub("WORD", lambda _: f"word{next(count)}", "\n".join(page_lines))
    article = parse(page, ENGLISH)
    titles = [word for section in article.sections for word in re.findall(r"word\d+", section.title)]
    assert titles == re.findall(r"(?m)^== (word\d+) ==$", page)
    assert re.findall(r"word\d+", article.text) == [word for word in re.findall(r"word\d+", page) if word not in titles]
    assert "gone" not in article.text.lower()


@settings(max_examples=300, deadline=None)
@given(parts(OPENERS + NEVER_CLOSED))
def test_no_word_is_lost_among_openers(page_lines):
    assert_no_word_is_lost(page_lines)


@settings(max_examples=300, deadline=None)
@given(parts(CLOSERS))
def test_no_word_is_lost_among_closers(page_lines):
    assert_no_word_is_lost(page_lines)


@settings(max_examples=300, deadline=None)
@given(parts(OPENERS), parts(CLOSERS))
@example(["<ref>odd", "<b>WORD</b>"], ["</ref>"])
@example(["[[File:Odd.jpg|thumb|odd", "[[WORD]]"], ["]]"])
@example(["{{unknown|odd", "{{nowrap|WORD}}"], ["WORD}}"])
@example(["{|\n| odd", "[[WORD]]"], ["|}"])
def test_a_closer_in_another_section_closes_nothing(opened, closed):
    assert_no_word_is_lost([*opened, HEADING, *closed])
