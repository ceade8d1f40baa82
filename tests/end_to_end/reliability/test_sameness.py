"""The sameness matrix: what is drawn and written, a few builds, and faults that it tells."""

import pytest

from pipelines import inputs
from pipelines.sources.multistream import pair_indexes
from pipelines.sources.ranges import plan_ranges, read_bytes
from pipelines.transforms import split
from schemas.hashing import random_u64
from tests.end_to_end.reliability import dumps, sameness
from tests.end_to_end.reliability.sameness import (
    COUNT,
    LEVELS,
    RUNNERS,
    built,
    combination,
    in_a_process,
    reordered,
    run,
)


def test_no_two_builds_are_alike_and_each_level_comes():
    drawn = [combination(0, number) for number in range(COUNT)]
    assert drawn[5] == combination(0, 5) != combination(1, 5)
    assert len({tuple(one.items()) for one in drawn}) == COUNT >= 200
    for what, levels in LEVELS.items():
        assert {one[what] for one in drawn} == set(RUNNERS if what == "runner" else levels)


@pytest.mark.parametrize("container", [*dumps.CONTAINERS, "index"])
def test_what_is_written_are_the_records_in_any_number_of_files(tmp_path, container):
    for files in (1, 3):
        paths = dumps.write_pages(dumps.pages(), files, container, tmp_path)
        whole = [b"".join(read_bytes(piece)) for path, _ in pair_indexes(paths) for piece in plan_ranges(str(path))]
        assert len(whole) == files
        assert b"".join(page for text in whole for page in cut(text)) == b"".join(dumps.pages())
        if container != "index":
            paths = dumps.write_lines(dumps.entity_lines(), files, container, tmp_path)
            texts = [b"".join(b"".join(map(read, plan_ranges(str(path)))) for path in paths)]
            lines = [line.strip(b",") for text in texts for line in text.split(b"\n")]
            assert [line for line in lines if line not in (b"[", b"]", b"")] == list(dumps.entity_lines())


def cut(text):
    """The pages of a dump, in two parts."""
    first, page, rest = text.partition(b"  <page>")
    assert b"</siteinfo>" in first and rest.endswith(b"</mediawiki>\n")
    return page, rest.removesuffix(b"</mediawiki>\n")


def read(piece):
    return b"".join(read_bytes(piece))


def test_inputs_are_cut_into_as_many_ranges_as_are_asked_for(tmp_path):
    [dump, index] = dumps.write_pages(dumps.pages(), 1, "index", tmp_path)
    [lines] = dumps.write_lines(dumps.entity_lines(), 1, "plain", tmp_path)
    for ranges, of_pages in ((1, 1), (7, 7), (100, 21)):  # 20 streams of pages, and what lies before
        with sameness._cut_into(ranges):
            assert len(inputs.plan_dump(str(dump), str(index), 0)) in (of_pages, of_pages - 1)
            assert len(inputs.plan_ranges(str(lines), 0)) in (ranges, ranges - 1)


def test_an_order_is_of_the_same_records():
    records = [b"%d" % number for number in range(50)]
    orders = [tuple(reordered(records, order, 0, 3)) for order in LEVELS["order"]]
    assert len(set(orders)) == 3 and {tuple(sorted(order)) for order in orders} == {tuple(sorted(records))}


def test_another_digest_and_a_process_that_dies_are_told(monkeypatch):
    said = {-1: "aa", 0: "aa", 1: "aa", 2: "bb"}
    monkeypatch.setattr(sameness, "in_a_process", lambda seed, at, numbers, folder: {n: said[n] for n in numbers})
    found = run(3, 0)
    assert found.figures["digests"] == 2
    [line] = found.failures
    assert line.startswith("seed 0, number 2: bb, not aa: {")
    said[2] = "aa"
    assert run(3, 0).failures == []


def test_a_build_that_ends_with_its_process_is_told(tmp_path, monkeypatch):
    monkeypatch.setitem(sameness.__dict__, "variables", lambda held: {"PYTHONHASHSEED": "none"})
    assert in_a_process(0, 0, [0, 10], tmp_path) == dict.fromkeys([0, 10], "none (exit code 1)")


@pytest.mark.slow
def test_three_builds_in_other_processes_are_the_examples_as_they_are():
    found = run(3, 1)
    assert (found.tried, found.failures, found.figures["digests"]) == (3, [], 1)


@pytest.mark.slow
def test_a_build_that_knows_its_files_is_told(monkeypatch, tmp_path):
    def by_files(seed, purpose, *ids):
        return random_u64(seed, purpose + str(len(list((tmp_path / "b").glob("*.xml*")))), *ids)

    plain = built(None, 0, -1, tmp_path / "a")
    monkeypatch.setattr(split, "random_u64", by_files)
    held = combination(0, 0) | {"ranges": "1", "stages": "at once"}
    assert built(held, 0, 0, tmp_path / "b") != plain
