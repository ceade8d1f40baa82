"""Splits by stable hashing: pages, transductive triples, inductive sub-graphs. One process, numpy on columns."""

from collections import deque

import numpy as np
import numpy.typing as npt

from schemas.hashing import below, random_u64

I64 = npt.NDArray[np.int64]
TRAIN, VALID, TEST, DROPPED = 0, 1, 2, 3
NAMES = ("train", "valid", "test", "dropped")

MIN_PAGES = 10
"""A wiki with so many pages has a valid and a test page, whatever its hashes."""

MAX_SEEDS = 32
"""Entities tried as the seed of an inductive sub-graph; the first that grows large enough is taken, else the best."""

MAX_SHARE = 0.05
"""Of all triples, at most so many in valid, and so many in test."""


def pages(page_ids: npt.ArrayLike, *, seed: int, valid: float, test: float) -> npt.NDArray[np.int8]:
    """Split pages by hash(seed, page_id), shape (N,); returns codes.

    A page whose draw is below `test` is in test, the next `valid` of the scale is valid, so a page keeps its split in
    every dump. Where that leaves a small wiki without a valid or test page, its lowest draws fill them with one each.
    """
    draws = random_u64(seed, "page_split", page_ids)
    in_test = int((draws < below(test)).sum())
    in_valid = int((draws < below(test + valid)).sum()) - in_test
    if len(draws) >= MIN_PAGES:
        in_test, in_valid = max(in_test, int(test > 0)), max(in_valid, int(valid > 0))
    codes = np.full(len(draws), TRAIN, np.int8)
    order = np.argsort(draws, kind="stable")
    codes[order[:in_test]] = TEST
    codes[order[in_test : in_test + in_valid]] = VALID
    return codes


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
    seeds = np.flatnonzero((side == TRAIN) & (degree > 0))
    if not len(seeds) or wanted <= 0:
        return
    # Hubs pull half of the graph after them; entities of a few facts make a sub-graph like the rest.
    cap = max(3, int(np.quantile(degree[seeds], 0.75)))
    small = seeds[degree[seeds] <= cap]
    best, most = np.empty(0, np.int64), 0
    for seed in small[np.argsort(hashes[small], kind="stable")][:MAX_SEEDS]:
        members, inside = _breadth_first(int(seed), side == TRAIN, neighbours, degree <= 4 * cap, hashes, wanted)
        if inside > most:
            best, most = members, inside
        if inside >= wanted:
            break
    side[best] = code


def _breadth_first(
    seed: int,
    free: npt.NDArray[np.bool_],
    neighbours: tuple[I64, I64],
    allowed: npt.NDArray[np.bool_],
    hashes: npt.NDArray[np.uint64],
    wanted: int,
) -> tuple[I64, int]:
    """The connected entities reached from `seed` when about `wanted` edges lie among them, and how many do."""
    offsets, others = neighbours
    members, queue, inside = {seed}, deque([seed]), 0
    while queue and inside < wanted:
        entity = queue.popleft()
        around = np.unique(others[offsets[entity] : offsets[entity + 1]])
        around = around[free[around] & allowed[around]]
        for other in around[np.argsort(hashes[around], kind="stable")].tolist():
            if other in members or inside >= wanted:
                continue
            members.add(other)
            inside += sum(end in members for end in others[offsets[other] : offsets[other + 1]].tolist())
            queue.append(other)
    return np.array(sorted(members), np.int64), inside
