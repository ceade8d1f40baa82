"""Token tables that are killed while they are made, and made again."""

import shutil
import tempfile
from collections import Counter
from pathlib import Path

from tests.end_to_end.reliability.build_kills import MODULES, wrong_end
from tests.end_to_end.reliability.kills import Contents, contents, differs, half_built, killed, kills
from tests.end_to_end.reliability.outcome import Outcome
from tests.end_to_end.reliability.processes import Ended, Kill, Server, command
from tests.training.synthetic import make_dataset

ABOUT = (
    "SIGKILL of the process group of `wikiloom tokenize`, half of them in its last fifth, a third of the runs twice: "
    "no half-built tokens have a manifest, and run again, they have the bytes of tokens that were made in one go"
)
COUNT = 100
NAME = "again"


def run(count: int, seed: int) -> Outcome:
    """So many runs, each killed once or twice."""
    failures, figures = [], Counter[str]()
    with Server(*MODULES, "pipelines.tokens") as server, tempfile.TemporaryDirectory() as name:
        data = make_dataset(Path(name) / "data")
        ended, whole = tokenize(server, data, None), contents(data / "tokens" / NAME)
        assert ended.code == 0, ended.said
        for number in range(count):
            shutil.rmtree(data / "tokens" / NAME)
            planned = kills(seed, number, ended.steps)
            problem = tried(server, data, whole, planned, figures)
            at = f"killed at {[kill.step for kill in planned]} of {ended.steps} steps"
            failures += [f"seed {seed}, number {number}, {at}: {problem}"] if problem else []
    return Outcome(figures["kills"], failures, {"runs": count, "killed twice": figures["twice"]})


def tried(server: Server, data: Path, whole: Contents, planned: list[Kill], figures: Counter[str]) -> str:
    """What a run that is killed left wrong; empty where nothing is."""
    out, times = data / "tokens" / NAME, 0
    for ended in killed(lambda kill: tokenize(server, data, kill), planned):
        times += ended.killed
        problem = half_built(out, whole) if ended.killed else wrong_end(ended) or differs(out, whole)
        if problem:
            return problem
    figures.update(kills=times, twice=times == 2)
    return ""


def tokenize(server: Server, data: Path, kill: Kill | None) -> Ended:
    """`wikiloom tokenize` by the tokenizer that made the dataset's other tokens."""
    words = ["tokenize", str(data), "--tokenizer", str(data / "tokens/tiny"), "--name", NAME]
    return server.run(command, words, data / "tokens" / NAME, kill)
