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

from schemas.errors import DataError, UsageError
from schemas.hashing import random_u64
from training.config import EncoderConfig, Pooling
from training.data.batch import tensor, to_device
from training.data.negatives import KnownFacts, corrupt_tails, known_facts
from training.data.text import TextBatch
from training.data.triples import Descriptions
from training.encoders import build_encoder, encode_text, pooled
from training.evaluation.facts import Facts
from training.metrics import progress
from training.objectives import distances, harder, knowledge_embedding_sum
from training.scoring import MEASURES, ShownFacts, VectorForm

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
    norm: Literal[1, 2] = 1
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


class FrozenEncoder(nn.Module):
    """The entities' vectors, which no gradient reaches, and the relations."""

    entities: Float[Tensor, "E D"]

    def __init__(self, settings: FrozenEncoderSettings, entities: Float[Tensor, "E D"], relations: int) -> None:
        super().__init__()
        self.settings = settings
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
            f"The encoder {encoder!r} can't be loaded: {str(error).splitlines()[0][:200]} "
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
    """KEPLER's eq. 2 summed over the triples."""
    settings, (heads, relations, tails) = model.settings, torch.from_numpy(batch.triples.T.copy())
    relation = model.relation(relations)
    as_head, as_tail = model.entities[tails] - relation, model.entities[heads] + relation
    if settings.in_batch:
        others = np.unique(np.concatenate([batch.triples[:, [0, 2]].ravel(), batch.heads.ravel(), batch.tails.ravel()]))
        weights = [_alike(side) for side in _false_in_batch(batch.triples, others, known)]
        far = [distances(query, model.entities[others], settings.norm) for query in (as_head, as_tail)]
    else:
        weights = [torch.full(side.shape, 0.5 / settings.negatives) for side in (batch.heads, batch.tails)]
        sides = ((as_head, batch.heads), (as_tail, batch.tails))
        gaps = [query[:, None] - model.entities[torch.from_numpy(drawn)] for query, drawn in sides]
        far = [torch.linalg.vector_norm(gap, ord=settings.norm, dim=-1) for gap in gaps]
    return knowledge_embedding_sum(
        torch.linalg.vector_norm(as_tail - model.entities[tails], ord=settings.norm, dim=-1),
        *far,
        *(harder(weight, gap, settings.self_adversarial) for weight, gap in zip(weights, far, strict=True)),
        gamma=settings.gamma,
        halved=False,
    )


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
    of every candidate."""

    least_facts = 0

    def __init__(self, model: FrozenEncoder, candidates: Int64[Tensor, " C"] | None = None) -> None:
        """`candidates` are sorted; None for all entities."""
        self._model, self._norm = model, model.settings.norm
        self._relation = model.relation.weight.detach()
        self._entities = model.entities if candidates is None else model.entities[candidates]

    def among(self, candidates: Int64[Tensor, " C"]) -> "FrozenEncoderScorer":
        """The same for these alone."""
        return FrozenEncoderScorer(self._model, candidates)

    def tails(self, heads: Int64[Tensor, " B"], relations: Int64[Tensor, " B"]) -> Float[Tensor, "B C"]:
        """Score of every candidate as the tail."""
        return -distances(self._model.entities[heads] + self._relation[relations], self._entities, self._norm)

    def heads(self, relations: Int64[Tensor, " B"], tails: Int64[Tensor, " B"]) -> Float[Tensor, "B C"]:
        """Score of every candidate as the head."""
        return -distances(self._model.entities[tails] - self._relation[relations], self._entities, self._norm)

    def vector_form(self) -> VectorForm:
        """The candidates' vectors against h + r, or t - r."""
        entities, relations = self._model.entities, self._relation
        return VectorForm(
            MEASURES[self._norm],
            self._entities,
            lambda heads, between: entities[heads] + relations[between],
            lambda between, tails: entities[tails] - relations[between],
        )

    def tails_shown(
        self, heads: Int64[Tensor, " B"], relations: Int64[Tensor, " B"], shown: ShownFacts
    ) -> Float[Tensor, "B C"]:
        """As `tails`, of heads of which facts are shown."""
        return -distances(self._introduced(heads, shown) + self._relation[relations], self._entities, self._norm)

    def heads_shown(
        self, relations: Int64[Tensor, " B"], tails: Int64[Tensor, " B"], shown: ShownFacts
    ) -> Float[Tensor, "B C"]:
        """As `heads`, of tails of which facts are shown."""
        return -distances(self._introduced(tails, shown) - self._relation[relations], self._entities, self._norm)

    def triples(
        self, heads: Int64[Tensor, " N"], relations: Int64[Tensor, " N"], tails: Int64[Tensor, " N"]
    ) -> Float[Tensor, " N"]:
        """Score of each triple."""
        parts = zip(*(each.split(TRIPLES_AT_ONCE) for each in (heads, relations, tails)), strict=True)
        gaps = (self._model.entities[h] + self._relation[r] - self._model.entities[t] for h, r, t in parts)
        return -torch.cat([torch.linalg.vector_norm(gap, ord=self._norm, dim=-1) for gap in gaps])

    def _introduced(self, entities: Int64[Tensor, " B"], shown: ShownFacts) -> Float[Tensor, "B D"]:
        """The mean of the text's vector and of where each fact says that the entity lies."""
        said = shown.translated(self._model.entities[shown.others], self._relation[shown.relations])
        return torch.cat([self._model.entities[entities][:, None], said], dim=1).mean(dim=1)

    def relations(self, heads: Int64[Tensor, " B"], tails: Int64[Tensor, " B"]) -> Float[Tensor, "B R"]:
        """Score of every relation."""
        return -distances(self._model.entities[tails] - self._model.entities[heads], self._relation, self._norm)


def _false_in_batch(
    triples: Int64[np.ndarray, "B 3"], entities: Int64[np.ndarray, " U"], known: KnownFacts
) -> tuple[Bool[np.ndarray, "B U"], Bool[np.ndarray, "B U"]]:
    """Which entities make no known fact as a triple's head, and as its tail."""
    head, relation, tail = (triples[:, i, None] for i in range(3))
    return ~known.holds(entities, relation, tail), ~known.holds(head, relation, entities)


def _alike(side: Bool[np.ndarray, "B U"]) -> Float[Tensor, "B U"]:
    """A row's negatives weigh 1/2 together: the two sides of a triple weigh 1."""
    return tensor((side / np.maximum(2 * side.sum(axis=1, keepdims=True), 1)).astype(np.float32))
