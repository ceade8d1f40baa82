"""CPU time of things side by side, and where their figures are kept."""

import json
import platform
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

RESULTS = Path(__file__).parent / "results"


class Seconds(NamedTuple):
    """Of one thing: CPU seconds of all its threads, and wall seconds."""

    cpu: float
    wall: float


def best_seconds(runs: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, Seconds]:
    """The least seconds of each over `rounds` rounds; each round runs all, so that load meets all alike."""
    best = dict.fromkeys(runs, Seconds(float("inf"), float("inf")))
    for _ in range(rounds):
        for name, run in runs.items():
            cpu, wall = time.process_time(), time.perf_counter()
            run()
            took = Seconds(time.process_time() - cpu, time.perf_counter() - wall)
            best[name] = Seconds(*map(min, best[name], took))
    return best


def best_cpu_seconds(runs: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """The least CPU seconds of each."""
    return {name: seconds.cpu for name, seconds in best_seconds(runs, rounds).items()}


def save(name: str, figures: Mapping[str, Any]) -> Path:
    """Write results/NAME.json: the figures and the machine and Python they were measured on."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    document = {"python": platform.python_version(), "machine": platform.machine(), **figures}
    path.write_text(json.dumps(document, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    return path
