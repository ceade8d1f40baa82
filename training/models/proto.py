"""Prototypical networks (Snell et al., NeurIPS 2017) as FewRel's authors have them (github.com/thunlp/FewRel,
models/proto.py): a query is of the relation whose mean vector is the nearest.

The one answer more, none of the relations, has a logit 1 below the least, as in their code: it is never said, and is in
the loss. Their sentence vector without cat_entity_rep is the pooler's; ours is the state at <s>.

E episodes, N ways, K shots, T queries, V numbers of a sentence vector, M entities.
"""

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from training.data.labelled import LabelledBatch
from training.labelled_encoder import Form, LabelledEncoder, Start

Distance = Literal["euclidean", "dot"]


def proto_logits(
    support: Float[Tensor, "E N K V"], query: Float[Tensor, "E T V"], distance: Distance
) -> Float[Tensor, "E T N1"]:
    """Negative squared Euclidean distances, or dot products, of each query and each mean of the shots."""
    means, queries = support.mean(dim=2).unsqueeze(1), query.unsqueeze(2)
    scores = (means * queries).sum(-1) if distance == "dot" else -(means - queries).square().sum(-1)
    return torch.cat([scores, scores.min(dim=-1, keepdim=True).values - 1], dim=-1)


class Proto(LabelledEncoder):
    """Sentences -> vectors."""

    def __init__(self, start: Start, markers: int, rows: Float[Tensor, "M D"], dropout: float, form: Form) -> None:
        """The caller sets torch's seed."""
        super().__init__(start, markers, rows)
        self.dropout, self._form = nn.Dropout(dropout), form

    def forward(self, batch: LabelledBatch) -> Float[Tensor, "B V"]:
        """A vector for each sentence."""
        return self.dropout(self.vectors(batch, self._form))
