"""Splits of pages and of triples by stable hashing. One process, numpy on columns."""

import numpy as np
import numpy.typing as npt

from schemas.hashing import below, random_u64

I64 = npt.NDArray[np.int64]
TRAIN, VALID, TEST, DROPPED = 0, 1, 2, 3
NAMES = ("train", "valid", "test", "dropped")

MIN_PAGES = 10
"""A wiki with so many pages has a valid and a test page, whatever its hashes."""

HASH_ROWS = 2**20
"""Rows hashed at a time: the counters take a hundred bytes for each."""


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


def transductive(
    heads: I64, relations: I64, tails: I64, *, seed: int, valid: int, test: int, together: bool = True
) -> npt.NDArray[np.int8]:
    """Split triples so that every entity and relation of valid and test occurs in train.

    For each head, relation and tail its lowest-hash triple stays in train; of the rest, in hash order, whole groups
    fill test, then valid, up to the sizes asked. With `together` a group is all triples between the same two entities
    in either direction. So no test fact has its symmetric twin, its inverse (parent, child) or the same pair under a
    duplicate relation in another split; each of them would give the answer away. Else a group is one triple.

    `heads`, `relations`, `tails` are stable ids, shape (N,), the triples distinct; returns codes, shape (N,).
    """
    hashes = _hash_rows(seed, "triple", heads, relations, tails)
    keep = np.zeros(len(heads), bool)
    by_hash = np.argsort(hashes)
    for column in (heads, relations, tails):
        _, first = np.unique(column[by_hash], return_index=True)
        keep[by_hash[first]] = True
    if together:
        hashes = _hash_rows(seed, "triple_group", np.minimum(heads, tails), np.maximum(heads, tails))
    # np.unique sorts the groups by their hash.
    groups, group_of = np.unique(hashes, return_inverse=True)
    free = np.ones(len(groups), bool)
    free[group_of[keep]] = False
    sizes = np.bincount(group_of, minlength=len(groups))
    code = np.full(len(groups), TRAIN, np.int8)
    for name, wanted in ((TEST, test), (VALID, valid)):
        candidates = np.flatnonzero(free & (code == TRAIN))
        code[candidates[_fill(sizes[candidates], wanted)]] = name
    return code[group_of]


def _fill(sizes: I64, wanted: int) -> npt.NDArray[np.bool_]:
    """The first groups that make up `wanted` together, or as near below as they can; a group too large is passed by."""
    taken = np.zeros(len(sizes), bool)
    while wanted > 0:
        fitting = np.flatnonzero(~taken & (sizes <= wanted))
        chosen = fitting[np.cumsum(sizes[fitting]) <= wanted]
        if not len(chosen):
            break
        taken[chosen] = True
        wanted -= int(sizes[chosen].sum())
    return taken


def _hash_rows(seed: int, purpose: str, *columns: I64) -> npt.NDArray[np.uint64]:
    """random_u64, HASH_ROWS at a time."""
    hashes = np.empty(len(columns[0]), np.uint64)
    for start in range(0, len(hashes), HASH_ROWS):
        rows = slice(start, start + HASH_ROWS)
        hashes[rows] = random_u64(seed, purpose, *(column[rows] for column in columns))
    return hashes
