"""Filtered ranks by counting: no sort, three tie policies, the gold's score taken from the very matrix it is ranked in.

For a gold answer with score s, among the candidates that are not other known answers:
optimistic rank = 1 + #(score > s), pessimistic rank = #(score >= s) (the gold among them), realistic = their mean.
A score that comes from another summation than the candidates' moves ranks (BLAS blocks differ by shape), hence the
one matrix. B queries, E entities, C of them candidates, M known answers of the B queries.
"""

import dataclasses
from collections.abc import Callable
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor

from schemas.errors import DataError
from training.evaluation.facts import Facts, Groups
from training.scoring import FewShotScorer, NarrowScorer, Scorer, ShownFacts

Side = Literal["head", "tail"]
HITS = (1, 3, 10)
SCORES_AT_ONCE = 2**24
"""Scores in memory at a time: 64 MB in float32."""


@dataclasses.dataclass(frozen=True)
class Ranks:
    """Ranks of N gold answers, 1 is best."""

    optimistic: Int64[Tensor, " N"]
    pessimistic: Int64[Tensor, " N"]

    def by(self, ties: str) -> Float64[Tensor, " N"]:
        """The ranks under a tie policy: optimistic, pessimistic, or realistic (the mean of the two)."""
        if ties == "realistic":
            return (self.optimistic + self.pessimistic).double() / 2
        return {"optimistic": self.optimistic, "pessimistic": self.pessimistic}[ties].double()

    def where(self, mask: np.ndarray) -> "Ranks":
        """The ranks of some of the golds; bool (N,)."""
        chosen = torch.from_numpy(mask)
        return Ranks(self.optimistic[chosen], self.pessimistic[chosen])


def join(parts: list[Ranks]) -> Ranks:
    """Ranks one after the other."""
    empty = torch.empty(0, dtype=torch.int64)
    return Ranks(
        torch.cat([empty, *(part.optimistic for part in parts)]),
        torch.cat([empty, *(part.pessimistic for part in parts)]),
    )


def rank_by_counting(
    scores: Float[Tensor, "B E"],
    gold: Int64[Tensor, " B"],
    known: tuple[Int64[Tensor, " M"], Int64[Tensor, " M"]] | None = None,
) -> Ranks:
    """Rank each row's gold among all columns but its other known answers.

    `known` names cells (row, column), each at most once; the gold's own cell may be among them. Raises DataError for
    scores that are not numbers.
    """
    _require_numbers(scores)
    gold = gold.to(scores.device)
    target = scores.gather(1, gold[:, None])
    above, reached = (scores > target).sum(dim=1), (scores >= target).sum(dim=1)
    if known is not None:
        rows, columns = known[0].to(scores.device), known[1].to(scores.device)
        others = columns != gold[rows]
        rows, columns = rows[others], columns[others]
        # Counted out, not overwritten: right for a gold at -inf too, and the caller's scores stay as they are.
        filtered, limit = scores[rows, columns], target[rows, 0]
        above.index_add_(0, rows, (filtered > limit).long(), alpha=-1)
        reached.index_add_(0, rows, (filtered >= limit).long(), alpha=-1)
    return Ranks((above + 1).cpu(), reached.cpu())


class KnownAnswers:
    """Which answers are known to be true for a query, from some splits: the filter."""

    def __init__(self, facts: Facts, splits: tuple[str, ...], side: Side) -> None:
        triples = facts.triples(*splits)
        self._given, self._answer = (0, 2) if side == "tail" else (2, 0)
        self._relations = facts.relations
        self._answers = triples[:, self._answer]
        self._groups = Groups(self._keys(triples))

    def of(self, triples: Int64[np.ndarray, "B 3"]) -> tuple[Int64[Tensor, " M"], Int64[Tensor, " M"]]:
        """(row, entity) of every known answer to the triples' queries."""
        rows, found = self._groups.find(self._keys(triples))
        return torch.from_numpy(rows), torch.from_numpy(self._answers[found])

    def _keys(self, triples: Int64[np.ndarray, "N 3"]) -> Int64[np.ndarray, " N"]:
        return triples[:, self._given] * self._relations + triples[:, 1]


class Candidates:
    """Those of E entities that are ranked, sorted: C columns."""

    def __init__(self, entities: Int64[np.ndarray, " C"], of: int) -> None:
        self.entities, self._of = torch.from_numpy(entities), of

    def __len__(self) -> int:
        return len(self.entities)

    def narrow(self, scorer: Scorer) -> Scorer:
        """The scorer with these columns alone; others are not even computed where it can leave them out."""
        if isinstance(scorer, NarrowScorer):
            return scorer.among(self.entities)
        return _Columns(scorer, self.entities, max(1, SCORES_AT_ONCE // self._of))

    def columns(self, entities: Int64[Tensor, " N"]) -> Int64[Tensor, " N"]:
        """The column of each entity, -1 for one that is no candidate."""
        places = torch.searchsorted(self.entities, entities.contiguous()).clamp(max=len(self) - 1)
        return torch.where(self.entities[places] == entities, places, -1)

    def cells(
        self, known: tuple[Int64[Tensor, " M"], Int64[Tensor, " M"]]
    ) -> tuple[Int64[Tensor, " K"], Int64[Tensor, " K"]]:
        """(row, column) of the known answers that are candidates."""
        columns = self.columns(known[1])
        return known[0][columns >= 0], columns[columns >= 0]


class _Columns:
    """Some columns of a scorer that scores every entity, for `rows` queries at a time."""

    def __init__(self, scorer: Scorer, entities: Int64[Tensor, " C"], rows: int) -> None:
        self._scorer, self._entities, self._rows = scorer, entities, rows

    def tails(self, heads: Int64[Tensor, " B"], relations: Int64[Tensor, " B"]) -> Float[Tensor, "B C"]:
        return self._of(self._scorer.tails, heads, relations)

    def heads(self, relations: Int64[Tensor, " B"], tails: Int64[Tensor, " B"]) -> Float[Tensor, "B C"]:
        return self._of(self._scorer.heads, relations, tails)

    def _of(
        self, score: Callable[[Tensor, Tensor], Tensor], one: Int64[Tensor, " B"], other: Int64[Tensor, " B"]
    ) -> Float[Tensor, "B C"]:
        parts = zip(one.split(self._rows), other.split(self._rows), strict=True)
        scores = (score(*part) for part in parts)
        return torch.cat([part.index_select(1, self._entities.to(part.device)) for part in scores])


def rank_triples(
    scorer: Scorer,
    triples: Int64[np.ndarray, "N 3"],
    side: Side,
    known: KnownAnswers | None,
    entities: int,
    candidates: Candidates | None = None,
    shown: ShownFacts | None = None,
) -> Ranks:
    """Rank the head or the tail of each triple among all `entities`, or among candidates, to which the scorer has been
    narrowed; a bounded number of scores at a time. What is asked for has to be a candidate. `shown` are facts of what
    is given, for a FewShotScorer."""
    size = max(1, SCORES_AT_ONCE // max(1, entities if candidates is None else len(candidates)))
    parts = []
    for start in range(0, len(triples), size):
        chunk = triples[start : start + size]
        scores = _scores(scorer, chunk, side, None if shown is None else shown.rows(slice(start, start + size)))
        gold, others = torch.from_numpy(chunk[:, 2 if side == "tail" else 0].copy()), None
        if known is not None:
            others = known.of(chunk)
        if candidates is not None:
            gold, others = candidates.columns(gold), None if others is None else candidates.cells(others)
        parts.append(rank_by_counting(scores, gold, others))
    return join(parts)


def _scores(
    scorer: Scorer, triples: Int64[np.ndarray, "B 3"], side: Side, shown: ShownFacts | None
) -> Float[Tensor, "B C"]:
    heads, relations, tails = torch.from_numpy(triples.copy()).unbind(dim=1)
    if shown is not None and isinstance(scorer, FewShotScorer):
        if side == "tail":
            return scorer.tails_shown(heads, relations, shown)
        return scorer.heads_shown(relations, tails, shown)
    return scorer.tails(heads, relations) if side == "tail" else scorer.heads(relations, tails)


def rank_metrics(ranks: Float64[Tensor, " N"]) -> dict[str, float]:
    """Mean rank, mean reciprocal rank and hits@k of N >= 1 ranks."""
    return {
        "mr": ranks.mean().item(),
        "mrr": ranks.reciprocal().mean().item(),
        **{f"hits@{k}": (ranks <= k).double().mean().item() for k in HITS},
    }


def expected_accuracy(ranks: Ranks) -> float:
    """How often the best-scored candidate is the gold; 1/n where n candidates share the best score."""
    tied = (ranks.pessimistic - ranks.optimistic + 1).double()
    return torch.where(ranks.optimistic == 1, 1 / tied, torch.zeros_like(tied)).mean().item()


def _require_numbers(scores: Float[Tensor, "B E"]) -> None:
    missing = int(scores.isnan().any(dim=1).sum())
    if missing:
        raise DataError(
            f"The model's scores are NaN for {missing} of {len(scores)} queries, so there is nothing to rank. "
            "The training has diverged: train again with a smaller lr, or take an earlier checkpoint."
        )
