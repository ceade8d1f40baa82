"""Shards, manifests, tokens and parts of checkpoints are missing, swapped, cut, foreign or lie: who reads them says so.

Of a dataset `validate` has to find it; the commands that read it may go on where they need nothing of what is damaged,
and else end in one line. Of a checkpoint, loading has to refuse it.
"""

import contextlib
import functools
import io
import resource
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from schemas.hashing import random_u64
from tests.end_to_end.reliability.bit_flips import refused, validated
from tests.end_to_end.reliability.outcome import Outcome
from tests.end_to_end.reliability.set_damage import CHECKPOINTS, MANIFESTS, SHARDS, Damage
from tests.end_to_end.reliability.victims import trained_run, whole_dataset
from training.checkpoint import checkpoints
from wikiloom import main

DATASETS = SHARDS | MANIFESTS
ABOUT = (
    f"{len(DATASETS)} kinds of damage to shards, tokens and manifests (sealed again where a manifest lies), and "
    f"{len(CHECKPOINTS)} to checkpoints, file and place drawn: found by `validate`, or refused by loading; `describe`, "
    "`audit` or `explain` of the same folder ends in its result or in one line"
)
COUNT = 4 * (len(DATASETS) + len(CHECKPOINTS))
SECONDS = 60
"""No command may take longer."""
COMMANDS = (("describe",), ("audit",), ("explain", "Q1"))
"""One of them is tried on each damaged dataset."""


def run(count: int, seed: int) -> Outcome:
    """Try so many of the kinds, one after the other, on a fresh copy each."""
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch)
        whole = [whole_dataset(place / "a", "heron", 7), whole_dataset(place / "b", "crane", 5)]
        saved = checkpoints(trained_run(place / "run"))
        failures = list(damages([(DATASETS, *whole), (CHECKPOINTS, saved[-1], saved[0])], count, seed))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    return Outcome(count, failures, {"peak memory in MiB": peak})


def damages(sets: Sequence[tuple[dict[str, Damage], Path, Path]], count: int, seed: int) -> Iterator[str]:
    """A line for each kind that is not met as it should; a set is (kinds, the folder, another whole one)."""
    kinds = [(name, damage, folder, other) for found, folder, other in sets for name, damage in found.items()]
    for number in range(count):
        name, damage, folder, other = kinds[number % len(kinds)]
        draw = functools.partial(drawn, seed, number)
        tried = tried_on_dataset if (folder / "manifest.json").is_file() else tried_on_checkpoint
        with tempfile.TemporaryDirectory() as scratch:
            said = tried(damage, folder, other, Path(scratch), draw)
        if said:
            yield f"seed {seed}, number {number}: {name}: {said}"


def drawn(seed: int, number: int, below: int) -> int:
    """A number of this try, below another; the same one for each question of the same size."""
    return int(random_u64(seed, "damaged_sets", number, below)) % below


def tried_on_dataset(damage: Damage, folder: Path, other: Path, scratch: Path, draw: Callable[[int], int]) -> str:
    """What is wrong with how a damaged copy is met, empty where nothing is."""
    copy = scratch / "data"
    shutil.copytree(folder, copy, ignore=shutil.ignore_patterns(".build"))
    damage(copy, other, draw)
    found = in_time(lambda: met(validated(copy)))
    name, *words = COMMANDS[draw(len(COMMANDS))]
    return found or in_time(lambda: ended([name, copy, *words]))


def tried_on_checkpoint(damage: Damage, folder: Path, other: Path, scratch: Path, draw: Callable[[int], int]) -> str:
    """What is wrong with how a damaged copy is met, empty where nothing is; the run's other checkpoints stay away."""
    run = folder.parent.parent
    copy = scratch / "run" / "checkpoints" / folder.name
    shutil.copytree(folder, copy)
    shutil.copy(run / "config.toml", scratch / "run")
    damage(copy, other, draw)
    return in_time(lambda: met(refused(copy)))


def met(lines: Sequence[str]) -> str:
    """Whether damage was found, in single lines."""
    if not lines:
        return "found by nobody"
    return next((f"not one line: {line!r}" for line in lines if "\n" in line), "")


def ended(words: Sequence[object]) -> str:
    """Whether a command ends with 0, or with 1 and one line of error."""
    said, complained = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(complained):
        code = main([str(word) for word in words])
    lines = complained.getvalue().splitlines()
    good = code == 0 or (code == 1 and (len(lines) == 1 or words[0] == "audit"))
    return "" if good else f"{words[0]} ends with {code}: {lines}"


def in_time(work: Callable[[], str]) -> str:
    """What `work` says; or that it raised, or took too long."""

    def late(number: int, frame: object) -> None:
        raise TimeoutError(f"not done after {SECONDS} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(SECONDS)
    try:
        return work()
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
