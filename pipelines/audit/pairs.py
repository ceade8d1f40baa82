"""Facts of valid and test that train gives away: by the reverse fact, by an inverse or a duplicate relation.

Two relations are near inverses (duplicates) if at least a share `threshold` of the pairs of each are, reversed (as they
are), pairs of the other; the rule and its threshold of 0.8 are those of Akrami et al., "Realistic re-evaluation of
knowledge graph completion methods" (SIGMOD 2020), who found FB15k and WN18 full of them. Facts from an entity to itself
do not count for it.
"""

import dataclasses
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from pipelines.audit.held import EXAMPLES, Vocabulary
from pipelines.columns import I64
from pipelines.facts import INDICES, TRUE_SPLITS, Facts, pair_codes
from pipelines.scan import count_rows, scan
from schemas.dataset import Dataset

THRESHOLD = 0.8
PART_FACTS = 2**24
"""Facts that are compared at a time; parts hold all facts between their entities, so none is missed."""
LEAKS = ("linked", "symmetric", "inverse", "duplicate", "in_train")
"""linked: train has a fact between the two; the others by what that fact is."""


class Batch(NamedTuple):
    """Facts of one part, columns of shape (N,); `split` is a place in TRUE_SPLITS."""

    heads: npt.NDArray[np.int32]
    relations: npt.NDArray[np.int32]
    tails: npt.NDArray[np.int32]
    splits: npt.NDArray[np.int8]


@dataclasses.dataclass(frozen=True)
class RelationPair:
    """Two relations that mean much the same: `common` pairs, and the share of each one's pairs that they are."""

    kind: str
    """symmetric | inverse | duplicate."""
    relations: tuple[int, int]
    common: int
    shares: tuple[float, float]


@dataclasses.dataclass
class Leaks:
    """What was found: near relations, and a mask for each split and kind of leak over the split's facts."""

    near: list[RelationPair]
    masks: dict[str, dict[str, npt.NDArray[np.bool_]]]
    examples: dict[str, dict[str, list[str]]]


class _Link(NamedTuple):
    """Held-out facts and train facts between the same two entities, columns of shape (N,)."""

    split: npt.NDArray[np.int8]
    row: I64
    """Row of the held-out fact in its Facts."""
    train_relation: npt.NDArray[np.int32]
    reversed: npt.NDArray[np.bool_]


def find_leaks(dataset: Dataset, column: str, held: dict[str, Facts], names: Vocabulary, threshold: float) -> Leaks:
    """Overlaps of relations over all facts, and the held-out facts that train gives away."""
    same: Counter[tuple[int, int]] = Counter()
    opposite: Counter[tuple[int, int]] = Counter()
    sizes = np.zeros(len(names.relations), np.int64)
    links: list[_Link] = []
    facts = sum(count_rows(dataset, "triples", split) for split in TRUE_SPLITS)
    parts = max(1, -(-facts // PART_FACTS))
    for part in range(parts):
        batch = _read_part(dataset, column, part, parts)
        sizes += np.bincount(batch.relations[batch.heads != batch.tails], minlength=len(sizes))
        for one, other, reversed_ in _same_pair(batch):
            other_end = batch.heads[one] != batch.tails[one]
            _count(
                batch.relations[one[other_end]], batch.relations[other[other_end]], reversed_[other_end], same, opposite
            )
            links += [*_links(batch, one, other, reversed_, held), *_links(batch, other, one, reversed_, held)]
    near = _near(same, opposite, sizes, threshold)
    return Leaks(near, *_judge(links, near, held, names))


def _read_part(dataset: Dataset, column: str, part: int, parts: int) -> Batch:
    """All facts between entities of which the smaller index falls to this part."""
    pieces = [Batch(*(np.empty(0, np.int32) for _ in INDICES), np.empty(0, np.int8))]
    for split in TRUE_SPLITS:
        for rows in scan(dataset, "triples", [*INDICES, column], split=split):
            columns = [rows[name].to_numpy() for name in INDICES]
            sides = rows[column].to_numpy()
            codes = np.select([sides == name for name in TRUE_SPLITS], range(len(TRUE_SPLITS)), -1).astype(np.int8)
            own = (np.minimum(columns[0], columns[2]) % parts == part) & (codes >= 0)
            pieces.append(Batch(*(values[own] for values in columns), codes[own]))
    return Batch(*(np.concatenate(parts) for parts in zip(*pieces, strict=True)))


def _same_pair(batch: Batch) -> Iterator[tuple[I64, I64, npt.NDArray[np.bool_]]]:
    """Every two facts between the same two entities: rows, rows, and whether they point in opposite directions."""
    low, high = np.minimum(batch.heads, batch.tails), np.maximum(batch.heads, batch.tails)
    codes = pair_codes(low, high)
    order = np.argsort(codes, kind="stable")
    codes = codes[order]
    distance, places = 1, np.arange(len(order) - 1)
    while len(places := places[places + distance < len(order)]):
        places = places[codes[places] == codes[places + distance]]
        one, other = order[places], order[places + distance]
        yield one, other, batch.heads[one] != batch.heads[other]
        distance += 1


def _count(
    one: npt.NDArray[np.int32],
    other: npt.NDArray[np.int32],
    reversed_: npt.NDArray[np.bool_],
    same: Counter[tuple[int, int]],
    opposite: Counter[tuple[int, int]],
) -> None:
    """Count pairs of relations, the smaller index first, for both directions."""
    low, high = np.minimum(one, other).astype(np.int64), np.maximum(one, other).astype(np.int64)
    for counter, mask in ((same, ~reversed_), (opposite, reversed_)):
        codes, counts = np.unique(low[mask] << 32 | high[mask], return_counts=True)
        for code, count in zip(codes.tolist(), counts.tolist(), strict=True):
            counter[code >> 32, code & (2**32 - 1)] += count


def _links(
    batch: Batch, train: I64, other: I64, reversed_: npt.NDArray[np.bool_], held: dict[str, Facts]
) -> Iterator[_Link]:
    """Those of the pairs whose first fact is in train and whose second is held out."""
    of_train = batch.splits[train] == 0
    for code, split in enumerate(TRUE_SPLITS):
        if split in held:
            chosen = of_train & (batch.splits[other] == code)
            rows = other[chosen]
            place = held[split].find(batch.heads[rows], batch.relations[rows], batch.tails[rows])
            splits = np.full(len(rows), code, np.int8)
            yield _Link(splits, place, batch.relations[train[chosen]], reversed_[chosen])


def _near(
    same: Counter[tuple[int, int]], opposite: Counter[tuple[int, int]], sizes: I64, threshold: float
) -> list[RelationPair]:
    """Pairs of relations whose shares both reach the threshold, those with the most pairs in common first."""
    found = []
    for kind, counter in (("duplicate", same), ("inverse", opposite)):
        for (one, other), count in counter.items():
            if one == other and kind == "duplicate":
                continue  # one fact in two splits
            common = 2 * count if one == other else count  # of a symmetric pair, both facts are among the relation's
            shares = float(common / sizes[one]), float(common / sizes[other])
            if min(shares) >= threshold:
                found.append(RelationPair("symmetric" if one == other else kind, (one, other), common, shares))
    return sorted(found, key=lambda pair: (-pair.common, pair.kind, pair.relations))


def _judge(
    links: list[_Link], near: list[RelationPair], held: dict[str, Facts], names: Vocabulary
) -> tuple[dict[str, dict[str, npt.NDArray[np.bool_]]], dict[str, dict[str, list[str]]]]:
    """Masks and examples of each split and kind of leak."""
    sets = {kind: _codes(pair.relations for pair in near if pair.kind == kind) for kind in ("inverse", "duplicate")}
    masks = {split: {kind: np.zeros(len(facts), bool) for kind in LEAKS} for split, facts in held.items()}
    examples: dict[str, dict[str, list[str]]] = {split: {kind: [] for kind in LEAKS} for split in held}
    for link in links:
        for split, facts in held.items():
            own = link.split == TRUE_SPLITS.index(split)
            rows, train, back = link.row[own], link.train_relation[own], link.reversed[own]
            relations = facts.relations[rows]
            codes = np.minimum(train, relations).astype(np.int64) << 32 | np.maximum(train, relations)
            kinds = {
                "linked": np.ones(len(rows), bool),
                "symmetric": back & (train == relations),
                "inverse": back & np.isin(codes, sets["inverse"]),
                "duplicate": ~back & np.isin(codes, sets["duplicate"]),
                "in_train": ~back & (train == relations),
            }
            for kind, mask in kinds.items():
                masks[split][kind][rows[mask]] = True
                for place in np.flatnonzero(mask)[: EXAMPLES - len(examples[split][kind])].tolist():
                    examples[split][kind].append(_example(facts, rows[place], train[place], back[place], names))
    return masks, examples


def _example(facts: Facts, row: np.integer, train: np.integer, back: np.bool_, names: Vocabulary) -> str:
    head, relation, tail = facts.heads[row], facts.relations[row], facts.tails[row]
    known = names.fact(tail, train, head) if back else names.fact(head, train, tail)
    return f"{names.fact(head, relation, tail)}: train has {known}"


def _codes(pairs: Iterator[tuple[int, int]]) -> I64:
    return np.array([one << 32 | other for one, other in pairs], np.int64)
