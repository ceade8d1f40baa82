"""What the harnesses that kill commands share: when to kill, and what must be so after a kill and in the end."""

import contextlib
import hashlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from pipelines.validate import validate
from schemas.errors import DataError
from schemas.hashing import random_u64
from schemas.manifest import read_manifest
from tests.end_to_end.reliability.processes import Ended, Kill

Contents = dict[str, str]
MANIFEST = "manifest.json"
DELAY = 0.02
"""Seconds that every second kill waits after its step, at most."""
LATE, TWICE = 2, 3
"""One of so many first kills falls in the last fifth, one of so many tries is killed twice."""


def kills(seed: int, number: int, steps: int) -> list[Kill]:
    """The kills of a try, of a command that takes so many steps from the beginning."""
    late = number % LATE == 0
    first = int((0.8 + 0.2 * share(seed, number, 0) if late else share(seed, number, 0)) * steps) + 1
    found = [Kill(first, _delay(seed, number, 1))]
    if number % TWICE == 0:
        # What is left, and the steps that any run begins with.
        left = max(1, steps - first)
        found.append(Kill(int(share(seed, number, 2) * (left + steps // 10)) + 1, _delay(seed, number, 3)))
    return found


def share(seed: int, number: int, draw: int) -> float:
    """Uniform in [0, 1)."""
    return int(random_u64(seed, "kill", number, draw)) / 2.0**64


def killed(run: Callable[[Kill | None], Ended], planned: Sequence[Kill]) -> Iterator[Ended]:
    """Run a command as often as it is killed, and to its end: what became of each."""
    for kill in [*planned, None]:
        ended = run(kill)
        yield ended
        if not ended.killed:
            return


def half_built(folder: Path, *whole: Contents) -> str:
    """Why the dataset is neither one of the whole ones nor refused; empty where it is."""
    found = contents(folder)
    if MANIFEST not in found:
        return ""
    if any(found.get(MANIFEST) == one[MANIFEST] for one in whole):
        lost = not any(one.items() <= found.items() for one in whole)
        return "its manifest is that of a whole dataset, its files are not" if lost else ""
    try:
        return "" if list(validate(folder)) else "a half-built dataset validates"
    except DataError:
        return ""


def differs(folder: Path, whole: Contents) -> str:
    """What is not as in the dataset that it should be, to the last byte; empty where all is."""
    found = contents(folder)
    names = sorted(name for name in {*found, *whole} if found.get(name) != whole.get(name))
    return f"{len(names)} files are not as they should be: {names[:3]}" if names else ""


def contents(folder: Path) -> Contents:
    """The digest of each file of a dataset; of the manifest without what a run took, and of the work folder only of
    what no run will ask for. Nothing for a manifest that is refused."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if path.is_file() and name != MANIFEST and (not name.startswith(".build/") or name.endswith(".tmp")):
            found[name] = hashlib.sha256(path.read_bytes()).hexdigest()
    with contextlib.suppress(DataError):
        manifest = read_manifest(folder)
        found[MANIFEST] = repr((manifest.digest, sorted(manifest.tables.items()), manifest.rest["drops"]))
    return found


def _delay(seed: int, number: int, draw: int) -> float:
    return DELAY * share(seed, number, draw) if number // 2 % 2 else 0.0
