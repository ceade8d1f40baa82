"""How GraphVite trains embeddings, as far as PyKEEN can: losses, steps, and its published settings for Wikidata5M.

Zhu et al., WWW 2019; config/knowledge_graph/*_wikidata5m.yaml of DeepGraphLearning/graphvite, which KEPLER's table 4
(Wang et al., TACL 2021) was made with. What differs is in docs/evaluation.md.
"""

from typing import Any, Literal

import torch

from schemas.errors import UsageError

WIKIDATA5M: dict[str, dict[str, Any]] = {
    "transe": {"dim": 512, "lr": 1e-3, "epochs": 1_000, "margin": 12.0, "temperature": 0.5, "relation_lr": 1e-2},
    "distmult": {"dim": 512, "lr": 0.1, "epochs": 2_000, "l3": 2e-3, "temperature": 2.0, "relation_lr": 1e-4},
    "complex": {"dim": 256, "lr": 0.1, "epochs": 1_000, "l3": 2e-3, "temperature": 0.2, "relation_lr": 1e-3},
    "simple": {"dim": 256, "lr": 1.0, "epochs": 2_000, "l3": 2e-3, "temperature": 2.0, "relation_lr": 1e-4},
    "rotate": {"dim": 256, "lr": 1e-2, "epochs": 1_000, "margin": 6.0, "temperature": 0.2, "relation_lr": 1.0},
}
"""By baseline. GraphVite counts the numbers of a row (512): two of them are one complex dimension, and SimplE's rows
are two vectors."""
EVERY: dict[str, Any] = {
    "loss": "self-adversarial",
    "optimizer": "sgd",
    "negatives": 64,
    "batch": 100_000,
    "decay": 0.0,
}
FREE = {"transe": {"entity_constrainer": None}, "distmult": {"entity_constrainer": None}}
"""PyKEEN's arguments: it holds these models' entities at unit length, GraphVite does not."""


def preset(name: str) -> dict[str, Any]:
    """The settings of a baseline; UsageError for one that GraphVite has none for."""
    if name not in WIKIDATA5M:
        raise UsageError(f"preset=wikidata5m has no settings for {name}. It takes {', '.join(WIKIDATA5M)}.")
    return EVERY | WIKIDATA5M[name]


def with_preset(name: str, told: dict[str, str]) -> dict[str, str]:
    """What a baseline is told, and where that names the preset the preset's values for all else."""
    if told.get("preset") != "wikidata5m":
        return told
    return {key: str(value) for key, value in preset(name).items()} | told


def self_adversarial_loss(margin: float, temperature: float, reduction: Literal["sum", "mean"]) -> Any:
    """log sigmoid of the margined scores, negatives weighed by softmax(score / temperature) (Sun et al., ICLR 2019).

    Its sum over the batch, as where each triple takes a step of its own, or its mean.
    """
    from pykeen.losses import NSSALoss

    # PyKEEN's temperature is the inverse one.
    return NSSALoss(margin=margin, adversarial_temperature=1 / temperature, reduction=reduction)


def add_l3(model: Any, weight: float) -> None:
    """Add weight * |x|^3 of a triple's head, relation and tail, and of those of its negatives together, to the loss:
    the mean over the triples of a forward pass."""
    from pykeen.regularizers import PowerSumRegularizer

    for table in (*model.entity_representations, *model.relation_representations):
        table.regularizer = PowerSumRegularizer(weight=weight, p=3.0)


def without_l3(model: Any) -> None:
    """Take it away again: its buffers are no weights of the model."""
    for table in (*model.entity_representations, *model.relation_representations):
        table.regularizer = None


def slow_relations(model: Any, factor: float) -> None:
    """Multiply the relations' gradients: with SGD, their learning rate."""
    for table in model.relation_representations:
        for parameter in table.parameters():
            parameter.register_hook(lambda gradient: gradient * factor)


def linear_rate(optimizer: torch.optim.Optimizer, lr: float, done: float) -> None:
    """The learning rate when so large a share of the epochs is done."""
    for group in optimizer.param_groups:
        group["lr"] = lr * max(1 - done, 1e-4)
