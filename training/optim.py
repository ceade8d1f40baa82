"""AdamW and its schedules; the learning rate is a pure function of the step, so there is no state to save."""

import torch
from torch import nn

from training.config import OptimConfig

NO_DECAY = ("relation.weight", "second_relation.weight")
"""Tables of which a batch uses few rows: decay would wear the rare ones away."""


def build_optimizer(model: nn.Module, config: OptimConfig) -> torch.optim.AdamW:
    """AdamW with decay on matrices only: biases, norms and the relations' table have none."""
    decayed, plain = [], []
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            (plain if parameter.ndim < 2 or name in NO_DECAY else decayed).append(parameter)
    groups = [{"params": decayed, "weight_decay": config.weight_decay}, {"params": plain, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=config.lr, betas=(config.beta1, config.beta2), eps=config.eps, fused=True)


def learning_rate(config: OptimConfig, step: int, steps: int) -> float:
    """The rate of step `step` of `steps` (from 0): warm-up from 0, then constant, linear or polynomial to 0."""
    if step < config.warmup_steps:
        return config.lr * (step + 1) / config.warmup_steps
    left = (steps - step) / max(1, steps - config.warmup_steps)
    if config.schedule == "constant":
        return config.lr
    return config.lr * (left if config.schedule == "linear" else left**config.power)
