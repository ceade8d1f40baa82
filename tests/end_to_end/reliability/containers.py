"""Containers, XML and JSON that are damaged, hostile or unusual: read whole, or with rejects, or a clear error.

Each is read in a process of its own by the readers that a build calls, in several ranges and in one; every eighth
goes through `wikiloom build` as well. The canary is a file that external entities name.
"""

import contextlib
import io
import json
import multiprocessing
import os
import resource
import signal
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from pipelines.sources import Reject
from pipelines.sources.ranges import plan_ranges
from pipelines.sources.wikidata import read_entities
from pipelines.sources.wikipedia import read_pages, read_siteinfo
from schemas.errors import DataError
from tests.end_to_end.reliability.inputs_tried import CANARY, PAGES, Kind, whole_entities, whole_pages, write
from tests.end_to_end.reliability.json_inputs import JSON
from tests.end_to_end.reliability.outcome import Outcome
from tests.end_to_end.reliability.packed_inputs import BOMBS, PACKED
from tests.end_to_end.reliability.xml_inputs import XML
from wikiloom import main

KINDS = PACKED | XML | JSON | BOMBS
ABOUT = (
    f"{len(KINDS)} kinds of damaged, hostile and unusual containers, dumps, XML and JSON, {len(BOMBS)} of them bombs "
    "of 1 GiB: read whole, or with the rejects expected, or one clear line; no traceback, no canary read, within 180 s "
    "of CPU and 2 GiB; every eighth through `wikiloom build` too"
)
COUNT = len(KINDS)
SECONDS = 180
"""Of CPU time, so that a busy machine is no failure."""
WAIT = 3_600
MEMORY = 2 << 30
BUILT_EVERY = 8
_fork = multiprocessing.get_context("fork")


def run(count: int, seed: int) -> Outcome:
    """Try so many kinds, beginning behind those of the seeds before; nothing else is drawn."""
    peaks: list[int] = []
    failures = list(tries(KINDS, count, seed, peaks))
    return Outcome(count, failures, {"peak memory in MiB": max(peaks, default=0) >> 20})


def tries(kinds: Mapping[str, Kind], count: int, seed: int, peaks: list[int], *, builds: bool = True) -> Iterator[str]:
    """A line for each kind that is not met as expected; appends to `peaks` the bytes that each took."""
    names = list(kinds)
    for number in range(seed * count, (seed + 1) * count):
        name = names[number % len(names)]
        built_too = builds and number % BUILT_EVERY == 0 and name not in BOMBS
        with tempfile.TemporaryDirectory() as scratch:
            path = write(kinds[name], Path(scratch))
            said, peak = apart(kinds[name], path, builds=built_too)
        peaks.append(peak)
        if said:
            yield f"seed {seed}, number {number}: {name}: {said}"


def apart(kind: Kind, path: Path, *, builds: bool) -> tuple[str, int]:
    """(what is wrong with how it is read, empty where nothing is; bytes of memory), from a process of its own."""
    ours, its = _fork.Pipe()
    process = _fork.Process(target=_tell, args=(its, kind, path, builds))
    process.start()
    its.close()
    said, peak = f"not done after {WAIT} s", 0
    if ours.poll(WAIT):
        said = "the process ended"
        with contextlib.suppress(EOFError):
            said, peak = ours.recv()
    else:
        process.kill()
    process.join()
    if process.exitcode:
        signalled = process.exitcode == -signal.SIGXCPU
        said = f"not done after {SECONDS} s of CPU" if signalled else f"{said} with {process.exitcode}"
    return said or ("" if peak <= MEMORY else f"{peak:,} bytes of memory, at most {MEMORY:,}"), peak


def _tell(pipe: Connection, kind: Kind, path: Path, builds: bool) -> None:
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS + 9))
    try:
        said = wrong(kind, path) or (built(kind, path) if builds else "")
    except BaseException as error:
        said = f"{type(error).__name__}: {error}"
    pipe.send((said[:500], resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024))
    pipe.close()
    os._exit(0)


def wrong(kind: Kind, path: Path) -> str:
    """What is not as expected, in one range and in many."""
    size = path.stat().st_size
    for target in (max(size, 1), max(size // 7, 1 << 10)):
        said = _judged(kind, path, target)
        if said:
            return f"{said} (ranges of {target} bytes)"
    return ""


def _judged(kind: Kind, path: Path, target: int) -> str:
    try:
        records = list(_read(kind, path, target))
    except DataError as error:
        lines = str(error).splitlines()
        good = (kind.may_fail or kind.error) and kind.error in str(error) and len(lines) == 1
        return "" if good else f"expected {kind.error or kind.kept!r}, found the error {error}"
    rejects = Counter(one.reason for one in records if isinstance(one, Reject))
    kept = len(records) - rejects.total()
    if kind.error:
        return f"expected the error {kind.error!r}, found {kept} kept and {dict(rejects)}"
    if CANARY in repr(records):
        return "the canary was read"
    exact = isinstance(kind.kept, int)
    low, high = (kind.kept, kind.kept) if isinstance(kind.kept, int) else kind.kept
    # Where it is open how much is kept, all of it may be, and then nothing has to be rejected.
    lost = exact or kept < high
    if not low <= kept <= high or set(rejects) - set(kind.rejects) or (lost and set(rejects) != set(kind.rejects)):
        return f"expected {kind.kept} kept and {kind.rejects}, found {kept} and {dict(rejects)}"
    return ""


def _read(kind: Kind, path: Path, target: int) -> Iterator[Any]:
    name = str(path)
    ranges = plan_ranges(name, target)
    if kind.reads == PAGES:
        read_siteinfo(name)
        yield from (one for part in ranges for one in read_pages(part))
    else:
        drops: Counter[str] = Counter()
        yield from (one for part in ranges for one in read_entities(part, "en", drops))


def built(kind: Kind, path: Path) -> str:
    """What is wrong with `wikiloom build` of the input beside a whole one of the other kind."""
    other = path.with_name("other")
    other.write_bytes(whole_entities() if kind.reads == PAGES else whole_pages())
    pages, items = (path, other) if kind.reads == PAGES else (other, path)
    out, said = path.with_name("out"), io.StringIO()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(said):
        code = main(["build", "--wikipedia", str(pages), "--wikidata", str(items), "--out", str(out), "--keep", "all"])
    lines = said.getvalue().splitlines()
    if kind.error or code:
        good = (
            code == 1
            and sum(line.startswith("error: ") for line in lines) == 1
            and not (out / "manifest.json").exists()
        )
        expected = bool(kind.error) or kind.may_fail or kind.kept == 0
        return "" if good and expected else f"the build ended with {code}: {lines[-3:]}"
    drops = json.loads((out / "manifest.json").read_text())["drops"]
    counted = drops.get("wikipedia" if kind.reads == PAGES else "wikidata", {})
    missing = set(kind.rejects) - set(counted) if isinstance(kind.kept, int) else set()
    return f"the manifest's drops lack {sorted(missing)}" if missing else ""
