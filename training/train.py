"""Training: the loop, from the first line to the last, on one rank or on all that torchrun starts.

A run is a pure function of its config, its dataset, and its number of ranks and of threads: batches, masks and
negatives come from counter-based hashes, dropout from torch's generator seeded anew for each micro-batch. A run that is
killed and resumed therefore ends with the same bits as one that is not.
"""

import contextlib
import signal
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from schemas.dataset import Dataset
from training.checkpoint import Checkpoints, checkpoints, load_memory, load_model, load_optimizer
from training.checkpoint_state import read_state
from training.config import Config
from training.heap import keep_flat
from training.metrics import MetricsLog, draw_curves, progress
from training.outlook import estimate, outlook, rehearse
from training.ranks import Ranks, joined
from training.runs import begin, choose_folder, open_all_tokens, open_config, require_free, resolved, resumed
from training.sources import open_sources
from training.speed import Clock, Meter
from training.step import Learner, advance, learner, validate
from training.systems import System, build_system

STOPPED = 75
"""Exit code of a run that a signal stopped and that was saved."""


def train(
    recipe: str,
    data: Path | None,
    out: Path | None,
    *,
    resume: bool,
    dry_run: bool,
    settings: dict[str, str],
    more: Sequence[Path] = (),
) -> int:
    """Train a recipe (or a TOML file) on a dataset, and on `more` of them, or resume such a run; returns the exit
    code."""
    config, datasets = open_config(recipe, [*([data] if data else []), *more], settings)
    with joined(config.train.device, config.train.rank_timeout) as ranks:
        # A cluster starts a run with the command that goes on with it.
        again = (resume or ranks.restarted) and (out / "config.toml").is_file() if out else resume
        if resume and not again:
            ranks.say(f"{out} holds no run yet: beginning one")
        resume = ranks.told("resume", lambda: str(again)) == str(True)
        run = Path(ranks.told("folder", lambda: str(choose_folder(recipe, config, out, resume=resume))))
        config = resumed(run, config, say=ranks.say) if resume else resolved(config, ranks.on_host)
        if ranks.first and not resume and not dry_run:
            require_free(run)
        started = Clock()
        system = _system(config, datasets, ranks)
        if dry_run:
            rehearse(config, system, ranks, started.read())
            return 0
        if ranks.first:
            begin(run, config)
        return _loop(config, run, system, ranks)


def _system(config: Config, datasets: Sequence[Dataset], ranks: Ranks) -> System:
    if config.train.flat_memory and ranks.device.type == "cpu":
        keep_flat()
    torch.set_num_threads(config.train.threads)
    torch.use_deterministic_algorithms(config.train.deterministic, warn_only=True)
    ranks.told("tokens", lambda: str(open_all_tokens(datasets, config)[0].folder))
    source = open_sources(config, datasets, open_all_tokens(datasets, config))
    torch.manual_seed(config.seed)
    system = build_system(config, source, ranks.place, ranks.agree, ranks.device)
    for line in [*system.notes, *outlook(config, system, ranks)]:
        ranks.say(line)
    return system


def _loop(config: Config, run: Path, system: System, ranks: Ranks) -> int:
    with _stop_signal(ranks) as stopped:
        done, steps = _steps(config, run, system, ranks, stopped), config.train.steps
        if done < steps:
            where = f"stopped and saved at step {done}" if done else "stopped before the first step"
            ranks.say(f"{where} of {steps}; go on with --resume --out {run}")
        if ranks.first:
            draw_curves(run)
        # All together: torchrun ends the others as soon as one has left with another code than 0.
        ranks.total({"done": done})
    if done < steps:
        return STOPPED
    if ranks.first:
        print(run)
    return 0


def _steps(config: Config, run: Path, system: System, ranks: Ranks, stopped: threading.Event) -> int:
    """Take the steps that are left; returns how many the run then has, all of which are saved."""
    budget = config.train
    learning = learner(config, system.model, ranks)
    done = saved = _restore(run, learning, system, ranks)
    meter = Meter(ranks.device, ranks.place.world, budget.peak_tflops)
    with (
        _log(run, done, ranks) as log,
        progress(budget.steps, done, budget.batch_size, shown=ranks.first) as report,
        Checkpoints(run, budget.keep, ranks.place, asynchronous=budget.async_save, group=ranks.saving) as saver,
        system.loader.batches(done, budget.steps, system.build) as ready,
    ):
        if not done:
            weights = {f"weight/{name}": weight for name, weight in learning.model.weights.items()}
            log(0, {**weights, **validate(learning, system.valid)})
            ranks.say(estimate(learning, system))
        while done < budget.steps and (seen := advance(learning, ready, meter, done, stop=stopped.is_set())):
            done += 1
            last = done == budget.steps
            if last or done % budget.log_every == 0:
                log(done, {**seen, **meter.line()})
            if last or done % budget.valid_every == 0:
                log(done, validate(learning, system.valid))
            if last or done % budget.save_every == 0:
                saver.save(done, learning.model, learning.optimizer, _state(config, system, done))
                saved = done
            report(done, seen["train/loss"])
        if done > saved:
            saver.save(done, learning.model, learning.optimizer, _state(config, system, done))
    return done


def _state(config: Config, system: System, done: int) -> dict[str, Any]:
    state = {"digest": config.data.digest, "micro_batches": system.micro_batches}
    return {**state, "loader": system.loader.state(done)}


def _restore(run: Path, learning: Learner, system: System, ranks: Ranks) -> int:
    """Fill model, optimizer and loader from the newest checkpoint; returns its step, 0 where there is none."""
    # The first rank's newest: another host may not see it yet, or still see one that is no more.
    name = ranks.told("checkpoint", lambda: next((folder.name for folder in reversed(checkpoints(run))), ""))
    if not name:
        return 0
    saved = run / "checkpoints" / name
    state = read_state(saved)
    load_model(saved, learning.model)
    load_optimizer(saved, learning.model, learning.optimizer)
    load_memory(saved, learning.model.memory)
    if state.get("micro_batches") != system.micro_batches:
        ranks.say(
            f"warning: {run} had steps of {state.get('micro_batches')} micro-batches over all ranks, and goes on with "
            f"{system.micro_batches}: negatives that a micro-batch shares are others, so losses can't be compared"
        )
    return system.loader.resume(state.get("loader", {}))


@contextlib.contextmanager
def _log(run: Path, done: int, ranks: Ranks) -> Iterator[Any]:
    """write(step, values): the first rank's log, which begins or goes on at step `done`; the others have none."""
    if not ranks.first:
        yield lambda _step, _values: None
        return
    with contextlib.closing(MetricsLog(run, done)) as log:
        yield log.write


@contextlib.contextmanager
def _stop_signal(ranks: Ranks) -> Iterator[threading.Event]:
    """An event that SIGTERM or SIGINT sets: the step in work is finished and saved.

    A second signal acts at once, but not under torchrun, which passes on what its ranks got already.
    """
    stopped = threading.Event()
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}

    def stop(number: int, _frame: object) -> None:
        stopped.set()
        if ranks.place.world == 1:
            signal.signal(number, before[number])

    for number in before:
        signal.signal(number, stop)
    try:
        yield stopped
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
