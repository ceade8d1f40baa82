"""Tests of the tests: small mistakes in the code, each of which some test has to notice.

A mutant runs in a fork of this process that has the libraries and none of our modules: the mutated one is compiled in
memory, and the tests that reach its line are run, the quickest first, until one fails. Seed s is part s of PARTS, and
number n its nth mutant in the order of a hash, so that any count is a sample and a large one is all.
"""

import collections
import contextlib
import csv
import dataclasses
import importlib
import importlib.machinery
import json
import os
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import CodeType
from typing import Any

import numpy as np

from schemas.hashing import hash_strings
from tests.end_to_end.reliability.mutation import Mutant, compiled, mutants
from tests.end_to_end.reliability.outcome import Outcome

ABOUT = (
    "small mistakes in the code (operators, bounds, conditions, returned values, arguments), seed by seed: schemas, "
    "plan and masking, ranking, the scanner; a test has to notice each"
)
COUNT = 10_000
"""Of a part; none has so many."""
ROOT = Path(__file__).parents[3]
EXPLAINED = Path(__file__).with_name("equivalent_mutants.tsv")
"""Mutants that no test can notice: file, line of code, what is done, where in the line (1, 2, ...), why."""
OURS = ("wikiloom", "schemas", "pipelines", "training", "tests", "benchmarks")
CPU_SECONDS, WALL_SECONDS, MEMORY = 60, 600, 4 << 30
"""A mutant that needs more is noticed: nothing here takes a tenth of it."""


@dataclasses.dataclass(frozen=True)
class Part:
    """Files, and the tests that have to notice mistakes in them."""

    name: str
    files: Sequence[str]
    tests: Sequence[str]
    without: str = "processes"
    """Tests that are left out: those that start processes, which know nothing of the mutant."""
    root: Path = ROOT

    def paths(self) -> list[str]:
        """The files, below the root."""
        return sorted(path.relative_to(self.root).as_posix() for glob in self.files for path in self.root.glob(glob))


PARTS = (
    Part(
        "schemas",
        ["schemas/*.py"],
        ["tests/schemas"],
        without="processes or commands_take_a_place",
    ),
    Part(
        "plan and masking",
        ["training/data/plan.py", "training/data/masking.py"],
        [f"tests/training/data/test_{name}.py" for name in ("plan", "stream", "loader", "masking")],
        without="processes or leaves_out_what_the_state_says",
    ),
    Part(
        "ranking",
        ["training/evaluation/ranking.py"],
        [f"tests/training/evaluation/test_{name}.py" for name in ("ranking", "vector_ranking")],
    ),
    Part("scanner", ["pipelines/wikitext/*.py"], ["tests/pipelines/wikitext"]),
)


def run(count: int, seed: int) -> Outcome:
    """Try the first `count` mutants of part `seed`."""
    part = PARTS[seed]
    with tempfile.TemporaryDirectory(prefix="wikiloom-mutants-") as folder:
        found = tried(part, count, Path(folder))
    noticed = {mutant: told for mutant, told in found.mutants.items() if told != SURVIVED}
    known = explained()
    left = [one for one in found.mutants if one not in noticed and key(part, one) not in known]
    for file, share in shares(found.mutants).items():
        print(f"{file}: {share}")
    print(*found.not_covered, sep="\n")
    share = len(noticed) / max(1, len(found.mutants))
    figures = {
        f"{part.name}: noticed": f"{len(noticed)} of {len(found.mutants)} ({share:.1%})",
        f"{part.name}: can't be noticed": len(found.mutants) - len(noticed) - len(left),
        f"{part.name}: branches": found.branches,
    }
    failures = [f"seed {seed}: no test notices {one}: {line_of(part, one)}" for one in left]
    return Outcome(len(found.mutants), failures, figures)


SURVIVED = "no test failed"


@dataclasses.dataclass(frozen=True)
class Found:
    """Of a part."""

    mutants: Mapping[Mutant, str]
    """What became of each."""
    branches: str
    """Covered of all."""
    not_covered: Sequence[str]
    """Lines and branches that no test reaches."""


def tried(part: Part, count: int, folder: Path) -> Found:
    """Run the tests as they are once, then on each of the first `count` mutants."""
    reached = _Reached(part, folder)
    told = {}
    for mutant in in_order(part)[:count]:
        tests = reached.tests(mutant)
        told[mutant] = _with_tests(part, mutant, tests, folder) if tests else SURVIVED
        print(f"{told[mutant]}: {mutant}" if told[mutant] == SURVIVED else ".", end="", file=sys.stderr, flush=True)
    return Found(told, *reached.branches())


def in_order(part: Part) -> list[Mutant]:
    """Every mutant of a part, in the order of a hash."""
    every = [one for path in part.paths() for one in mutants(path, (part.root / path).read_text(encoding="utf-8"))]
    return [every[place] for place in np.argsort(hash_strings(f"{one} {one.place} {one.variant}" for one in every))]


def shares(told: Mapping[Mutant, str]) -> dict[str, str]:
    """What share of its mutants is noticed, by file."""
    every = collections.Counter(one.file for one in told)
    noticed = collections.Counter(one.file for one, what in told.items() if what != SURVIVED)
    return {file: f"{noticed[file]} of {number}" for file, number in sorted(every.items())}


def line_of(part: Part, mutant: Mutant) -> str:
    """The line of code that a mutant changes."""
    return (part.root / mutant.file).read_text(encoding="utf-8").splitlines()[mutant.line - 1].strip()


def key(part: Part, mutant: Mutant) -> tuple[str, str, str, str]:
    """What a mutant is explained by: lines move."""
    return mutant.file, line_of(part, mutant), mutant.what, str(mutant.nth)


def explained() -> dict[tuple[str, str, str, str], str]:
    """EXPLAINED: the key of a mutant -> why no test can notice it."""
    with EXPLAINED.open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    return {(file, line, what, nth): why for file, line, what, nth, why in rows}


class _Reached:
    """Which tests reach which lines, how long each takes, and what none reaches: one run of all, under coverage."""

    def __init__(self, part: Part, folder: Path) -> None:
        import coverage

        self._part = part
        self._files = [str(part.root / path) for path in part.paths()]
        self._data, seconds = folder / "coverage", folder / "seconds.json"
        self._seconds: dict[str, float]
        status = _in_a_fork(lambda: _measure(part, self._files, self._data, seconds), folder)
        if status != 0:
            said = (folder / "log").read_text(errors="replace")[-2_000:]
            raise RuntimeError(f"{part.name}: the tests fail as they are (status {status}): {said}")
        self._seconds, libraries = json.loads(seconds.read_text())
        for name in libraries:  # what every mutant would otherwise import again
            with contextlib.suppress(Exception):
                importlib.import_module(name)
        self._coverage = coverage.Coverage(data_file=str(self._data), branch=True, include=self._files)
        self._coverage.exclude("if (TYPE_CHECKING|__name__ == .__main__.):")
        self._coverage.load()
        data = self._coverage.get_data()
        self._contexts = {file: data.contexts_by_lineno(file) for file in self._files}

    def tests(self, mutant: Mutant) -> list[str]:
        """Those that reach the mutant's line, the quickest first; of a line that is run on import, all."""
        found = set(self._contexts[str(self._part.root / mutant.file)].get(mutant.line, ()))
        chosen = self._seconds if "" in found else found & self._seconds.keys()
        return sorted(chosen, key=lambda test: (self._seconds[test], test))

    def branches(self) -> tuple[str, list[str]]:
        """(branches covered of all, what is not: a line for each file)."""
        total, missing, lines = 0, 0, []
        for file in self._files:
            analysis = self._coverage._analyze(file)
            numbers = analysis.numbers
            total, missing = total + numbers.n_branches, missing + numbers.n_missing_branches
            left = analysis.missing_formatted(branches=True)
            lines += [f"{Path(file).relative_to(self._part.root)}: not reached: {left}"] if left else []
        return f"{total - missing} of {total}", lines


def _measure(part: Part, files: Sequence[str], data: Path, seconds: Path) -> int:
    """The tests as they are, under coverage; each is a context of its own."""
    import coverage

    measured = coverage.Coverage(data_file=str(data), branch=True, include=list(files))
    measured.start()
    plugin = _Timed(measured.switch_context)
    status = _pytest(part, part.tests, data.with_name("tests"), plugin)
    measured.stop()
    measured.save()
    libraries = [name for name in sys.modules if name.partition(".")[0] not in (*OURS, "__main__", "conftest")]
    seconds.write_text(json.dumps([plugin.seconds, libraries]))
    return status


def _with_tests(part: Part, mutant: Mutant, tests: Sequence[str], folder: Path) -> str:
    """What becomes of a mutant."""
    path = part.root / mutant.file
    code = compiled(mutant, path.read_text(encoding="utf-8"), str(path))

    def work() -> int:
        sys.meta_path.insert(0, _Injected(mutant.file, path, code))
        return _pytest(
            part, list(dict.fromkeys(test.partition("::")[0] for test in tests)), folder / "tests", _Chosen(tests)
        )

    status = _in_a_fork(work, folder)
    return {0: SURVIVED, 5: SURVIVED}.get(status, f"noticed ({status})")


def _pytest(part: Part, tests: Sequence[str], temporary: Path, plugin: object) -> int:
    import pytest

    options = ["-q", "-x", "-p", "no:cacheprovider", "-p", "no:xdist", "-p", "no:timeout", "-o", "addopts="]
    options += ["-m", "not slow and not extras and not cluster", "-k", f"not ({part.without})"]
    places = [f"--rootdir={part.root}", f"--basetemp={temporary}", *(str(part.root / test) for test in tests)]
    return int(pytest.main([*options, *places], plugins=[plugin]))


class _Quick:
    """Plugin: hypothesis tries the same in every run, keeps nothing, and is content with any failure."""

    def pytest_collection(self) -> None:
        from hypothesis import Phase, settings

        phases = (Phase.explicit, Phase.generate)
        settings.register_profile("mutants", deadline=None, derandomize=True, database=None, phases=phases)
        settings.load_profile("mutants")


class _Timed(_Quick):
    """Plugin: tells which test runs, and keeps how long it took."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        self._tell, self.seconds = tell, collections.defaultdict[str, float](float)

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self._tell(nodeid)

    def pytest_runtest_logfinish(self) -> None:
        self._tell("")

    def pytest_runtest_logreport(self, report: Any) -> None:
        if report.skipped:
            self.seconds.pop(report.nodeid, None)
        elif report.when != "teardown":
            self.seconds[report.nodeid] += report.duration


class _Chosen(_Quick):
    """Plugin: runs some tests, in an order."""

    def __init__(self, tests: Sequence[str]) -> None:
        self._places = {test: place for place, test in enumerate(tests)}

    def pytest_collection_modifyitems(self, items: list[Any]) -> None:
        items[:] = sorted(
            (item for item in items if item.nodeid in self._places), key=lambda item: self._places[item.nodeid]
        )


class _Injected(importlib.machinery.SourceFileLoader):
    """Finds one module, and gives it a mutant's code."""

    def __init__(self, file: str, path: Path, code: CodeType) -> None:
        super().__init__(file.removesuffix(".py").removesuffix("/__init__").replace("/", "."), str(path))
        self._code = code

    def find_spec(self, name: str, path: object = None, target: object = None) -> importlib.machinery.ModuleSpec | None:
        from importlib.util import spec_from_file_location

        return spec_from_file_location(name, self.path, loader=self) if name == self.name else None

    def get_code(self, fullname: str) -> CodeType:
        return self._code


def _in_a_fork(work: Callable[[], int], folder: Path) -> int:
    """What `work` returns in a fork without our modules; -signal where one ended it."""
    child = os.fork()
    if not child:
        status = 1
        try:
            with _alone(folder):
                status = work()
        except BaseException:
            traceback.print_exc()
        os._exit(status)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    shutil.rmtree(folder / "tests", ignore_errors=True)
    return status


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Without our modules, silent, bounded."""
    log = os.open(folder / "log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(log, 1), os.dup2(log, 2)
    for name in [name for name in sys.modules if name.partition(".")[0] in OURS]:
        del sys.modules[name]
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(WALL_SECONDS)
    used = int(time.process_time())
    resource.setrlimit(resource.RLIMIT_CPU, (used + CPU_SECONDS, used + CPU_SECONDS + 5))
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
    yield
