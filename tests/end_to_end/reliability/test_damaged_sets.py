"""Kinds of damage to a dataset and to a checkpoint are found; and the harness says so where one is not."""

import time

import pytest

from tests.end_to_end.reliability import bit_flips, damaged_sets
from tests.end_to_end.reliability.damaged_sets import DATASETS, ended, in_time, run, tried_on_dataset
from tests.end_to_end.reliability.set_damage import CHECKPOINTS, SHARDS

QUICK = [
    "a shard is cut",
    "a shard is a pipe",
    "a shard is a link",
    "two shards are swapped",
    "the manifest is missing",
    "a manifest is nested deeply",
    "rows are 10^40",
    "a shard's name is up within",
    "a shard's name is with NUL",
]


def first(below):
    """Draws the dataset's own manifest, which has no tokens, and its first shard."""
    return 1 if below == 2 else 0


@pytest.mark.parametrize("name", QUICK)
def test_damage_to_a_dataset_is_found(name, demo_dataset, tmp_path):
    assert tried_on_dataset(DATASETS[name], demo_dataset, demo_dataset, tmp_path, first) == ""


def test_what_is_whole_is_said_to_be_found_by_nobody(demo_dataset, tmp_path):
    assert tried_on_dataset(lambda *_: None, demo_dataset, demo_dataset, tmp_path, first) == "found by nobody"


def test_damage_that_ends_in_a_traceback_or_in_many_lines_is_reported(demo_dataset, tmp_path, monkeypatch):
    monkeypatch.setattr(damaged_sets, "validated", lambda folder: 1 // 0)
    assert "ZeroDivisionError" in tried_on_dataset(SHARDS["a shard is empty"], demo_dataset, None, tmp_path, first)
    monkeypatch.setattr(damaged_sets, "validated", lambda folder: ["a\nb"])
    place = tmp_path / "again"
    assert "not one line" in tried_on_dataset(SHARDS["a shard is empty"], demo_dataset, None, place, first)


def test_a_command_that_ends_otherwise_or_takes_too_long_is_reported(monkeypatch):
    assert "ends with 2" in ended(["describe"])
    monkeypatch.setattr(damaged_sets, "SECONDS", 1)
    assert "not done after 1 s" in in_time(lambda: time.sleep(30) or "")


@pytest.mark.slow
def test_every_kind_of_damage_is_found():
    assert not run(len(DATASETS) + len(CHECKPOINTS), seed=3).failures


@pytest.mark.slow
def test_a_checkpoint_that_is_loaded_unread_is_reported(monkeypatch):
    monkeypatch.setattr(damaged_sets, "refused", lambda folder: [])
    assert bit_flips.refused is not damaged_sets.refused
    found = run(len(DATASETS) + len(CHECKPOINTS), seed=4).failures
    assert len(found) == len(CHECKPOINTS) and all("found by nobody" in line for line in found)
