"""What a run will take: in a line or two before it begins, and, as a dry run, measured over some of its steps."""

from typing import Any

from torch import nn

from training.config import Config
from training.ranks import Ranks
from training.speed import Clock, Meter, peak_memory
from training.step import LABELS, Learner, advance, learner, part, train_step, validate, whole_batch
from training.systems import System

WARM, MEASURED = 5, 20
"""Steps of a dry run: the first ones take longer, and are not counted."""
BACKWARD = 3
"""A step takes so many times as long as its forward pass: the backward pass is two more."""
LOOKED = 10_000
"""Samples among which the largest micro-batch is looked for."""


def outlook(config: Config, system: System, ranks: Ranks) -> list[str]:
    """What is about to happen, in lines for the terminal."""
    parameters = _numbers(system.model)
    epochs = config.train.steps / system.loader.epoch_steps
    world = f"{ranks.place.world} ranks ({config.train.parallel}) of " if ranks.place.world > 1 else ""
    return [
        f"{config.recipe}: {parameters:,} parameters; weights, gradients and Adam's moments take "
        f"{parameters * 16 / 2**20:,.0f} MiB",
        f"{config.train.steps:,} steps of {config.train.batch_size:,} samples ({epochs:.1f} epochs), "
        f"{world}{config.train.threads} threads on {ranks.device}",
    ]


def estimate(learning: Learner, system: System) -> str:
    """How long the run will take, in a line: from one forward pass, which is to be the second one at least."""
    budget, clock = learning.config.train, Clock()
    validate(learning, system.valid[-1:])
    each = clock.read()
    step = BACKWARD * each * system.micro_batches / learning.ranks.place.world
    seconds = budget.steps * step + -(-budget.steps // budget.valid_every) * each * len(system.valid)
    return f"about {_duration(seconds)}, guessed from one forward pass; --dry-run measures it"


def rehearse(config: Config, system: System, ranks: Ranks, started: float) -> None:
    """Take the first steps of the run, save nothing, and say what the whole of it will take. `started` is how many
    seconds it took to come so far."""
    budget, clock = config.train, Clock()
    learning = learner(config, system.model, ranks)
    validate(learning, system.valid)
    started += clock.read()
    # The first one also chose kernels, and compiled.
    validate(learning, system.valid)
    validation = clock.read()
    warm = min(WARM, budget.steps - 1)
    counted = min(MEASURED, budget.steps - warm)
    meters = [Meter(ranks.device, ranks.place.world, budget.peak_tflops) for _ in range(2)]
    with system.loader.batches(0, warm + counted, system.build) as ready:
        for step in range(warm):
            advance(learning, ready, meters[0], step)
        first = clock.read()
        for step in range(warm, warm + counted):
            advance(learning, ready, meters[1], step)
    each = clock.read() / counted
    heaviest = _heaviest(config, system)
    train_step(learning, [heaviest], part(whole_batch([heaviest], system.model, ranks), LABELS), 0, 0.0)
    validations = -(-budget.steps // budget.valid_every)
    seconds = started + first + each * (budget.steps - warm) + validation * validations
    speed = meters[1].line()
    share = f", {speed['speed/mfu']:.0%} of the peak" if "speed/mfu" in speed else ""
    copy = _saved_bytes(system.model) if budget.async_save and ranks.device.type == "cpu" else 0
    ranks.say(
        f"memory: {(peak_memory(ranks.device) + copy) / 1e6:,.0f} MB at most on each rank, "
        f"{copy / 1e6:,.0f} of them for the copy that is written as a checkpoint"
    )
    ranks.say(
        f"time: {_duration(seconds)}; {each:.3g} s a step (mean of {counted}), "
        f"{speed['speed/loader_wait']:.0%} of it waiting for data; {validations + 1} validations of {validation:.3g} s"
    )
    ranks.say(f"rate: {speed['speed/samples']:,.0f} samples and {speed['speed/tokens']:,.0f} tokens a second{share}")


def _heaviest(config: Config, system: System) -> Any:
    """The micro-batch of the most operations among the first LOOKED samples: the run's peak is at one like it."""
    steps = min(config.train.steps, max(1, LOOKED // config.train.batch_size))
    with system.loader.batches(0, steps, system.build) as ready:
        return max((batch for batches in ready for batch in batches), key=system.model.flops)


def _numbers(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def _saved_bytes(model: nn.Module) -> int:
    """A checkpoint's: weights and two moments, and the entity memory with its state."""
    memory = getattr(model, "memory", None)
    return 12 * _numbers(model) + (sum(t.nbytes for t in memory.tensors().values()) if memory else 0)


def _duration(seconds: float) -> str:
    minutes, hours = seconds / 60, seconds / 3600
    return f"{seconds:.0f} s" if minutes < 2 else f"{minutes:.0f} min" if hours < 5 else f"{hours:.1f} h"
