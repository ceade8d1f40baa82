"""Training runs on a disk that fails, and resumed when it no longer does."""

import re
import shutil
import tempfile
from pathlib import Path

from tests.end_to_end.reliability.faults import Disk, Fault, limit_files, safetensors_on
from tests.end_to_end.reliability.outcome import Outcome
from tests.end_to_end.reliability.processes import Ended, Server
from tests.end_to_end.reliability.train_kills import MODULES, Subject, differs, half_saved, learnt, whole
from tests.end_to_end.reliability.training_run import trained
from tests.end_to_end.reliability.write_faults import chosen
from tests.training.synthetic import make_dataset

ABOUT = (
    "disk full, file too large, I/O error in each call of a small `wikiloom train` that opens, writes, closes, syncs, "
    "renames or makes something, in turn: alone, or with all that follow; and a limit of a file's size. Exit code 1, "
    "one line of error, no half checkpoint; with --resume the run ends with the bits of one on a sound disk"
)
COUNT = 264
UNCLEAR = re.compile(r"Traceback|Exception|^\w*Error\b|^error: ")


def run(count: int, seed: int) -> Outcome:
    """So many faults: of the calls in an order of their own, then of all of them again with other errors."""
    failures = []
    with Server(*MODULES) as server, tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        subject = whole(server, make_dataset(folder / "data"), 0, 1, folder / "whole")
        largest = max(path.stat().st_size for path in (folder / "whole").rglob("*.safetensors"))
        calls = measured(server, subject, folder / "measured")
        for number in range(count):
            limit, fault = chosen(seed, number, calls, largest)
            problem = tried(server, subject, folder / str(number), fault, limit)
            what = f"files of {limit} bytes" if limit else f"call {fault.call} of {calls}" + " and on" * fault.lasting
            failures += [f"seed {seed}, number {number}, {what}: {problem}"] if problem else []
            shutil.rmtree(folder / str(number), ignore_errors=True)
    return Outcome(count, failures, {"calls of a run": calls})


def measured(server: Server, subject: Subject, out: Path) -> int:
    """The calls of a whole run."""
    ended = server.run(faulty, subject.words, out, Fault(0), 0)
    assert ended.code == 0, ended.said
    return ended.steps


def tried(server: Server, subject: Subject, out: Path, fault: Fault, limit: int) -> str:
    """What a fault left wrong; empty where nothing is."""
    ended = server.run(faulty, subject.words, out, fault, limit)
    problem = unclear(ended) or half_saved(out)
    if problem:
        return problem
    ended = server.run(trained, subject.words, out, 1, None)
    return differs(ended, learnt(out, []), subject.whole)


def unclear(ended: Ended) -> str:
    """Why the end of a run is not that of one whose disk fails: exit code 1, the last line the only one of an error."""
    *before, last = ended.said.splitlines() or [""]
    if ended.code == 1 and last.startswith("error: ") and not any(map(UNCLEAR.search, before)):
        return ""
    return f"exit code {ended.code}, {len(before) + 1} lines, the last {last!r}"


def faulty(words: list[str], out: Path, fault: Fault, limit: int) -> tuple[int, int]:
    """`wikiloom train` on such a disk, as a child's function; returns its exit code and its calls."""
    from training import checkpoint, shards
    from wikiloom import main

    if limit:
        limit_files(limit)
        return main(["train", *words, "--out", str(out)]), 0
    disk = Disk(out, fault)
    safetensors_on(disk, checkpoint, shards)
    return main(["train", *words, "--out", str(out)]), disk.calls
