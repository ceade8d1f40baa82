"""Runs that are kept one by one in results/NAME.json: one that is there already is not done again.

A run is known before it is done by some keys (a system, a seed ...), its place, and by what its commands are told; what
was found is added to these. Of one place the newest run is kept: where its commands would be told other things today,
it is done again.
"""

import argparse
import json
import os
from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from typing import Any

from benchmarks.timing import RESULTS, save

Run = dict[str, Any]
TOLD = ("values", "pretraining")
"""Keys of what a run's commands are told."""


def read_choice(parser: argparse.ArgumentParser, work: str, names: Collection[str] | None = None) -> argparse.Namespace:
    """--seeds, --work, --again, and --runs where there are names; ends where there is no real data to run on."""
    if names is not None:
        parser.add_argument("--runs", nargs="+", default=list(names), choices=names, metavar="NAME")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--work", type=Path, default=Path(work))
    parser.add_argument("--again", action="store_true", help="also what is kept already")
    chosen = parser.parse_args()
    if "WIKILOOM_DATA" not in os.environ:
        print("WIKILOOM_DATA is not set: no data to run on.")
        raise SystemExit(0)
    return chosen


def kept_runs(name: str) -> list[Run]:
    """The runs of results/NAME.json."""
    path = RESULTS / f"{name}.json"
    return json.loads(path.read_text(encoding="utf-8"))["runs"] if path.is_file() else []


def do_missing(name: str, wanted: Iterable[Run], finished: Callable[[Run], Run], *, again: bool = False) -> None:
    """Finish the wanted runs that results/NAME.json has not, or all, and keep each as soon as it is done."""
    for run in wanted:
        if again or find(run, kept_runs(name)) is None:
            done = run | finished(run)
            # Another process may have kept its own meanwhile.
            others = [one for one in kept_runs(name) if not _has(one, place(run))]
            save(name, {"runs": [*others, done]})


def find(run: Run, kept: Iterable[Run]) -> Run | None:
    """The kept run that is this one, done as it would be done now."""
    return next((one for one in kept if _has(one, run)), None)


def place(run: Run) -> Run:
    """What it is known by but for what it is told."""
    return {key: value for key, value in run.items() if key not in TOLD}


def _has(kept: Run, run: Run) -> bool:
    return all(key in kept and kept[key] == value for key, value in run.items())
