"""Builds on a disk that fails, and run again when it no longer does."""

import shutil
import tempfile
from pathlib import Path

import numpy as np

from schemas.hashing import random_u64
from tests.end_to_end.reliability.build_kills import DEMO, MODULES, Subject, build, built, wrong_end
from tests.end_to_end.reliability.faults import Disk, Fault, arrow_in_python, limit_files
from tests.end_to_end.reliability.kills import differs, half_built
from tests.end_to_end.reliability.outcome import Outcome
from tests.end_to_end.reliability.processes import Ended, Server

ABOUT = (
    "disk full, file too large, I/O error in each call of a small `wikiloom build` that opens, writes, closes, renames "
    "or makes something, in turn: alone, or with all that follow; and a limit of a file's size. Exit code 1, one line, "
    "nothing half-built validates; run again, it has the digest and the files of a build on a sound disk"
)
COUNT = 2_000
LIMITED_EVERY = 8
"""One of so many tries sets a limit of the size in place of failing a call."""


def run(count: int, seed: int) -> Outcome:
    """So many faults: of the calls in an order of their own, then of all of them again with other errors."""
    failures = []
    with Server(*MODULES) as server, tempfile.TemporaryDirectory() as folder:
        subject = built(server, DEMO, Path(folder) / "whole")
        calls, largest = measured(server, subject, Path(folder) / "measured")
        for number in range(count):
            limit, fault = chosen(seed, number, calls, largest)
            out = Path(folder) / str(number)
            problem = tried(server, subject, out, fault, limit)
            what = f"files of {limit} bytes" if limit else f"call {fault.call} of {calls}" + " and on" * fault.lasting
            failures += [f"seed {seed}, number {number}, {what}: {problem}"] if problem else []
            shutil.rmtree(out, ignore_errors=True)
    return Outcome(count, failures, {"calls of a build": calls})


def chosen(seed: int, number: int, calls: int, largest: int) -> tuple[int, Fault]:
    """(limit of the size of files, 0 for none; the call that fails, 0 for none) of a try.

    In two turns each call fails once alone, and once with all that follow.
    """
    if number % LIMITED_EVERY == LIMITED_EVERY - 1:
        return 1 + int(random_u64(seed, "limit", number)) % largest, Fault(0)
    turn, place = divmod(number - number // LIMITED_EVERY, calls)
    call = int(np.argsort(random_u64(seed, "order", turn, np.arange(calls)))[place]) + 1
    lasting = (int(random_u64(seed, "lasting", call)) + turn) % 2
    return 0, Fault(call, bool(lasting), int(random_u64(seed, "error", number)) >> 8)


def tried(server: Server, subject: Subject, out: Path, fault: Fault, limit: int) -> str:
    """What a fault left wrong; empty where nothing is."""
    ended = server.run(faulty, ["build", *subject.words, "--out", str(out)], out, fault, limit)
    problem = unclear(ended) or half_built(out, subject.whole)
    return problem or wrong_end(build(server, subject.words, out)) or differs(out, subject.whole)


def unclear(ended: Ended) -> str:
    """Why the end of a command is not that of one whose disk fails: exit code 1, and one line."""
    lines = ended.said.splitlines()
    if ended.code == 1 and len(lines) == 1 and lines[0].startswith("error: "):
        return ""
    return f"exit code {ended.code}, {len(lines)} lines, the last {lines[-1:]}"


def faulty(words: list[str], folder: Path, fault: Fault, limit: int = 0) -> tuple[int, int]:
    """A command of wikiloom on such a disk, as a child's function; returns its exit code and its calls."""
    from wikiloom import main

    if limit:
        limit_files(limit)
        return main(words), 0
    disk = Disk(folder, fault)
    arrow_in_python()
    return main(words), disk.calls


def measured(server: Server, subject: Subject, out: Path) -> tuple[int, int]:
    """(calls of a whole build, bytes of its largest file)."""
    ended = server.run(faulty, ["build", *subject.words, "--out", str(out)], out, Fault(0))
    assert ended.code == 0, ended.said
    largest = max(path.stat().st_size for path in out.rglob("*") if path.is_file())
    shutil.rmtree(out)
    return ended.steps, largest
