"""Re-ranking: a scorer that reads pairs one by one orders the best answers of a cheap one, which orders all others.

The ranks are among all candidates, as ever; what is new is that an answer outside the shortlist stays where the cheap
scorer had it. Known answers take places in the shortlist too. B queries, E entities, K places.
"""

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from training.scoring import Scorer, TripleScorer


class Shortlist:
    """training.scoring's Scorer of two others."""

    pairwise = True
    """As the second one is: what it has read is shown and kept query by query."""

    def __init__(self, first: Scorer, second: TripleScorer, size: int) -> None:
        """`size` answers of each query are scored by the second one."""
        self._first, self._second, self._size = first, second, size

    @torch.no_grad()
    def tails(self, heads: Int64[Tensor, " B"], relations: Int64[Tensor, " B"]) -> Float[Tensor, "B E"]:
        """Scores of every entity as the tail."""
        rough = self._first.tails(heads, relations).double().cpu()
        best = self._best(rough)
        return _placed(rough, best, self._scores(heads[:, None], relations[:, None], best))

    @torch.no_grad()
    def heads(self, relations: Int64[Tensor, " B"], tails: Int64[Tensor, " B"]) -> Float[Tensor, "B E"]:
        """Scores of every entity as the head."""
        rough = self._first.heads(relations, tails).double().cpu()
        best = self._best(rough)
        return _placed(rough, best, self._scores(best, relations[:, None], tails[:, None]))

    def _best(self, rough: Float[Tensor, "B E"]) -> Int64[Tensor, "B K"]:
        return rough.topk(min(self._size, rough.shape[1]), dim=1).indices

    def _scores(self, *parts: Int64[Tensor, "B _"]) -> Float[Tensor, "B K"]:
        columns = torch.broadcast_tensors(*parts)
        return self._second.triples(*(column.flatten() for column in columns)).double().cpu().view(columns[0].shape)


def _placed(
    rough: Float[Tensor, "B E"], best: Int64[Tensor, "B K"], fine: Float[Tensor, "B K"]
) -> Float[Tensor, "B E"]:
    """The fine scores in their places, and below all of them the others, in the order of the rough ones."""
    below = rough - rough.amax(dim=1, keepdim=True) + fine.amin(dim=1, keepdim=True) - 1
    return below.scatter(1, best, fine)
