"""Wikiloom's commands as benchmarks run them, and the CPU time that they took."""

import os
import resource
import subprocess
import sys
from pathlib import Path


def wikiloom(*words: str | Path) -> None:
    """Run one command, on one thread unless told of more; its own message ends the benchmark where it fails."""
    command = [sys.executable, "-m", "wikiloom", *map(str, words)]
    told = {"OMP_NUM_THREADS": "1", **os.environ}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=told)
    if done.returncode:
        raise SystemExit(f"wikiloom {' '.join(command[3:])} failed: {done.stderr[-2000:]}")


def commands_seconds() -> float:
    """CPU seconds of all commands that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
