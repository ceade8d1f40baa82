"""Fine-tuning: an encoder and a classification head learn a task's train examples; the epoch is chosen on others, which
are never those that are reported.

There are two forms. CoLAKE's (section 4.1): the state at <s> through dense, GELU, dropout, LayerNorm and a linear
layer; of a CoLAKE run the dense layer and the norm begin as its entity head's or its relation head's. KEPLER's (its
TACRED and Open Entity): the states at the markers before the mentions, one after the other, through RoBERTa's head.

B examples of a batch, S nodes of the longest, D hidden, M entities, K outputs.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Literal

import numpy as np
import torch
from jaxtyping import Float, Int64, UInt64
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from schemas.errors import DataError
from schemas.hashing import hash_strings, random_u64
from training.config import AboveZero, Count, OptimConfig, Positive, Share, Weight
from training.data.batch import to_device
from training.data.labelled import LabelledBatch, LabelledInput, labelled_batch
from training.labelled_encoder import ClassificationHead, Form, LabelledEncoder, Start
from training.optim import build_optimizer, learning_rate

Loss = Literal["labels", "label", "score"]
"""Any number of labels (binary cross-entropy of each), one label (cross-entropy), a number (squared error)."""
PREDICT_BATCH = 64


@dataclasses.dataclass(frozen=True)
class LearningSettings:
    """What `--set` can change whatever is learned; the defaults are CoLAKE's."""

    seeds: Positive = 5
    """How often all is repeated, with seeds `seed`, `seed` + 1, ...; means and deviations are over them."""
    seed: Count = 0
    lr: AboveZero = 5e-5
    beta1: Share = 0.9
    beta2: Share = 0.999
    weight_decay: Weight = 0.01
    warmup: Share = 0.1
    """Share of the steps; then the rate falls to 0 linearly."""
    clip_norm: Weight = 1.0
    dropout: Share = 0.3
    """Of the head; the encoder's is its own."""
    max_length: Annotated[int, Field(ge=8)] = 256
    """Words of an example; at most those that the encoder reads."""
    entities: bool = True
    """Show a CoLAKE run the entities that the examples link."""
    device: Literal["auto", "cpu", "cuda"] = "auto"


@dataclasses.dataclass(frozen=True)
class FinetuneSettings(LearningSettings):
    """What `--set` can change of a task that is learned by epochs."""

    epochs: Positive = 3
    batch_size: Positive = 32
    form: Literal["auto", "start", "markers"] = "auto"
    """What is classified: the state at <s> (CoLAKE's form), or the states at the markers before the mentions, one after
    the other (KEPLER's); auto: the form of the system that is fine-tuned, markers for one that has none. Systems are
    compared in one form."""


@dataclasses.dataclass(frozen=True)
class Part:
    """Examples of a split. N examples."""

    ids: UInt64[np.ndarray, " N"]
    """Hashes of their ids."""
    inputs: list[LabelledInput]
    targets: Tensor
    """(N, K) for labels, else (N,)."""


@dataclasses.dataclass(frozen=True)
class Lesson:
    """What is to be learned."""

    loss: Loss
    labels: list[str]
    """Of the outputs; one for a score."""
    markers: int
    """New words, whose ids come after the encoder's own."""
    head: str | None
    """The head of `Start` that the classifier's begins as."""
    train: Part
    select: Part
    """Where the epoch is chosen."""
    reported: Mapping[str, Part]
    score: Callable[[Tensor, Tensor], dict[str, Any]]
    """(logits, targets) -> metrics."""
    main: Callable[[dict[str, Any]], float]
    """The number of them that chooses the epoch: the larger, the better."""
    form: Form = "start"
    groups: Mapping[str, Mapping[str, Int64[Tensor, " G"]]] = dataclasses.field(default_factory=dict)
    """Of a reported part by name: groups of its examples, which are scored on their own as well."""


class Classifier(LabelledEncoder):
    """CoLAKE's form: the state at <s>, and a head that may have been trained."""

    def __init__(self, start: Start, lesson: Lesson, rows: Float[Tensor, "M D"], dropout: float) -> None:
        """The caller sets torch's seed."""
        super().__init__(start, lesson.markers, rows)
        self.dense, self.norm = nn.Linear(self.hidden, self.hidden), nn.LayerNorm(self.hidden)
        nn.init.normal_(self.dense.weight, std=self.spread)
        nn.init.zeros_(self.dense.bias)
        if lesson.head in start.heads:
            trained = start.heads[lesson.head]
            self.dense.load_state_dict(trained.dense.state_dict())
            self.norm.load_state_dict(trained.norm.state_dict())
            self.norm.eps = trained.norm.eps
        self.dropout = nn.Dropout(dropout)
        self.decoder = nn.Linear(self.hidden, len(lesson.labels))
        nn.init.normal_(self.decoder.weight, std=self.spread)
        nn.init.zeros_(self.decoder.bias)
        if lesson.head == "relation":
            self._begin_as_relations(start, lesson.labels)

    def forward(self, batch: LabelledBatch) -> Float[Tensor, "B K"]:
        """Logits."""
        return self.decoder(self.norm(self.dropout(F.gelu(self.dense(self.vectors(batch, "start"))))))

    @torch.no_grad()
    def _begin_as_relations(self, start: Start, labels: Sequence[str]) -> None:
        for row, label in enumerate(labels):
            known = start.relations(label)
            if known is not None:
                self.decoder.weight[row], self.decoder.bias[row] = known


class MarkerClassifier(LabelledEncoder):
    """KEPLER's form: the states at the markers before the mentions, and a new head."""

    def __init__(self, start: Start, lesson: Lesson, rows: Float[Tensor, "M D"], dropout: float) -> None:
        """The caller sets torch's seed."""
        super().__init__(start, lesson.markers, rows)
        # A marker before and one after each mention.
        width = lesson.markers // 2 * self.hidden
        self.head = ClassificationHead(width, self.hidden, len(lesson.labels), dropout, self.spread)

    def forward(self, batch: LabelledBatch) -> Float[Tensor, "B K"]:
        """Logits."""
        return self.head(self.vectors(batch, "markers"))


CLASSIFIERS: Mapping[Form, type[Classifier] | type[MarkerClassifier]] = {
    "start": Classifier,
    "markers": MarkerClassifier,
}


def finetune(
    start: Start,
    lesson: Lesson,
    rows: Float[Tensor, "M D"],
    settings: FinetuneSettings,
    report: Callable[[int, float], None],
) -> list[dict[str, Any]]:
    """What each seed reaches: {seed, epoch, select, curve, reported}; `report` gets (steps done of all, loss)."""
    each = settings.epochs * -(-len(lesson.train.inputs) // settings.batch_size)
    return [
        _one_seed(start, lesson, rows, settings, settings.seed + number, after(number * each, report))
        for number in range(settings.seeds)
    ]


def after(steps: int, report: Callable[[int, float], None]) -> Callable[[int, float], None]:
    """The same report of what comes after so many steps."""
    return lambda step, loss: report(steps + step, loss)


def _one_seed(
    start: Start,
    lesson: Lesson,
    rows: Float[Tensor, "M D"],
    settings: FinetuneSettings,
    seed: int,
    report: Callable[[int, float], None],
) -> dict[str, Any]:
    torch.manual_seed(int(random_u64(seed, "finetune/start") >> 1))
    model = CLASSIFIERS[lesson.form](start, lesson, rows, settings.dropout).to(device_of(settings))
    steps, total, pad = -(-len(lesson.train.inputs) // settings.batch_size), 0, start.special.pad
    optim = optim_config(settings, settings.epochs * steps)
    optimizer = build_optimizer(model, optim)
    best, curve, kept = -1, [], {}
    for epoch in range(settings.epochs):
        order = np.argsort(random_u64(seed, "finetune/order", epoch, lesson.train.ids), kind="stable")
        for chosen in np.array_split(order, np.arange(settings.batch_size, len(order), settings.batch_size)):
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(optim, total, settings.epochs * steps)
            torch.manual_seed(int(random_u64(seed, "finetune/dropout", total) >> 1))
            loss = update(model, optimizer, _batch_loss(model, lesson, chosen, pad), settings.clip_norm)
            total += 1
            report(total, loss)
        curve.append(lesson.main(lesson.score(outputs(model, lesson.select.inputs, pad), lesson.select.targets)))
        if best < 0 or curve[-1] > curve[best]:
            best, kept = epoch, {name: value.cpu().clone() for name, value in model.state_dict().items()}
    model.load_state_dict(kept)
    found = {
        name: scored(lesson, name, outputs(model, part.inputs, pad), part.targets)
        for name, part in lesson.reported.items()
    }
    return {"seed": seed, "epoch": best + 1, "select": curve[best], "curve": curve, "reported": found}


def _batch_loss(model: LabelledEncoder, lesson: Lesson, chosen: Int64[np.ndarray, " B"], pad: int) -> Float[Tensor, ""]:
    model.train()
    device = next(model.parameters()).device
    batch = to_device(labelled_batch([lesson.train.inputs[i] for i in chosen], pad), device)
    return _loss(lesson.loss, model(batch), lesson.train.targets[torch.from_numpy(chosen)].to(device))


def scored(what: Any, name: str, logits: Float[Tensor, "N K"], targets: Tensor) -> dict[str, Any]:
    """The metrics of a reported part of a lesson or a subject, and those of its groups, by name beside them."""
    groups = {group: what.score(logits[chosen], targets[chosen]) for group, chosen in what.groups.get(name, {}).items()}
    return {**what.score(logits, targets), **groups}


def update(model: nn.Module, optimizer: Any, loss: Float[Tensor, ""], clip_norm: float) -> float:
    """One step down this loss; returns it. DataError where it is no number."""
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), clip_norm or float("inf"))
    optimizer.step()
    value = float(loss.detach())
    if not np.isfinite(value):
        raise DataError(f"The loss is {value}: fine-tuning has diverged. Lower --set lr.")
    return value


def _loss(kind: Loss, logits: Float[Tensor, "B K"], targets: Tensor) -> Float[Tensor, ""]:
    if kind == "labels":
        return F.binary_cross_entropy_with_logits(logits, targets)
    if kind == "label":
        return F.cross_entropy(logits, targets)
    return F.mse_loss(logits[:, 0], targets)


@torch.no_grad()
def outputs(model: nn.Module, inputs: Sequence[LabelledInput], pad: int) -> Float[Tensor, "N K"]:
    """What a model gives for each input, N >= 1, without dropout; those of like length go together."""
    model.eval()
    device = next(model.parameters()).device
    order = np.argsort([len(one.words) + len(one.entities) for one in inputs], kind="stable")
    found: list[Tensor] = []
    for begin in range(0, len(order), PREDICT_BATCH):
        batch = labelled_batch([inputs[i] for i in order[begin : begin + PREDICT_BATCH]], pad)
        found.append(model(to_device(batch, device)).float().cpu())
    together = torch.cat(found)
    return torch.empty_like(together).index_copy_(0, torch.from_numpy(order), together)


def part_of(rows: Sequence[Mapping[str, Any]], inputs: list[LabelledInput], targets: Tensor) -> Part:
    """A part of these rows of `examples`."""
    return Part(hash_strings(row["example_id"] for row in rows), inputs, targets)


def optim_config(settings: LearningSettings, steps: int) -> OptimConfig:
    return OptimConfig(
        lr=settings.lr,
        beta1=settings.beta1,
        beta2=settings.beta2,
        weight_decay=settings.weight_decay,
        schedule="linear",
        warmup_steps=int(settings.warmup * steps),
    )


def device_of(settings: LearningSettings) -> torch.device:
    wanted = settings.device
    if wanted == "auto":
        wanted = "cuda" if torch.cuda.is_available() else "cpu"
    elif wanted == "cuda" and not torch.cuda.is_available():
        raise DataError("--set device=cuda: torch finds no CUDA device. Take device=cpu.")
    return torch.device(wanted)
