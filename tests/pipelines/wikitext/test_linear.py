"""Time and memory grow with a page's length, whatever is on it."""

import contextlib
import gc
import time
import tracemalloc

import pytest

from pipelines.wikitext import OverBudget, Site, is_disambiguation, parse, redirect_target
from pipelines.wikitext.quotes import without_quotes
from pipelines.wikitext.templates import parse_arguments

ENGLISH = Site.from_siteinfo(None, "en")

UNCLOSED = [
    "<ref>", "<ref name=a>b", "<nowiki>", "<math>", "<gallery>", "<table>", "<!--", "<b", "<", "</", "<ref", "<div ",
    "[http://a ", "[http", "[", "[[", "[[a|", "[[a|b ", "[[File:a|", "[[File:a|[[b]]", "[[Category:a|\n", "[[:",
    "{", "{{", "{{a|", "{{a\n|b=", "{{lang|en|", "{{{", "{|", "\n{|", "\n{| a", "\n:::{|", "-{", "(", "（", "(, ",
    "=", "\n=", "\n==", "\n== a", "'", "''", "'''''", "a'''b''", "&", "&#", "&#x", "&amp", "&#99999999999", "__", "__A",
    "__A_", "~~~", "%C3", "*", ":", ";", "\n;a : ", "\n*", "-", "|", "||", "!", "\n|", "\n!", " ", "\n", " \n",
    "\t", "\x01",
]  # fmt: skip
"""Openers that nothing closes, and runs of one sign."""

CLOSED = [
    "}}", "]]", "]", "|}", "\n|}", "-->", "</ref>", "</table>", "</nowiki>", "[[a]]s", "[[a|b]]c ", "[[a|b [c]]] ",
    "[[a%20b]]", "[[mailto:a b]]", "[[|]]", "[[a|]]", "[[#a]]\n", "(<ref/>", " <ref/>", "<ref>a</ref>",
    "<ref name=\"a>b\"/>",
    "({{a}}) ", "{{a}}, ", "{{!}}", "{{a|b}}", "{{lang|en|a}}", "{{convert|1|mi}} ", "[{{a}} b]", "[http://a]",
    "[http://a b] ",
    "[[File:a|b]], ", "<br>", "<br>|", "<b>=</b>", "a<br>\n== b ==", "\n== a ==", "\n=a<br>=", "\n{|\n|}",
    "{|\n|}", "|}{|",
    "<nowiki/>*", "\n<nowiki/>*", "<nowiki>&amp;*</nowiki>", "&amp;", "&#1;", "a'''", "\nl'''a'' ", "__TOC__",
    "( )", ", ,",
]  # fmt: skip
"""Constructs that are complete, or that close nothing."""

NESTED = [
    ("{{a|", "}}"), ("{{nowrap|", "}}"), ("{{quote|", "}}"), ("[[a|", "]]"), ("[[File:a|", "]]"), ("[[a|b\n==", "]]"),
    ("{{a|\n==", "}}"), ("[http://a ", "]"), ("[http://a [[b|", "]]"), ("\n[http://a [[Category:", "]]"), ("[", "]"),
    ("[[a|[ ", "]]] "), ("\n{|", "\n|}"), ("<table>", "</table>"), ("<ref>", "</ref>"), ("(", ")"), ("<!--", "-->"),
    ("<nowiki>", "</nowiki>"), ("{|\n|[[File:a|", "]]\n|}"), ("{{{", "}}}"), ("-{", "}-"),
]  # fmt: skip
"""All openers first, then all closers: half the page each."""

FUNCTIONS = {
    "is_disambiguation": lambda page: is_disambiguation(page, ENGLISH),
    "redirect_target": lambda page: redirect_target(f"#REDIRECT [[{page}", ENGLISH),
    "resolve": ENGLISH.resolve,
    "parse_arguments": parse_arguments,
    "without_quotes": without_quotes,
}


def parse_or_refuse(page):
    """parse(), where a page over a budget counts too: telling it must not take long either."""
    with contextlib.suppress(OverBudget):
        parse(page, ENGLISH)


def seconds(function, page):
    """The least CPU time of five runs."""
    best = float("inf")
    gc.disable()
    try:
        for _ in range(5):
            start = time.process_time()
            function(page)
            best = min(best, time.process_time() - start)
    finally:
        gc.enable()
    return best


def assert_linear(function, make_page):
    """t(4n)/t(n) <= 6 at a length where the time is some milliseconds, if there is one below a million signs."""
    length = 8_000
    while (first := seconds(function, make_page(length))) < 0.005 and length < 250_000:
        length *= 2
    ratios = [seconds(function, make_page(4 * length)) / max(first, 0.002)]
    while ratios[-1] > 6 and len(ratios) < 3:  # a neighbour on the machine may have been loud
        first = seconds(function, make_page(length))
        ratios.append(seconds(function, make_page(4 * length)) / max(first, 0.002))
    assert min(ratios) <= 6


@pytest.mark.slow
@pytest.mark.parametrize("unit", UNCLOSED + CLOSED)
def test_time_is_linear_on_runs(unit):
    assert_linear(parse_or_refuse, lambda length: unit * (length // len(unit)))


@pytest.mark.slow
@pytest.mark.parametrize(("opener", "closer"), NESTED)
def test_time_is_linear_on_nests(opener, closer):
    def make_page(length):
        count = length // (len(opener) + len(closer))
        return opener * count + "a" + closer * count

    assert_linear(parse_or_refuse, make_page)


@pytest.mark.slow
@pytest.mark.parametrize("pair", [*zip(UNCLOSED, UNCLOSED[9:], strict=False), *zip(CLOSED, UNCLOSED, strict=False)])
def test_time_is_linear_on_openers_by_turns(pair):
    unit = "".join(pair)
    assert_linear(parse_or_refuse, lambda length: unit * (length // len(unit)))


@pytest.mark.slow
@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize(
    "unit", ["[[", "{{ ", "{{a", "|", "|a=", "[[a|", "%C3", "&#", "&amp;", "/../", ":", " ", "'''a", "(a", ", "]
)
def test_time_of_the_other_functions_is_linear(name, unit):
    assert_linear(FUNCTIONS[name], lambda length: unit * (length // len(unit)))


@pytest.mark.slow
@pytest.mark.parametrize(
    "unit", ["[[", "[[a|", "{{a|", "{{", "\n{|", "<b>", "''", "[[a]]", "&amp;", "\n* a", "(<ref/>", "]"]
)
def test_memory_is_linear_in_the_length(unit):
    def peak(length):
        page = unit * (length // len(unit))
        tracemalloc.start()
        parse_or_refuse(page)
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    parse_or_refuse(unit)
    assert peak(40_000) <= 5 * peak(10_000) + 100_000
    assert peak(40_000) <= 160 * 40_000
