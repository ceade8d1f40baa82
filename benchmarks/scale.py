"""What a whole Wikipedia with Wikidata costs where it does not cut into ranges: the five risks of docs/scale.md.

    python -m benchmarks.scale [--risk NAME] [--scale F]

Each measurement runs the pipelines' own functions in a process of its own, on id tables made by hashing; F makes the
tables smaller. Prints CPU seconds and peak memory; at full size it writes results/scale.json. Needs Linux (/proc).
"""

import argparse
import dataclasses
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.samples import ROOT
from benchmarks.timing import RESULTS, save


@dataclasses.dataclass(frozen=True)
class Measure:
    """A function of scale_measures, and the share of full size that it is run at."""

    function: str
    share: float = 1.0
    prepare: str | None = None
    """A function that makes what it reads, in a process before."""


RISKS: dict[str, list[Measure]] = {
    "hot-titles": [Measure("hot_titles")],
    "global-orders": [
        Measure("orders", 0.1, "make_statements"),
        Measure("orders", 1.0, "make_statements"),
        Measure("anchors", 0.1, "make_anchors"),
        Measure("anchors", 1.0, "make_anchors"),
    ],
    "index-size": [
        Measure("build_index"),
        Measure("look_up"),
        Measure("plan", 0.1, "make_ranges"),
        Measure("items", 0.1),
        Measure("plan", 1.0, "make_ranges"),
    ],
    "moved-text": [Measure("moved_text", 0.2), Measure("moved_text"), Measure("whole_range"), Measure("shard_job")],
    "giant-page": [Measure("giant_page"), Measure("greatest_page")],
}
"""What the measurements of a risk leave on disk is there for the next."""


def measure(function: str, scale: float, folder: Path) -> dict[str, Any]:
    """Run one measurement in a process of its own, so that its peak memory is its own."""
    words = [sys.executable, "-m", "benchmarks.scale", "--child", function, str(scale), str(folder)]
    done = subprocess.run(words, cwd=ROOT, stdout=subprocess.PIPE, check=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def run_child(function: str, scale: str, folder: str) -> None:
    """The other end of measure."""
    from benchmarks import scale_measures

    figures = getattr(scale_measures, function)(float(scale), Path(folder))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
    print(json.dumps({"figures": figures, "cpu_seconds": round(time.process_time(), 2), "peak_mb": peak}))


def print_table(rows: list[dict[str, Any]]) -> None:
    """One row for each measurement."""
    table = Table("risk", "measured", "figures", "CPU s", "peak MB")
    for row in rows:
        values = row["figures"].items()
        figures = ", ".join(
            f"{name} {value:,}" if isinstance(value, int) else f"{name} {value}" for name, value in values
        )
        name = f"{row['measured']}, {row['share']:g} of full size"
        table.add_row(row["risk"], name, figures, f"{row['cpu_seconds']:.1f}", f"{row['peak_mb']:,}")
    Console(width=120).print(table)


def other_risks(measured: list[str]) -> list[dict[str, Any]]:
    """Rows of an earlier run for the risks that this one does not measure."""
    path = RESULTS / "scale.json"
    rows = json.loads(path.read_text(encoding="utf-8"))["rows"] if path.exists() else []
    return [row for row in rows if row["risk"] not in measured]


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--risk", choices=list(RISKS), action="append", help="one of the five; all by default")
    parser.add_argument("--scale", type=float, default=1.0, help="size of the tables; 1 is all of Wikipedia")
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    config = parser.parse_args()
    if config.child:
        run_child(*config.child)
        return
    rows: list[dict[str, Any]] = []
    for risk in config.risk or RISKS:
        with tempfile.TemporaryDirectory() as folder:
            for one in RISKS[risk]:
                share = one.share * config.scale
                if one.prepare:
                    measure(one.prepare, share, Path(folder))
                found = measure(one.function, share, Path(folder))
                rows.append({"risk": risk, "measured": one.function, "share": share, **found})
                print(f"{risk}: {one.function}, {found['cpu_seconds']} CPU s", file=sys.stderr, flush=True)
    print_table(rows)
    if config.scale == 1:
        print(f"wrote {save('scale', {'rows': [*other_risks(config.risk or list(RISKS)), *rows]})}")


if __name__ == "__main__":
    main()
