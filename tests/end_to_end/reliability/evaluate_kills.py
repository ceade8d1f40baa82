"""Evaluations that are killed while they rank, and go on."""

import json
import shutil
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from tests.end_to_end.reliability.build_kills import wrong_end
from tests.end_to_end.reliability.kills import killed, kills
from tests.end_to_end.reliability.outcome import Outcome
from tests.end_to_end.reliability.processes import Ended, Kill, Server, Steps
from tests.end_to_end.reliability.train_kills import MODULES, SMALL
from tests.end_to_end.reliability.training_run import trained
from tests.training.synthetic import make_dataset

ABOUT = (
    "SIGKILL of `wikiloom evaluate --task link-prediction` of a KEPLER run that writes what it has counted after each "
    "16 candidates, half of them in its last fifth, a third of the evaluations twice: no result is half written, and "
    "run again, it is that of an evaluation in one go, with nothing left beside it"
)
COUNT = 100
CANDIDATES = 16
NEVER = Kill(0, 0.0)


def run(count: int, seed: int) -> Outcome:
    """So many evaluations, each killed once or twice."""
    failures, figures = [], Counter[str]()
    with Server(*MODULES, "training.evaluation.run") as server, tempfile.TemporaryDirectory() as name:
        out = Path(name) / "run"
        words = ["kepler-tiny", "--data", str(make_dataset(Path(name) / "data"))]
        settings = [f"--set={key}={value}" for key, value in SMALL.items()]
        for ended in (server.run(trained, [*words, *settings], out, 1, None), evaluate(server, out, NEVER)):
            assert ended.code == 0, ended.said
        whole, steps = results(out), ended.steps
        for number in range(count):
            shutil.rmtree(out / "results")
            planned = kills(seed, number, steps)
            problem = tried(server, out, whole, planned, figures)
            at = f"killed at {[kill.step for kill in planned]} of {steps} steps"
            failures += [f"seed {seed}, number {number}, {at}: {problem}"] if problem else []
    told = {"evaluations": count, "killed twice": figures["twice"], "gone on with": figures["gone on"]}
    return Outcome(figures["kills"], failures, told)


def tried(server: Server, out: Path, whole: dict[str, Any], planned: list[Kill], figures: Counter[str]) -> str:
    """What an evaluation that is killed left wrong; empty where nothing is."""
    times = 0
    for ended in killed(lambda kill: evaluate(server, out, kill), planned):
        times += ended.killed
        figures["gone on"] += any((out / "results").glob("*.state")) if ended.killed else 0
        if problem := wrong(out, whole) if ended.killed else wrong_end(ended) or differs(out, whole):
            return problem
    figures.update(kills=times, twice=times == 2)
    return ""


def wrong(out: Path, whole: dict[str, Any]) -> str:
    """Which result that is there is not that of an evaluation in one go; empty where none is."""
    try:
        other = [name for name, found in results(out).items() if name in whole and found != whole[name]]
    except ValueError as error:
        return f"a result is half written: {error}"
    return f"{other[0]} is another result" if other else ""


def differs(out: Path, whole: dict[str, Any]) -> str:
    """What is not as after an evaluation in one go; empty where all is."""
    found = results(out)
    names = sorted(name for name in {*found, *whole} if found.get(name) != whole.get(name))
    return f"{names[0]} is another result, missing or too many" if names else ""


def results(out: Path) -> dict[str, Any]:
    """What lies in RUN/results: documents without how long they took."""
    found: dict[str, Any] = {}
    for path in sorted((out / "results").glob("*")):
        found[path.name] = json.loads(path.read_text(encoding="utf-8")) if path.suffix == ".json" else ""
        if found[path.name]:
            found[path.name].pop("seconds")
    return found


def evaluate(server: Server, out: Path, kill: Kill | None) -> Ended:
    """`wikiloom evaluate`, killed or not."""
    return server.run(evaluated, out, kill)


def evaluated(out: Path, kill: Kill | None) -> tuple[int, int]:
    """As a child's function: one that is to be killed writes its counts again and again."""
    from training.evaluation import blocks, state_file, vector_ranking
    from wikiloom import main

    vector_ranking.SLAB = vector_ranking.SIDE = blocks.HostBlocks.columns = CANDIDATES
    if kill:
        state_file.EVERY = 0.0
    steps = Steps(out / "results", kill)
    return main(["evaluate", str(out), "--task", "link-prediction"]), steps.count
