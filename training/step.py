"""One step of training: what a global batch does to a model, on one rank or on several.

The loss of a step is a sum over terms of weight * (sum over all labels of the global batch) / (their number). Every
rank and every micro-batch adds its part of that sum, so how many there are, and how the labels fall among them, changes
neither the loss nor its gradient, but for the order in which floats are added, and for the negatives that a micro-batch
shares (CoLAKE's candidates, KEPLER's kepler.in_batch).
"""

import contextlib
import dataclasses
import math
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor
from torch.nn.parallel import DistributedDataParallel

from schemas.errors import DataError
from schemas.hashing import random_u64
from training.config import Config
from training.data.batch import to_device
from training.optim import build_optimizer, group_rate, learning_rate
from training.ranks import Ranks
from training.speed import Clock, Meter

LABELS, SIZES = "labels/", "sizes/"


class Objective(nn.Module):
    """What DDP and FSDP2 wrap: a micro-batch -> its part of the global batch's loss."""

    def __init__(self, model: Any, device: torch.device, precision: str) -> None:
        super().__init__()
        self.model = model
        self._bf16 = torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16")

    def forward(self, batch: Any, scales: dict[str, float]) -> tuple[Tensor, dict[str, Tensor]]:
        """(the loss, the sum over labels of each term that has any here); `scales` are the terms' weights / labels."""
        with self._bf16:
            losses = self.model.losses(batch)
        parts = [scales[name] * loss for name, loss in losses.items()]
        if len(losses) < len(self.model.weights):
            # All ranks exchange the gradients of all parameters, also of those that one of them had no label for.
            parts.append(_nothing(self.model.parameters()))
        return torch.stack(parts).sum(), {name: loss.detach() for name, loss in losses.items()}


@dataclasses.dataclass(frozen=True)
class Learner:
    """A model that learns."""

    config: Config
    model: Any
    objective: Any
    """Objective of the model, wrapped where there are several ranks."""
    optimizer: torch.optim.Optimizer
    ranks: Ranks


def learner(config: Config, model: Any, ranks: Ranks) -> Learner:
    """The model on its device, shared among the ranks as train.parallel says, with its optimizer."""
    settings = config.train
    objective: Any = Objective(model.to(ranks.device), ranks.device, settings.precision)
    if settings.compile:
        model.encoder.compile(dynamic=True)
    if ranks.place.world > 1 and settings.parallel == "fsdp":
        # The root alone: how often a layer is called depends on a rank's texts, and every call would be a collective.
        mesh = init_device_mesh(ranks.device.type, (ranks.place.world,))
        fully_shard(objective, mesh=mesh, reshard_after_forward=False)
    elif ranks.place.world > 1:
        ids = [ranks.device] if ranks.device.type == "cuda" else None
        objective = DistributedDataParallel(objective, ids, gradient_as_bucket_view=True, forward_sync_buffers=False)
    return Learner(config, model, objective, build_optimizer(model, config.optim), ranks)


def advance(
    learner: Learner, ready: Iterator[list[Any]], meter: Meter, step: int, *, stop: bool = False
) -> dict[str, float] | None:
    """One step from the loader to the update; returns what the log says of it, None where any rank wants to stop."""
    clock, ranks, settings = Clock(), learner.ranks, learner.config.train
    ranks.reached(step, "reading its batch")
    batches = next(ready)
    ranks.reached(step, "computing")
    whole = whole_batch(batches, learner.model, ranks, waited=(waited := clock.read()), stop=stop)
    if whole["stop"]:
        return None
    rate = learning_rate(learner.config.optim, step, settings.steps)
    means = train_step(learner, batches, part(whole, LABELS), step, rate)
    seconds, each = waited + clock.read(), whole["waited"] / 1e6 / ranks.place.world
    meter.step(settings.batch_size, whole["tokens"], whole["flops"], seconds, each)
    return {**means, "lr": rate, **part(whole, SIZES)}


def whole_batch(
    batches: list[Any], model: Any, ranks: Ranks, *, waited: float = 0.0, stop: bool = False
) -> dict[str, int]:
    """Sums over all micro-batches of all ranks: labels of each term, sizes, tokens, FLOPs, microseconds waited for the
    loader, and the ranks that want to stop before this step."""
    own: Counter[str] = Counter(stop=int(stop), waited=int(waited * 1e6))
    for batch in batches:
        own.update({LABELS + name: value for name, value in batch.counts.items()})
        own.update({SIZES + name: value for name, value in batch.sizes.items()})
        own.update(tokens=int(batch.lengths.sum()), flops=model.flops(batch))
    return ranks.total(own)


def part(whole: dict[str, int], prefix: str) -> dict[str, int]:
    """The labels or the sizes of a whole batch."""
    return {name.removeprefix(prefix): value for name, value in whole.items() if name.startswith(prefix)}


def train_step(
    learner: Learner, batches: list[Any], labels: dict[str, int], step: int, rate: float
) -> dict[str, float]:
    """One update by a global batch, of which this rank has `batches` and which has so many `labels` of each term;
    returns the mean loss of each term that has any, before weighting, their weighted sum, and the gradient's norm
    before clipping."""
    model, ranks, labels = learner.model.train(), learner.ranks, _some(labels)
    # DDP and FSDP2 average the gradients over the ranks, the entity memory too; here they are parts of a sum.
    scales = {name: model.weights[name] * ranks.place.world / total for name, total in labels.items()}
    sums = {name: torch.zeros((), device=ranks.device) for name in labels}
    learner.optimizer.zero_grad(set_to_none=True)
    for number, batch in enumerate(batches):
        # Dropout is the one use of torch's generator: seeded here, it is the same after a kill.
        piece = ranks.place.rank * len(batches) + number
        torch.manual_seed(int(random_u64(learner.config.seed, "dropout", step, piece) >> 1))
        with _exchanging(learner.objective, number == len(batches) - 1):
            loss, losses = learner.objective(to_device(batch, ranks.device), scales)
            loss.backward()
        for name, value in losses.items():
            sums[name] += value
    norm = nn.utils.clip_grad_norm_(model.parameters(), learner.config.optim.clip_norm or math.inf)
    norm = norm.full_tensor() if isinstance(norm, DTensor) else norm
    for group in learner.optimizer.param_groups:
        group["lr"] = group_rate(group, learner.config.optim, step, learner.config.train.steps, rate)
    learner.optimizer.step()
    if model.memory:
        model.memory.apply(rate, step + 1)
    means = _means(sums, labels, ranks)
    if not all(map(math.isfinite, means.values())):
        raise DataError(f"The loss is not finite at step {step + 1}: {means}. Lower optim.lr.")
    weighted = sum((model.weights[name] * value for name, value in means.items()), 0.0)
    return {
        "train/loss": weighted,
        **{f"train/{name}": value for name, value in means.items()},
        "grad_norm": float(norm),
    }


@torch.no_grad()
def validate(learner: Learner, batches: list[Any]) -> dict[str, float]:
    """The same terms over fixed batches, which every rank has, dropout off; those without any label are missing."""
    learner.model.eval()
    labels = _some({name: sum(batch.counts[name] for batch in batches) for name in batches[0].counts})
    sums = {name: torch.zeros((), device=learner.ranks.device) for name in labels}
    for batch in batches:
        _, losses = learner.objective(to_device(batch, learner.ranks.device), dict.fromkeys(labels, 1.0))
        for name, value in losses.items():
            sums[name] += value
    if isinstance(learner.objective, FSDPModule):
        learner.objective.reshard()
    return {f"valid/{name}": float(sums[name]) / total for name, total in labels.items()}


def _means(sums: dict[str, Tensor], labels: dict[str, int], ranks: Ranks) -> dict[str, float]:
    own = dict(zip(sums, torch.stack([*sums.values()]).tolist(), strict=True)) if sums else {}
    return {name: value / labels[name] for name, value in ranks.total_of_floats(own).items()}


def _exchanging(objective: Any, last: bool) -> contextlib.AbstractContextManager[None]:
    """The ranks exchange gradients after the last micro-batch of a step only."""
    if isinstance(objective, FSDPModule):
        objective.set_requires_gradient_sync(last)
        objective.set_reshard_after_backward(last)
    if isinstance(objective, DistributedDataParallel) and not last:
        return objective.no_sync()  # type: ignore[no-any-return]
    return contextlib.nullcontext()


def _nothing(parameters: Iterable[nn.Parameter]) -> Tensor:
    """0, with a gradient of zeros for every parameter."""
    return 0.0 * torch.stack([p.flatten()[:1].sum() for p in parameters if p.requires_grad]).sum()


def _some(totals: dict[str, int]) -> dict[str, int]:
    return {name: total for name, total in totals.items() if total}
