"""A run stopped after any step, at any number of ranks and workers, goes on at any other with the same batches.

The loader alone, with two to four streams mixed and shuffled; no model. A rank's workers are read in one process as
the loader's own share of each; some of the ways are read by real worker processes beside.
"""

import dataclasses
import hashlib
import itertools
import json
from collections.abc import Iterator, Sequence

from schemas.hashing import random_u64
from tests.end_to_end.reliability.outcome import Outcome
from tests.training.data.rows import Numbered, loader, numbered, order_hash
from training.data.loader import Loader, Parts, _together
from training.data.stream import Rank

ABOUT = (
    "a shuffled and mixed run stopped after every step: each pair of 1, 2, 3, 4 or 8 ranks with 0, 1 or 4 workers each "
    "before and after, every global batch by its hash"
)
COUNT = 6
"""Runs: streams, sizes and settings."""
WORLDS = (1, 2, 3, 4, 8)
WORKERS = (0, 1, 4)
STEPS = 24


@dataclasses.dataclass(frozen=True)
class Way:
    """How a run is read."""

    world: int
    workers: int

    def __str__(self) -> str:
        return f"{self.world} ranks x {self.workers} workers"


REAL = (Way(1, 1), Way(1, 4), Way(2, 1))
"""Ways that real worker processes also go on in, once a run."""


@dataclasses.dataclass(frozen=True)
class Run:
    """What is read, and by what settings."""

    groups: dict[str, Numbered]
    weights: dict[str, int]
    batch: int
    lanes: int
    window: int
    seed: int

    def ranks(self, way: Way, **settings: int) -> list[Loader]:
        """A loader for each rank, as if just started."""
        return [
            loader(
                self.groups,
                self.weights,
                batch=self.batch,
                rank=Rank(rank, way.world),
                seed=self.seed,
                lanes=self.lanes,
                window=self.window,
                **settings,
            )
            for rank in range(way.world)
        ]


def run(count: int, seed: int) -> Outcome:
    """Try `count` runs whole."""
    tried, failures, most = 0, [], 0
    for number in range(count):
        one = made_run(seed, number)
        real = int(random_u64(seed, "resume/real", number)) % (STEPS - 1) + 1
        found = [*matrix(one, WORLDS, WORKERS, STEPS), *with_processes(one, REAL, real, STEPS)]
        expected = found[0][1]
        tried += len(found)
        most = max(most, len({whole for _, whole in found}))
        failures += [
            f"seed {seed}, run {number}: {what}: {whole}, not {expected}" for what, whole in found if whole != expected
        ]
    return Outcome(tried, failures, {"runs": count, "steps of each": STEPS, "hashes of a run, at most": most})


def made_run(seed: int, number: int) -> Run:
    """Run `number`: no size divides another, but where chance has it so."""

    def drawn(what: str, low: int, high: int, *ids: int) -> int:
        return low + int(random_u64(seed, f"resume/{what}", number, *ids)) % (high - low)

    names = ["text", "facts", "glosses", "links"][: drawn("streams", 2, 5)]
    sizes = {
        name: [drawn("size", 1, 120, place, group) for group in range(drawn("groups", 4, 40, place))]
        for place, name in enumerate(names)
    }
    weights = {name: drawn("weight", 1, 8, place) for place, name in enumerate(names)}
    # The first stream leads: every one of 32 readers has rows of it at every step.
    weights[names[0]] += 8
    return Run(
        groups={name: numbered(*rows, 97) for name, rows in sizes.items()},
        weights=weights,
        batch=drawn("batch", 300, 600),
        lanes=drawn("lanes", 5, 40),
        window=drawn("window", 10, 90),
        seed=drawn("seed", 0, 1_000),
    )


def matrix(one: Run, worlds: Sequence[int], workers: Sequence[int], steps: int) -> Iterator[tuple[str, str]]:
    """(what was tried, the hash of all its batches): each way whole, then each pair of ways and each step between."""
    ways = [Way(*pair) for pair in itertools.product(worlds, workers)]
    saved = {way: batches(one, way, None, steps) for way in ways}
    for way, (hashes, _) in saved.items():
        yield f"{way}, unbroken", summed(hashes)
    for step, after in itertools.product(range(1, steps), ways):
        # What goes on knows the state alone: one text of a state is gone on from once.
        rest: dict[str, list[str]] = {}
        for before in ways:
            hashes, states = saved[before]
            if states[step] not in rest:
                rest[states[step]] = after_state(one, after, states[step], steps)
            yield f"{before}, after step {step} {after}", summed([*hashes[:step], *rest[states[step]]])


def with_processes(one: Run, ways: Sequence[Way], step: int, steps: int) -> Iterator[tuple[str, str]]:
    """The same of ways whose workers are processes, which go on after one step of a run of one rank."""
    before, states = batches(one, Way(1, 0), None, steps)
    for way in ways:
        shares = []
        for rank in one.ranks(way, workers=way.workers, ahead=2):
            start = rank.resume(json.loads(states[step]))
            with rank.batches(start, steps, lambda _step, parts: parts) as rows:
                shares.append(list(rows))
        rest = [order_hash([batch]) for batch in zip(*shares, strict=True)]
        yield f"1 rank, after step {step} {way} as processes", summed([*before[:step], *rest])


def after_state(one: Run, way: Way, state: str, steps: int) -> list[str]:
    """The hash of each batch from the state on; that of none where the ranks saved several."""
    return batches(one, way, state, steps)[0] if "\n" not in state else ["several states"]


def batches(one: Run, way: Way, state: str | None, steps: int) -> tuple[list[str], list[str]]:
    """(the hash of each batch from the state on, the state before each step)."""
    ranks = one.ranks(way)
    [start] = {rank.resume(json.loads(state)) for rank in ranks} if state else {0}
    read = [shares(rank, way.workers, range(start, steps)) for rank in ranks]
    hashes = [order_hash([batch]) for batch in zip(*read, strict=True)]
    return hashes, [the_state(ranks, step) for step in range(steps)]


def shares(rank: Loader, workers: int, steps: range) -> Iterator[Parts]:
    """A rank's rows of each batch, put together from those of its workers, where it has any."""
    if not workers:
        yield from map(rank.take, steps)
        return
    readers = [rank._open(rank._rank.worker(number, workers)) for number in range(workers)]
    for step in steps:
        pieces = [{name: stream.take(step) for name, stream in streams.items()} for streams in readers]
        yield {name: _together([piece[name] for piece in pieces]) for name in pieces[0]}


def the_state(ranks: Sequence[Loader], step: int) -> str:
    """What the ranks save: a line, or several where they differ."""
    return "\n".join(dict.fromkeys(json.dumps(rank.state(step)) for rank in ranks))


def summed(hashes: Sequence[str]) -> str:
    """One hash of the batches' hashes."""
    return hashlib.sha256("\n".join(hashes).encode()).hexdigest()[:16]
