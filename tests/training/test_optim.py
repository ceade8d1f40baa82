"""Schedules at their corners, and what decays."""

import dataclasses

import pytest

from schemas.dataset import Dataset
from training.config import OptimConfig
from training.config_file import load_config
from training.optim import NO_DECAY, build_optimizer, learning_rate
from training.sources import open_source
from training.systems import build_model


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


@pytest.mark.parametrize(
    ("recipe", "tables"),
    [
        ("colake-tiny", NO_DECAY[:1]),
        ("kepler-tiny", NO_DECAY[:1]),
        ("kepler-w+w-tiny", NO_DECAY[:2]),
        ("c-lmke-tiny", (NO_DECAY[0], *NO_DECAY[2:])),
    ],
)
def test_all_matrices_but_the_relations_decay(recipe, tables, made_up):
    dataset, config = Dataset(made_up), load_config(recipe, {})
    source = open_source(dataset, dataset.tokens("tiny"))
    model = build_model(config, dataclasses.replace(source, more=[source]))
    names = {id(each): name for name, each in model.named_parameters() if each.requires_grad}
    groups = build_optimizer(model, OptimConfig(weight_decay=0.5)).param_groups
    found = [(names[id(p)], p.ndim, group["weight_decay"]) for group in groups for p in group["params"]]
    assert {name for name, _, _ in found} == set(names.values()) and len(found) == len(names)
    plain = {name for name, _, decay in found if not decay}
    assert plain == {name for name, dimensions, _ in found if dimensions < 2} | set(tables)
    assert set(tables) <= set(names.values())
