"""Metrics of classification. N examples, K labels."""

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor


def precision_recall_f1(right: int, said: int, gold: int) -> dict[str, float]:
    """Of counts: answers that are right, all answers, all that there was to say. 0 where there is none."""
    precision, recall = right / said if said else 0.0, right / gold if gold else 0.0
    both = precision + recall
    return {"precision": precision, "recall": recall, "f1": 2 * precision * recall / both if both else 0.0}


def micro_of_labels(said: Bool[Tensor, "N K"], gold: Bool[Tensor, "N K"]) -> dict[str, float]:
    """Over all pairs of an example and a label."""
    return precision_recall_f1(int((said & gold).sum()), int(said.sum()), int(gold.sum()))


def micro(said: Int64[Tensor, " N"], gold: Int64[Tensor, " N"], negative: int | None) -> dict[str, float]:
    """Over all examples; to say `negative` is to say nothing."""
    if negative is None:
        return precision_recall_f1(int((said == gold).sum()), len(said), len(gold))
    right = int(((said == gold) & (gold != negative)).sum())
    return precision_recall_f1(right, int((said != negative).sum()), int((gold != negative).sum()))


def macro(said: Int64[Tensor, " N"], gold: Int64[Tensor, " N"], negative: int | None) -> dict[str, float]:
    """The mean over all labels that are said or gold, but for `negative`; f1 is the mean of theirs."""
    labels = [label for label in torch.unique(torch.cat([said, gold])).tolist() if label != negative]
    each = [
        precision_recall_f1(
            int(((said == label) & (gold == label)).sum()), int((said == label).sum()), int((gold == label).sum())
        )
        for label in labels
    ]
    return {name: sum(one[name] for one in each) / max(1, len(each)) for name in ("precision", "recall", "f1")}


def accuracy(said: Int64[Tensor, " N"], gold: Int64[Tensor, " N"]) -> float:
    """Share of the examples that are right; 0 where there is none."""
    return float((said == gold).double().mean()) if len(gold) else 0.0


def matthews(said: Int64[Tensor, " N"], gold: Int64[Tensor, " N"]) -> float:
    """Matthews' correlation of two classes, 0 and 1; 0 where one of them is never said or never gold."""
    return pearson(said.double(), gold.double())


def pearson(left: Float[Tensor, " N"], right: Float[Tensor, " N"]) -> float:
    """The linear correlation; 0 where one side is constant."""
    left, right = left.double() - left.double().mean(), right.double() - right.double().mean()
    spread = float((left.square().sum() * right.square().sum()).sqrt())
    return float((left * right).sum()) / spread if spread else 0.0


def spearman(left: Float[Tensor, " N"], right: Float[Tensor, " N"]) -> float:
    """The correlation of ranks; equal values share the mean of theirs."""
    return pearson(_ranks(left), _ranks(right))


def _ranks(values: Float[Tensor, " N"]) -> Float[Tensor, " N"]:
    _, inverse, counts = torch.unique(values, return_inverse=True, return_counts=True)
    ends = counts.cumsum(0).double()
    return (ends - (counts.double() - 1) / 2)[inverse]
