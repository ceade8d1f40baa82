"""Where a link predictor's ranks come from: by relation, by cardinality, by degree, and without the pairs that train
joins already. N triples, Q queries, E entities.
"""

import dataclasses
from typing import Any

import numpy as np
from jaxtyping import Bool, Int64

from training.evaluation.facts import Facts
from training.evaluation.ranks import Ranks, rank_metrics

Array = np.ndarray
MANY = 1.5
"""Answers of a query on average from which on a side counts as "n" (Bordes et al., NIPS 2013)."""
UNSEEN = "unseen"


@dataclasses.dataclass(frozen=True)
class Asked:
    """The queries that ranks are of."""

    triples: Int64[Array, "Q 3"]
    tail: Bool[Array, " Q"]
    """Whether the tail is asked for, else the head."""


def breakdowns(facts: Facts, names: list[str], asked: Asked, ranks: Ranks, ties: str) -> dict[str, Any]:
    """{"no_shared_pair": {...}, "relations": {...}, "cardinality": {...}, "degree": {...}} of the queries.

    "no_shared_pair" are those whose two entities no train triple joins, in either direction. "cardinality" has the
    relations of each kind, head and tail apart; "degree" the queries by floor(log2 degree) + 1 of the entity that is
    asked for and of the one that is given, train triples counted, 0 for none (LMKE's groups).
    """

    def of(mask: Bool[Array, " Q"]) -> dict[str, int | float]:
        count = int(mask.sum())
        metrics = rank_metrics(ranks.where(mask).by(ties)) if count else {}
        return {"queries": count, **{name: metrics[name] for name in ("mrr", "hits@1", "hits@10") if count}}

    relations, groups = asked.triples[:, 1], degree_groups(facts)
    kinds, sides = np.array(cardinalities(facts))[relations], {"head": ~asked.tail, "tail": asked.tail}
    given, wanted = (np.where(asked.tail, asked.triples[:, a], asked.triples[:, b]) for a, b in ((0, 2), (2, 0)))
    return {
        "no_shared_pair": of(~shared_pairs(facts, asked.triples)),
        "relations": {names[each]: of(relations == each) for each in np.unique(relations).tolist()},
        "cardinality": {
            str(kind): {name: of((kinds == kind) & side) for name, side in sides.items()} for kind in np.unique(kinds)
        },
        "degree": {
            which: {str(group): of(groups[entities] == group) for group in np.unique(groups[entities]).tolist()}
            for which, entities in (("asked", wanted), ("given", given))
        },
    }


def cardinalities(facts: Facts) -> list[str]:
    """1-1, 1-n, n-1 or n-n for each relation, by the means over train's heads of their tails, and the other way round;
    unseen where train has no triple of it."""
    train = facts.triples("train")
    count = np.bincount(train[:, 1], minlength=facts.relations)
    per_tail, per_head = (
        count / np.maximum(np.bincount(np.unique(train[:, [1, end]], axis=0)[:, 0], minlength=facts.relations), 1)
        for end in (2, 0)
    )
    kinds = (
        f"{'n' if h >= MANY else '1'}-{'n' if t >= MANY else '1'}" for h, t in zip(per_tail, per_head, strict=True)
    )
    return [kind if triples else UNSEEN for kind, triples in zip(kinds, count.tolist(), strict=True)]


def degree_groups(facts: Facts) -> Int64[Array, " E"]:
    """floor(log2 degree) + 1 of each entity, 0 for one that train lacks."""
    degrees = np.bincount(facts.triples("train")[:, [0, 2]].ravel(), minlength=facts.entities)
    # The bits of a number are that many: no logarithm is rounded.
    return np.array([degree.bit_length() for degree in degrees.tolist()], np.int64)


def shared_pairs(facts: Facts, triples: Int64[Array, "N 3"]) -> Bool[Array, " N"]:
    """Whether some train triple joins the two entities, in either direction."""
    known, wanted = (
        np.sort(each[:, [0, 2]], axis=1) @ np.array([facts.entities, 1]) for each in (facts.splits["train"], triples)
    )
    return np.isin(wanted, known)
