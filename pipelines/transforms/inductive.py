"""The inductive split: two connected sub-graphs apart from train, cut out of the graph where it hangs together least.

KEPLER (Wang et al., TACL 2021), section 4.2, says "randomly sample some connected sub-graphs" and removes what links
them to train; the authors' code is lost. A sub-graph taken around a random entity pulls hubs after it and loses a third
of the triples, so ours grows by the entity that loses fewest, and where that is still too many there is no split.
"""

import dataclasses
import heapq

import numpy as np
import numpy.typing as npt

from pipelines.transforms.split import DROPPED, NAMES, TEST, TRAIN, VALID

I64 = npt.NDArray[np.int64]
I8 = npt.NDArray[np.int8]
U64 = npt.NDArray[np.uint64]
Mask = npt.NDArray[np.bool_]

NONE = 3
SIDES = ("train", "valid", "test", "none")
"""An entity's side by its code; none: it has no triple in this setting."""

ENTITIES = 7_500
"""Entities of a sub-graph where no number is asked; Wikidata5M has 7,374 in valid and 7,475 in test."""
MAX_SHARE = 0.05
"""Of all entities that have a triple, at most so many where no number is asked."""
MIN_ENTITIES = 10
"""Where no number is asked, a sub-graph of fewer entities is not worth a split."""

MAX_SEEDS = 16
"""Seeds tried whose sub-graph would cut too many triples; the first that reaches the size is taken, else the best."""
MAX_COMPONENTS = 1_000
"""Seeds tried in components of the graph that are too small."""
LINKS_OF_AN_ENTITY = 100
"""Growth ends where it has looked at so many links for each entity wanted: it has met hubs only."""


@dataclasses.dataclass(frozen=True)
class Sizes:
    """Entities asked of each sub-graph (None: as many as max_dropped allows) and the share of triples to lose."""

    valid: int | None
    test: int | None
    max_dropped: float


@dataclasses.dataclass(frozen=True)
class Inductive:
    """Codes of the entities (SIDES), shape (E,), and of the triples (split.NAMES), shape (N,)."""

    entities: I8
    triples: I8
    refused: str
    """Why every triple is in train; empty where the split was made."""


def inductive(heads: I64, relations: I64, tails: I64, hashes: U64, sizes: Sizes) -> Inductive:
    """Cut two disjoint connected sub-graphs, test and valid, out of the graph.

    A triple inside a sub-graph is that split's, one that touches neither is train's, the others are dropped. Every
    relation keeps a triple in train. `heads` and `tails`, shape (N,), are indices into `hashes`, shape (E,), which
    orders seeds and breaks ties.
    """
    side = np.full(len(hashes), TRAIN, np.int8)
    links = _Links.of(heads, tails, len(hashes))
    free = (links.degree > 0) & ~_held_by_relations(heads, relations, tails, links.degree, hashes)
    budget, lost = int(sizes.max_dropped * len(heads)), np.zeros(len(heads), bool)
    for code, share in ((TEST, _test_share(sizes)), (VALID, 1.0)):
        asked = getattr(sizes, NAMES[code])
        wanted = min(ENTITIES, int(MAX_SHARE * (links.degree > 0).sum())) if asked is None else asked
        needed = MIN_ENTITIES if asked is None else asked
        # What lies between the two is cut once: test's triples are gone when valid grows.
        degree = links.degree - np.bincount(np.concatenate([heads[lost], tails[lost]]), minlength=len(side))
        cut = int(share * (budget - lost.sum()))
        members = _best(dataclasses.replace(links, degree=degree), free & (side == TRAIN), hashes, wanted, cut)
        if len(members) < needed:
            reason = _refusal(NAMES[code], len(members), needed, cut) if len(heads) else "the graph has no triple"
            return Inductive(*_sort_out(heads, tails, np.full_like(side, TRAIN)), reason)
        side[members] = code
        lost = side[heads] != side[tails]
    return Inductive(*_sort_out(heads, tails, side), "")


def _refusal(name: str, found: int, needed: int, cut: int) -> str:
    return (
        f"{name}: the largest connected sub-graph found that cuts at most {cut:,} triples has {found:,} entities, "
        f"{needed:,} are needed"
    )


def _test_share(sizes: Sizes) -> float:
    """What test, which grows first, may use up of the triples that may be lost."""
    valid, test = (ENTITIES if asked is None else asked for asked in (sizes.valid, sizes.test))
    return test / max(valid + test, 1)


def _sort_out(heads: I64, tails: I64, side: I8) -> tuple[I8, I8]:
    """(entities' codes, triples' codes) from the entities' sides."""
    triples = np.where(side[heads] == side[tails], side[heads], DROPPED).astype(np.int8)
    left = np.zeros(len(side), bool)
    for column in (heads, tails):
        left[column[triples != DROPPED]] = True
    return np.where(left, side, NONE).astype(np.int8), triples


@dataclasses.dataclass(frozen=True)
class _Links:
    """The undirected graph as CSR, self triples left out: entity i's neighbours are others[offsets[i]:offsets[i + 1]].

    `degree` counts the triples between an entity and the others that a cut would lose.
    """

    offsets: I64
    others: I64
    degree: I64

    @classmethod
    def of(cls, heads: I64, tails: I64, entities: int) -> "_Links":
        two = heads != tails
        ends = np.concatenate([heads[two], tails[two]])
        degree = np.bincount(ends, minlength=entities)
        others = np.concatenate([tails[two], heads[two]])[np.argsort(ends, kind="stable")]
        return cls(np.concatenate([[0], np.cumsum(degree)]), others, degree)


def _held_by_relations(heads: I64, relations: I64, tails: I64, degree: I64, hashes: U64) -> Mask:
    """The ends of one triple of each relation, shape (E,): they stay in train, and so every relation does.

    It is the triple whose ends have the most neighbours: a sub-graph would hardly want them.
    """
    lower = np.minimum(degree[heads], degree[tails])
    most = np.zeros(int(relations.max(initial=-1)) + 1, np.int64)
    np.maximum.at(most, relations, lower)
    best = np.flatnonzero(lower == most[relations])
    best = best[np.lexsort((hashes[tails[best]], hashes[heads[best]]))]
    _, first = np.unique(relations[best], return_index=True)
    held = np.zeros(len(hashes), bool)
    held[heads[best[first]]] = held[tails[best[first]]] = True
    return held


def _best(links: _Links, free: Mask, hashes: U64, wanted: int, budget: int) -> I64:
    """The first sub-graph of `wanted` entities, else the largest, over seeds in hash order; cuts at most `budget`."""
    seeds = np.flatnonzero(free)
    best = np.empty(0, np.int64)
    if not len(seeds) or not wanted:
        return best
    seeds = seeds[links.degree[seeds] <= np.quantile(links.degree[seeds], 0.75)]
    exhausted: set[int] = set()
    over_budget = components = 0
    for seed in seeds[np.argsort(hashes[seeds])].tolist():
        if seed in exhausted:
            continue
        members, cuts, whole = _grow(seed, links, free, hashes, wanted)
        # On its way to a whole community the cut is larger than at its end.
        fits = np.flatnonzero(np.array(cuts, np.int64) <= budget)
        if len(fits) and fits[-1] >= len(best):
            best = np.array(members[: fits[-1] + 1], np.int64)
        if whole:
            exhausted.update(members)
        components += whole
        over_budget += not whole
        if len(best) == wanted or over_budget == MAX_SEEDS or components == MAX_COMPONENTS:
            break
    return best


def _grow(seed: int, links: _Links, free: Mask, hashes: U64, wanted: int) -> tuple[list[int], list[int], bool]:
    """(connected entities from `seed` on, the triples cut when each has come in, whether no neighbour is left).

    Each step adds the neighbour that raises the number of cut triples least: its degree less twice its triples into
    the sub-graph, which are no longer cut. Of equals the one with the smallest hash.
    """
    members: list[int] = []
    cuts: list[int] = []
    inside, taken, cut, seen = {seed: 0}, set(), 0, 0
    heap = [(int(links.degree[seed]), int(hashes[seed]), seed)]
    while heap and len(members) < wanted and seen <= LINKS_OF_AN_ENTITY * wanted:
        rise, _, entity = heapq.heappop(heap)
        # An entity that has gained a neighbour since lies further up in the heap as well.
        if entity in taken or rise != links.degree[entity] - 2 * inside[entity]:
            continue
        cut += rise
        members.append(entity)
        cuts.append(cut)
        taken.add(entity)
        neighbours = links.others[links.offsets[entity] : links.offsets[entity + 1]]
        seen += len(neighbours)
        around, counts = np.unique(neighbours, return_counts=True)
        kept = free[around]
        around, counts = around[kept], counts[kept]
        columns = (around, counts, links.degree[around], hashes[around])
        for other, count, degree, tie in zip(*(column.tolist() for column in columns), strict=True):
            if other not in taken:
                inside[other] = inside.get(other, 0) + count
                heapq.heappush(heap, (degree - 2 * inside[other], tie, other))
    return members, cuts, not heap and len(members) < wanted
