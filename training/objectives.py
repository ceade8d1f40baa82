"""Training losses, as sums over labels: the loop divides by the labels of the whole batch, so accumulation is exact.

N labels, C classes, B triples, K candidates, D hidden.
"""

import dataclasses
from typing import Literal

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn import functional as F


def cross_entropy_sum(logits: Float[Tensor, "N C"], labels: Int64[Tensor, " N"]) -> Float[Tensor, ""]:
    """Sum of the cross-entropies; 0 (and no NaN) where nothing is labelled."""
    return F.cross_entropy(logits.float(), labels, reduction="sum")


def distances(left: Float[Tensor, "B D"], right: Float[Tensor, "K D"], norm: int) -> Float[Tensor, "B K"]:
    """||left - right||_norm of every pair."""
    return torch.cdist(left, right, p=float(norm), compute_mode="donot_use_mm_for_euclid_dist")


@dataclasses.dataclass(frozen=True)
class Score:
    """What is trained and what is ranked, of a query and an entity: minus their distance, or their cosine. Higher is
    more plausible."""

    kind: Literal["distance", "cosine"]
    norm: int

    def pairs(self, left: Float[Tensor, "B D"], right: Float[Tensor, "K D"]) -> Float[Tensor, "B K"]:
        """Of every pair."""
        if self.kind == "cosine":
            return F.normalize(left, dim=-1) @ F.normalize(right, dim=-1).T
        return -distances(left, right, self.norm)

    def rows(self, left: Float[Tensor, "B D"], right: Float[Tensor, "B D"]) -> Float[Tensor, " B"]:
        """Of each row and the other's."""
        if self.kind == "cosine":
            return (F.normalize(left, dim=-1) * F.normalize(right, dim=-1)).sum(dim=-1)
        return -torch.linalg.vector_norm(left - right, ord=self.norm, dim=-1)


def knowledge_embedding_sum(
    positive: Float[Tensor, " B"],
    heads: Float[Tensor, "B K"],
    tails: Float[Tensor, "B K"],
    head_weights: Float[Tensor, "B K"],
    tail_weights: Float[Tensor, "B K"],
    *,
    gamma: float,
    halved: bool,
) -> Float[Tensor, ""]:
    """KEPLER's eq. 2 summed over triples; arguments are distances, lower is more plausible.

    `heads` and `tails` are those of the corrupted triples; the weights of a row, both sides together, add up to 1, so
    the scale does not depend on how many negatives there are.
    """
    pull = -F.logsigmoid(gamma - positive)
    push = -(head_weights * F.logsigmoid(heads - gamma) + tail_weights * F.logsigmoid(tails - gamma)).sum(dim=-1)
    return (pull + push).sum() / (2 if halved else 1)


def info_nce_sum(
    answers: Float[Tensor, " B"], negatives: Float[Tensor, "B K"], counts: Float[Tensor, "B K"]
) -> Float[Tensor, ""]:
    """Sum of -log softmax of the answers' logits, each among its row of negatives (van den Oord et al., 2018).

    `counts` says how many times each is in the sum of the softmax; 0 leaves it out. Logits are scores divided by the
    temperature, those of the answers less the additive margin before (Wang et al., SimKGC, ACL 2022, eq. 4).
    """
    logits = torch.cat([answers[:, None], negatives + counts.log()], dim=-1)
    return (torch.logsumexp(logits, dim=-1) - answers).sum()


def harder(weights: Float[Tensor, "B K"], far: Float[Tensor, "B K"], temperature: float) -> Float[Tensor, "B K"]:
    """The weights of a row shared out anew by softmax(-temperature * distance), without gradient; their sum stays."""
    if not temperature:
        return weights
    logits = torch.where(weights > 0, weights.log() - temperature * far.detach(), -torch.inf)
    shares = torch.softmax(logits, dim=-1).nan_to_num(0.0)
    return shares * weights.sum(dim=-1, keepdim=True)
