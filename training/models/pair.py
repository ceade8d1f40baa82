"""PAIR (Gao et al., EMNLP 2019, FewRel 2.0): a classifier reads a shot and a query together and says whether they state
the same relation, as in the authors' code (github.com/thunlp/FewRel, models/pair.py).

A query's logit for a relation is the mean over its shots of the logit for "the same"; that for none of the relations
is the least mean over them of the logit for "not the same". A text has half of the room, and a longer one is cut around
its markers; in their code pairs lose their end.

E episodes, N ways, K shots, T queries, P pairs, M entities.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from training.data.labelled import LabelledBatch
from training.labelled_encoder import ClassificationHead, LabelledEncoder, Start


def pair_logits(pairs: Float[Tensor, "E T N K 2"]) -> Float[Tensor, "E T N1"]:
    """Of (not the same, the same) for every query and shot."""
    means = pairs.mean(dim=3)
    none = means[..., 0].min(dim=2, keepdim=True).values
    return torch.cat([means[..., 1], none], dim=2)


class Pair(LabelledEncoder):
    """Pairs of sentences -> two logits, from the state at <s>."""

    def __init__(self, start: Start, markers: int, rows: Float[Tensor, "M D"], dropout: float) -> None:
        """The caller sets torch's seed."""
        super().__init__(start, markers, rows)
        self.head = ClassificationHead(self.hidden, self.hidden, 2, dropout, self.spread)

    def forward(self, batch: LabelledBatch) -> Float[Tensor, "P 2"]:
        """Logits of (not the same, the same)."""
        return self.head(self.vectors(batch, "start"))
