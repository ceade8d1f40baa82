"""docs/results.md, rebuilt from what the runs of benchmarks/kgc.py left: nothing in it is typed by hand.

    python -m benchmarks.table [--check] [--results FILE] [--out FILE]

A table for each graph and task: what we measured, mean and standard deviation over the seeds, with the rules that were
asked the same; what the paper prints (published.toml); minutes; the line that runs it again. How values were chosen
is in benchmarks/kgc.py. --check writes nothing, and fails on a run that a table lacks, on a seed, a rule or a
part of the protocol that is missing, on rows of one table that were not asked the same, and where the file is not what
the results say.
"""

import argparse
import json
import statistics
import sys
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.kgc import RUNS, SHOWN, Result
from benchmarks.timing import RESULTS

PAGE = Path(__file__).parent.parent / "docs" / "results.md"
PUBLISHED = Path(__file__).parent / "published.toml"
PROTOCOL = {
    "link-prediction": ("setting", "split", "candidates", "filter_splits", "ties", "unseen", "own_entity"),
    "triple-classification": ("split", "threshold", "negatives"),
}
"""What a result has to say of how it was asked."""
RULES = {
    "link-prediction": ("frequency", "seen-pattern"),
    "triple-classification": ("frequency", "seen-pattern"),
}
"""Rules that are rows of every table of the task."""
MORE = {
    "link-prediction": {
        "mrr, own entity removed": lambda metrics: metrics.get("own_entity", {}).get("remove", {}).get("mrr"),
        "mrr, no shared pair": lambda metrics: metrics.get("no_shared_pair", {}).get("mrr"),
    },
    "triple-classification": {},
}
"""Readings beside those of SHOWN: the entity that a query gives taken out of the candidates, and the queries whose two
entities no train triple joins."""
HEAD = """# Results

Rebuilt by `python -m benchmarks.table` from benchmarks/results/kgc.json; `--check` says what is missing. Mean, and
after ± the standard deviation over the seeds. Minutes are CPU minutes of training and evaluation on one thread, or,
where a GPU is named, by the clock. Published figures are of other encoders and, where the source says so, of other
negatives. Each line is run again by `python -m benchmarks.kgc --runs NAME`, the name being its last cell.
"""
Place = tuple[str, str]
"""A table: (graph, task)."""


def main() -> int:
    """Rebuild or check; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing, fail where something is missing")
    parser.add_argument("--results", type=Path, default=RESULTS / "kgc.json")
    parser.add_argument("--out", type=Path, default=PAGE)
    chosen = parser.parse_args()
    runs = json.loads(chosen.results.read_text(encoding="utf-8"))["runs"]
    page = written(runs, tomllib.loads(PUBLISHED.read_text(encoding="utf-8")))
    if not chosen.check:
        chosen.out.write_text(page, encoding="utf-8")
        print(chosen.out)
        return 0
    faults = [*missing(runs)]
    if not chosen.out.is_file() or chosen.out.read_text(encoding="utf-8") != page:
        faults.append(f"{chosen.out} is not what {chosen.results} says: python -m benchmarks.table")
    print("\n".join(faults) or f"{len(runs)} runs, nothing is missing")
    return 1 if faults else 0


def places() -> list[Place]:
    """The tables, in the order of their runs."""
    return list(dict.fromkeys((run.graph, run.task) for run in RUNS.values()))


def of(place: Place, runs: Sequence[Result]) -> dict[str, list[Result]]:
    """The runs of a table by their name, in the order of RUNS, each in the order of its seeds."""
    names = [name for name, run in RUNS.items() if (run.graph, run.task) == place]
    found = {name: sorted((run for run in runs if current(run, name)), key=lambda run: run["seed"]) for name in names}
    return {name: own for name, own in found.items() if own}


def current(run: Result, name: str) -> bool:
    """Whether it was done with the values that this run has now."""
    return run["name"] == name and run["values"] == dict(RUNS[name].values)


def missing(runs: Sequence[Result]) -> Iterator[str]:
    """What a table lacks, a line each."""
    for name, run in RUNS.items():
        kept = {one["seed"] for one in runs if current(one, name)}
        for seed in sorted(set(run.seeds) - kept):
            yield f"{name}: no run of seed {seed} with its values"
    for place in places():
        whole = [run for own in of(place, runs).values() for run in own]
        title = f"{place[0]}, {place[1]}"
        for run in whole:
            yield from lacking(run, place[1])
        asked = {json.dumps([run["digest"], run["protocol"]], sort_keys=True) for run in whole}
        if len(asked) > 1:
            yield f"{title}: its rows were asked in {len(asked)} ways"


def lacking(run: Result, task: str) -> Iterator[str]:
    """What of its protocol and its rules a run does not say."""
    title = f"{run['name']}, seed {run['seed']}"
    for key in PROTOCOL[task]:
        if key not in run["protocol"]:
            yield f"{title}: its protocol does not say {key}"
    for rule in RULES[task]:
        if rule not in run["baselines"]:
            yield f"{title}: the rule {rule} is not beside it"


def written(runs: Sequence[Result], published: Mapping[str, Any]) -> str:
    """The page."""
    parts = [HEAD]
    for place in places():
        rows = of(place, runs)
        if rows:
            parts.append("\n".join(section(place, rows, published.get(place[0], {}))) + "\n")
    return "\n".join(parts)


def section(place: Place, rows: Mapping[str, list[Result]], published: Mapping[str, Any]) -> Iterator[str]:
    """The lines of a table."""
    (graph, task), (part, columns) = place, SHOWN[place[1]]
    first, more = next(iter(rows.values()))[0], MORE[task]
    yield f"## {graph}, {task}"
    yield ""
    yield f"Dataset {first['digest'][:8]}. Asked: {told(first['protocol'])}."
    yield ""
    printed = [f"published {column}" for column in columns]
    titles = ["system", *columns, *more, "seeds", "minutes", *printed, "source", "again: --runs"]
    yield line(*titles)
    yield line(*["---"] * len(titles))
    for name, own in rows.items():
        minutes = f"{statistics.fmean(sum(run['minutes'].values()) for run in own):.1f}"
        if own[0]["device"] != "cpu":
            minutes += f" on one {own[0]['device']}"
        measured = [spread([run["metrics"][part][column] for run in own]) for column in columns]
        measured += [spread([read(run["metrics"]) for run in own]) for read in more.values()]
        paper = published.get(own[0]["recipe"].removesuffix("-minilm"), {})
        theirs = [f"{paper[column]:.3f}" if column in paper else "" for column in columns]
        source = paper["source"] if any(theirs) else ""
        yield line(own[0]["recipe"], *measured, len(own), minutes, *theirs, source, f'`"{name}"`')
    for rule in RULES[task]:
        found = first["baselines"].get(rule, {}).get(part, {})
        cells = [f"{found[column]:.3f}" if column in found else "" for column in columns]
        yield line(rule, *cells, *[""] * (len(titles) - len(cells) - 1))
    yield ""


def told(protocol: Mapping[str, Any]) -> str:
    """A protocol as words."""
    return "; ".join(f"{key} {json.dumps(value)}" for key, value in sorted(protocol.items())).replace('"', "")


def spread(values: Sequence[float | None]) -> str:
    """Mean and, of several, standard deviation; nothing where there is none."""
    if None in values:
        return ""
    mean = f"{statistics.fmean(values):.3f}"
    return mean if len(values) == 1 else f"{mean} ± {statistics.stdev(values):.3f}"


def line(*cells: object) -> str:
    """A row."""
    return "| " + " | ".join(map(str, cells)) + " |"


if __name__ == "__main__":
    sys.exit(main())
