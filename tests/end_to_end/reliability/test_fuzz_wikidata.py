"""Some records in every run of the tests, more in the slow ones; and each kind of fault is seen."""

from collections import Counter

import pytest

from pipelines.sources import Reject
from pipelines.sources.wikidata import EntityReader, Item
from tests.end_to_end.reliability import fuzz_wikidata
from tests.end_to_end.reliability.mutations import draws


@pytest.mark.parametrize("count", [300, pytest.param(50_000, marks=pytest.mark.slow)])
def test_no_changed_record_breaks_the_reader(count):
    outcome = fuzz_wikidata.run(count, 0)
    assert outcome.tried == count and outcome.failures == []


def test_changes_make_records_rejects_and_broken_json():
    lines = [fuzz_wikidata.changed_line(words) for _, words in draws(0, "fuzz_wikidata", 500, 5)]
    records = [one for line, _ in lines for one in EntityReader("en", Counter()).read(line)]
    kinds = {one.reason if isinstance(one, Reject) else type(one).__name__ for one in records}
    assert kinds >= {"Item", "Property", "wrong_type", "invalid_json", "missing_id", "invalid_id"}
    assert len({line for line, _ in lines}) > 450


class Broken(EntityReader):
    """Reads as ours does, and then makes a mistake."""

    mistake = ""

    def read(self, line):
        records = super().read(line)
        if self.mistake == "raises":
            raise UnicodeDecodeError("utf-8", line[:9], 0, 1, "invalid start byte")
        if self.mistake == "loses rejects":
            return [one for one in records if not isinstance(one, Reject)]
        if self.mistake == "loses statements":
            return [one._replace(tails=one.tails[:-1]) if isinstance(one, Item) else one for one in records]
        if self.mistake == "counts twice" and records and isinstance(records[0], Item):
            self._drops["qualifier"] += 1
        return records


@pytest.mark.parametrize(
    ("mistake", "words"),
    [
        ("raises", "UnicodeDecodeError"),
        ("loses rejects", "expected wrong_type with"),
        ("loses statements", "expected Item("),
        ("counts twice", "expected Item("),
    ],
)
def test_a_fault_of_the_reader_is_reported(mistake, words, monkeypatch):
    monkeypatch.setattr(Broken, "mistake", mistake)
    monkeypatch.setattr(fuzz_wikidata, "EntityReader", Broken)
    outcome = fuzz_wikidata.run(80, 0)
    assert any(line.startswith("seed 0, number ") and words in line for line in outcome.failures), outcome.failures[:2]
    assert any("the 80 numbers up to 79" in line for line in outcome.failures)


def test_a_record_that_a_file_loses_is_reported(monkeypatch):
    real = fuzz_wikidata.read_entities
    monkeypatch.setattr(fuzz_wikidata, "read_entities", lambda *arguments: list(real(*arguments))[1:])
    (failure,) = fuzz_wikidata.run(100, 0).failures
    assert "records and Counter(" in failure and "from its lines" in failure
