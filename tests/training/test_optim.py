"""Schedules at their corners, and what decays."""

import pytest
import torch
from torch import nn

from training.config import OptimConfig
from training.optim import build_optimizer, learning_rate


@pytest.mark.parametrize(
    ("schedule", "power", "step", "expected"),
    [
        ("constant", 1.0, 0, 0.1),
        ("constant", 1.0, 9, 1.0),
        ("constant", 1.0, 99, 1.0),
        ("linear", 1.0, 10, 1.0),
        ("linear", 1.0, 55, 0.5),
        ("linear", 1.0, 99, 1 / 90),
        ("polynomial", 2.0, 55, 0.25),
    ],
)
def test_rates_warm_up_then_follow_the_schedule(schedule, power, step, expected):
    config = OptimConfig(lr=1.0, schedule=schedule, warmup_steps=10, power=power)
    assert learning_rate(config, step, 100) == pytest.approx(expected)


def test_only_matrices_of_the_network_decay():
    model = nn.Module()
    model.entity, model.dense, model.norm = nn.Embedding(3, 2), nn.Linear(2, 2), nn.LayerNorm(2)
    optimizer = build_optimizer(model, OptimConfig(weight_decay=0.5))
    decayed = [group for group in optimizer.param_groups if group["weight_decay"]]
    assert [id(p) for group in decayed for p in group["params"]] == [id(model.dense.weight)]
    assert sum(len(group["params"]) for group in optimizer.param_groups) == 5


def test_the_entity_table_moves_under_adam_without_decay():
    model = nn.Module()
    model.entity = nn.Embedding(3, 2)
    before = model.entity.weight.detach().clone()
    optimizer = build_optimizer(model, OptimConfig(lr=0.1, weight_decay=0.5))
    model.entity(torch.tensor([1])).sum().backward()
    optimizer.step()
    assert torch.equal(model.entity.weight[0], before[0]) and not torch.equal(model.entity.weight[1], before[1])
