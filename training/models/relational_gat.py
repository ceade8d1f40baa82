"""JAKET's knowledge module: graph attention over neighbours that carry their relation (Yu et al., AAAI 2022).

Eq. 2 as it must be meant: the paper's denominator sums over the neighbours of u where a softmax over v's needs v's own,
its `a` lacks the head's index, and its sigma is unsaid (ELU, as in Velickovic et al., GAT, ICLR 2018).

N nodes that are read, V nodes that are made (the first ones of them), M edges, R relations, H heads, D hidden.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

SLOPE = 0.2
"""Of LeakyReLU, GAT's."""


class RelationalAttention(nn.Module):
    """One layer: E_v <- LayerNorm(ELU(sum over (r, u) of alpha * W f(E_u, R_r)) + E_v), f(x, y) = x + y.

    Without relations f(x, y) = x. A node without neighbours becomes LayerNorm(E_v).
    """

    def __init__(self, hidden: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.weight = nn.Linear(hidden, hidden, bias=False)
        self.own = nn.Parameter(torch.empty(heads, hidden // heads))
        self.other = nn.Parameter(torch.empty(heads, hidden // heads))
        self.norm = nn.LayerNorm(hidden, eps=1e-5)
        self.dropout = nn.Dropout(dropout)
        for parameter in (self.weight.weight, self.own, self.other):
            nn.init.xavier_uniform_(parameter)

    def forward(
        self,
        entities: Float[Tensor, "N D"],
        edges: Int64[Tensor, "M 3"],
        made: int,
        relations: Float[Tensor, "R D"] | None = None,
    ) -> Float[Tensor, "V D"]:
        """The new vectors of the first `made` nodes; `edges` are (node that is made, neighbour, relation)."""
        target, source, kind = edges.unbind(dim=1)
        own, message = self._messages(entities, source, kind, relations)
        shares = self.attention(own.index_select(0, target), message, target, made)
        # In 32 bits: a hub's sum has many terms.
        shared = (shares[..., None] * message.float()).flatten(1)
        total = entities.new_zeros(made, entities.shape[1]).index_add_(0, target, shared.to(entities.dtype))
        return self.norm(self.dropout(nn.functional.elu(total)) + entities[:made])

    def attention(
        self, own: Float[Tensor, "M H K"], message: Float[Tensor, "M H K"], target: Int64[Tensor, " M"], made: int
    ) -> Float[Tensor, "M H"]:
        """alpha of each edge and head: a softmax over the edges of a node; `own` is W E_v of the node itself."""
        scores = (own * self.own + message * self.other).float().sum(dim=-1)
        scores = nn.functional.leaky_relu(scores, SLOPE)
        highest = scores.new_full((made, self.heads), -torch.inf)
        highest = highest.scatter_reduce(0, target[:, None].expand_as(scores), scores.detach(), "amax")
        weights = torch.exp(scores - highest.index_select(0, target))
        sums = scores.new_zeros(made, self.heads).index_add_(0, target, weights)
        return weights / sums.index_select(0, target)

    def _messages(
        self,
        entities: Float[Tensor, "N D"],
        source: Int64[Tensor, " M"],
        kind: Int64[Tensor, " M"],
        relations: Float[Tensor, "R D"] | None,
    ) -> tuple[Float[Tensor, "N H K"], Float[Tensor, "M H K"]]:
        """W E of every node, and W f(E_u, R_r) of every edge; W is linear, so that no edge is multiplied by it."""
        nodes = self.weight(entities).unflatten(-1, (self.heads, -1))
        message = nodes.index_select(0, source)
        if relations is not None:
            kinds = self.weight(relations).unflatten(-1, (self.heads, -1))
            message = message + kinds.index_select(0, kind)
        return nodes, message


class KnowledgeModule(nn.Module):
    """The layers one after the other, over blocks of sampled neighbours."""

    def __init__(self, hidden: int, heads: int, layers: int, dropout: float) -> None:
        super().__init__()
        self.layers = nn.ModuleList(RelationalAttention(hidden, heads, dropout) for _ in range(layers))

    def forward(
        self,
        entities: Float[Tensor, "N D"],
        edges: Sequence[Int64[Tensor, "_ 3"]],
        sizes: Sequence[int],
        relations: Float[Tensor, "R D"] | None = None,
    ) -> Float[Tensor, "V D"]:
        """E^KM of the first `sizes[-1]` nodes, out of the context embeddings of all."""
        for layer, own, made in zip(self.layers, edges, sizes, strict=True):
            entities = layer(entities, own, made, relations)
        return entities

    def flops(self, nodes: int, edges: int) -> int:
        """Floating-point operations, forward and backward, for so many nodes and edges of one layer."""
        weight = self.layers[0].weight.weight
        return 6 * nodes * weight.numel() + 18 * edges * weight.shape[0]
