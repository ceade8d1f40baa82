"""Builds that are killed: none does harm; and the harness sees a build that does."""

import shutil
import signal
from collections import Counter
from pathlib import Path

import pytest

from tests.end_to_end.reliability import build_kills
from tests.end_to_end.reliability.build_kills import Subject
from tests.end_to_end.reliability.kills import contents, half_built, kills
from tests.end_to_end.reliability.processes import Ended, Kill, Server, Steps

KILLED, DONE = Ended(-signal.SIGKILL, 0, ""), Ended(0, 9, "")


def test_a_build_killed_twice_ends_with_the_bytes_of_one_that_was_not():
    outcome = build_kills.run(1, 0)
    assert outcome.failures == []
    assert outcome.tried == 2


@pytest.mark.slow
@pytest.mark.timeout(1_800)
def test_builds_killed_anywhere_end_with_the_bytes_of_those_that_were_not():
    outcome = build_kills.run(20, 1)
    assert outcome.failures == []
    assert outcome.tried > 20


def test_half_of_the_kills_are_late_and_a_third_of_the_tries_have_two():
    planned = [kills(0, number, 1_000) for number in range(600)]
    assert all(kill.step >= 1 and kill.delay >= 0 for own in planned for kill in own)
    late = sum(own[0].step > 800 for own in planned)
    assert 330 < late < 390  # the half, and a fifth of the other
    assert sum(len(own) for own in planned) == 800
    assert 0.4 < sum(own[0].delay > 0 for own in planned) / 600 < 0.6


@pytest.fixture
def subject(demo_dataset):
    return Subject([], contents(demo_dataset), None, 100)


def tried(monkeypatch, subject, out, *ends):
    """What the harness says of a build that does this each time it is run."""
    ends = iter(ends)
    monkeypatch.setattr(build_kills, "build", lambda server, words, folder, kill: next(ends)(folder))
    return build_kills.tried(None, subject, out, [Kill(1, 0.0)], Counter())


def half(demo_dataset, without):
    """A build that is killed, and leaves all but a part of the dataset."""

    def run(out):
        shutil.copytree(demo_dataset, out, ignore=shutil.ignore_patterns(".build", without))
        return KILLED

    return run


def whole(demo_dataset, *more):
    """A build that makes the dataset, and more."""

    def run(out):
        shutil.copytree(demo_dataset, out, dirs_exist_ok=True)
        for name in more:
            (out / name).write_bytes(b"")
        return DONE

    return run


def test_a_build_that_does_no_harm_passes(monkeypatch, subject, demo_dataset, tmp_path):
    ends = half(demo_dataset, "manifest.json"), whole(demo_dataset)
    assert tried(monkeypatch, subject, tmp_path / "d", *ends) == ""


def test_a_manifest_before_its_tables_is_seen(monkeypatch, subject, demo_dataset, tmp_path):
    said = tried(monkeypatch, subject, tmp_path / "d", half(demo_dataset, "triples"))
    assert "its manifest is that of a whole dataset, its files are not" in said


def test_another_dataset_that_validates_is_seen(monkeypatch, subject, demo_dataset, tmp_path):
    other = {**subject.whole, "manifest.json": "another"}
    assert half_built(demo_dataset, other) == "a half-built dataset validates"


@pytest.mark.parametrize("more", ["triples/left.parquet", ".README.md.0.tmp", ".build/.left.tmp"])
def test_what_a_kill_left_behind_is_seen(more, monkeypatch, subject, demo_dataset, tmp_path):
    ends = half(demo_dataset, "manifest.json"), whole(demo_dataset, more)
    assert more in tried(monkeypatch, subject, tmp_path / "d", *ends)


def test_a_build_that_no_longer_runs_is_seen(monkeypatch, subject, demo_dataset, tmp_path):
    ends = half(demo_dataset, "manifest.json"), lambda out: Ended(1, 0, "error: it is locked")
    assert "exit code 1, 'error: it is locked'" in tried(monkeypatch, subject, tmp_path / "d", *ends)


def writes(folder, kill):
    """A child that makes four files."""
    steps = Steps(folder, kill)
    for number in range(4):
        Path(folder, str(number)).write_text("")
    print("done")
    return 0, steps.count


def test_a_child_is_killed_at_its_step_and_the_next_one_is_not(tmp_path):
    with Server() as server:
        assert server.run(writes, tmp_path, Kill(3, 0.0)) == KILLED
        assert sorted(path.name for path in tmp_path.iterdir()) == ["0", "1"]
        assert server.run(writes, tmp_path, None) == Ended(0, 4, "done\n")
        assert server.run(writes, tmp_path / "none", None).code == 1
