"""A few families in every run of the tests, all in the slow ones; and a scanner that is not linear is seen."""

import pytest

from tests.end_to_end.reliability import linear
from tests.pipelines.wikitext.test_linear import CLOSED, NESTED, UNCLOSED


@pytest.fixture(autouse=True)
def a_short_real_page(monkeypatch):
    monkeypatch.setattr(linear, "HUGE", 20_000)


def test_a_few_families_are_linear(monkeypatch):
    monkeypatch.setattr(linear, "SHORT", 5_000)
    monkeypatch.setattr(linear, "LONG", 40_000)
    monkeypatch.setattr(linear, "MAX_EXPONENT", 1.3)  # at this size a page's own costs and the clock's grain count
    outcome = linear.run(2, 0)
    assert outcome.failures == [] and outcome.tried == 3
    assert set(outcome.figures) == {
        "worst exponent",
        "lowest MB a CPU second",
        "families under 5 MB a CPU second",
        "CPU seconds of 8 MiB of real text",
    }


@pytest.mark.slow
@pytest.mark.timeout(3_000)
def test_all_families_are_linear():
    assert linear.run(linear.COUNT, 0).failures == []


def test_a_quadratic_scanner_is_reported(monkeypatch):
    monkeypatch.setattr(linear, "SHORT", 1_000)
    monkeypatch.setattr(linear, "LONG", 8_000)
    monkeypatch.setattr(linear, "_ROUNDS", 2)
    monkeypatch.setattr(linear, "parse_or_refuse", lambda page: [page.count("[", 0, i) for i in range(len(page))])
    outcome = linear.run(1, 0)
    assert "number 0, '<ref>': its time grows by the power" in outcome.failures[0]


def test_a_slow_scanner_is_reported(monkeypatch):
    monkeypatch.setattr(linear, "real_seconds", lambda: 2.5)
    monkeypatch.setattr(linear, "measure", lambda make_page: linear.Measured(0.1, 0.5))
    outcome = linear.run(3, 0)
    assert outcome.failures == ["8 MiB of real text take 2.50 s"]
    assert outcome.figures["families under 5 MB a CPU second"] == 3


def test_families_are_those_of_the_scanners_own_tests_and_more():
    families = linear.make_families(250, 0)
    own = len(UNCLOSED) + len(CLOSED) + len(NESTED)
    assert len(families) == 250 > own > 100
    names = [[name for name, _ in linear.make_families(own + 20, seed)] for seed in (0, 1)]
    assert names[0][:own] == names[1][:own] and names[0][own:] != names[1][own:]
    assert all(0.9 * 4_000 < len(make_page(4_000)) <= 4_000 + 1 for _, make_page in families)
