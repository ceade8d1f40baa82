"""Fine-tuning: an encoder and a classification head learn a task's train examples; the epoch is chosen on others, which
are never those that are reported.

The form is CoLAKE's (section 4.1): the state at <s> through dense, GELU, dropout, LayerNorm and a linear layer. Of a
CoLAKE run the dense layer and the norm begin as its entity head's or its relation head's, entities that are linked are
nodes beside the words, which all see each other, and their table is frozen.

B examples of a batch, S nodes of the longest, D hidden, K outputs.
"""

import copy
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
from training.data.collate import ENTITY
from training.data.labelled import LabelledBatch, LabelledInput, labelled_batch
from training.data.special import SpecialTokens
from training.encoders import TiedHead
from training.optim import build_optimizer, learning_rate

Loss = Literal["labels", "label", "score"]
"""Any number of labels (binary cross-entropy of each), one label (cross-entropy), a number (squared error)."""
PREDICT_BATCH = 64


@dataclasses.dataclass(frozen=True)
class FinetuneSettings:
    """What `--set` can change; the defaults are CoLAKE's."""

    epochs: Positive = 3
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
    batch_size: Positive = 32
    dropout: Share = 0.3
    """Of the head; the encoder's is its own."""
    max_length: Annotated[int, Field(ge=8)] = 256
    """Words of an example; at most those that the encoder reads."""
    entities: bool = True
    """Show a CoLAKE run the entities that the examples link."""
    device: Literal["auto", "cpu", "cuda"] = "auto"


@dataclasses.dataclass(frozen=True)
class Start:
    """What is fine-tuned: a run's encoder with what goes with it, or a plain folder's."""

    name: str
    encoder: Any
    tokenizer: Any
    special: SpecialTokens
    max_length: int
    """Words that it reads."""
    position_offset: int | None = None
    """Of an encoder of word-knowledge graphs; None for one that reads texts alone."""
    entities: Callable[[Sequence[str]], tuple[list[str], Float[Tensor, "M D"]]] | None = None
    """Entities -> those that the run knows, and their rows."""
    heads: Mapping[str, TiedHead] = dataclasses.field(default_factory=dict)
    """Heads that were trained: entity, relation."""
    relations: Callable[[str], tuple[Float[Tensor, " D"], float] | None] = lambda _relation: None
    """A relation's row and its bias, None for one that the run does not know."""


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


class Classifier(nn.Module):
    """An encoder with new words, and a head on its state at <s>."""

    def __init__(self, start: Start, lesson: Lesson, rows: Float[Tensor, "M D"], dropout: float) -> None:
        """The caller sets torch's seed."""
        super().__init__()
        self.encoder = copy.deepcopy(start.encoder)
        self._offset = start.position_offset
        hidden, spread = int(self.encoder.config.hidden_size), float(self.encoder.config.initializer_range)
        self._add_words(lesson.markers, spread)
        # Frozen: too few of its rows are in a task for the others to keep their place beside them.
        self.register_buffer("entities", rows, persistent=False)
        self.dense, self.norm = nn.Linear(hidden, hidden), nn.LayerNorm(hidden)
        nn.init.normal_(self.dense.weight, std=spread)
        nn.init.zeros_(self.dense.bias)
        if lesson.head in start.heads:
            trained = start.heads[lesson.head]
            self.dense.load_state_dict(trained.dense.state_dict())
            self.norm.load_state_dict(trained.norm.state_dict())
            self.norm.eps = trained.norm.eps
        self.dropout = nn.Dropout(dropout)
        self.decoder = nn.Linear(hidden, len(lesson.labels))
        nn.init.normal_(self.decoder.weight, std=spread)
        nn.init.zeros_(self.decoder.bias)
        if lesson.head == "relation":
            self._begin_as_relations(start, lesson.labels)

    def forward(self, batch: LabelledBatch) -> Float[Tensor, "B K"]:
        """Logits."""
        states = self._states(batch)[:, 0]
        return self.decoder(self.norm(self.dropout(F.gelu(self.dense(states)))))

    def _states(self, batch: LabelledBatch) -> Float[Tensor, "B S D"]:
        if self._offset is None:
            kinds = int(getattr(self.encoder.config, "type_vocab_size", 0))
            types = {"token_type_ids": batch.segments.clamp(max=kinds - 1)} if kinds > 1 else {}
            return self.encoder(input_ids=batch.ids, attention_mask=batch.real, **types).last_hidden_state
        is_entity = batch.types == ENTITY
        words = self.encoder.get_input_embeddings()(batch.ids.masked_fill(is_entity, 0))
        shown = words.clone()
        shown[is_entity] = self.entities[batch.ids[is_entity]]
        return self.encoder(
            inputs_embeds=shown,
            attention_mask=batch.real,
            position_ids=batch.positions + self._offset,
            token_type_ids=batch.types,
        ).last_hidden_state

    @torch.no_grad()
    def _add_words(self, count: int, spread: float) -> None:
        old = self.encoder.get_input_embeddings()
        table = nn.Embedding(old.num_embeddings + count, old.embedding_dim, padding_idx=old.padding_idx)
        table.weight[: old.num_embeddings] = old.weight
        nn.init.normal_(table.weight[old.num_embeddings :], std=spread)
        self.encoder.set_input_embeddings(table)

    @torch.no_grad()
    def _begin_as_relations(self, start: Start, labels: Sequence[str]) -> None:
        for row, label in enumerate(labels):
            known = start.relations(label)
            if known is not None:
                self.decoder.weight[row], self.decoder.bias[row] = known


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
        _one_seed(start, lesson, rows, settings, settings.seed + number, _after(number * each, report))
        for number in range(settings.seeds)
    ]


def _after(steps: int, report: Callable[[int, float], None]) -> Callable[[int, float], None]:
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
    model = Classifier(start, lesson, rows, settings.dropout).to(_device(settings))
    steps, total = -(-len(lesson.train.inputs) // settings.batch_size), 0
    optim = _optim(settings, settings.epochs * steps)
    optimizer = build_optimizer(model, optim)
    best, curve, kept = -1, [], {}
    for epoch in range(settings.epochs):
        order = np.argsort(random_u64(seed, "finetune/order", epoch, lesson.train.ids), kind="stable")
        for chosen in np.array_split(order, np.arange(settings.batch_size, len(order), settings.batch_size)):
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(optim, total, settings.epochs * steps)
            torch.manual_seed(int(random_u64(seed, "finetune/dropout", total) >> 1))
            loss = _step(model, optimizer, lesson, chosen, start.special.pad, settings.clip_norm)
            total += 1
            report(total, loss)
        curve.append(lesson.main(lesson.score(_logits(model, lesson.select, start), lesson.select.targets)))
        if best < 0 or curve[-1] > curve[best]:
            best, kept = epoch, {name: value.cpu().clone() for name, value in model.state_dict().items()}
    model.load_state_dict(kept)
    found = {name: lesson.score(_logits(model, part, start), part.targets) for name, part in lesson.reported.items()}
    return {"seed": seed, "epoch": best + 1, "select": curve[best], "curve": curve, "reported": found}


def _step(
    model: Classifier, optimizer: Any, lesson: Lesson, chosen: Int64[np.ndarray, " B"], pad: int, clip_norm: float
) -> float:
    model.train()
    device = model.decoder.weight.device
    batch = to_device(labelled_batch([lesson.train.inputs[i] for i in chosen], pad), device)
    loss = _loss(lesson.loss, model(batch), lesson.train.targets[torch.from_numpy(chosen)].to(device))
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
def _logits(model: Classifier, part: Part, start: Start) -> Float[Tensor, "N K"]:
    """Of all examples of a part; those of like length go together."""
    model.eval()
    device = model.decoder.weight.device
    order = np.argsort([len(one.words) + len(one.entities) for one in part.inputs], kind="stable")
    logits = torch.empty(len(order), model.decoder.out_features)
    for begin in range(0, len(order), PREDICT_BATCH):
        chosen = order[begin : begin + PREDICT_BATCH]
        batch = labelled_batch([part.inputs[i] for i in chosen], start.special.pad)
        logits[torch.from_numpy(chosen)] = model(to_device(batch, device)).float().cpu()
    return logits


def part_of(rows: Sequence[Mapping[str, Any]], inputs: list[LabelledInput], targets: Tensor) -> Part:
    """A part of these rows of `examples`."""
    return Part(hash_strings(row["example_id"] for row in rows), inputs, targets)


def _optim(settings: FinetuneSettings, steps: int) -> OptimConfig:
    return OptimConfig(
        lr=settings.lr,
        beta1=settings.beta1,
        beta2=settings.beta2,
        weight_decay=settings.weight_decay,
        schedule="linear",
        warmup_steps=int(settings.warmup * steps),
    )


def _device(settings: FinetuneSettings) -> torch.device:
    wanted = settings.device
    if wanted == "auto":
        wanted = "cuda" if torch.cuda.is_available() else "cpu"
    elif wanted == "cuda" and not torch.cuda.is_available():
        raise DataError("--set device=cuda: torch finds no CUDA device. Take device=cpu.")
    return torch.device(wanted)
