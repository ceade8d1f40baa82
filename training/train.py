"""Training: the loop, from the first line to the last.

A run is a pure function of its config, its dataset and its number of threads: batches, masks and negatives come from
counter-based hashes, dropout from torch's generator seeded anew at each step. A run that is killed and resumed
therefore ends with the same bits as one that is not.
"""

import contextlib
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from schemas.errors import DataError, UsageError
from schemas.hashing import random_u64
from training.checkpoint import Checkpoints, checkpoints, load_memory, load_model, load_optimizer, read_state
from training.config import Config
from training.data.batch import to_device
from training.data.loader import Loader
from training.metrics import MetricsLog, draw_curves, progress
from training.optim import build_optimizer, learning_rate, set_learning_rate
from training.runs import begin, choose_folder, open_config, open_tokens, require_free, resolved, resumed
from training.systems import System, build_system, open_source

STOPPED = 75
"""Exit code of a run that a signal stopped and that was saved."""


def train(
    recipe: str, data: Path | None, out: Path | None, *, resume: bool, dry_run: bool, settings: dict[str, str]
) -> int:
    """Train a recipe (or a TOML file) on a dataset, or resume such a run; returns the exit code."""
    config, dataset = open_config(recipe, data, settings)
    run = choose_folder(recipe, config, out, resume=resume)
    config = resumed(run, config) if resume else resolved(config)
    if not resume and not dry_run:
        require_free(run)
    device = _device(config.train.device)
    torch.set_num_threads(config.train.threads)
    torch.use_deterministic_algorithms(True, warn_only=True)
    source = open_source(dataset, open_tokens(dataset, config))
    torch.manual_seed(config.seed)
    system = build_system(config, source, device=device)
    for line in [*system.notes, *_outlook(config, system)]:
        print(line, file=sys.stderr, flush=True)
    if dry_run:
        return 0
    begin(run, config)
    return _loop(config, run, system, device)


def _loop(config: Config, run: Path, system: System, device: torch.device) -> int:
    budget, model = config.train, system.model.to(device)
    optimizer = build_optimizer(model, config.optim)
    done = saved = _restore(run, model, optimizer, system.loader)
    with (
        Checkpoints(run, budget.keep, asynchronous=budget.async_save) as saves,
        contextlib.closing(MetricsLog(run, done)) as log,
        progress(budget.steps, done, budget.batch_size) as report,
        _stop_signal() as stopped,
        system.loader.batches(done, budget.steps, system.build) as ready,
    ):
        if not done:
            log.write(0, validate(model, system.valid, device))
        while done < budget.steps and not stopped.is_set():
            rate = learning_rate(config.optim, done, budget.steps)
            set_learning_rate(optimizer, rate)
            batches = next(ready)
            means = train_step(config, model, optimizer, batches, done, device)
            done += 1
            last = done == budget.steps
            if last or done % budget.log_every == 0:
                log.write(done, {**means, "lr": rate, **_added([batch.sizes for batch in batches])})
            if last or done % budget.valid_every == 0:
                log.write(done, validate(model, system.valid, device))
            if last or done % budget.save_every == 0:
                saves.save(done, model, optimizer, _state(config, system, done))
                saved = done
            report(done, means["train/loss"])
        if done > saved:
            saves.save(done, model, optimizer, _state(config, system, done))
    draw_curves(run)
    if done < budget.steps:
        print(f"stopped and saved at step {done} of {budget.steps}; go on with --resume --out {run}", file=sys.stderr)
        return STOPPED
    print(run)
    return 0


def train_step(
    config: Config, model: Any, optimizer: torch.optim.Optimizer, batches: list[Any], step: int, device: torch.device
) -> dict[str, float]:
    """One optimiser step over the micro-batches; returns the mean loss of each term, before weighting.

    Each term is divided by its labels in the whole batch, so micro-batches add up to exactly that batch. A term without
    labels is left out.
    """
    model.train()
    # Dropout is the one use of torch's generator: seeded here, a resumed run draws what an unkilled one would.
    torch.manual_seed(int(random_u64(config.seed, "dropout", step) >> 1))
    totals = _totals(batches)
    sums = dict.fromkeys(totals, 0.0)
    optimizer.zero_grad(set_to_none=True)
    for batch in batches:
        losses = model.losses(to_device(batch, device))
        if losses:
            sum(model.weights[name] * loss / totals[name] for name, loss in losses.items()).backward()
        for name, loss in losses.items():
            sums[name] += float(loss.detach())
    means = {name: value / totals[name] for name, value in sums.items()}
    loss = sum((model.weights[name] * value for name, value in means.items()), 0.0)
    if not all(map(_finite, means.values())):
        raise DataError(f"The loss is not finite at step {step + 1}: {means}. Lower optim.lr.")
    if config.optim.clip_norm:
        nn.utils.clip_grad_norm_(model.parameters(), config.optim.clip_norm)
    optimizer.step()
    if model.memory:
        model.memory.apply(optimizer.param_groups[0]["lr"], step + 1)
    return {"train/loss": loss, **{f"train/{name}": value for name, value in means.items()}}


@torch.no_grad()
def validate(model: Any, batches: list[Any], device: torch.device) -> dict[str, float]:
    """The same terms over fixed batches, dropout off; a term without any label there is missing."""
    model.eval()
    totals = _totals(batches)
    sums = dict.fromkeys(totals, 0.0)
    for batch in batches:
        for name, loss in model.losses(to_device(batch, device)).items():
            sums[name] += float(loss)
    return {f"valid/{name}": value / totals[name] for name, value in sums.items()}


def _totals(batches: list[Any]) -> dict[str, int]:
    """Labels of each term over all batches, terms without any left out."""
    return {name: total for name, total in _added([batch.counts for batch in batches]).items() if total}


def _added(counts: Sequence[dict[str, int]]) -> dict[str, int]:
    return {name: sum(count[name] for count in counts) for name in counts[0]}


def _finite(value: float) -> bool:
    return value == value and abs(value) != float("inf")


def _state(config: Config, system: System, done: int) -> dict[str, Any]:
    return {"digest": config.data.digest, "loader": system.loader.state(done)}


def _restore(run: Path, model: Any, optimizer: torch.optim.Optimizer, loader: Loader) -> int:
    """Fill model, optimizer and loader from the newest checkpoint; returns its step, 0 where there is none."""
    saved = checkpoints(run)
    if not saved:
        return 0
    state = read_state(saved[-1])
    load_model(saved[-1], model)
    load_optimizer(saved[-1], model, optimizer)
    load_memory(saved[-1], model.memory)
    return loader.resume(state.get("loader", {}))


def _device(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name == "cuda" and not torch.cuda.is_available():
        raise UsageError("train.device is cuda, but this machine (or this build of torch) has none. Set it to cpu.")
    return torch.device(name)


def _outlook(config: Config, system: System) -> list[str]:
    """What is about to happen, in lines for the terminal."""
    parameters = sum(parameter.numel() for parameter in system.model.parameters())
    epochs = config.train.steps / system.loader.epoch_steps
    return [
        f"{config.recipe}: {parameters:,} parameters; weights, gradients and Adam's moments take "
        f"{parameters * 16 / 2**20:,.0f} MiB",
        f"{config.train.steps:,} steps of {config.train.batch_size:,} samples ({epochs:.1f} epochs), "
        f"{config.train.threads} threads",
    ]


@contextlib.contextmanager
def _stop_signal() -> Iterator[threading.Event]:
    """An event that SIGTERM or SIGINT sets: the step in work is finished and saved. A second signal acts at once."""
    stopped = threading.Event()
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}

    def stop(number: int, _frame: object) -> None:
        stopped.set()
        signal.signal(number, before[number])

    for number in before:
        signal.signal(number, stop)
    try:
        yield stopped
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
