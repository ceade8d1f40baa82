"""KEPLER (Wang et al., TACL 2021): one text encoder trained with masked language modelling and knowledge embedding.

Differences from the authors' code:
- one norm, `kepler.norm`, in the loss and in the ranking (there: trained with L2, ranked with L1);
- each distinct description of a micro-batch is encoded once (there: six encodings per triple);
- negatives are drawn anew each epoch from counter-based hashes and filtered against train facts (there: once, on disk,
  against train and valid facts);
- eq. 2 is not halved unless `kepler.halved` says so; logits are computed at masked positions only;
- option `kepler.in_batch`: all other entities of the micro-batch are negatives as well.

B triples, U distinct entities of a micro-batch, E entities, D hidden.
"""

import dataclasses
import functools

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from training.config import Config
from training.data.batch import to_device
from training.data.graphs import IGNORE
from training.data.text import TextBatch
from training.data.triples import Descriptions, FactBatch, KeplerBatch
from training.encoders import build_encoder, encode_text
from training.objectives import cross_entropy_sum, distances, harder, knowledge_embedding_sum
from training.scoring import ShownFacts


@dataclasses.dataclass(frozen=True)
class Queries:
    """Where the answers of (?, r, t) and of (h, r, ?) should lie: t - r and h + r."""

    heads: Float[Tensor, "B D"]
    tails: Float[Tensor, "B D"]


class Kepler(nn.Module):
    """A text encoder whose output at <s> is the entity's vector, and a table of relations."""

    memory = None
    """An entity's vector is made from its text."""

    def __init__(self, config: Config, vocab_size: int, relations: int) -> None:
        super().__init__()
        built = build_encoder(config.encoder, vocab_size, token_types=1)
        self.encoder, self.word_head, self._cost = built.encoder, built.head, built.cost
        self.config = config.kepler
        hidden = built.encoder.config.hidden_size
        self.relation = nn.Embedding(relations, hidden)
        bound = (self.config.gamma + 2) / hidden
        nn.init.uniform_(self.relation.weight, -bound, bound)
        self.weights = {"ke": self.config.ke_weight, "mlm": self.config.mlm_weight}

    def embed(self, texts: TextBatch) -> Float[Tensor, "B D"]:
        """Vectors of texts: the encoder's output at <s>."""
        return encode_text(self.encoder, texts.ids, texts.real)[:, 0]

    def losses(self, batch: KeplerBatch) -> dict[str, Float[Tensor, ""]]:
        """Sums of both terms, where they have labels."""
        losses = {"ke": self._knowledge(batch.facts)} if len(batch.facts.heads) else {}
        labelled = torch.nonzero(batch.blocks.labels.flatten() != IGNORE).squeeze(1)
        if len(labelled):
            states = encode_text(self.encoder, batch.blocks.ids, batch.blocks.real).flatten(0, 1)
            logits = self.word_head(states.index_select(0, labelled), self.encoder.get_input_embeddings().weight)
            losses["mlm"] = cross_entropy_sum(logits, batch.blocks.labels.flatten()[labelled])
        return losses

    def flops(self, batch: KeplerBatch) -> int:
        """Floating-point operations of `losses` and its backward, padding and distances left out."""
        words = self.encoder.get_input_embeddings().num_embeddings
        return self._cost.flops(batch.lengths) + self.word_head.flops(batch.counts["mlm"], words)

    def _piece(self, texts: TextBatch) -> Float[Tensor, "B D"]:
        if not (self.config.recompute and torch.is_grad_enabled()):
            return self.embed(texts)
        return checkpoint(self.embed, texts, use_reentrant=False)

    def _knowledge(self, facts: FactBatch) -> Float[Tensor, ""]:
        # In 32 bits: a distance of nearly equal vectors has few bits left in 16.
        entities = torch.cat([self._piece(piece) for piece in facts.texts]).float()
        return self._compared(self._queries(facts, entities), entities, facts)

    def _queries(self, facts: FactBatch, entities: Float[Tensor, "U D"]) -> Queries:
        relations = self.relation(facts.relations)
        return Queries(
            heads=entities.index_select(0, facts.tails) - relations,
            tails=entities.index_select(0, facts.heads) + relations,
        )

    def _compared(self, queries: Queries, entities: Float[Tensor, "U D"], facts: FactBatch) -> Float[Tensor, ""]:
        """The loss: each query's distance to its answer against those to the negatives."""
        norm, temperature = self.config.norm, self.config.self_adversarial
        answers = entities.index_select(0, facts.tails)
        as_heads, as_tails = (distances(query, entities, norm) for query in (queries.heads, queries.tails))
        return knowledge_embedding_sum(
            torch.linalg.vector_norm(queries.tails - answers, ord=norm, dim=-1),
            as_heads,
            as_tails,
            harder(facts.head_weights, as_heads, temperature),
            harder(facts.tail_weights, as_tails, temperature),
            gamma=self.config.gamma,
            halved=self.config.halved,
        )


@torch.no_grad()
def embed_all(
    model: Kepler, descriptions: Descriptions, entities: Int64[Tensor, " N"] | None = None
) -> Float[Tensor, "N D"]:
    """The vectors of all descriptions, or of these entities'; each is encoded once, the shortest ones first."""
    model.eval()
    device = model.relation.weight.device
    wanted = np.arange(len(descriptions.tokens.lengths)) if entities is None else entities.numpy()
    return descriptions.encoded(lambda piece: model.embed(to_device(piece, device)), wanted)


class KeplerScorer:
    """Ranks by the distance that was trained: -||h + r - t||_p of every candidate; C columns below are E, unless some
    entities alone are candidates."""

    least_facts = 0

    def __init__(
        self, model: Kepler, descriptions: Descriptions, candidates: Int64[Tensor, " C"] | None = None
    ) -> None:
        """`candidates` are sorted; None for all entities. They are encoded when they are first asked for."""
        self._model, self._descriptions = model, descriptions
        everything = torch.arange(len(descriptions.tokens.lengths))
        self.candidates: Int64[Tensor, " C"] = everything if candidates is None else candidates

    @functools.cached_property
    def entities(self) -> Float[Tensor, "C D"]:
        """The candidates' vectors."""
        return embed_all(self._model, self._descriptions, self.candidates)

    def among(self, candidates: Int64[Tensor, " C"]) -> "KeplerScorer":
        """The same for these alone: no other entity is encoded, unless it is asked about."""
        return KeplerScorer(self._model, self._descriptions, candidates)

    def vectors(self, entities: Int64[Tensor, " N"]) -> Float[Tensor, "N D"]:
        """The vectors of any entities; those of candidates are at hand."""
        places = torch.searchsorted(self.candidates, entities.contiguous()).clamp(max=len(self.candidates) - 1)
        if torch.equal(self.candidates[places], entities):
            return self.entities[places]
        return embed_all(self._model, self._descriptions, entities)

    def tails(self, heads: Int64[Tensor, " B"], relations: Int64[Tensor, " B"]) -> Float[Tensor, "B C"]:
        """Score of every candidate as the tail of (head, relation)."""
        return self.tails_of(self.vectors(heads), relations)

    def heads(self, relations: Int64[Tensor, " B"], tails: Int64[Tensor, " B"]) -> Float[Tensor, "B C"]:
        """Score of every candidate as the head of (relation, tail)."""
        return self.heads_of(relations, self.vectors(tails))

    def tails_shown(
        self, heads: Int64[Tensor, " B"], relations: Int64[Tensor, " B"], shown: ShownFacts
    ) -> Float[Tensor, "B C"]:
        """As `tails`, of heads of which facts are shown."""
        return self.tails_of(self._introduced(heads, shown), relations)

    def heads_shown(
        self, relations: Int64[Tensor, " B"], tails: Int64[Tensor, " B"], shown: ShownFacts
    ) -> Float[Tensor, "B C"]:
        """As `heads`, of tails of which facts are shown."""
        return self.heads_of(relations, self._introduced(tails, shown))

    @torch.no_grad()
    def _introduced(self, entities: Int64[Tensor, " B"], shown: ShownFacts) -> Float[Tensor, "B D"]:
        """The mean of the text's vector and of where each fact says that the entity lies."""
        others = self.vectors(shown.others.flatten()).unflatten(0, shown.others.shape)
        said = shown.translated(others, self._model.relation(shown.relations.to(others.device)))
        return torch.cat([self.vectors(entities)[:, None], said], dim=1).mean(dim=1)

    @torch.no_grad()
    def tails_of(self, heads: Float[Tensor, "B D"], relations: Int64[Tensor, " B"]) -> Float[Tensor, "B C"]:
        """As `tails`, for heads that are given as vectors: entities outside the dataset."""
        return -distances(heads + self._model.relation(relations), self.entities, self._model.config.norm)

    @torch.no_grad()
    def heads_of(self, relations: Int64[Tensor, " B"], tails: Float[Tensor, "B D"]) -> Float[Tensor, "B C"]:
        """As `heads`, for tails that are given as vectors."""
        return -distances(tails - self._model.relation(relations), self.entities, self._model.config.norm)
