"""One bit of a finished dataset or of a checkpoint is another: who reads it must say so.

Of a dataset `validate` covers every file that is not hidden: all shards, the card, tokens/NAME with its tokenizer, and
both manifests. .build is a scratch folder of the next build, not of the dataset. Of a run it is the checkpoint:
config.toml is the user's to edit, and logs, curves and results are read by nobody who trains.
"""

import dataclasses
import resource
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from pipelines.validate import validate
from schemas.errors import DataError
from schemas.hashing import random_u64
from tests.end_to_end.reliability.outcome import Outcome
from tests.end_to_end.reliability.victims import trained_run, whole_dataset
from tests.training.steps import ALONE
from training.checkpoint import checkpoints, load_optimizer
from training.runs import load_run
from training.step import learner

ABOUT = (
    "one bit flipped at a random place of a random file; of five, four in a dataset (shards, card, tokenizer, "
    "manifests; found by `validate`) and one in a checkpoint (refused by loading)"
)
COUNT = 12_500
IN_CHECKPOINTS = 5
"""Every so many-th flip is in a checkpoint."""


@dataclasses.dataclass(frozen=True)
class Victim:
    """A folder whose files are damaged, and who should say so."""

    folder: Path
    finds: Callable[[Path], Sequence[str]]
    """Its lines; none where it finds nothing."""

    @property
    def files(self) -> Sequence[Path]:
        """Those that are damaged, in order."""
        found = (path for path in self.folder.rglob("*") if path.is_file())
        return sorted(path for path in found if not any(part.startswith(".") for part in path.parts))


def run(count: int, seed: int) -> Outcome:
    """Flip so many bits, one at a time."""
    with tempfile.TemporaryDirectory() as scratch:
        dataset = Victim(whole_dataset(Path(scratch) / "dataset"), validated)
        checkpoint = Victim(checkpoints(trained_run(Path(scratch) / "run"))[-1], refused)
        failures = list(flips([dataset, checkpoint], count, seed))
        files = len(dataset.files) + len(checkpoint.files)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    return Outcome(count, failures, {"kinds of files": files, "peak memory in MiB": peak})


def flips(victims: Sequence[Victim], count: int, seed: int) -> Iterator[str]:
    """A line for each flip that nobody finds, or that ends in another error than one clear line."""
    for victim in victims:
        assert not victim.finds(victim.folder), "what is whole is taken for damaged"
    for number in range(count):
        victim = victims[-1 if number % IN_CHECKPOINTS == IN_CHECKPOINTS - 1 else 0]
        path, place = choice(victim.files, seed, number)
        said = tried(victim, path, place)
        if said:
            yield f"seed {seed}, number {number}: bit {place} of {path.relative_to(victim.folder)}: {said}"


def choice(files: Sequence[Path], seed: int, number: int) -> tuple[Path, int]:
    """(file, bit): each file as likely, so that small ones are met as well."""
    one, other = (int(random_u64(seed, "bit_flips", number, word)) for word in (0, 1))
    path = files[one % len(files)]
    return path, other % (8 * path.stat().st_size)


def tried(victim: Victim, path: Path, place: int) -> str:
    """What is wrong with how a flip is met, empty where nothing is; the file is as before afterwards."""
    whole = path.read_bytes()
    damaged = bytearray(whole)
    damaged[place // 8] ^= 1 << place % 8
    path.write_bytes(damaged)
    try:
        lines = victim.finds(victim.folder)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    finally:
        path.write_bytes(whole)
    if not lines:
        return "found by nobody"
    return next((f"not one line: {line!r}" for line in lines if "\n" in line), "")


def validated(folder: Path) -> Sequence[str]:
    """What `wikiloom validate` says."""
    try:
        return list(validate(folder))
    except DataError as error:
        return [str(error)]


def refused(folder: Path) -> Sequence[str]:
    """What `evaluate` and `train --resume` say when they load the checkpoint."""
    try:
        run = load_run(folder.parent.parent)
        learning = learner(run.config, run.network.train(), ALONE)
        load_optimizer(folder, learning.model, learning.optimizer)
    except DataError as error:
        return [str(error)]
    return []
