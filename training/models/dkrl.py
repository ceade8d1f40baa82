"""DKRL (Xie et al., AAAI 2016): an entity has a vector of its own and one that a CNN reads from its description.

E(h, r, t) is the sum of ||h + r - t|| over both kinds of head and both kinds of tail, so the two meet in one space; an
entity that no train triple has is represented by its description alone.

Differences from the paper:
- Adam in place of SGD, and words are learnt from nothing (there: by word2vec on Wikipedia);
- the entities that corrupt a batch's triples are drawn once for the batch, so that few descriptions are encoded;
- an entity without a description has its name for one.

B triples, K drawn entities, U descriptions, T tokens of the longest, D dimensions, E entities, R relations.
"""

import dataclasses
import functools
from collections.abc import Iterator
from typing import Annotated, Literal

import numpy as np
import torch
from jaxtyping import Float, Int64
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from schemas.errors import DataError
from schemas.hashing import random_u64
from training.data.text import TextBatch
from training.data.triples import Descriptions
from training.evaluation.facts import Facts
from training.metrics import progress
from training.objectives import distances
from training.scoring import ShownFacts

SPARSE_FROM = 100_000
"""With so many entities, a step updates the rows of its own alone, and their moments. Of 300,000 rows that takes 0.01
CPU seconds in place of 0.34, beside 0.65 for the rest of a step."""
POOL = 4
"""Places that the first pooling makes one of."""
TRIPLES_AT_ONCE = 2**14
"""Triples that are scored together."""
_HALF = np.uint64(32)


@dataclasses.dataclass(frozen=True)
class DkrlSettings:
    """What `--set` can change."""

    dim: Annotated[int, Field(ge=1)] = 100
    epochs: Annotated[int, Field(ge=1)] = 20
    batch: Annotated[int, Field(ge=1)] = 1_024
    lr: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 0.003
    margin: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1.0
    norm: Literal[1, 2] = 1
    negatives: Annotated[int, Field(ge=1)] = 4
    """Corrupted heads, tails and relations of a triple, as many of each."""
    drawn: Annotated[int, Field(ge=1)] = 256
    """Entities drawn for a batch, which its corrupted triples share."""
    max_length: Annotated[int, Field(ge=4)] = 64
    """Tokens of a description."""
    tokens: str = "tiny"
    """The token ids to read: the dataset's tokens/NAME."""
    seed: int = 0


class Dkrl(nn.Module):
    """Entities, relations, and the CNN over words: convolution, max pooling, convolution, mean pooling."""

    def __init__(self, settings: DkrlSettings, words: int, entities: int, relations: int) -> None:
        super().__init__()
        dim = settings.dim
        self.norm = settings.norm
        self.word = nn.Embedding(words, dim)
        self.entity = nn.Embedding(entities, dim, sparse=entities >= SPARSE_FROM)
        self.relation = nn.Embedding(relations, dim)
        self.first, self.second = nn.Conv1d(dim, dim, 2), nn.Conv1d(dim, dim, 1)
        for table in (self.entity, self.relation):
            nn.init.xavier_uniform_(table.weight)
        nn.init.normal_(self.word.weight, std=dim**-0.5)

    def describe(self, texts: TextBatch) -> Float[Tensor, "U D"]:
        """The vectors of some descriptions."""
        longest = int(texts.real.sum(dim=1).max())
        real = texts.real[:, None, :longest].float()
        words = F.pad(self.word(texts.ids[:, :longest]).transpose(1, 2) * real, (0, 1))
        found = self.first(words).tanh().masked_fill(real == 0, -1.0)
        pooled, kept = (F.max_pool1d(each, POOL, ceil_mode=True) for each in (found, real))
        read = self.second(pooled).tanh() * kept
        return read.sum(dim=2) / kept.sum(dim=2).clamp(min=1)

    def energy(
        self, heads: Float[Tensor, "B 2 D"], relations: Float[Tensor, "*B D"], tails: Float[Tensor, "B 2 D"]
    ) -> Float[Tensor, "..."]:
        """The sum over own and described vectors of head and tail; the lower, the more plausible."""
        gaps = heads[:, :, None] + relations[..., None, None, :] - tails[:, None]
        return torch.linalg.vector_norm(gaps, ord=self.norm, dim=-1).sum(dim=(-1, -2))


@dataclasses.dataclass(frozen=True)
class Corrupted:
    """A batch of triples with what corrupts them. `entities` are distinct, heads, tails and drawn are rows of it."""

    entities: Int64[np.ndarray, " U"]
    heads: Int64[Tensor, " B"]
    tails: Int64[Tensor, " B"]
    relations: Int64[Tensor, " B"]
    others: list[Int64[Tensor, " B"]]
    """Rows of entities, one array for each negative: as head, then as tail."""
    wrong: list[Int64[Tensor, " B"]]
    """Relations, one array for each negative."""


def batches(triples: Int64[np.ndarray, "N 3"], facts: Facts, settings: DkrlSettings, epoch: int) -> Iterator[Corrupted]:
    """The epoch's batches: order and corruptions are hashes of (seed, epoch, row)."""
    order = np.argsort(random_u64(settings.seed, "dkrl/order", epoch, np.arange(len(triples))), kind="stable")
    learnable = facts.learnable
    for start in range(0, len(order), settings.batch):
        rows = order[start : start + settings.batch]
        drawn = learnable[_below(settings, "entities", len(learnable), epoch, start, np.arange(settings.drawn))]
        picks = np.arange(2 * settings.negatives)[:, None]
        others = drawn[_below(settings, "picks", settings.drawn, epoch, rows, picks)]
        wrong = _below(settings, "relations", facts.relations, epoch, rows, np.arange(settings.negatives)[:, None])
        heads, relations, tails = triples[rows].T
        entities, places = np.unique(np.concatenate([heads, tails, others.ravel()]), return_inverse=True)
        at = [torch.from_numpy(part) for part in np.split(places, len(places) // len(rows))]
        yield Corrupted(
            entities, at[0], at[1], torch.from_numpy(relations.copy()), at[2:], list(torch.from_numpy(wrong).unbind())
        )


def train_dkrl(settings: DkrlSettings, facts: Facts, texts: Descriptions, words: int) -> Dkrl:
    """Train on the train triples; the same weights for equal settings and threads."""
    triples = facts.splits["train"]
    if not len(triples):
        raise DataError("The dataset has no train triples to learn from. Build it with a larger --keep.")
    with torch.random.fork_rng():
        torch.manual_seed(settings.seed)
        model = Dkrl(settings, words, facts.entities, facts.relations)
    optimizers = adam(model, settings.lr)
    with progress(settings.epochs, 0, len(triples)) as report:
        for epoch in range(settings.epochs):
            total = 0.0
            for group in (group for optimizer in optimizers for group in optimizer.param_groups):
                group["lr"] = settings.lr * (1 - epoch / settings.epochs)
            for batch in batches(triples, facts, settings, epoch):
                loss = margin_loss(model, batch, texts, settings.margin)
                for optimizer in optimizers:
                    optimizer.zero_grad()
                loss.backward()
                for optimizer in optimizers:
                    optimizer.step()
                total += loss.item() * len(batch.heads)
            report(epoch + 1, total / len(triples))
    return model.eval()


def adam(model: Dkrl, lr: float) -> list[torch.optim.Optimizer]:
    """Adam, and where the entities' rows are many one that touches no others than a step's."""
    if not model.entity.sparse:
        return [torch.optim.Adam(model.parameters(), lr=lr)]
    rest = [parameter for parameter in model.parameters() if parameter is not model.entity.weight]
    return [torch.optim.SparseAdam([model.entity.weight], lr=lr), torch.optim.Adam(rest, lr=lr)]


def margin_loss(model: Dkrl, batch: Corrupted, texts: Descriptions, margin: float) -> Float[Tensor, ""]:
    """Mean over triples and corruptions of max(0, margin + E(true) - E(corrupted))."""
    described = texts.encoded(model.describe, batch.entities)
    vectors = torch.stack([model.entity(torch.from_numpy(batch.entities)), described], dim=1)
    heads, tails, relations = vectors[batch.heads], vectors[batch.tails], model.relation(batch.relations)
    true, half = model.energy(heads, relations, tails), len(batch.others) // 2
    corrupted = [
        *(model.energy(vectors[rows], relations, tails) for rows in batch.others[:half]),
        *(model.energy(heads, relations, vectors[rows]) for rows in batch.others[half:]),
        *(model.energy(heads, model.relation(wrong), tails) for wrong in batch.wrong),
    ]
    return F.relu(margin + true - torch.stack(corrupted)).mean()


Vectors = tuple[Float[Tensor, "N D"], Float[Tensor, "N D"]]
"""(an entity's own, which is its description's where train does not have it; its description's)."""


class DkrlScorer:
    """A trained DKRL behind training.scoring's Scorer, RelationScorer and TripleScorer.

    C candidates, all E unless narrowed.
    """

    least_facts = 0

    def __init__(
        self, model: Dkrl, texts: Descriptions, facts: Facts, candidates: Int64[Tensor, " C"] | None = None
    ) -> None:
        """`candidates` are sorted; None for all entities. They are read when they are first asked for."""
        self._model, self._texts, self._facts = model, texts, facts
        self._candidates = torch.arange(facts.entities) if candidates is None else candidates
        self._seen = torch.from_numpy(facts.seen())
        self._relation, self._norm = model.relation.weight.detach(), model.norm

    @functools.cached_property
    def _vectors(self) -> Vectors:
        return self._read(self._candidates)

    def among(self, candidates: Int64[Tensor, " C"]) -> "DkrlScorer":
        """The same for these alone: no other entity's description is read, unless it is asked about."""
        return DkrlScorer(self._model, self._texts, self._facts, candidates)

    def tails(self, heads: Int64[Tensor, " B"], relations: Int64[Tensor, " B"]) -> Float[Tensor, "B C"]:
        """Minus the energy of every candidate as the tail."""
        return -self._sum([own + self._relation[relations] for own in self._both(heads)])

    def heads(self, relations: Int64[Tensor, " B"], tails: Int64[Tensor, " B"]) -> Float[Tensor, "B C"]:
        """Minus the energy of every candidate as the head."""
        return -self._sum([own - self._relation[relations] for own in self._both(tails)])

    def tails_shown(
        self, heads: Int64[Tensor, " B"], relations: Int64[Tensor, " B"], shown: ShownFacts
    ) -> Float[Tensor, "B C"]:
        """As `tails`, of heads of which facts are shown."""
        return -self._sum([own + self._relation[relations] for own in self._introduced(heads, shown)])

    def heads_shown(
        self, relations: Int64[Tensor, " B"], tails: Int64[Tensor, " B"], shown: ShownFacts
    ) -> Float[Tensor, "B C"]:
        """As `heads`, of tails of which facts are shown."""
        return -self._sum([own - self._relation[relations] for own in self._introduced(tails, shown)])

    def _introduced(self, entities: Int64[Tensor, " B"], shown: ShownFacts) -> Vectors:
        """An own vector of its description's and of where each fact says that the entity lies, by the others' own."""
        own, described = self._both(entities)
        others = self._both(shown.others.flatten())[0].unflatten(0, shown.others.shape)
        said = shown.translated(others, self._relation[shown.relations])
        return torch.cat([own[:, None], said], dim=1).mean(dim=1), described

    def relations(self, heads: Int64[Tensor, " B"], tails: Int64[Tensor, " B"]) -> Float[Tensor, "B R"]:
        """Minus the energy of every relation."""
        gaps = [tail - head for head in self._both(heads) for tail in self._both(tails)]
        return -sum(distances(gap, self._relation, self._norm) for gap in gaps)

    @torch.no_grad()
    def triples(
        self, heads: Int64[Tensor, " N"], relations: Int64[Tensor, " N"], tails: Int64[Tensor, " N"]
    ) -> Float[Tensor, " N"]:
        """Minus the energy of each triple; each description is read once."""
        entities, places = torch.cat([heads, tails]).unique(return_inverse=True)
        vectors = torch.stack(self._both(entities), dim=1)
        parts = zip(*(each.split(TRIPLES_AT_ONCE) for each in (*places.chunk(2), relations)), strict=True)
        return -torch.cat([self._model.energy(vectors[h], self._relation[r], vectors[t]) for h, t, r in parts])

    def _both(self, entities: Int64[Tensor, " N"]) -> Vectors:
        """The vectors of any entities; those of candidates are at hand."""
        places = torch.searchsorted(self._candidates, entities.contiguous()).clamp(max=len(self._candidates) - 1)
        if torch.equal(self._candidates[places], entities):
            return self._vectors[0][places], self._vectors[1][places]
        return self._read(entities)

    @torch.no_grad()
    def _read(self, entities: Int64[Tensor, " N"]) -> Vectors:
        described = self._texts.encoded(self._model.describe, entities.numpy())
        return torch.where(self._seen[entities, None], self._model.entity.weight[entities], described), described

    def _sum(self, wanted: list[Float[Tensor, "B D"]]) -> Float[Tensor, "B C"]:
        return sum(distances(each, own, self._norm) for each in wanted for own in self._vectors)  # type: ignore[return-value]


def _below(settings: DkrlSettings, purpose: str, size: int, *ids: object) -> Int64[np.ndarray, "..."]:
    """Uniform integers below `size`."""
    words = random_u64(settings.seed, f"dkrl/{purpose}", *ids)
    return ((words >> _HALF) * np.uint64(size) >> _HALF).astype(np.int64)
