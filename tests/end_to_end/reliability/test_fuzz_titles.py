"""Some titles in every run of the tests, more in the slow ones; and faults are seen."""

import pytest

from pipelines.wikitext import Site
from tests.end_to_end.reliability import fuzz_titles


@pytest.mark.parametrize("count", [3_000, pytest.param(200_000, marks=pytest.mark.slow)])
def test_no_title_breaks_its_rules(count):
    outcome = fuzz_titles.run(count, 0)
    assert outcome.tried == count and outcome.failures == []


@pytest.mark.parametrize(
    ("mistake", "words"),
    [
        (lambda kind, title: (kind, f"{title} "), "the title '"),
        (lambda kind, title: (kind, f"{title}x"), "' becomes '"),
        (lambda kind, title: (kind, ""), "article ''"),
        (lambda kind, title: (kind, title[999]), "IndexError: string index out of range"),
    ],
)
def test_a_fault_of_the_titles_is_reported(mistake, words, monkeypatch):
    real = Site.resolve
    monkeypatch.setattr(Site, "resolve", lambda self, raw: mistake(*real(self, raw)))
    outcome = fuzz_titles.run(300, 0)
    assert any(words in line for line in outcome.failures)


def test_a_chain_of_redirects_that_ends_elsewhere_is_reported(monkeypatch):
    chain = {3: 2, 2: 1, 1: 0, 4: 5, 5: 4, 6: 12}
    assert fuzz_titles.check_redirects(chain) is None
    monkeypatch.setattr("pipelines.transforms.titles._follow", lambda steps, is_end: steps)
    assert fuzz_titles.check_redirects(chain).startswith("T3 ends at ")
