"""Episodes of few-shot learning: N relations, K examples of each that show it, and queries (Vinyals et al., 2016).

Every choice is a hash of (seed, purpose, number of the episode, relation or example), so an episode is the same for
every system, whatever the order of files. N ways, K shots, T queries of an episode, E episodes.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Int64, UInt64

from schemas.hashing import hash_string, hash_strings, random_u64


@dataclasses.dataclass(frozen=True)
class Shape:
    """What every episode has."""

    ways: int
    shots: int
    queries: int
    """Of each relation."""
    none: int = 0
    """More queries, of relations that are not among the ways."""


@dataclasses.dataclass(frozen=True)
class Pool:
    """Examples by relation, R of them, in the order of their hashes."""

    relations: UInt64[np.ndarray, " R"]
    ids: list[UInt64[np.ndarray, " _"]]
    """Of each relation: hashes of its examples' ids, in their order."""
    places: list[Int64[np.ndarray, " _"]]
    """Where these examples are among all."""


@dataclasses.dataclass(frozen=True)
class Episodes:
    """Places of examples, and answers."""

    support: Int64[np.ndarray, "E N K"]
    queries: Int64[np.ndarray, "E T"]
    answers: Int64[np.ndarray, "E T"]
    """Which of the ways; N for none of them."""


def pool_of(rows: Sequence[Mapping[str, Any]]) -> Pool:
    """The rows of `examples` by their label."""
    ids = hash_strings(row["example_id"] for row in rows)
    labels = np.array([row["label"] for row in rows], dtype=object)
    names = sorted(set(labels), key=hash_string)
    order = np.argsort(ids, kind="stable").astype(np.int64)
    places = [order[labels[order] == name] for name in names]
    return Pool(hash_strings(names), [ids[own] for own in places], places)


def draw(pool: Pool, shape: Shape, seed: int, purpose: str, numbers: Sequence[int]) -> Episodes:
    """The episodes of these numbers. The pool has the ways, one relation more for `none`, and in each relation as many
    examples as shots and queries together."""
    drawn = [_one(pool, shape, seed, f"few-shot/{purpose}", number) for number in numbers]
    support, queries, answers = (np.stack(column) for column in zip(*drawn, strict=True))
    return Episodes(support, queries, answers)


def _one(pool: Pool, shape: Shape, seed: int, purpose: str, number: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    order = np.argsort(random_u64(seed, f"{purpose}/relations", number, pool.relations), kind="stable")
    support, queries = [], []
    for relation in order[: shape.ways]:
        keys = random_u64(seed, f"{purpose}/examples", number, pool.ids[relation])
        chosen = pool.places[relation][np.argsort(keys, kind="stable")]
        support.append(chosen[: shape.shots])
        queries.append(chosen[shape.shots : shape.shots + shape.queries])
    answers = np.repeat(np.arange(shape.ways), shape.queries)
    queries.append(_of_others(pool, order[shape.ways :], shape.none, seed, purpose, number))
    return np.stack(support), np.concatenate(queries), np.concatenate([answers, np.full(shape.none, shape.ways)])


def _of_others(pool: Pool, others: np.ndarray, count: int, seed: int, purpose: str, number: int) -> np.ndarray:
    """Any examples of any of these relations."""
    relations = random_u64(seed, f"{purpose}/none", number, np.arange(count))
    examples = random_u64(seed, f"{purpose}/none-examples", number, np.arange(count))
    found = np.empty(count, dtype=np.int64)
    for place in range(count):
        own = pool.places[others[int(relations[place]) % len(others)]]
        found[place] = own[int(examples[place]) % len(own)]
    return found
