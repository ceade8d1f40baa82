"""Run harnesses, keep what they found in results/reliability.json, and write docs/reliability.md anew from it.

    python -m tests.end_to_end.reliability [HARNESS ...] [--count N] [--seeds 0 1 ...] [--check]

Without a harness the page alone is written; with --check it is compared. A run of another seed adds to the row of its
harness; one of the same seed takes its place. Nothing in the page is typed by hand but FOUND.
"""

import argparse
import datetime
import importlib
import json
import pkgutil
import resource
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import tests.end_to_end.reliability as package
from benchmarks.timing import RESULTS, save
from tests.end_to_end.reliability.found import FOUND
from tests.end_to_end.reliability.outcome import Outcome

PAGE = Path(__file__).parents[3] / "docs" / "reliability.md"
HEAD = """# Reliability

What was tried to break Wikiloom, how often, and what came of it. Rebuilt by `python -m tests.end_to_end.reliability`,
which also runs any row again: `python -m tests.end_to_end.reliability HARNESS --seeds ...`. Each try is a pure function
of (seed, number). Minutes are CPU minutes of all processes on a shared two-core machine.
"""
Kept = dict[str, Any]


def main() -> int:
    """Run what is named, write or check the page; returns the exit code: 1 where anything failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("harnesses", nargs="*", choices=[*harnesses(), []], metavar="HARNESS", default=[])
    parser.add_argument("--count", type=int, help="in place of the harness's own COUNT")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--check", action="store_true", help="run and write nothing: is the page what was found?")
    chosen = parser.parse_args()
    if chosen.check:
        same = PAGE.is_file() and PAGE.read_text(encoding="utf-8") == page(kept_runs())
        print(f"{PAGE} is what was found" if same else f"{PAGE} is stale: python -m tests.end_to_end.reliability")
        return 0 if same else 1
    failed = 0
    for name in chosen.harnesses:
        for seed in chosen.seeds:
            failed += len(tried(name, seed, chosen.count)["failures"])
    PAGE.write_text(page(kept_runs()), encoding="utf-8")
    return 1 if failed else 0


def harnesses() -> dict[str, ModuleType]:
    """The modules with ABOUT, COUNT and run, by their names as words."""
    names = [found.name for found in pkgutil.iter_modules(package.__path__) if not found.name.startswith("__")]
    modules = {name.replace("_", "-"): importlib.import_module(f"{package.__name__}.{name}") for name in names}
    return {name: module for name, module in modules.items() if hasattr(module, "ABOUT")}


def tried(name: str, seed: int, count: int | None) -> Kept:
    """One run of a harness, kept."""
    module, before = harnesses()[name], cpu_seconds()
    count = module.COUNT if count is None else count
    found: Outcome = module.run(count, seed)
    kept = {
        "harness": name,
        "seed": seed,
        "count": count,
        "tried": found.tried,
        "failures": list(found.failures),
        "figures": dict(found.figures),
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "commit": commit(),
        "cpu_minutes": round((cpu_seconds() - before) / 60, 1),
    }
    others = [one for one in kept_runs() if (one["harness"], one["seed"]) != (name, seed)]
    save("reliability", {"runs": [*others, kept]})
    print(f"{name}, seed {seed}: {found.tried:,} tried, {len(found.failures)} failed {dict(found.figures)}")
    print(*found.failures, sep="\n", end="\n" if found.failures else "")
    return kept


def kept_runs() -> list[Kept]:
    """Those of results/reliability.json."""
    path = RESULTS / "reliability.json"
    return json.loads(path.read_text(encoding="utf-8"))["runs"] if path.is_file() else []


def cpu_seconds() -> float:
    """Of this process and of all its children that have ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def commit() -> str:
    """The commit that was tried; with a + where more was changed since than what is kept here."""
    root, kept = PAGE.parent.parent, (":!docs/reliability.md", ":!benchmarks/results")
    name = subprocess.run(
        ["git", "rev-parse", "--short=8", "HEAD"], capture_output=True, text=True, check=True, cwd=root
    )
    changed = subprocess.run(["git", "diff", "--quiet", "HEAD", "--", ".", *kept], check=False, cwd=root).returncode
    return name.stdout.strip() + "+" * bool(changed)


def page(runs: Sequence[Kept]) -> str:
    """docs/reliability.md."""
    return "\n".join([HEAD, *rows(runs), "", "## Found and mended on the way", "", *(f"- {one}" for one in FOUND), ""])


def rows(runs: Sequence[Kept]) -> Iterator[str]:
    """The table: a row for each harness that was run."""
    yield "| harness | what is tried | tried | failures | figures | minutes | date | commit | seeds |"
    yield "|---|---|---|---|---|---|---|---|---|"
    for name, module in harnesses().items():
        own = sorted((run for run in runs if run["harness"] == name), key=lambda run: run["seed"])
        if own:
            newest = max(own, key=lambda run: run["date"])
            cells = [
                name,
                module.ABOUT,
                f"{sum(run['tried'] for run in own):,}",
                sum(len(run["failures"]) for run in own),
                "; ".join(dict.fromkeys(line for run in own for line in told(run["figures"]))),
                f"{sum(run['cpu_minutes'] for run in own):.1f}",
                newest["date"],
                " ".join(dict.fromkeys(run["commit"] for run in own)),
                " ".join(str(run["seed"]) for run in own),
            ]
            yield "| " + " | ".join(map(str, cells)) + " |"


def told(figures: Mapping[str, float | str]) -> Iterator[str]:
    """Each figure in words."""
    for words, value in figures.items():
        yield f"{words} {value:,}" if isinstance(value, int | float) else f"{words} {value}"


if __name__ == "__main__":
    sys.exit(main())
