"""Ranks among a sample of the candidates: for each query its own, drawn by hashes, each false entity equally likely.

Such ranks are better than those among all, and not by a factor that is the same for two systems (Krichene and Rendle,
KDD 2020): they are for systems that score pairs one by one. N queries, K drawn candidates of each.
"""

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor

from schemas.hashing import random_u64
from training.evaluation.ranking import SCORES_AT_ONCE, KnownAnswers, Side, rank_by_counting
from training.evaluation.ranks import Ranks, join
from training.metrics import progress
from training.scoring import PairwiseScorer, Scorer, TripleScorer

Array = np.ndarray
AT_ONCE = 2**14
"""Triples that a TripleScorer is asked about together."""
_HALF = np.uint64(32)


def missing(known: Int64[Array, " K"], places: Int64[Array, " S"]) -> Int64[Array, " S"]:
    """The k-th numbers from 0 on that are not among the sorted ones."""
    return places + np.searchsorted(known - np.arange(len(known)), places, side="right")


def draw_candidates(
    triples: Int64[Array, "N 3"],
    side: Side,
    known: KnownAnswers | None,
    entities: int,
    count: int,
    *,
    seed: int,
    own: bool,
) -> Int64[Array, "N K"]:
    """Uniform draws with replacement among the entities that are neither the gold nor another known answer, nor, unless
    `own` is kept, the entity that the query gives. Hashes of (seed, query, number); -1 where there is none."""
    gold, given = (triples[:, part] for part in ((2, 0) if side == "tail" else (0, 2)))
    answers = [np.empty(0, np.int64)] * len(triples) if known is None else known.lists(triples)
    drawn = np.full((len(triples), count), -1)
    words = random_u64(seed, f"candidates/{side}", *triples.T[:, :, None], np.arange(count)) >> _HALF
    for row, out in enumerate(answers):
        left_out = np.union1d(out, [gold[row]] if own else [gold[row], given[row]])
        rest = entities - len(left_out)
        if rest:
            drawn[row] = missing(left_out, (words[row] * np.uint64(rest) >> _HALF).astype(np.int64))
    return drawn


def rank_among(
    scorer: Scorer | TripleScorer, triples: Int64[Array, "N 3"], side: Side, drawn: Int64[Array, "N K"], entities: int
) -> Ranks:
    """Rank each triple's gold among its own drawn candidates; by the triples' scores where rows of all `entities` cost
    more."""
    part, parts, size = 2 if side == "tail" else 0, [], AT_ONCE // (drawn.shape[1] + 1)
    size = max(1, size if _one_by_one(scorer) else min(size, SCORES_AT_ONCE // entities))
    steps = range(0, len(triples), size)
    with progress(len(steps), 0, size, shown=len(steps) > 8, what="ranking", unit="queries") as report:
        for number, start in enumerate(steps):
            asked, others = triples[start : start + size], drawn[start : start + size]
            answers = np.concatenate([asked[:, [part]], others], axis=1)
            scores = _scores(scorer, asked, side, torch.from_numpy(answers.clip(min=0)))
            scores[torch.from_numpy(answers < 0)] = -torch.inf
            parts.append(rank_by_counting(scores, torch.zeros(len(asked), dtype=torch.int64)))
            report(number + 1)
    return join(parts)


def _one_by_one(scorer: Scorer | TripleScorer) -> bool:
    return isinstance(scorer, TripleScorer) and (isinstance(scorer, PairwiseScorer) or not isinstance(scorer, Scorer))


def _scores(
    scorer: Scorer | TripleScorer, triples: Int64[Array, "B 3"], side: Side, entities: Int64[Tensor, "B K"]
) -> Tensor:
    heads, relations, tails = torch.from_numpy(triples.copy()).unbind(dim=1)
    if _one_by_one(scorer):
        assert isinstance(scorer, TripleScorer)
        each = [column[:, None].expand_as(entities).flatten() for column in (heads, relations, tails)]
        each[2 if side == "tail" else 0] = entities.flatten()
        return scorer.triples(*each).view(entities.shape)
    assert isinstance(scorer, Scorer)
    rows = scorer.tails(heads, relations) if side == "tail" else scorer.heads(relations, tails)
    return rows.gather(1, entities.to(rows.device))
