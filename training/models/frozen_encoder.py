"""A frozen text encoder with a trained table of relations: what KEPLER is when its encoder is not trained.

An entity's vector is read from its text once, and stays; relations are trained by KEPLER's loss, score and negatives
(Wang et al., TACL 2021, eq. 2 and 3). An entity that train lacks is represented as any other.

B triples, N negatives, U distinct entities of a batch, E entities, C candidates, R relations, D dimensions.
"""

import dataclasses
from collections.abc import Iterator
from typing import Annotated, Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from pydantic import Field
from torch import Tensor, nn

from schemas.errors import DataError, UsageError, first_line
from schemas.hashing import random_u64
from training.config import EncoderConfig, Pooling
from training.data.batch import tensor, to_device
from training.data.negatives import KnownFacts, corrupt_tails, known_facts
from training.data.text import TextBatch
from training.data.triples import Descriptions
from training.encoders import build_encoder, encode_text, pooled
from training.evaluation.facts import Facts
from training.metrics import progress
from training.objectives import Score, harder, info_nce_sum, knowledge_embedding_sum
from training.scoring import ShownFacts, VectorForm

REDRAWS = 2
"""Draws per corrupted entity, each a hash: with 64 negatives, KEPLER's eight would cost more than the distances."""
TRIPLES_AT_ONCE = 2**14
"""Triples that are scored together."""


@dataclasses.dataclass(frozen=True)
class TextVectorSettings:
    """How texts become vectors; what `--set` can change."""

    encoder: str = "sentence-transformers/all-MiniLM-L6-v2"
    """Hugging Face name or local folder; `wikiloom export` makes one of a run."""
    tokens: str = "all-MiniLM-L6-v2"
    """The token ids to read: the dataset's tokens/NAME, made by the encoder's tokenizer."""
    pooling: Pooling = "mean"
    """A text's vector: the state at its first token, or the mean over all of them."""
    max_length: Annotated[int, Field(ge=4)] = 128
    """Tokens of a text, specials included."""
    dim: Annotated[int, Field(ge=0)] = 0
    """The encoder's own; 0 looks it up."""

    def resolved(self) -> "TextVectorSettings":
        """The settings with the encoder's own `dim`."""
        return dataclasses.replace(self, dim=hidden_size(self.encoder))


@dataclasses.dataclass(frozen=True)
class FrozenEncoderSettings(TextVectorSettings):
    """What `--set` can change; the objective's settings are those of `kepler.`."""

    normalized: bool = True
    """Vectors of unit length, as sentence encoders give them."""
    loss: Literal["margin", "infonce"] = "margin"
    """KEPLER's eq. 2, or cross-entropy over the negatives, with the temperature below (kepler.loss)."""
    score: Literal["distance", "cosine"] = "distance"
    norm: Literal[1, 2] = 1
    """Of the distance."""
    temperature: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 0.05
    gamma: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 12.0
    negatives: Annotated[int, Field(ge=0)] = 0
    in_batch: bool = True
    """All entities of the batch that make no fact are negatives of every triple, the triple's other end and the drawn
    ones of other triples too (kepler.in_batch with kepler.self_negatives)."""
    self_adversarial: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 1.0
    epochs: Annotated[int, Field(ge=1)] = 10
    batch: Annotated[int, Field(ge=1)] = 256
    lr: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 0.01
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.negatives and not self.in_batch:
            raise UsageError("negatives=0 with in_batch=false leaves no negatives: set one of them.")
        if self.loss == "margin" and self.score == "cosine":
            raise UsageError("score=cosine has no distance for gamma: set loss=infonce.")


class FrozenEncoder(nn.Module):
    """The entities' vectors, which no gradient reaches, and the relations."""

    entities: Float[Tensor, "E D"]

    def __init__(self, settings: FrozenEncoderSettings, entities: Float[Tensor, "E D"], relations: int) -> None:
        super().__init__()
        self.settings, self.score = settings, Score(settings.score, settings.norm)
        self.register_buffer("entities", entities)
        self.relation = nn.Embedding(relations, entities.shape[1])
        bound = (settings.gamma + 2) / entities.shape[1]
        nn.init.uniform_(self.relation.weight, -bound, bound)


@dataclasses.dataclass(frozen=True)
class FactBatch:
    """Triples, and what their ends are told apart from."""

    triples: Int64[np.ndarray, "B 3"]
    heads: Int64[np.ndarray, "B N"]
    """Drawn for each triple, as its head."""
    tails: Int64[np.ndarray, "B N"]


def hidden_size(encoder: str) -> int:
    """An encoder's dimensions, by its config alone; DataError where there is none."""
    from transformers import AutoConfig

    from schemas.packaged import package_hint, packaged_model

    try:
        return int(AutoConfig.from_pretrained(packaged_model(encoder) or encoder, trust_remote_code=False).hidden_size)
    except (OSError, ValueError, KeyError, AttributeError) as error:
        raise DataError(
            f"The encoder {encoder!r} can't be loaded: {first_line(error)} "
            f"Give encoder a local folder with config.json, or a Hugging Face name.{package_hint(encoder)}"
        ) from error


@torch.no_grad()
def text_vectors(settings: TextVectorSettings, texts: Descriptions, words: int) -> Float[Tensor, "E D"]:
    """Every text's vector."""
    sizes = EncoderConfig(name=settings.encoder, max_positions=min(settings.max_length, texts.longest), dropout=0.0)
    encoder = build_encoder(sizes, words, token_types=1).encoder.eval()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    encoder.to(device)

    def encode(piece: TextBatch) -> Float[Tensor, "U D"]:
        piece = to_device(piece, device)
        return pooled(encode_text(encoder, piece.ids, piece.real), piece.real, settings.pooling).cpu()

    return texts.encoded(encode, np.arange(len(texts.tokens.lengths)))


def batches(settings: FrozenEncoderSettings, known: KnownFacts, facts: Facts, epoch: int) -> Iterator[FactBatch]:
    """The epoch's batches: order and negatives are hashes of (seed, epoch, row)."""
    triples = facts.splits["train"]
    rows = random_u64(settings.seed, "frozen-encoder/order", epoch, np.arange(len(triples))).argsort(kind="stable")
    draws = np.arange(settings.negatives * REDRAWS).reshape(settings.negatives, REDRAWS)
    for start in range(0, len(rows), settings.batch):
        chosen = rows[start : start + settings.batch]
        drawn = []
        for side in ("heads", "tails"):
            words = random_u64(settings.seed, f"frozen-encoder/{side}", epoch, chosen[:, None, None], draws[None])
            drawn.append(corrupt_tails(triples[chosen], known, words, heads=side == "heads"))
        yield FactBatch(triples[chosen], *drawn)


def knowledge_sum(model: FrozenEncoder, batch: FactBatch, known: KnownFacts) -> Float[Tensor, ""]:
    """KEPLER's eq. 2 summed over the triples, or the mean of both sides' cross-entropies."""
    settings, (heads, relations, tails) = model.settings, torch.from_numpy(batch.triples.T.copy())
    relation = model.relation(relations)
    queries = (model.entities[tails] - relation, model.entities[heads] + relation)
    if settings.in_batch:
        others = np.unique(np.concatenate([batch.triples[:, [0, 2]].ravel(), batch.heads.ravel(), batch.tails.ravel()]))
        counts = [tensor(side.astype(np.float32)) for side in _false_in_batch(batch.triples, others, known)]
        scores = [model.score.pairs(query, model.entities[others]) for query in queries]
    else:
        counts = [torch.ones(side.shape) for side in (batch.heads, batch.tails)]
        drawn = zip(queries, (batch.heads, batch.tails), strict=True)
        scores = [_of_drawn(model, query, torch.from_numpy(entities)) for query, entities in drawn]
    near = [model.score.rows(query, model.entities[own]) for query, own in zip(queries, (heads, tails), strict=True)]
    if settings.loss == "infonce":
        sides = zip(near, scores, counts, strict=True)
        losses = [info_nce_sum(*(each / settings.temperature for each in own), count) for *own, count in sides]
        return (losses[0] + losses[1]) / 2
    weights = [_alike(count) for count in counts]
    return knowledge_embedding_sum(
        -(near[0] + near[1]) / 2,
        *(-score for score in scores),
        *(harder(weight, -far, settings.self_adversarial) for weight, far in zip(weights, scores, strict=True)),
        gamma=settings.gamma,
        halved=False,
    )


def _of_drawn(
    model: FrozenEncoder, queries: Float[Tensor, "B D"], entities: Int64[Tensor, "B N"]
) -> Float[Tensor, "B N"]:
    """The score of each query with each entity drawn for it."""
    found = model.score.rows(queries.repeat_interleave(entities.shape[1], dim=0), model.entities[entities.flatten()])
    return found.unflatten(0, tuple(entities.shape))


def train_frozen_encoder(
    settings: FrozenEncoderSettings, facts: Facts, texts: Descriptions, words: int
) -> FrozenEncoder:
    """Train on the train triples; the same weights for equal settings and threads."""
    triples = facts.splits["train"]
    if not len(triples):
        raise DataError("The dataset has no train triples to learn from. Build it with a larger --keep.")
    vectors = text_vectors(settings, texts, words)
    if settings.normalized:
        vectors = nn.functional.normalize(vectors, dim=-1)
    with torch.random.fork_rng():
        torch.manual_seed(settings.seed)
        model = FrozenEncoder(settings, vectors, facts.relations)
    known = known_facts(triples, facts.entities, facts.relations, facts.learnable)
    optimizer = torch.optim.Adam(model.parameters(), lr=settings.lr)
    with progress(settings.epochs, 0, len(triples)) as report:
        for epoch in range(settings.epochs):
            total = 0.0
            for group in optimizer.param_groups:
                group["lr"] = settings.lr * (1 - epoch / settings.epochs)
            for batch in batches(settings, known, facts, epoch):
                loss = knowledge_sum(model, batch, known)
                optimizer.zero_grad()
                (loss / len(batch.triples)).backward()
                optimizer.step()
                total += loss.item()
            report(epoch + 1, total / len(triples))
    return model.eval()


class FrozenEncoderScorer:
    """A trained model behind training.scoring's Scorer, VectorScorer, RelationScorer and TripleScorer: -||h + r - t||_p
    of every candidate, or the cosine of h + r and t, of t - r and h."""

    least_facts = 0

    def __init__(self, model: FrozenEncoder, candidates: Int64[Tensor, " C"] | None = None) -> None:
        """`candidates` are sorted; None for all entities."""
        self._model, self._score = model, model.score
        self._relation = model.relation.weight.detach()
        self._entities = model.entities if candidates is None else model.entities[candidates]

    def among(self, candidates: Int64[Tensor, " C"]) -> "FrozenEncoderScorer":
        """The same for these alone."""
        return FrozenEncoderScorer(self._model, candidates)

    def tails(self, heads: Int64[Tensor, " B"], relations: Int64[Tensor, " B"]) -> Float[Tensor, "B C"]:
        """Score of every candidate as the tail."""
        return self._score.pairs(self._model.entities[heads] + self._relation[relations], self._entities)

    def heads(self, relations: Int64[Tensor, " B"], tails: Int64[Tensor, " B"]) -> Float[Tensor, "B C"]:
        """Score of every candidate as the head."""
        return self._score.pairs(self._model.entities[tails] - self._relation[relations], self._entities)

    def vector_form(self) -> VectorForm:
        """The candidates' vectors against h + r, or t - r."""
        entities, relations = self._model.entities, self._relation
        return VectorForm.of(
            self._score,
            self._entities,
            lambda heads, between: entities[heads] + relations[between],
            lambda between, tails: entities[tails] - relations[between],
        )

    def tails_shown(
        self, heads: Int64[Tensor, " B"], relations: Int64[Tensor, " B"], shown: ShownFacts
    ) -> Float[Tensor, "B C"]:
        """As `tails`, of heads of which facts are shown."""
        return self._score.pairs(self._introduced(heads, shown) + self._relation[relations], self._entities)

    def heads_shown(
        self, relations: Int64[Tensor, " B"], tails: Int64[Tensor, " B"], shown: ShownFacts
    ) -> Float[Tensor, "B C"]:
        """As `heads`, of tails of which facts are shown."""
        return self._score.pairs(self._introduced(tails, shown) - self._relation[relations], self._entities)

    def triples(
        self, heads: Int64[Tensor, " N"], relations: Int64[Tensor, " N"], tails: Int64[Tensor, " N"]
    ) -> Float[Tensor, " N"]:
        """Score of each triple: as in training, the mean of both questions'."""
        parts = zip(*(each.split(TRIPLES_AT_ONCE) for each in (heads, relations, tails)), strict=True)
        return torch.cat([self._rows(h, r, t) for h, r, t in parts])

    def _rows(
        self, heads: Int64[Tensor, " N"], relations: Int64[Tensor, " N"], tails: Int64[Tensor, " N"]
    ) -> Float[Tensor, " N"]:
        h, r, t = self._model.entities[heads], self._relation[relations], self._model.entities[tails]
        return (self._score.rows(h + r, t) + self._score.rows(t - r, h)) / 2

    def _introduced(self, entities: Int64[Tensor, " B"], shown: ShownFacts) -> Float[Tensor, "B D"]:
        """The mean of the text's vector and of where each fact says that the entity lies."""
        said = shown.translated(self._model.entities[shown.others], self._relation[shown.relations])
        return torch.cat([self._model.entities[entities][:, None], said], dim=1).mean(dim=1)

    def relations(self, heads: Int64[Tensor, " B"], tails: Int64[Tensor, " B"]) -> Float[Tensor, "B R"]:
        """Score of every relation."""
        every = torch.arange(len(self._relation)).expand(len(heads), -1)
        head, tail = (each[:, None].expand_as(every).flatten() for each in (heads, tails))
        return self.triples(head, every.flatten(), tail).unflatten(0, tuple(every.shape))


def _false_in_batch(
    triples: Int64[np.ndarray, "B 3"], entities: Int64[np.ndarray, " U"], known: KnownFacts
) -> tuple[Bool[np.ndarray, "B U"], Bool[np.ndarray, "B U"]]:
    """Which entities make no known fact as a triple's head, and as its tail."""
    head, relation, tail = (triples[:, i, None] for i in range(3))
    return ~known.holds(entities, relation, tail), ~known.holds(head, relation, entities)


def _alike(counts: Float[Tensor, "B U"]) -> Float[Tensor, "B U"]:
    """A row's negatives weigh 1/2 together: the two sides of a triple weigh 1."""
    return counts / (2 * counts.sum(dim=1, keepdim=True)).clamp(min=1)
