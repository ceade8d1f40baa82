"""Token tables that are killed while they are made: none does harm; and the harness sees such as do."""

import shutil
import signal
from collections import Counter

import pytest

from tests.end_to_end.reliability import tokenize_kills
from tests.end_to_end.reliability.kills import contents
from tests.end_to_end.reliability.processes import Ended, Kill

KILLED, DONE = Ended(-signal.SIGKILL, 0, ""), Ended(0, 9, "")


@pytest.mark.slow
@pytest.mark.timeout(1_800)
def test_tokens_killed_anywhere_have_the_bytes_of_those_that_were_not():
    outcome = tokenize_kills.run(8, 0)
    assert outcome.failures == []
    assert outcome.tried >= 8


@pytest.mark.parametrize(
    ("without", "more", "says"),
    [
        ("manifest.json", [], ""),
        ("tokens_pages", [], "its manifest is that of a whole dataset, its files are not"),
        ("manifest.json", [".tokenizer.json.0.tmp"], "1 files are not as they should be"),
    ],
    ids=["no-harm", "manifest-first", "left-over"],
)
def test_what_a_kill_left_wrong_is_seen(without, more, says, demo_dataset, tmp_path, monkeypatch):
    whole, out = tmp_path / "whole", tmp_path / "data/tokens" / tokenize_kills.NAME
    for table in ("tokens_pages", "tokens_entities"):
        shutil.copytree(demo_dataset / "relations", whole / table)
    shutil.copy(demo_dataset / "manifest.json", whole)

    def first():
        shutil.copytree(whole, out, ignore=shutil.ignore_patterns(without))
        return KILLED

    def second():
        shutil.copytree(whole, out, dirs_exist_ok=True)
        for name in more:
            (out / name).write_bytes(b"")
        return DONE

    ends = iter([first, second])
    monkeypatch.setattr(tokenize_kills, "tokenize", lambda *_: next(ends)())
    said = tokenize_kills.tried(None, tmp_path / "data", contents(whole), [Kill(1, 0.0)], Counter())
    assert said.startswith(says) and bool(said) == bool(says)
