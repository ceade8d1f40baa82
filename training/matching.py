"""C-LMKE's matching: a logit for every pair of a query and an entity, and the loss that these logits are trained by.

The matcher is an MLP on [q; k; q - k; q * k; log(deg(k) + 1); log(deg(g) + 1)], with the degrees in train of the entity
k that is matched and of the entity g that the query gives (Wang et al., Language Models as Knowledge Embeddings, IJCAI
2022, eq. 6; the order of the degrees is that of the authors' code). Its first layer is linear in all of these, so that
for one query it is a matrix of the key alone: a ranking is one matrix product a query, and no pair's features are ever
written down.

Q queries, K keys (entities that are matched), D hidden, H of the MLP's hidden layer.
"""

import dataclasses
import math
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

PIECE = {"cpu": 1 << 24, "cuda": 1 << 28}
"""Numbers of the hidden layer that are held at once while training: 64 MB, or 1 GB."""
BLOCK = {"cpu": (1, 2_048), "cuda": (64, 8_192)}
"""Queries and keys that are ranked at once: on a CPU, as many as its cache holds."""
ALIGNED = 16
"""A key's numbers are filled up to a multiple of so many."""


@dataclasses.dataclass(frozen=True)
class Vectors:
    """Queries, or keys, N of them."""

    values: Float[Tensor, "N D"]
    degrees: Float[Tensor, " N"]
    """log(degree in train + 1): of the entity that a query gives, or of the key itself."""

    def rows(self, rows: slice | Tensor) -> "Vectors":
        """Some of them."""
        return Vectors(self.values[rows], self.degrees[rows])


class Matcher(nn.Module):
    """The MLP."""

    def __init__(self, width: int, hidden: int) -> None:
        """`width` of queries and keys."""
        super().__init__()
        self.hidden, self.output = nn.Linear(4 * width + 2, hidden), nn.Linear(hidden, 1)

    @torch.no_grad()
    def begin_as_product(self) -> None:
        """Two units of the hidden layer become the positive and the negative part of q . k / sqrt(D), and their
        difference the logit, beside what the others add."""
        width = (self.hidden.in_features - 2) // 4
        self.hidden.weight[:2], self.hidden.bias[:2] = 0, 0
        for unit, sign in enumerate((1, -1)):
            self.hidden.weight[unit, 3 * width : 4 * width] = sign / math.sqrt(width)
            self.output.weight[0, unit] = sign

    def forward(self, queries: Vectors, keys: Vectors) -> Float[Tensor, "Q K"]:
        """The logit of every pair; pieces of queries are computed again for their gradient where they are several."""
        numbers = PIECE["cuda" if queries.values.is_cuda else "cpu"]
        rows = max(1, numbers // max(1, len(keys.values) * self.hidden.out_features))
        if len(queries.values) <= rows:
            return self._logits(queries, keys)
        pieces = [queries.rows(slice(start, start + rows)) for start in range(0, len(queries.values), rows)]
        if not torch.is_grad_enabled():
            return torch.cat([self._logits(piece, keys) for piece in pieces])
        return torch.cat([checkpoint(self._logits, piece, keys, use_reentrant=False) for piece in pieces])

    def _logits(self, queries: Vectors, keys: Vectors) -> Float[Tensor, "Q K"]:
        weights = self._weights()
        of_queries = F.linear(queries.values, weights.query, self.hidden.bias)
        of_queries = of_queries + queries.degrees[:, None] * weights.given
        of_keys = F.linear(keys.values, weights.key) + keys.degrees[:, None] * weights.own
        hidden = F.linear(queries.values[:, None] * keys.values, weights.product)
        return self._of_hidden(hidden + of_queries[:, None] + of_keys)

    def of_pairs(self, queries: Vectors, keys: Vectors) -> Float[Tensor, " N"]:
        """The logit of each query and the key of the same row."""
        weights = self._weights()
        hidden = F.linear(queries.values, weights.query, self.hidden.bias) + F.linear(keys.values, weights.key)
        hidden = hidden + F.linear(queries.values * keys.values, weights.product)
        hidden = hidden + queries.degrees[:, None] * weights.given + keys.degrees[:, None] * weights.own
        return self._of_hidden(hidden)

    def _of_hidden(self, hidden: Float[Tensor, "*S H"]) -> Float[Tensor, "*S"]:
        # In 32 bits: what tells near answers apart has few bits left in 16.
        with torch.autocast(hidden.device.type, enabled=False):
            logits: Tensor = self.output(hidden.float().relu())
        return logits.squeeze(-1)

    def _weights(self) -> "_Weights":
        width = (self.hidden.in_features - 2) // 4
        query, key, difference, product, own, given = self.hidden.weight.split([width] * 4 + [1, 1], dim=1)
        return _Weights(query + difference, key - difference, product, own[:, 0], given[:, 0])

    def flops(self, queries: int, keys: int) -> int:
        """Floating-point operations, forward and backward, for so many pairs."""
        width = (self.hidden.in_features - 2) // 4
        return 6 * queries * keys * (width + 1) * self.hidden.out_features


@dataclasses.dataclass(frozen=True)
class _Weights:
    """The first layer's, by what they are multiplied with."""

    query: Float[Tensor, "H D"]
    key: Float[Tensor, "H D"]
    product: Float[Tensor, "H D"]
    own: Float[Tensor, " H"]
    """The key's degree."""
    given: Float[Tensor, " H"]


class Ranking:
    """The matcher's logits of any queries with the same keys, prepared once; no gradient."""

    @torch.no_grad()
    def __init__(self, matcher: Matcher, keys: Vectors) -> None:
        self._weights, self._bias = matcher._weights(), matcher.hidden.bias
        self._output = matcher.output
        # With a 1 and its degree beside it, a key's hidden layer is one product with a matrix of the query.
        count, width = keys.values.shape
        self._keys = keys.values.new_zeros(count, -(-(width + 2) // ALIGNED) * ALIGNED)
        self._keys[:, :width], self._keys[:, width], self._keys[:, width + 1] = keys.values, 1, keys.degrees

    @torch.no_grad()
    def scores(self, queries: Vectors) -> Float[Tensor, "Q K"]:
        """The logit of every pair."""
        at_once, keys_at_once = BLOCK["cuda" if self._keys.is_cuda else "cpu"]
        found = self._keys.new_empty(len(queries.values), len(self._keys))
        for start in range(0, len(queries.values), at_once):
            matrices = self._matrices(queries.rows(slice(start, start + at_once)))
            for first in range(0, len(self._keys), keys_at_once):
                hidden = torch.matmul(self._keys[first : first + keys_at_once], matrices).clamp_(min=0)
                scores = hidden @ self._output.weight[0] + self._output.bias
                found[start : start + at_once, first : first + keys_at_once] = scores
        return found

    def _matrices(self, queries: Vectors) -> Float[Tensor, "Q D2 H"]:
        """What a key is multiplied with, for each query."""
        weights, width = self._weights, queries.values.shape[1]
        matrices = self._keys.new_zeros(len(queries.values), self._keys.shape[1], len(self._bias))
        matrices[:, :width] = queries.values[:, :, None] * weights.product.T + weights.key.T
        matrices[:, width] = F.linear(queries.values, weights.query, self._bias)
        matrices[:, width] += queries.degrees[:, None] * weights.given
        matrices[:, width + 1] = weights.own
        return matrices


def matching_sum(
    logits: Float[Tensor, "Q K"],
    answers: Bool[Tensor, "Q K"],
    times: Float[Tensor, "Q K"],
    asked: Float[Tensor, " Q"],
    negatives: Literal["detached", "attached", "off"],
    temperature: float = 1.0,
) -> Float[Tensor, ""]:
    """The sum over queries of: the mean of -log p over the answers, and of -log(1 - p) over all other keys.

    `times` says how many times each key is there (0: it is none of the query's), and `asked` how many times the query
    is. The other keys weigh by the softmax of p / `temperature` among them (self-adversarially, eq. 8), through which a
    gradient goes where it is `attached`; or all alike. A query without answers, or without others, has the other part
    alone.
    """
    logits = logits.float()
    positive = times * answers
    others = times * ~answers
    if negatives != "off":
        p = logits.sigmoid()
        others = others * ((p.detach() if negatives == "detached" else p) / temperature).exp()
    pull, push = ((weights * F.softplus(gap)).sum(dim=1) / weights.sum(dim=1).clamp(min=1e-9)
                  for weights, gap in ((positive, -logits), (others, logits)))  # fmt: skip
    return ((pull + push) * asked).sum()
