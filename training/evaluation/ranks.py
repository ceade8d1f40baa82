"""Ranks under three readings of a tie, and their metrics.

For a gold answer with score s, among the candidates that are not other known answers:
optimistic rank = 1 + #(score > s), pessimistic rank = #(score >= s) (the gold among them), realistic = their mean.
"""

import dataclasses

import numpy as np
import torch
from jaxtyping import Float64, Int64
from torch import Tensor

from training.evaluation import bootstrap

HITS = (1, 3, 10)


@dataclasses.dataclass(frozen=True)
class Ranks:
    """Ranks of N gold answers, 1 is best."""

    optimistic: Int64[Tensor, " N"]
    pessimistic: Int64[Tensor, " N"]
    own: Int64[Tensor, " N"] | None = None
    """Of the entity that the query gives: 2 where it scores above the gold, 1 where level with it, 0 where below, or
    where it is no candidate beside it; None where that was not asked."""

    def by(self, ties: str) -> Float64[Tensor, " N"]:
        """The ranks under a tie policy: optimistic, pessimistic, or realistic (the mean of the two)."""
        if ties == "realistic":
            return (self.optimistic + self.pessimistic).double() / 2
        return {"optimistic": self.optimistic, "pessimistic": self.pessimistic}[ties].double()

    def where(self, mask: np.ndarray) -> "Ranks":
        """The ranks of some of the golds: bool (N,), or their places in any order."""
        chosen = torch.from_numpy(mask)
        return Ranks(self.optimistic[chosen], self.pessimistic[chosen], None if self.own is None else self.own[chosen])

    def without_own(self) -> "Ranks":
        """The ranks with the query's own entity taken out of its candidates."""
        if self.own is None:
            return self
        return Ranks(self.optimistic - (self.own == 2).long(), self.pessimistic - (self.own > 0).long())


def join(parts: list[Ranks]) -> Ranks:
    """Ranks one after the other."""
    empty = torch.empty(0, dtype=torch.int64)
    own = [part.own for part in parts if part.own is not None]
    return Ranks(
        torch.cat([empty, *(part.optimistic for part in parts)]),
        torch.cat([empty, *(part.pessimistic for part in parts)]),
        torch.cat(own) if own and len(own) == len(parts) else None,
    )


def rank_metrics(ranks: Float64[Tensor, " N"]) -> dict[str, float]:
    """Mean rank, mean reciprocal rank and hits@k of N >= 1 ranks."""
    return {
        "mr": ranks.mean().item(),
        "mrr": ranks.reciprocal().mean().item(),
        **{f"hits@{k}": (ranks <= k).double().mean().item() for k in HITS},
    }


def rank_intervals(
    ranks: Float64[Tensor, " N"], triples: Int64[np.ndarray, " N"], seed: int, resamples: int
) -> dict[str, list[float]]:
    """The 95 % intervals of the same, had other triples been drawn (percentile bootstrap).

    `triples` has the number of each query's triple: the queries of one are alike, so they come and go together.
    """
    count = torch.ones_like(ranks)
    values = torch.stack([ranks, 1 / ranks, *((ranks <= k).double() for k in HITS), count], dim=1).numpy()
    sums = np.zeros((int(triples.max()) + 1, values.shape[1]))
    np.add.at(sums, triples, values)
    sums = sums[sums[:, -1] > 0]
    found = bootstrap.resampled(sums, np.zeros(len(sums), np.int64), seed=seed, resamples=resamples)[:, 0]
    ends = bootstrap.interval(found[:, :-1] / found[:, -1:]).T.tolist()
    return dict(zip(("mr", "mrr", *(f"hits@{k}" for k in HITS)), ends, strict=True))


def expected_accuracy(ranks: Ranks) -> float:
    """How often the best-scored candidate is the gold; 1/n where n candidates share the best score."""
    tied = (ranks.pessimistic - ranks.optimistic + 1).double()
    return torch.where(ranks.optimistic == 1, 1 / tied, torch.zeros_like(tied)).mean().item()
