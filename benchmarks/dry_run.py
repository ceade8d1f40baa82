"""What wikiloom train --dry-run says beside what the run then takes: memory and time.

    python -m benchmarks.dry_run [--recipe colake-tiny kepler-tiny] [--set KEY=VALUE ...]

On a dataset built here (the real sample where WIKILOOM_DATA is set, else examples/). Writes results/dry_run.json.
"""

import argparse
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.loader import build_sample
from benchmarks.timing import save
from training.metrics import read_metrics

ROOT = Path(__file__).parent.parent
UNITS = {"s": 1.0, "min": 60.0, "h": 3600.0}


def main() -> int:
    """Run and print; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipe", nargs="+", default=["colake-tiny", "kepler-tiny"])
    parser.add_argument("--set", nargs="*", default=[], help="KEY=VALUE of every run")
    chosen = parser.parse_args()
    figures = {}
    with tempfile.TemporaryDirectory() as temporary:
        tokens = build_sample(Path(temporary))
        words = ["--data", str(tokens.parent.parent), f"--set=data.tokens={tokens.name}"]
        words += [f"--set={pair}" for pair in chosen.set]
        for recipe in chosen.recipe:
            said, _ = trained(recipe, [*words, "--dry-run"])
            run = Path(temporary, "runs", recipe)
            _, seconds = trained(recipe, [*words, "--out", str(run)])
            memory = max(line.get("speed/memory_mb", 0.0) for line in read_metrics(run))
            figures[recipe] = {
                "memory_mb": memory,
                "memory_said": round(number(said, r"memory: ([\d,]+) (MB)") / memory, 3),
                "seconds": round(seconds, 1),
                "time_said": round(number(said, r"time: ([\d,.]+) (s|min|h)") / seconds, 3),
            }
            print(recipe, ", ".join(f"{name} {value:,}" for name, value in figures[recipe].items()), flush=True)
    print(save("dry_run", figures))
    return 0


def trained(recipe: str, words: list[str]) -> tuple[str, float]:
    """(what it said, wall seconds from its start to its end) of one command."""
    command = [sys.executable, "-m", "wikiloom", "train", recipe, *words]
    began = time.perf_counter()
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=False)
    seconds = time.perf_counter() - began
    if done.returncode:
        raise SystemExit(done.stderr)
    return done.stderr, seconds


def number(said: str, pattern: str) -> float:
    """The number that the dry run said, in MB or seconds."""
    found = re.search(pattern, said)
    if found is None:
        raise SystemExit(f"the dry run said nothing like {pattern}: {said}")
    return float(found[1].replace(",", "")) * UNITS.get(found[2], 1.0)


if __name__ == "__main__":
    sys.exit(main())
