"""Training runs on one rank and on two that are killed, and go on."""

import hashlib
import itertools
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from schemas.errors import DataError
from tests.end_to_end.reliability.kills import killed, kills
from tests.end_to_end.reliability.outcome import Outcome
from tests.end_to_end.reliability.processes import Ended, Kill, Server
from tests.end_to_end.reliability.training_run import trained
from tests.training.synthetic import make_dataset
from training.checkpoint import checkpoints
from training.checkpoint_state import read_state
from training.metrics import read_metrics

ABOUT = (
    "SIGKILL of all processes of `wikiloom train` (CoLAKE, KEPLER, JAKET; half of the runs on two ranks), half of them "
    "in the last fifth, a third of the runs twice: with --resume each ends with the bits of the unbroken run's "
    "checkpoints and with all figures of its log, and has learnt from each batch once"
)
COUNT = 100
MODULES = (
    *("training.cli", "training.train", "tyro", "torch._dynamo", "torch._inductor", "torch.utils.tensorboard"),
    *("transformers.models.roberta.modeling_roberta", "matplotlib.figure", "matplotlib.backends.backend_agg"),
    "pyarrow.dataset",
)
SMALL = {
    "train.threads": "1",
    "train.steps": "12",
    "train.save_every": "3",
    "train.valid_every": "4",
    "train.log_every": "1",
    "train.valid_batches": "2",
    "train.batch_size": "8",
    "train.micro_batch": "4",
    "data.lanes": "4",
    "encoder.hidden_size": "16",
    "encoder.intermediate_size": "32",
    "encoder.dropout": "0.1",
    "optim.warmup_steps": "1",
    "kepler.blocks": "4",
    "jaket.refresh_first": "2",
    "jaket.roots": "8",
    "jaket.negatives": "20",
}
SHARED = {"memory.backend": "sharded", "train.parallel": "fsdp", "train.async_save": "false"}
"""On two ranks each then writes a part of every checkpoint."""
SUBJECTS: list[tuple[str, dict[str, str]]] = [
    ("colake-tiny", {}),
    ("kepler-tiny", {}),
    ("jaket-tiny", {}),
    ("colake-tiny", SHARED),
]
EACH = 6
"""So many tries of one subject after another, whose kills are each of a kind."""


class Subject(NamedTuple):
    """A run to be killed."""

    words: list[str]
    ranks: int
    whole: "Learnt"
    steps: int


class Learnt(NamedTuple):
    """What a run leaves."""

    checkpoints: dict[str, str]
    """The digest of each file."""
    log: list[dict[str, Any]]
    """Its lines, without how fast it went."""
    files: list[str]
    batches: dict[str, str]
    """The digest of each, by rank and step."""


def run(count: int, seed: int) -> Outcome:
    """So many runs, each killed once or twice."""
    failures, figures = [], Counter[str]()
    made: dict[tuple[int, int], Subject] = {}
    with Server(*MODULES) as server, tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data = make_dataset(folder / "data")
        for number in range(count):
            ranks, chosen = 1 + number % 2, number // (2 * EACH) % len(SUBJECTS)
            if (chosen, ranks) not in made:
                made[chosen, ranks] = whole(server, data, chosen, ranks, folder / f"whole-{chosen}-{ranks}")
            subject = made[chosen, ranks]
            planned = kills(seed, number // 2, subject.steps)
            problem = tried(server, subject, folder / str(number), planned, figures, f"kills on {ranks}")
            failures += [f"seed {seed}, number {number}, {subject.words[0]}: {problem}"] if problem else []
    told = {"runs": count, "killed twice": figures["twice"], "on two ranks": figures["kills on 2"]}
    return Outcome(figures["kills on 1"] + figures["kills on 2"], failures, told)


def whole(server: Server, data: Path, chosen: int, ranks: int, out: Path) -> Subject:
    """A run that is not disturbed."""
    recipe, settings = SUBJECTS[chosen]
    settings = {**SMALL, **(settings if ranks > 1 else {})}
    words = [recipe, "--data", str(data), "--resume", *(f"--set={key}={value}" for key, value in settings.items())]
    ended = server.run(trained, words, out, ranks, None)
    assert ended.code == 0, ended.said
    return Subject(words, ranks, learnt(out, [read_batches(out)]), ended.steps)


def tried(server: Server, subject: Subject, out: Path, planned: list[Kill], figures: Counter[str], counted: str) -> str:
    """What a run that is killed left wrong; empty where nothing is."""
    times, read = 0, []
    for ended in killed(lambda kill: server.run(trained, subject.words, out, subject.ranks, kill), planned):
        times += ended.killed
        read.append(read_batches(out))
        problem = half_saved(out) if ended.killed else differs(ended, learnt(out, read), subject.whole)
        if problem:
            return f"killed {times} times, at {[kill.step for kill in planned]} of {subject.steps} steps: {problem}"
    figures.update({counted: times, "twice": times == 2})
    return lost_or_doubled(read, subject.whole.batches)


def half_saved(out: Path) -> str:
    """Why a checkpoint that a run would go on with is not whole; empty where all are."""
    try:
        for folder in checkpoints(out):
            read_state(folder)
    except DataError as error:
        return str(error)
    return ""


def differs(ended: Ended, found: Learnt, expected: Learnt) -> str:
    """What is not as in the unbroken run; empty where all is."""
    if ended.code:
        return f"exit code {ended.code}, {ended.said.strip()[-300:]!r}"
    saved, whole = found.checkpoints, expected.checkpoints
    wrong = [name for name in whole if saved.get(name) != whole[name]]
    if wrong:
        return f"{len(wrong)} files of checkpoints are not the unbroken run's: {wrong[0]}"
    wrong = [name for name in ("log", "files") if getattr(found, name) != getattr(expected, name)]
    return f"other {' and '.join(wrong)} than the unbroken run's" if wrong else ""


def lost_or_doubled(read: list[dict[str, str]], whole: dict[str, str]) -> str:
    """Which batches were not learnt from once, by what each run in turn has read; empty where none is.

    A run begins with the batch behind its checkpoint: what the one before it read from there on was not saved.
    """
    for batches in read:
        wrong = [name for name, digest in batches.items() if whole.get(name) != digest]
        if wrong:
            return f"batch {wrong[0]} (rank/step) is another than the unbroken run's"
    seen = [sorted({int(name.partition("/")[2]) for name in batches}) for batches in read if batches]
    for steps in seen:
        if steps != list(range(steps[0], steps[-1] + 1)):
            return f"steps {steps} are not each other's next"
    if seen[0][0] != 0 or any(after[0] > before[-1] + 1 for before, after in itertools.pairwise(seen)):
        return f"steps that no run took: they read {seen}"
    return ""


def learnt(out: Path, read: list[dict[str, str]]) -> Learnt:
    """What a run left in its folder, and all that it read."""
    inside = [path for path in sorted(out.rglob("*")) if path.is_file() and "tensorboard" not in path.parts]
    saved = {str(path.relative_to(out)): _hash(path) for path in inside if "checkpoints" in path.parts}
    log = [{k: v for k, v in line.items() if not k.startswith("speed/")} for line in read_metrics(out)]
    batches = {name: digest for batches in read for name, digest in batches.items()}
    return Learnt(saved, log, [str(path.relative_to(out)) for path in inside], batches)


def _hash(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def read_batches(out: Path) -> dict[str, str]:
    """The batches that the last process of each rank has read; another call does not find them again."""
    found = {}
    for path in sorted(out.parent.glob(f"{out.name}.rank-*")):
        found |= dict(_entries(path))
        path.unlink()
    return found


def _entries(path: Path) -> Iterator[tuple[str, str]]:
    rank = path.name.rpartition("-")[2]
    for line in path.read_text(encoding="ascii").splitlines():
        step, digest = line.split()
        yield f"{rank}/{step}", digest
