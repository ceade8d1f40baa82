"""Builds on a disk that fails: each says so in a line; and the harness sees one that does not."""

import errno
import os
import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.end_to_end.reliability import write_faults
from tests.end_to_end.reliability.build_kills import Subject
from tests.end_to_end.reliability.faults import Disk, Fault, arrow_in_python, limit_files
from tests.end_to_end.reliability.kills import contents
from tests.end_to_end.reliability.processes import Ended, Server


@pytest.mark.slow
@pytest.mark.timeout(1_800)
def test_builds_on_a_disk_that_fails_say_so_and_are_whole_when_it_does_not():
    assert write_faults.run(24, 1).failures == []


def test_each_call_fails_once_before_any_fails_again():
    calls = 40
    chosen = [write_faults.chosen(0, number, calls, 1_000) for number in range(92)]
    failing = [fault for limit, fault in chosen if not limit][: 2 * calls]
    first, second = ({fault.call: fault.lasting for fault in part} for part in (failing[:calls], failing[calls:]))
    assert sorted(first) == sorted(second) == list(range(1, calls + 1))
    assert list(first) != list(second)
    assert all(first[call] != second[call] for call in first)
    assert 10 < sum(first.values()) < 30
    assert sum(limit > 0 for limit, _ in chosen) == 11


@pytest.mark.parametrize(
    "ended",
    [
        Ended(0, 0, ""),
        Ended(1, 0, "Traceback (most recent call last):\n...\nOSError: No space left on device\n"),
        Ended(1, 0, "Exception ignored in: ...\nerror: /d: No space left on device\n"),
        Ended(-9, 0, ""),
    ],
    ids=["says-nothing", "traceback", "two-lines", "killed"],
)
def test_an_unclear_end_is_seen(ended):
    assert write_faults.unclear(ended)
    assert not write_faults.unclear(Ended(1, 0, "error: /d: No space left on device\n"))


def test_a_build_that_is_not_whole_when_it_is_run_again_is_seen(demo_dataset, tmp_path, monkeypatch):
    class Failing:
        def run(self, *_):
            shutil.copytree(demo_dataset, tmp_path / "d", ignore=shutil.ignore_patterns("manifest.json"))
            return Ended(1, 0, "error: the disk is full")

    monkeypatch.setattr(write_faults, "build", lambda *_: Ended(0, 9, ""))
    said = write_faults.tried(Failing(), Subject([], contents(demo_dataset), None, 9), tmp_path / "d", Fault(1), 0)
    assert said == "1 files are not as they should be: ['manifest.json']"


def each_way(folder, fault):
    """A child that writes in all the ways that there are; it says which of them failed."""
    disk = Disk(folder, fault)
    arrow_in_python()
    rows = pa.table({"a": pa.array(np.arange(9))})

    def arrow():
        with pa.ipc.new_file(str(folder / "arrow"), rows.schema) as writer:
            writer.write_table(rows)

    def parquet():
        with pq.ParquetWriter(folder / "parquet", rows.schema) as writer:
            writer.write_table(rows)

    def array():
        with (folder / "npy").open("wb") as file:
            np.save(file, np.arange(9))

    def sync():
        with (folder / "text").open() as file:
            os.fsync(file.fileno())

    ways = {
        "text": lambda: (folder / "text").write_text("a"),
        "arrow": arrow,
        "parquet": parquet,
        "array": array,
        "sync": sync,
        "folder": lambda: (folder / "new").mkdir(),
        "rename": lambda: (folder / "text").rename(folder / "other"),
        "read": lambda: (folder / "other").read_bytes(),
        "outside": lambda: open(os.devnull, "w").close(),
    }
    for name, way in ways.items():
        try:
            way()
        except OSError as error:
            print(name, errno.errorcode[error.errno])
    return 0, disk.calls


@pytest.mark.slow
def test_every_call_that_writes_can_fail_and_no_other(tmp_path):
    with Server("pyarrow.parquet") as server:
        (tmp_path / "0").mkdir()
        whole = server.run(each_way, tmp_path / "0", Fault(0))
        assert whole.said == ""
        failed = []
        for call in range(1, whole.steps + 1):
            (folder := tmp_path / str(call)).mkdir()
            ended = server.run(each_way, folder, Fault(call))
            (line,) = [line for line in ended.said.splitlines() if "ENOENT" not in line]
            failed.append(line.split()[0])
        assert list(dict.fromkeys(failed)) == ["text", "arrow", "parquet", "array", "sync", "folder", "rename"]
        assert min(failed.count(name) for name in ("text", "arrow", "parquet", "array")) >= 3  # open, write, close
        (tmp_path / "lasting").mkdir()
        lasting = server.run(each_way, tmp_path / "lasting", Fault(1, lasting=True))
        assert [line.split()[0] for line in lasting.said.splitlines()][:4] == ["text", "arrow", "parquet", "array"]


def too_long(path):
    """A child that may write no more than 100 bytes, and does in Python and in C++."""
    limit_files(100)
    rows = pa.table({"a": pa.array(np.arange(999))})
    for write in (lambda: path.write_bytes(bytes(101)), lambda: pq.write_table(rows, path)):
        try:
            write()
        except OSError as error:
            print(errno.errorcode[error.errno])
    return 0, 0


def test_a_limit_of_the_size_holds_for_all_that_writes(tmp_path):
    with Server("pyarrow.parquet") as server:
        assert server.run(too_long, tmp_path / "file").said == "EFBIG\nEFBIG\n"
