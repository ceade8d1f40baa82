"""AdamW and its schedules; the learning rate is a pure function of the step, so there is no state to save."""

import dataclasses
from typing import Any

import torch
from torch import nn

from training.config import OptimConfig

NO_DECAY = ("relation.weight", "second_relation.weight", "entity.weight", "mask.weight")
"""Tables of which a batch uses few rows: decay would wear the rare ones away."""
ENCODERS = ("encoder", "key_encoder")
"""Modules whose learning rate is the recipe's own."""


def build_optimizer(model: nn.Module, config: OptimConfig) -> torch.optim.AdamW:
    """AdamW with decay on matrices only: biases, norms and tables of rows have none. A group's `scale`, where it has
    one, is its learning rate's. `model.own_rate`, where a model has it, are its modules in place of ENCODERS."""
    own_rate = getattr(model, "own_rate", ENCODERS)
    sorted_out: dict[tuple[float, bool, bool], list[nn.Parameter]] = {(1.0, True, True): [], (1.0, True, False): []}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            own = name.split(".")[0] in own_rate
            scale, warm = (1.0, True) if own else (config.rest_scale, config.rest_warmup)
            decayed = parameter.ndim >= 2 and name not in NO_DECAY
            sorted_out.setdefault((scale, warm, decayed), []).append(parameter)
    groups = [
        {
            "params": parameters,
            "weight_decay": config.weight_decay if decayed else 0.0,
            **({} if scale == 1 else {"scale": scale}),
            **({} if warm else {"warmup": False}),
        }
        for (scale, warm, decayed), parameters in sorted_out.items()
    ]
    return torch.optim.AdamW(groups, lr=config.lr, betas=(config.beta1, config.beta2), eps=config.eps, fused=True)


def group_rate(group: dict[str, Any], config: OptimConfig, step: int, steps: int, rate: float) -> float:
    """What the `rate` of a step is for a group: scaled, and without the warm-up where that is not for it."""
    if not group.get("warmup", True):
        rate = learning_rate(dataclasses.replace(config, warmup_steps=0), step, steps)
    return float(rate * group.get("scale", 1.0))


def learning_rate(config: OptimConfig, step: int, steps: int) -> float:
    """The rate of step `step` of `steps` (from 0): warm-up from 0, then constant, linear or polynomial to 0."""
    if step < config.warmup_steps:
        return config.lr * (step + 1) / config.warmup_steps
    left = (steps - step) / max(1, steps - config.warmup_steps)
    if config.schedule == "constant":
        return config.lr
    return config.lr * (left if config.schedule == "linear" else left**config.power)
