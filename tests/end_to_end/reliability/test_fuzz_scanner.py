"""Some inputs in every run of the tests, more in the slow ones; and each kind of fault is seen."""

import dataclasses

import pytest

from pipelines.wikitext import Links, parse
from tests.end_to_end.reliability import fuzz_scanner
from tests.end_to_end.reliability.mutations import draws, mutated
from tests.end_to_end.reliability.outcome import MAX_FAILURES


@pytest.mark.parametrize("count", [500, pytest.param(50_000, marks=pytest.mark.slow)])
def test_no_mutated_page_breaks_the_scanner(count):
    outcome = fuzz_scanner.run(count, 0)
    assert outcome.tried == count and outcome.failures == []


def article_with(change):
    """A scanner that does what ours does, and then changes the article."""

    def scanner(page, site):
        article = parse(page, site)
        return dataclasses.replace(article, **change(article))

    return scanner


def raising(page, site):
    raise KeyError("nowıki")


FAULTS = {
    "KeyError: 'nowıki'": raising,
    "the tail is lost": article_with(lambda article: {"text": article.text[:-1]}),
    "in the text": article_with(lambda article: {"text": f"a  b{article.text}"}),
    r"in the text '\ud800": article_with(lambda article: {"text": f"\ud800{article.text}"}),
    "a link at 0 to 0": article_with(lambda article: {"links": Links([0], [0], ["Heron"])}),
    "a link at 3 to 5 behind 4": article_with(lambda article: {"links": Links([0, 3], [4, 5], ["Heron", "Stork"])}),
    "which is not normal": article_with(lambda article: {"links": Links([0], [1], ["Heron "])}),
    "Section(title='Diet'": article_with(lambda article: {"lead_end": len(article.text) + 1}),
    "characters of text": article_with(lambda article: {"text": "ab" * 2_000 + article.text}),
    "plain text became": article_with(lambda article: {"text": f"ab {article.text}"}),
}


@pytest.mark.parametrize("words", FAULTS, ids=map(ascii, FAULTS))
def test_a_fault_of_the_scanner_is_reported(words, monkeypatch):
    monkeypatch.setattr(fuzz_scanner, "parse", FAULTS[words])
    outcome = fuzz_scanner.run(300, 0)
    assert 10 < len(outcome.failures) <= MAX_FAILURES
    assert any(words in line for line in outcome.failures), outcome.failures[:3]
    assert outcome.failures[0].startswith("seed 0, number ")


def test_a_page_over_budget_is_counted_and_no_fault(monkeypatch):
    monkeypatch.setattr("pipelines.wikitext.budget.MAX_DEPTH", 0)
    outcome = fuzz_scanner.run(400, 0)
    assert outcome.failures == [] and outcome.figures["refused as over budget"] > 10


def test_a_try_is_told_by_seed_and_number_alone():
    some, more = list(draws(1, "a", 5, 3)), list(draws(1, "a", 5_000, 3))
    assert some == more[:5] and len(more) == 5_000 and [number for number, _ in more] == list(range(5_000))
    assert some != list(draws(2, "a", 5, 3)) != list(draws(1, "b", 5, 3))


def test_each_kind_of_change_is_drawn():
    page, other = "A [[heron]] waits.", "and a stork"
    texts = {bits & 15: mutated(page, bits, ["{{"], other) for _, (bits,) in draws(0, "a", 400, 1)}
    assert len(texts) == 16 and len(set(texts.values())) > 10
