"""Every kind of input but the largest, in a process of its own; and the harness says so where one is met wrongly."""

import itertools
import time
from pathlib import Path

import pytest

from pipelines.sources import wikipedia
from tests.end_to_end.reliability import containers
from tests.end_to_end.reliability.containers import KINDS, apart, built, tries, wrong
from tests.end_to_end.reliability.inputs_tried import PAGES, Kind, whole_pages, write
from tests.end_to_end.reliability.packed_inputs import BOMBS

SMALL = {name: kind for name, kind in KINDS.items() if name not in BOMBS}


@pytest.mark.parametrize("name", list(SMALL)[::3])
def test_a_kind_of_input_is_met_as_expected(name, tmp_path):
    assert wrong(SMALL[name], write(SMALL[name], tmp_path)) == ""


@pytest.mark.slow
def test_every_kind_is_met_as_expected_within_the_memory():
    peaks: list[int] = []
    assert not list(tries(SMALL, len(SMALL), 0, peaks, builds=False))
    assert len(SMALL) > 250 and max(peaks) < 1 << 30


def test_expectations_can_fail(tmp_path):
    whole = write(Kind(PAGES, whole_pages), tmp_path)
    assert not wrong(Kind(PAGES, whole_pages), whole)
    assert "expected 5 kept" in wrong(Kind(PAGES, whole_pages, kept=5), whole)
    assert "expected the error" in wrong(Kind(PAGES, whole_pages, error="an HTML page"), whole)
    assert "truncated" in wrong(Kind(PAGES, whole_pages, rejects=("truncated",)), whole)


def test_a_silent_loss_is_reported(tmp_path, monkeypatch):
    name = "XML: a bare ampersand"
    path = write(KINDS[name], tmp_path)
    monkeypatch.setattr(containers, "read_pages", lambda part: list(wikipedia.read_pages(part))[:1])
    assert "found 1 and {}" in wrong(KINDS[name], path)


def test_a_canary_that_is_read_is_reported(tmp_path, monkeypatch):
    kind = Kind(PAGES, whole_pages, kept=1)
    monkeypatch.setattr(containers, "read_pages", lambda part: [Path(part.path).with_name("canary").read_text()])
    assert "the canary was read" in wrong(kind, write(kind, tmp_path))


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        (lambda part: time.sleep(60), "not done after 1 s with"),
        (lambda part: sum(itertools.repeat(1)), "not done after 2 s of CPU"),
        (lambda part: [len(bytearray(300 << 20))], "bytes of memory"),
        (lambda part: 1 // 0, "ZeroDivisionError"),
    ],
)
def test_what_hangs_swells_or_raises_is_reported(fault, says, tmp_path, monkeypatch):
    kind = Kind(PAGES, whole_pages, kept=(0, 99))
    monkeypatch.setattr(containers, "read_pages", fault)
    monkeypatch.setattr(containers, "SECONDS", 2 if "2 s" in says else 60)
    monkeypatch.setattr(containers, "WAIT", 1 if "1 s with" in says else 300)
    monkeypatch.setattr(containers, "MEMORY", 300 << 20)
    assert says in apart(kind, write(kind, tmp_path), builds=False)[0]


def test_a_build_that_says_nothing_of_what_it_lost_is_reported(tmp_path, monkeypatch):
    kind = Kind(PAGES, whole_pages, error="an HTML page")
    monkeypatch.setattr(containers, "main", lambda words: 1)
    assert "the build ended with 1" in built(kind, write(kind, tmp_path))


@pytest.mark.slow
@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_met_as_expected(name):
    assert not list(tries({name: BOMBS[name]}, 1, 0, []))


@pytest.mark.slow
def test_a_share_goes_through_the_command():
    assert not list(tries(dict(list(SMALL.items())[:17]), 17, 0, []))
