"""Builds that are killed and run again."""

import os
import shutil
import tempfile
from collections import Counter
from pathlib import Path
from typing import NamedTuple

from pipelines.validate import validate
from tests.conftest import DEMO_INPUTS, DEMO_SHARES
from tests.end_to_end.reliability.kills import Contents, contents, differs, half_built, killed, kills
from tests.end_to_end.reliability.outcome import Outcome
from tests.end_to_end.reliability.processes import Ended, Kill, Server, command

ABOUT = (
    "SIGKILL of the process group of `wikiloom build`, half of them in its last fifth, a third of the builds twice, of "
    "new datasets and of such as take an older one's place: what validates is whole, and run again, it has the bytes "
    "of a build that was not killed"
)
COUNT = 200
MODULES = ("pipelines.build", "pipelines.runner")
DEMO = [*map(str, DEMO_INPUTS), *DEMO_SHARES]
SAMPLE_EVERY = 10
"""One of so many tries is of real pages, where WIKILOOM_DATA has them; of the others every second rebuilds."""


class Subject(NamedTuple):
    """A build to be killed."""

    words: list[str]
    whole: Contents
    older: Path | None
    """The dataset whose place it takes."""
    steps: int


def run(count: int, seed: int) -> Outcome:
    """So many builds, each killed once or twice."""
    failures, figures = [], Counter[str]()
    with Server(*MODULES) as server, tempfile.TemporaryDirectory() as folder:
        made: dict[str, Subject] = {}
        for number in range(count):
            subject = _subject(server, Path(folder), _name(number), made)
            out = Path(folder) / str(number)
            problem = tried(server, subject, out, kills(seed, number, subject.steps), figures)
            failures += [f"seed {seed}, number {number}: {problem}"] if problem else []
            shutil.rmtree(out)
    return Outcome(figures["kills"], failures, {"builds": count, "killed twice": figures["twice"]})


def _name(number: int) -> str:
    if "WIKILOOM_DATA" in os.environ and number % SAMPLE_EVERY == SAMPLE_EVERY - 1:
        return "sample"
    return "rebuilt" if number % 4 >= 2 else "new"


def _subject(server: Server, folder: Path, name: str, made: dict[str, Subject]) -> Subject:
    """The demo built anew, or in place of one of other graphs, or the sample; each is made once."""
    if name not in made:
        if name == "sample":
            pages = Path(os.environ["WIKILOOM_DATA"]) / "wikipedia/bgwiki-sample.xml.bz2"
            made[name] = built(server, ["--wikipedia", str(pages), "--language", "bg", "--keep", "all"], folder / name)
        elif name == "rebuilt":
            older = built(server, [*DEMO, "--neighbors", "1"], folder / "older")
            made[name] = built(server, DEMO, folder / name, folder / "older")
            assert older.whole != made[name].whole
        else:
            made[name] = built(server, DEMO, folder / name)
    return made[name]


def tried(server: Server, subject: Subject, out: Path, planned: list[Kill], figures: Counter[str]) -> str:
    """What a build that is killed left wrong; empty where nothing is."""
    allowed = [subject.whole]
    if subject.older:
        shutil.copytree(subject.older, out)
        allowed.append(contents(subject.older))
    times = 0
    for ended in killed(lambda kill: build(server, subject.words, out, kill), planned):
        times += ended.killed
        problem = half_built(out, *allowed) if ended.killed else wrong_end(ended) or differs(out, subject.whole)
        if problem:
            return f"killed {times} times, at {[kill.step for kill in planned]} of {subject.steps} steps: {problem}"
    figures.update(kills=times, twice=times == 2)
    return ""


def build(server: Server, words: list[str], out: Path, kill: Kill | None = None) -> Ended:
    """`wikiloom build`, killed or not."""
    return server.run(command, ["build", *words, "--out", str(out)], out, kill)


def wrong_end(ended: Ended) -> str:
    """How a command ended that should have ended well; empty where it did."""
    return f"exit code {ended.code}, {ended.said.strip()[-300:]!r}" if ended.code else ""


def built(server: Server, words: list[str], out: Path, older: Path | None = None) -> Subject:
    """A build that is not disturbed."""
    if older:
        shutil.copytree(older, out)
    ended = build(server, words, out)
    assert ended.code == 0, ended.said
    assert list(validate(out)) == []
    return Subject(words, contents(out), older, ended.steps)
