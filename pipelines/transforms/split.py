"""Splits by stable hashing: pages, transductive triples, inductive sub-graphs. One process, numpy on columns."""

import dataclasses

import numpy as np
import numpy.typing as npt

from schemas.hashing import below, random_u64

I64 = npt.NDArray[np.int64]
TRAIN, VALID, TEST, DROPPED = 0, 1, 2, 3
NAMES = ("train", "valid", "test", "dropped")

MAX_SHARE = 0.05
"""Of all triples, at most so many in valid, and so many in test."""


@dataclasses.dataclass(frozen=True)
class PageSplitter:
    """Page id -> split, by hash(seed, page_id) alone: a page keeps its split in every dump."""

    seed: int
    valid: float
    test: float

    def __call__(self, page_ids: npt.ArrayLike) -> npt.NDArray[np.int8]:
        """Codes TRAIN, VALID or TEST, shape (N,)."""
        draws = random_u64(self.seed, "page_split", page_ids)
        split = np.full(draws.shape, TRAIN, np.int8)
        split[draws < below(self.test + self.valid)] = VALID
        split[draws < below(self.test)] = TEST
        return split


def transductive(heads: I64, relations: I64, tails: I64, *, seed: int, valid: int, test: int) -> npt.NDArray[np.int8]:
    """Split triples so that every entity and relation of valid and test occurs in train.

    For each head, relation and tail its lowest-hash triple stays in train; of the rest, in hash order, whole groups
    fill test, then valid. A group is all triples between the same two entities, in either direction: a symmetric
    fact or a duplicate relation on the other side of a split would give the answer away.

    `heads`, `relations`, `tails` are stable ids, shape (N,); returns codes, shape (N,).
    """
    low, high = np.minimum(heads, tails), np.maximum(heads, tails)
    triple_hash = random_u64(seed, "triple", heads, relations, tails)
    group_hash = random_u64(seed, "triple_group", low, high)
    keep = np.zeros(len(heads), bool)
    by_hash = np.argsort(triple_hash, kind="stable")
    for column in (heads, relations, tails):
        _, first = np.unique(column[by_hash], return_index=True)
        keep[by_hash[first]] = True
    # np.unique sorts the groups by their hash.
    groups, group_of = np.unique(group_hash, return_inverse=True)
    free = np.ones(len(groups), bool)
    free[group_of[keep]] = False
    sizes = np.bincount(group_of, minlength=len(groups))
    candidates = np.flatnonzero(free)
    limit = int(MAX_SHARE * len(heads))
    filled = np.cumsum(sizes[candidates])
    code = np.full(len(groups), TRAIN, np.int8)
    test, valid = min(test, limit), min(valid, limit)
    in_test = filled <= test
    taken = int(sizes[candidates][in_test].sum())
    in_valid = ~in_test & (filled <= taken + valid)
    code[candidates[in_test]], code[candidates[in_valid]] = TEST, VALID
    return code[group_of]


def inductive(
    heads: I64, relations: I64, tails: I64, hashes: npt.NDArray[np.uint64], *, wanted: int
) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.int8]]:
    """Two disjoint connected sub-graphs (valid, test) of about `wanted` triples each, grown breadth first.

    Triples inside a sub-graph belong to it, triples that touch neither are train, all others are dropped
    (KEPLER, section 4.2), and so are triples of valid and test whose relation is not in train. `heads` and `tails` are
    indices into `hashes`, which orders seeds and neighbours. Returns the entities' codes, shape (len(hashes),), and
    the triples', shape (N,).
    """
    side = np.full(len(hashes), TRAIN, np.int8)
    neighbours = _neighbours(heads, tails, len(hashes))
    degree = np.diff(neighbours[0])
    for code in (TEST, VALID):
        _grow(side, code, neighbours, degree, hashes, wanted)
    triple = np.where(side[heads] == side[tails], side[heads], DROPPED).astype(np.int8)
    triple[~np.isin(relations, relations[triple == TRAIN])] = DROPPED
    return side, triple


def _neighbours(heads: I64, tails: I64, entities: int) -> tuple[I64, I64]:
    """The undirected graph as CSR: offsets, shape (entities + 1,), and neighbours."""
    ends = np.concatenate([heads, tails])
    order = np.argsort(ends, kind="stable")
    offsets = np.concatenate([[0], np.cumsum(np.bincount(ends, minlength=entities))])
    return offsets.astype(np.int64), np.concatenate([tails, heads])[order].astype(np.int64)


def _grow(
    side: npt.NDArray[np.int8],
    code: int,
    neighbours: tuple[I64, I64],
    degree: I64,
    hashes: npt.NDArray[np.uint64],
    wanted: int,
) -> None:
    """Mark entities with `code`, breadth first from a seed of small degree, until enough edges lie inside."""
    offsets, others = neighbours
    # Hubs pull half of the graph after them; entities of one to three facts make a sub-graph like the rest.
    seeds = np.flatnonzero((side == TRAIN) & (degree > 0))
    if not len(seeds) or wanted <= 0:
        return
    cap = max(3, int(np.quantile(degree[seeds], 0.75)))
    small = seeds[degree[seeds] <= cap]
    queue = [int(small[np.argmin(hashes[small])])]
    side[queue[0]] = code
    inside = 0
    while queue and inside < wanted:
        entity = queue.pop(0)
        around = np.unique(others[offsets[entity] : offsets[entity + 1]])
        fresh = around[(side[around] == TRAIN) & (degree[around] <= 4 * cap)]
        for other in fresh[np.argsort(hashes[fresh])]:
            if inside >= wanted:
                break
            around_other = others[offsets[other] : offsets[other + 1]]
            side[other] = code
            inside += int((side[around_other] == code).sum())
            queue.append(int(other))
