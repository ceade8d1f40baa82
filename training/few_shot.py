"""Few-shot relation extraction: a model learns from episodes of some relations, its step is chosen on others, and it is
asked about others again.

E episodes, N ways, K shots, T queries of an episode, D hidden, M entities.
"""

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor
from torch.nn import functional as F

from schemas.hashing import random_u64
from training.config import AboveZero, Count, Positive, Share, Weight
from training.data.batch import to_device
from training.data.episodes import Episodes, Pool, Shape, draw
from training.data.labelled import LabelledInput, LabelledReader, labelled_batch
from training.finetune import PREDICT_BATCH, LearningSettings, device_of, optim_config, outputs, update
from training.labelled_encoder import Form, Start
from training.models.pair import Pair, pair_logits
from training.models.proto import Distance, Proto, proto_logits
from training.optim import build_optimizer, learning_rate

DROPOUT = {"proto": 0.5, "pair": 0.1}
AT_ONCE = 64
"""Episodes whose distances are in memory together."""


@dataclasses.dataclass(frozen=True)
class FewShotSettings(LearningSettings):
    """What `--set` can change; the defaults are those of FewRel's authors where they have any."""

    method: Literal["proto", "pair"] = "proto"
    """proto: the nearest mean of the shots; pair: a classifier that reads a shot and a query together."""
    ways: Positive = 5
    """N: relations of an episode."""
    shots: Positive = 1
    """K: examples that show each of them."""
    queries: Positive = 1
    """Of each relation in an episode."""
    na_rate: Count = 0
    """So many times `queries` are none of the relations, in training too (FewRel 2.0)."""
    train_ways: Count = 0
    """N in training; 0 for `ways`."""
    form: Form = "markers"
    """The sentence vector of proto: the states at the markers before head and tail, or that at <s>."""
    distance: Distance = "euclidean"
    """Of proto: the squared distance, or the dot product."""
    steps: Positive = 3_000
    batch_size: Positive = 4
    """Episodes of a step."""
    select_every: Positive = 500
    """Steps between two looks at the relations on which the step is chosen."""
    select_episodes: Positive = 500
    episodes: Positive = 2_000
    """That are reported."""
    lr: AboveZero = 2e-5
    clip_norm: Weight = 10.0
    dropout: Share | None = None
    """Of the sentence vectors (proto), of the head (pair); by default 0.5 and 0.1."""
    divide: str = ""
    """For files of one group: how many relations are train, valid and test, such as 8,4,4, by a hash of the relation;
    empty for the files' own splits."""
    group: str = ""
    """The file that is reported, or with `divide` the one that is divided, such as val_pubmed; empty for the Wikipedia
    one, or the only one."""

    def shape(self, ways: int) -> Shape:
        """Of an episode."""
        return Shape(ways, self.shots, self.queries, self.na_rate * self.queries)


@dataclasses.dataclass(frozen=True)
class Relations:
    """The examples of a part, as a model reads them."""

    pool: Pool
    inputs: list[LabelledInput]


@dataclasses.dataclass(frozen=True)
class Parts:
    """What is learned from, what chooses the step, what is reported; and what read them."""

    train: Relations
    select: Relations
    reported: Relations
    reader: LabelledReader
    rows: Float[Tensor, "M D"]
    """Of the entities that the model knows."""


def learn(
    start: Start, parts: Parts, settings: FewShotSettings, seed: int, report: Callable[[int, float], None]
) -> dict[str, Any]:
    """What a seed reaches: {seed, step, select, curve, right}, the last (E, T) of the episodes that are reported."""
    torch.manual_seed(int(random_u64(seed, "few-shot/start") >> 1))
    model = _model(start, parts, settings).to(device_of(settings))
    optim = optim_config(settings, settings.steps)
    optimizer = build_optimizer(model, optim)
    shape, steps, curve, kept = settings.shape(settings.train_ways or settings.ways), [], [], {}
    for step in range(settings.steps):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(optim, step, settings.steps)
        torch.manual_seed(int(random_u64(seed, "few-shot/dropout", step) >> 1))
        first = step * settings.batch_size
        episodes = draw(parts.train.pool, shape, seed, "train", range(first, first + settings.batch_size))
        model.train()
        logits = _episode_logits(model, parts.train, episodes, parts.reader, settings)
        answers = torch.from_numpy(episodes.answers).to(logits.device)
        loss = F.cross_entropy(logits.flatten(0, 1), answers.flatten())
        report(step + 1, update(model, optimizer, loss, settings.clip_norm))
        if (step + 1) % settings.select_every == 0 or step + 1 == settings.steps:
            curve.append(float(_right(model, parts, "select", settings).mean()))
            steps.append(step + 1)
            if curve[-1] > max(curve[:-1], default=-1.0):
                kept = {name: value.cpu().clone() for name, value in model.state_dict().items()}
    model.load_state_dict(kept)
    best = int(np.argmax(curve))
    right = _right(model, parts, "reported", settings)
    return {"seed": seed, "step": steps[best], "select": curve[best], "curve": curve, "right": right}


def evaluation_episodes(part: str, relations: Relations, settings: FewShotSettings) -> Episodes:
    """The episodes of `select` or `reported`: the same for every system and every seed that is learned."""
    count = settings.select_episodes if part == "select" else settings.episodes
    return draw(relations.pool, settings.shape(settings.ways), settings.seed, part, range(count))


def nearest_means(vectors: Float[Tensor, "X V"], episodes: Episodes, distance: Distance) -> Int64[np.ndarray, "E T"]:
    """The answers of proto, given the vectors of all examples."""
    said = []
    for some in _pieces(episodes, AT_ONCE):
        logits = proto_logits(vectors[some.support], vectors[some.queries], distance)
        said.append(logits.argmax(dim=-1).numpy())
    return np.concatenate(said)


def _model(start: Start, parts: Parts, settings: FewShotSettings) -> Proto | Pair:
    markers, dropout = 2 * len(parts.reader.markers), settings.dropout
    dropout = DROPOUT[settings.method] if dropout is None else dropout
    if settings.method == "pair":
        return Pair(start, markers, parts.rows, dropout)
    return Proto(start, markers, parts.rows, dropout, settings.form)


def _right(model: Proto | Pair, parts: Parts, part: str, settings: FewShotSettings) -> Bool[np.ndarray, "E T"]:
    relations: Relations = getattr(parts, part)
    episodes = evaluation_episodes(part, relations, settings)
    if isinstance(model, Proto):
        vectors = outputs(model, relations.inputs, parts.reader.special.pad)
        return nearest_means(vectors, episodes, settings.distance) == episodes.answers
    said, pairs = [], episodes.support[0].size * episodes.queries.shape[1]
    model.eval()
    for some in _pieces(episodes, max(1, PREDICT_BATCH // pairs)):
        with torch.no_grad():
            logits = _episode_logits(model, relations, some, parts.reader, settings)
        said.append(logits.argmax(dim=-1).cpu().numpy())
    return np.concatenate(said) == episodes.answers


def _pieces(episodes: Episodes, size: int) -> Iterator[Episodes]:
    """So many episodes at a time."""
    for begin in range(0, len(episodes.answers), size):
        part = slice(begin, begin + size)
        yield Episodes(episodes.support[part], episodes.queries[part], episodes.answers[part])


def _episode_logits(
    model: Proto | Pair, relations: Relations, episodes: Episodes, reader: LabelledReader, settings: FewShotSettings
) -> Float[Tensor, "E T N1"]:
    """Of each relation of an episode, and of none of them."""
    count, ways, shots = episodes.support.shape
    queries = episodes.queries.shape[1]
    inputs = relations.inputs
    if isinstance(model, Pair):
        together = [
            reader.pair(inputs[shot], inputs[query])
            for shown, asked in zip(episodes.support, episodes.queries, strict=True)
            for query in asked
            for shot in shown.ravel()
        ]
        return pair_logits(_encoded(model, together, reader).view(count, queries, ways, shots, 2))
    places = np.concatenate([episodes.support.reshape(count, -1), episodes.queries], axis=1)
    vectors = _encoded(model, [inputs[place] for place in places.ravel()], reader).view(count, places.shape[1], -1)
    support = vectors[:, : ways * shots].reshape(count, ways, shots, -1)
    return proto_logits(support, vectors[:, ways * shots :], settings.distance)


def _encoded(model: Proto | Pair, inputs: Sequence[LabelledInput], reader: LabelledReader) -> Float[Tensor, "B V"]:
    return model(to_device(labelled_batch(inputs, reader.special.pad), next(model.parameters()).device))
