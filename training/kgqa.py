"""Questions of a knowledge graph: an encoder learns to give a question the vector of its answers among the candidates.

The score of a candidate is the product of its vector with the question's, which is the state at <s>, times D ** -0.25.
The loss is the cross-entropy over candidates of which any may be right: -log of the share that the right ones have. Of
many candidates a step reads some: one answer, and others by a hash.

B questions, U distinct candidates of them, D hidden, S nodes, M entities.
"""

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Literal, Protocol

import numpy as np
import torch
from jaxtyping import Bool, Float, Float64, Int64
from pydantic import Field
from torch import Tensor, nn

from schemas.hashing import random_u64
from training.config_types import AboveZero, Chance, Count, Positive, Share, Weight
from training.data.kg_questions import Question
from training.data.labelled import LabelledInput
from training.finetune import PREDICT_BATCH, LearningSettings, device_of, optim_config, update
from training.optim import build_optimizer, group_rate, learning_rate

Side = Literal["text", "memory", "graph"]
"""What stands for a candidate. text: its text, read by the encoder that learns; memory: what JAKET's memory of entity
contexts holds of it, made of its text alone, which stays as it is (the paper's); graph: what the knowledge module makes
of that and of its neighbours."""


@dataclasses.dataclass(frozen=True)
class KgqaSettings(LearningSettings):
    """What `--set` can change."""

    hops: Literal["all", "1-hop", "2-hop", "3-hop"] = "all"
    """Which questions are learned from, and asked."""
    kg: Chance = 1.0
    """Share of the triples that are kept, by a hash of (data_seed, triple)."""
    data_seed: Count = 0
    """Of what is the same whatever `seed` is: triples that are kept, entities' texts, questions that are held out to
    choose the step, and those that are asked."""
    answers: Literal["auto", "text", "memory", "graph"] = "auto"
    """What stands for a candidate (Side); auto: memory for a JAKET run, text for all others."""
    candidates: Annotated[int, Field(ge=2)] = 8
    """Of a question that is learned from, at most."""
    steps: Positive = 1_000
    batch_size: Positive = 16
    """Questions of a step."""
    select_every: Positive = 250
    """Steps between two looks at the questions on which the step is chosen."""
    select_questions: Positive = 500
    """These are at most so many, chosen by a hash."""
    questions: Count = 0
    """That are reported, of each number of hops, chosen by a hash; 0 for all."""
    clip_norm: Weight = 1.0
    rest_scale: AboveZero = 10.0
    """The learning rate of what is not the encoder's, JAKET's knowledge module, as a multiple of lr."""
    dropout: Share = 0.0
    """Of the questions' vectors."""
    max_length: Annotated[int, Field(ge=8)] = 64


@dataclasses.dataclass(frozen=True)
class Part:
    """Questions as a model reads them."""

    questions: Sequence[Question]
    inputs: Sequence[LabelledInput]

    def __len__(self) -> int:
        return len(self.questions)


class Answerer(Protocol):
    """What learns. Both are vectors of D numbers, with gradients where they are learned."""

    def asked(self, inputs: Sequence[LabelledInput]) -> Float[Tensor, "B D"]:
        """Of questions."""
        ...

    def answers(self, entities: Int64[np.ndarray, " U"]) -> Float[Tensor, "U D"]:
        """Of candidates."""
        ...


def learn(
    model: nn.Module, parts: dict[str, Part], settings: KgqaSettings, seed: int, report: Callable[[int, float], None]
) -> dict[str, Any]:
    """What a seed reaches: {seed, step, select, curve, hits}; `parts` are train, select and reported, `hits` (Q,) of
    those that are reported."""
    model.to(device_of(settings))
    optim = dataclasses.replace(optim_config(settings, settings.steps), rest_scale=settings.rest_scale)
    optimizer = build_optimizer(model, optim)
    steps: list[int] = []
    curve: list[float] = []
    kept: dict[str, Tensor] = {}
    for step in range(settings.steps):
        for group in optimizer.param_groups:
            group["lr"] = group_rate(group, optim, step, settings.steps, learning_rate(optim, step, settings.steps))
        torch.manual_seed(int(random_u64(seed, "kgqa/dropout", step) >> 1))
        model.train()
        loss = _loss(model, parts["train"], settings, seed, step)
        report(step + 1, update(model, optimizer, loss, settings.clip_norm))
        if (step + 1) % settings.select_every == 0 or step + 1 == settings.steps:
            curve.append(float(hits(model, parts["select"]).mean()))
            steps.append(step + 1)
            if curve[-1] == max(curve):
                kept = {name: value.cpu().clone() for name, value in model.state_dict().items()}
    model.load_state_dict(kept)
    best = len(curve) - 1 - int(np.argmax(curve[::-1]))  # of equals the latest
    found = hits(model, parts["reported"])
    return {"seed": seed, "step": steps[best], "select": curve[best], "curve": curve, "hits": found}


def chosen_for(step: int, count: int, size: int, seed: int) -> Int64[np.ndarray, " B"]:
    """Which questions a step learns from: a pass over all of them in an order of its own, then another."""
    places = np.arange(step * size, (step + 1) * size)
    found = np.empty(size, dtype=np.int64)
    for turn in np.unique(places // count).tolist():
        own = places // count == turn
        order = np.argsort(random_u64(seed, "kgqa/order", turn, np.arange(count)), kind="stable")
        found[own] = order[places[own] % count]
    return found


def shown(question: Question, most: int, seed: int, step: int) -> Int64[np.ndarray, " C"]:
    """The candidates that a step reads: all, or one answer and others, by a hash."""
    if len(question.candidates) <= most:
        return question.candidates
    order = np.argsort(random_u64(seed, "kgqa/candidates", step, question.candidates), kind="stable")
    first = order[question.right[order].argmax()]
    return question.candidates[np.append(first, order[order != first][: most - 1])]


def multi_positive_loss(scores: Float[Tensor, "B U"], asked: Bool[Tensor, "B U"], right: Bool[Tensor, "B U"]) -> Tensor:
    """Mean of -log of the share of the right candidates among those that are asked of a question."""
    everything = scores.masked_fill(~asked, -math.inf).logsumexp(dim=1)
    return (everything - scores.masked_fill(~right, -math.inf).logsumexp(dim=1)).mean()


def _loss(model: Any, part: Part, settings: KgqaSettings, seed: int, step: int) -> Float[Tensor, ""]:
    chosen = chosen_for(step, len(part), settings.batch_size, seed)
    questions = [part.questions[i] for i in chosen]
    read = [shown(one, settings.candidates, seed, step) for one in questions]
    entities = np.unique(np.concatenate(read))
    asked = np.stack([np.isin(entities, own) for own in read])
    right = np.stack([np.isin(entities, one.answers) for one in questions]) & asked
    scores = _scores(model.asked([part.inputs[i] for i in chosen]), model.answers(entities))
    return multi_positive_loss(scores, *(torch.from_numpy(mask).to(scores.device) for mask in (asked, right)))


def _scores(asked: Float[Tensor, "B D"], answers: Float[Tensor, "U D"]) -> Float[Tensor, "B U"]:
    # Both have lengths of about the root of D: with attention's factor, D ** -0.5, no score could be far from another.
    return asked @ answers.T * asked.shape[1] ** -0.25


@torch.no_grad()
def hits(model: Any, part: Part) -> Float64[np.ndarray, " Q"]:
    """Of each question the share of answers among its best candidates: what a choice among equals hits on average. 0
    where it has no candidate."""
    model.eval()
    entities = np.unique(np.concatenate([one.candidates for one in part.questions] or [np.empty(0, np.int64)]))
    vectors = _in_pieces(model.answers, entities)
    asked = _in_pieces(model.asked, part.inputs)
    found = np.zeros(len(part))
    for number, question in enumerate(part.questions):
        if len(question.candidates):
            own = vectors[torch.from_numpy(np.searchsorted(entities, question.candidates))]
            found[number] = hit(_scores(asked[number : number + 1], own)[0].numpy(), question.right)
    return found


def hit(scores: Float[np.ndarray, " C"], right: Bool[np.ndarray, " C"]) -> float:
    """The share of the right ones among the best."""
    return float(right[scores == scores.max()].mean())


def _in_pieces(read: Callable[[Any], Float[Tensor, "N D"]], what: Any) -> Float[Tensor, "N D"]:
    pieces = [read(what[begin : begin + PREDICT_BATCH]).float().cpu() for begin in range(0, len(what), PREDICT_BATCH)]
    return torch.cat(pieces)
