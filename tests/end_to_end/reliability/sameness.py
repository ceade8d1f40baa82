"""The examples built in every way that may not matter: one logical digest.

Builds run one after the other in a process for each environment, which has its hash seed, time zone and locale from
its start. What holds for one build is drawn from (seed, number).
"""

import json
import logging
import multiprocessing
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from unittest import mock

import numpy as np

from schemas.hashing import random_u64
from tests.conftest import DEMO_SHARES
from tests.end_to_end.reliability import dumps
from tests.end_to_end.reliability.outcome import Outcome
from wikiloom import main

ABOUT = (
    "builds of the examples, with order of pages, lines and files, containers, ranges, runner, workers, join, sizes, "
    "hash seed, time zone and locale drawn for each: one digest"
)
COUNT = 240
ENVIRONMENTS = 10
"""Processes that the builds are shared among: build `number` belongs to environment number % ENVIRONMENTS."""
COSTLY = 12
"""One build of so many has worker processes or a job service: it costs as much as ten others."""
LEVELS: Mapping[str, Sequence[str]] = {
    "hash seed": ("0", "1", "7", "4294967295", "random"),
    "time zone": ("UTC", "America/St_Johns", "Asia/Kathmandu", "Pacific/Kiritimati"),
    "locale": ("C.UTF-8", "C", "ascii"),
    "threads": ("1", "3"),
    "pages": ("1", "2", "5"),
    "lines": ("1", "3", "4"),
    "order": ("as they are", "turned", "shuffled"),
    "page container": (*dumps.CONTAINERS, "index"),
    "line container": dumps.CONTAINERS,
    "ranges": ("1", "2", "7", "100"),
    "redirects": ("plain", "gz", "turned"),
    "runner": ("in-process", "threads"),
    "join": ("lookup", "cogbk"),
    "rows a shard": ("0", "37", "1000"),
    "work": ("kept", "removed"),
    "stages": ("at once", "one by one"),
}
"""What may not matter; the first four belong to a process."""
OF_A_PROCESS = ("hash seed", "time zone", "locale", "threads")
STAGES = ("wikidata", "wikipedia", "align", "graph", "wk_graphs")
RUNNERS: Mapping[str, Sequence[str]] = {
    "in-process": (),
    "threads": ("--direct_running_mode=multi_threading", "--direct_num_workers=2"),
    "2 processes": ("--workers", "2"),
    "4 processes": ("--workers", "4"),
    "portable": ("--runner=PortableRunner", "--job_endpoint=embed", "--environment_type=LOOPBACK"),
}
SHARED = ("2 processes", "4 processes", "portable")


def run(count: int, seed: int) -> Outcome:
    """Build `count` ways, and the examples as they are."""
    digests: dict[int, str] = {}
    with tempfile.TemporaryDirectory(prefix="wikiloom-sameness-") as folder:
        for environment in range(min(ENVIRONMENTS, count)):
            numbers = [-1] * (not environment) + list(range(environment, count, ENVIRONMENTS))
            digests |= in_a_process(seed, environment, numbers, Path(folder) / str(environment))
    expected = digests.pop(-1)
    failures = [
        f"seed {seed}, number {number}: {found}, not {expected}: {json.dumps(combination(seed, number))}"
        for number, found in sorted(digests.items())
        if found != expected
    ]
    return Outcome(count, failures, {"digests": len({expected, *digests.values()}), "environments": ENVIRONMENTS})


def combination(seed: int, number: int) -> dict[str, str]:
    """What holds for build `number`, by what it may not matter for."""

    environment = number % ENVIRONMENTS
    found = {}
    for what, levels in LEVELS.items():
        if what in OF_A_PROCESS:  # in turn, so that each comes among a few processes
            drawn = int(random_u64(seed, f"sameness/{what}", 0)) + environment
        else:
            drawn = int(random_u64(seed, f"sameness/{what}", number))
        found[what] = levels[drawn % len(levels)]
    if number % COSTLY == COSTLY - 1:
        found |= {"runner": SHARED[number // COSTLY % len(SHARED)], "ranges": "7"}
    return found


def in_a_process(seed: int, environment: int, numbers: Sequence[int], folder: Path) -> dict[int, str]:
    """The digests of the builds of one environment, made in a new process; what failed, in place of a digest."""
    held = combination(seed, environment)
    spawn = multiprocessing.get_context("spawn")
    ours, theirs = spawn.Pipe(duplex=False)
    with mock.patch.dict(os.environ, variables(held)):
        process = spawn.Process(target=_work, args=(theirs, seed, list(numbers), folder))
        process.start()
    theirs.close()
    found = {}
    try:
        while True:
            number, digest = ours.recv()
            found[number] = digest
    except EOFError:
        process.join()
    return dict.fromkeys(numbers, f"none (exit code {process.exitcode})") | found


def variables(held: Mapping[str, str]) -> dict[str, str]:
    """The environment of a process."""
    coerced = {"PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"} if held["locale"] == "ascii" else {}
    locale = "C" if held["locale"] == "ascii" else held["locale"]
    threads = {"OMP_NUM_THREADS": held["threads"]}
    return {"PYTHONHASHSEED": held["hash seed"], "TZ": held["time zone"], "LC_ALL": locale} | threads | coerced


def _work(out: Connection, seed: int, numbers: Sequence[int], folder: Path) -> None:
    logging.disable(logging.WARNING)
    time.tzset()
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1), os.dup2(null, 2)
    for number in numbers:
        out.send((number, built(combination(seed, number) if number >= 0 else None, seed, number, folder)))


def built(held: Mapping[str, str] | None, seed: int, number: int, folder: Path) -> str:
    """The digest of one build, whose files are then removed; the examples' as they are without `held`."""
    folder.mkdir(parents=True)
    try:
        words = dumps.inputs() if held is None else written(held, seed, number, folder)
        for one in commands(held, [*words, *DEMO_SHARES, "--out", folder / "dataset"]):
            with _cut_into(int(held["ranges"]) if held else 1):
                code = main(["build", *map(str, one)])
            if code:
                return f"none (exit code {code})"
        return str(json.loads((folder / "dataset" / "manifest.json").read_bytes())["digest"])
    except Exception as error:
        return f"none ({type(error).__name__}: {error})"
    finally:
        shutil.rmtree(folder)


def written(held: Mapping[str, str], seed: int, number: int, folder: Path) -> list[str | Path]:
    """The command line of the examples' inputs, written anew."""
    pages, lines = (
        reordered(records, held["order"], seed, number) for records in (dumps.pages(), dumps.entity_lines())
    )
    return [
        "--wikipedia",
        *dumps.write_pages(pages, int(held["pages"]), held["page container"], folder),
        "--wikidata",
        *dumps.write_lines(lines, int(held["lines"]), held["line container"], folder),
        "--redirects",
        dumps.write_redirects(held["redirects"], folder),
    ]


def reordered(records: Sequence[bytes], order: str, seed: int, number: int) -> list[bytes]:
    """The records in an order of their own."""
    if order == "shuffled":
        return [
            records[place]
            for place in np.argsort(random_u64(seed, "sameness/shuffled", number, np.arange(len(records))))
        ]
    return list(records[::-1] if order == "turned" else records)


def commands(held: Mapping[str, str] | None, words: Sequence[object]) -> Iterator[list[object]]:
    """The command lines of one build, one after the other."""
    if held is None:
        yield list(words)
        return
    kept = "true" if held["work"] == "kept" else "false"
    settings = {"join": held["join"], "rows_per_shard": held["rows a shard"], "keep_work": kept}
    words = [
        *words,
        *RUNNERS[held["runner"]],
        *(word for pair in settings.items() for word in ("--set", "=".join(pair))),
    ]
    if held["stages"] == "one by one":
        yield from ([*words, "--only", stage] for stage in STAGES)
    yield words


def _cut_into(ranges: int) -> "mock._patch[object]":
    """Have each input cut into so many ranges, where it can be: --set range_mb goes no lower than a megabyte."""
    from pipelines import inputs

    plan_ranges, plan_dump = inputs.plan_ranges, inputs.plan_dump

    def target(path: str) -> int:
        return -(-os.path.getsize(path) // ranges)

    return mock.patch.multiple(
        inputs,
        plan_ranges=lambda path, _: plan_ranges(path, target(path)),
        plan_dump=lambda path, index, _: plan_dump(path, index, target(path)),
    )
