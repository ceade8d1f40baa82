"""A page with more markup than people write is refused; a page that only looks so is not."""

import pickle

import pytest

from pipelines.wikitext import OverBudget, Site, budget, parse

ENGLISH = Site.from_siteinfo(None, "en")
TAIL = "\n\nThe [[stork]]s came back.\n\n== Diet ==\nFish.\n"


def nest(opener, closer, depth):
    return f"a {opener * depth}b{closer * depth} c"


NESTS = {
    "templates": ("{{x|", "}}"),
    "rendered templates": ("{{nowrap|", "}}"),
    "links": ("[[x|", "]]"),
    "files": ("[[File:x|", "]]"),
    "tables": ("\n{|\n| ", "\n|}\n"),
    "html tables": ("<table>", "</table>"),
    "external links": ("[http://x [[x|", "]]]"),
    "tables in files": ("[[File:x|\n{|\n", "\n|}\n]]"),
}


@pytest.mark.parametrize(("opener", "closer"), NESTS.values(), ids=NESTS)
def test_what_is_nested_deeper_than_the_budget_is_refused(opener, closer):
    levels = 2 if closer in ("]]]", "\n|}\n]]") else 1
    text = parse(nest(opener, closer, budget.MAX_DEPTH // levels) + TAIL, ENGLISH).text
    assert text.split()[0] == "a" and text.endswith("c\nThe storks came back.\nFish.")
    with pytest.raises(OverBudget) as refused:
        # A link with no markup inside is no level.
        parse(nest(opener, closer, budget.MAX_DEPTH // levels + 2) + TAIL, ENGLISH)
    assert refused.value.reason == "too_deep"
    assert refused.value.detail.endswith(f"nested deeper than {budget.MAX_DEPTH}")


@pytest.mark.parametrize(
    "sign", ["{", "[", "{{x|", "[[x|", "\n{|", "<table>", "[http://x ", "[[File:x|", "(", "''", "<ref>"]
)
@pytest.mark.parametrize("count", [1_000, pytest.param(100_000, marks=pytest.mark.slow)])
def test_what_is_never_closed_is_not_nested(sign, count):
    article = parse(f"A [[heron]] waits.\n{sign * count}{TAIL}", ENGLISH)
    assert article.text.startswith("A heron waits.")
    assert article.text.endswith("The storks came back.\nFish.")
    assert [link.target for link in article.links] == ["Heron", "Stork"]
    assert [section.title for section in article.sections] == ["Diet"]


@pytest.mark.parametrize("opening", ["{{", "[[", "''", "<b>", "[http://x ", "{|", "__TOC__", "&amp;"])
def test_a_page_of_too_many_openings_is_refused(opening, monkeypatch):
    monkeypatch.setattr(budget, "MAX_TOKENS", 100)
    parse(f"{opening} " * 33, ENGLISH)
    with pytest.raises(OverBudget, match=r"too_many_tokens: [0-9]+ openings of markup, more than 100"):
        parse(f"{opening} " * 101, ENGLISH)


def test_long_text_without_markup_is_in_budget(monkeypatch):
    monkeypatch.setattr(budget, "MAX_TOKENS", 100)
    assert parse("heron " * 1_000, ENGLISH).text == " ".join(["heron"] * 1_000)


def test_a_page_of_100_000_links_is_in_budget():
    article = parse("".join(f"* [[heron {i}|bird]]s wait\n" for i in range(100_000)), ENGLISH)
    assert len(article.links) == 100_000
    assert article.links[99_999].target == "Heron 99999"
    assert {article.text[link.start : link.end] for link in article.links} == {"birds"}


def test_a_refusal_travels_between_processes():
    error = pickle.loads(pickle.dumps(OverBudget("too_deep", "links nested deeper than 256")))
    assert (error.reason, error.detail, str(error)) == (
        "too_deep",
        "links nested deeper than 256",
        "too_deep: links nested deeper than 256",
    )
