"""Some cuts in every run of the tests, every cut of a round of files in the slow ones; and a lost record is seen."""

import pytest

from pipelines.sources import Reject
from tests.end_to_end.reliability import fuzz_ranges
from tests.end_to_end.reliability.fuzz_ranges import WAYS, make_files


@pytest.mark.parametrize("count", [250, pytest.param(40_000, marks=pytest.mark.slow)])
def test_no_cut_loses_a_record_or_goes_unsaid(count):
    outcome = fuzz_ranges.run(count, 0)
    assert outcome.tried == count and outcome.failures == []


def test_a_round_has_every_container_and_other_texts_than_the_next():
    files, others = make_files(0, 0), make_files(0, 1)
    assert len({file.name for file in files}) == len(files) == 16
    assert files == make_files(0, 0) and not {file.data for file in files} & {file.data for file in others}
    assert set(WAYS) == {"cut", "cut into ranges", "cut off"}


def losing(part):
    """Reads pages, but for those that begin in a range behind the first."""
    return (one for one in fuzz_ranges.read_pages(part) if part.start == 0)


def silent(part):
    """Reads pages, and says nothing of damage."""
    return (one for one in fuzz_ranges.read_pages(part) if not isinstance(one, Reject))


def raising(part):
    """Reads whole dumps only."""
    pages = list(fuzz_ranges.read_pages(part))
    if any(isinstance(one, Reject) for one in pages):
        raise EOFError("Compressed file ended before the end-of-stream marker was reached")
    return iter(pages)


@pytest.mark.parametrize(
    ("reader", "words"), [(losing, "ranges from [0, "), (silent, "and the rejects []"), (raising, "EOFError: ")]
)
def test_a_fault_of_the_reader_is_reported(reader, words, monkeypatch):
    plain = [file._replace(read=reader) for file in make_files(0, 0) if file.name == "pages, plain"]
    monkeypatch.setattr(fuzz_ranges, "make_files", lambda seed, number: plain)
    outcome = fuzz_ranges.run(100, 0)
    assert any(line.startswith("seed 0, round 0, pages, plain of ") and words in line for line in outcome.failures)
