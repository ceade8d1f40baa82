"""Evaluations that are killed: none does harm; and the harness sees one that does."""

import json
import signal
from collections import Counter

import pytest

from tests.end_to_end.reliability import evaluate_kills
from tests.end_to_end.reliability.evaluate_kills import results
from tests.end_to_end.reliability.processes import Ended, Kill

KILLED, DONE = Ended(-signal.SIGKILL, 0, ""), Ended(0, 9, "")
RESULT, OTHER = ({"metrics": {"mrr": value}, "seconds": value} for value in (0.5, 0.4))


@pytest.mark.slow
@pytest.mark.timeout(1_800)
def test_evaluations_killed_anywhere_have_the_results_of_those_that_were_not():
    outcome = evaluate_kills.run(8, 0)
    assert outcome.failures == []
    assert outcome.tried >= 8
    assert outcome.figures["gone on with"] > 0


@pytest.mark.parametrize(
    ("first", "second", "says"),
    [
        ({"a.json-head.state": ""}, {"a.json": json.dumps(RESULT)}, ""),
        ({"a.json": json.dumps(RESULT)[:-9]}, {}, "a result is half written"),
        ({"a.json": json.dumps(OTHER)}, {}, "a.json is another result"),
        ({}, {"a.json": json.dumps(OTHER)}, "a.json is another result, missing or too many"),
        ({}, {}, "a.json is another result, missing or too many"),
        ({}, {"a.json": json.dumps(RESULT), "a.state.tmp": ""}, "a.state.tmp is another result, missing or too many"),
    ],
    ids=["no-harm", "half", "another-at-once", "another", "missing", "left-over"],
)
def test_what_a_kill_left_wrong_is_seen(first, second, says, tmp_path, monkeypatch):
    (tmp_path / "whole/results").mkdir(parents=True)
    (tmp_path / "whole/results/a.json").write_text(json.dumps(RESULT))

    def written(files, ended):
        (tmp_path / "run/results").mkdir(parents=True, exist_ok=True)
        for path in (tmp_path / "run/results").glob("*.state"):
            path.unlink()
        for name, text in files.items():
            (tmp_path / "run/results" / name).write_text(text)
        return ended

    ends = iter([(first, KILLED), (second, DONE)])
    monkeypatch.setattr(evaluate_kills, "evaluate", lambda *_: written(*next(ends)))
    whole, figures = results(tmp_path / "whole"), Counter()
    said = evaluate_kills.tried(None, tmp_path / "run", whole, [Kill(1, 0.0)], figures)
    assert said.startswith(says) and bool(said) == bool(says)
    assert figures["gone on"] == (".state" in "".join(first))
