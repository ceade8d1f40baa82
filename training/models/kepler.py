"""KEPLER (Wang et al., TACL 2021): one text encoder trained with masked language modelling and knowledge embedding.

Differences from the authors' code:
- one score in the loss and in the ranking, as a rule the distance of `kepler.norm` (there: trained with L2, ranked with
  L1);
- each distinct description of a micro-batch is encoded once (there: six encodings per triple);
- negatives are drawn anew each epoch from counter-based hashes and filtered against train facts (there: once, on disk,
  against train and valid facts);
- eq. 2 is not halved unless `kepler.halved` says so; logits are computed at masked positions only;
- options for the negatives and for another loss (training/comparison.py);
- KEPLER-W+W: the second graph has its own margin and number of relations (there: those of the first);
- KEPLER-Cond: a long description is cut before the relation's (there: the relation's is cut away);
- KEPLER-KE: the masked language model is not computed (there: computed, and not used).

B triples, U distinct entities of a micro-batch, V vectors of it, E entities, R relations, D hidden.
"""

import dataclasses
import functools
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from training.comparison import Comparison, Queries
from training.config import Config
from training.data.batch import to_device
from training.data.graphs import IGNORE
from training.data.text import TextBatch
from training.data.triples import GRAPHS, Descriptions, FactBatch, KeplerBatch, conditioned
from training.encoders import build_encoder, encode_text, pooled, word_vectors
from training.objectives import Score, cross_entropy_sum
from training.scoring import ShownFacts, VectorForm


class Kepler(nn.Module):
    """A text encoder whose output at <s> is the entity's vector, and a table of relations for each graph (none where
    relations are described)."""

    memory = None
    """An entity's vector is made from its text."""

    def __init__(self, config: Config, vocab_size: int, relations: int, second_relations: int = 0) -> None:
        """`relations` of the first graph, and of the second where there is one."""
        super().__init__()
        built = build_encoder(config.encoder, vocab_size, token_types=1)
        self.encoder, self.word_head, self._cost = built.encoder, built.head, built.cost
        self.config = own = config.kepler
        # Without masked language modelling nothing leads to the head: ranks would wait for its gradients.
        self.word_head.requires_grad_(own.blocks > 0)
        tabled = own.relations == "table"
        self.relation = self._table(relations, own.gamma) if tabled else None
        self.second_relation = self._table(second_relations, own.second_gamma) if tabled and own.second_batch else None
        self.score = Score(own.score, own.norm)
        self.comparisons = nn.ModuleDict(self._comparisons(config))
        weights = {
            "ke": own.ke_weight,
            "ke2": own.second_weight if own.second_batch else None,
            "mlm": own.mlm_weight if own.blocks else None,
        }
        self.weights = {name: weight for name, weight in weights.items() if weight is not None}

    def _table(self, relations: int, gamma: float) -> nn.Embedding:
        hidden = self.encoder.config.hidden_size
        table, bound = nn.Embedding(relations, hidden), (gamma + 2) / hidden
        nn.init.uniform_(table.weight, -bound, bound)
        return table

    def _comparisons(self, config: Config) -> Iterator[tuple[str, Comparison]]:
        own, hidden = config.kepler, self.encoder.config.hidden_size
        sizes, pieces = (config.train.batch_size, own.second_batch), 1
        if config.train.micro_batch:
            pieces = config.train.batch_size // config.train.micro_batch
        for graph, size, gamma in zip(GRAPHS, sizes, (own.gamma, own.second_gamma), strict=True):
            if size:
                yield graph, Comparison(dataclasses.replace(own, gamma=gamma), hidden, -(-size // pieces))

    def embed(self, texts: TextBatch, words: Float[Tensor, "B S W"] | None = None) -> Float[Tensor, "B D"]:
        """Vectors of texts: the encoder's output at <s>, or as kepler.pooling and kepler.normalized say."""
        states, own = encode_text(self.encoder, texts.ids, texts.real, words), self.config
        return pooled(states, texts.real, own.pooling, normalized=own.normalized)

    def losses(self, batch: KeplerBatch) -> dict[str, Float[Tensor, ""]]:
        """Sums of the terms that have labels."""
        graphs = {name: facts for name, facts in batch.graphs.items() if len(facts.heads)}
        blocks = batch.blocks if batch.counts.get("mlm") else None
        read = [piece for facts in graphs.values() for piece in facts.texts] + ([blocks] if blocks else [])
        words = self._words(read)
        losses = {name: self._knowledge(facts, words, name) for name, facts in graphs.items()}
        if blocks:
            losses["mlm"] = self._masked(blocks, next(words))
        return losses

    def _words(self, texts: Sequence[TextBatch]) -> Iterator[Float[Tensor, "_ _ W"] | None]:
        """The embeddings of each one's words; none where a piece is to keep nothing and reads them itself."""
        if self.config.recompute and torch.is_grad_enabled():
            return iter([None] * len(texts))
        return iter(word_vectors(self.encoder, [text.ids for text in texts]))

    def _masked(self, blocks: TextBatch, words: Float[Tensor, "B S W"] | None) -> Float[Tensor, ""]:
        labels = blocks.labels.flatten()
        places = torch.nonzero(labels != IGNORE).squeeze(1)
        states = encode_text(self.encoder, blocks.ids, blocks.real, words).flatten(0, 1)
        logits = self.word_head(states.index_select(0, places), self.encoder.get_input_embeddings().weight)
        return cross_entropy_sum(logits, labels[places])

    def flops(self, batch: KeplerBatch) -> int:
        """Floating-point operations of `losses` and its backward, padding and distances left out."""
        words = self.encoder.get_input_embeddings().num_embeddings
        return self._cost.flops(batch.lengths) + self.word_head.flops(batch.counts.get("mlm", 0), words)

    def table(self, graph: str) -> nn.Embedding | None:
        """The relations of a graph, one of GRAPHS; None where they are described."""
        return self.relation if graph == GRAPHS[0] else self.second_relation

    def _piece(self, texts: TextBatch, words: Float[Tensor, "B S W"] | None) -> Float[Tensor, "B D"]:
        if words is not None:
            return self.embed(texts, words)
        return checkpoint(self.embed, texts, use_reentrant=False)

    def _knowledge(
        self, facts: FactBatch, words: Iterator[Float[Tensor, "_ _ W"] | None], graph: str
    ) -> Float[Tensor, ""]:
        # In 32 bits: a distance of nearly equal vectors has few bits left in 16.
        texts = torch.cat([self._piece(piece, next(words)) for piece in facts.texts]).float()
        vectors, count = texts.index_select(0, facts.rows), len(facts.entities)
        entities = vectors if len(vectors) == count else vectors[:count]
        loss: Tensor = self.comparisons[graph](self._queries(facts, vectors, graph), entities, facts)
        return loss

    def _queries(self, facts: FactBatch, vectors: Float[Tensor, "V D"], graph: str) -> Queries:
        table = self.table(graph)
        relations = table(facts.relations) if table else vectors.index_select(0, facts.relations)
        return Queries(
            heads=vectors.index_select(0, facts.given_tails) - relations,
            tails=vectors.index_select(0, facts.given_heads) + relations,
            mirrored=self.score.kind == "distance" and not self.config.conditioned,
        )


@torch.no_grad()
def embed_all(
    model: Kepler, descriptions: Descriptions, entities: Int64[Tensor, " N"] | None = None
) -> Float[Tensor, "N D"]:
    """The vectors of all descriptions, or of these entities'; each is encoded once, the shortest ones first."""
    model.eval()
    device = model.encoder.device
    wanted = np.arange(len(descriptions.tokens.lengths)) if entities is None else entities.cpu().numpy()
    return descriptions.encoded(lambda piece: model.embed(to_device(piece, device)), wanted)


class KeplerScorer:
    """Ranks the candidates by the score that was trained: of the query h + r (conditioned, h_r + r) and a tail, of
    t - r (t_r - r) and a head; C columns below are E, unless some entities alone are candidates."""

    least_facts = 0

    def __init__(
        self,
        model: Kepler,
        descriptions: Descriptions,
        relations: Descriptions | None = None,
        graph: str = GRAPHS[0],
        candidates: Int64[Tensor, " C"] | None = None,
    ) -> None:
        """`relations` are texts, where the model reads them; `graph` is the one of all these. `candidates` are sorted;
        None for all entities. What is encoded is encoded when it is first asked for."""
        self._model, self._texts, self._relation_texts, self._graph = model, descriptions, relations, graph
        everything = torch.arange(len(descriptions.tokens.lengths))
        self.candidates: Int64[Tensor, " C"] = everything if candidates is None else candidates

    @functools.cached_property
    def entities(self) -> Float[Tensor, "C D"]:
        """The candidates' vectors."""
        return embed_all(self._model, self._texts, self.candidates)

    @functools.cached_property
    def relation_vectors(self) -> Float[Tensor, "R D"]:
        """The relations' vectors."""
        table = self._model.table(self._graph)
        if table is not None:
            return table.weight.detach()
        assert self._relation_texts is not None
        return embed_all(self._model, self._relation_texts)

    def among(self, candidates: Int64[Tensor, " C"]) -> "KeplerScorer":
        """The same for these alone: no other entity is encoded, unless it is asked about."""
        return KeplerScorer(self._model, self._texts, self._relation_texts, self._graph, candidates)

    def vectors(self, entities: Int64[Tensor, " N"], texts: Descriptions | None = None) -> Float[Tensor, "N D"]:
        """The vectors of any entities, those of candidates being at hand; or of those that have these texts."""
        if texts is not None:
            return embed_all(self._model, texts, entities)
        places = torch.searchsorted(self.candidates, entities.contiguous()).clamp(max=len(self.candidates) - 1)
        if torch.equal(self.candidates[places], entities):
            return self.entities[places]
        return embed_all(self._model, self._texts, entities)

    def given(
        self, entities: Int64[Tensor, " N"], relations: Int64[Tensor, " N"], texts: Descriptions | None = None
    ) -> Float[Tensor, "N D"]:
        """The same as what a question with these relations gives; each distinct pair is encoded once."""
        if not self._model.config.conditioned:
            return self.vectors(entities, texts)
        assert self._relation_texts is not None
        pairs, places = torch.stack([entities, relations]).unique(dim=1, return_inverse=True)
        joined = conditioned(texts or self._texts, self._relation_texts, *pairs.numpy())
        return embed_all(self._model, joined, places)

    def tails(self, heads: Int64[Tensor, " B"], relations: Int64[Tensor, " B"]) -> Float[Tensor, "B C"]:
        """Score of every candidate as the tail of (head, relation)."""
        return self.tails_of(self.given(heads, relations), relations)

    def heads(self, relations: Int64[Tensor, " B"], tails: Int64[Tensor, " B"]) -> Float[Tensor, "B C"]:
        """Score of every candidate as the head of (relation, tail)."""
        return self.heads_of(relations, self.given(tails, relations))

    def vector_form(self) -> VectorForm:
        """The candidates' vectors against h + r, or t - r."""
        return VectorForm.of(
            self._model.score,
            self.entities,
            lambda heads, relations: self.given(heads, relations) + self.relation_vectors[relations],
            lambda relations, tails: self.given(tails, relations) - self.relation_vectors[relations],
        )

    def triples(
        self, heads: Int64[Tensor, " N"], relations: Int64[Tensor, " N"], tails: Int64[Tensor, " N"]
    ) -> Float[Tensor, " N"]:
        """Score of each triple: as in training, the mean of both questions'."""
        entities, places = torch.cat([heads, tails]).unique(return_inverse=True)
        vectors = self.vectors(entities)
        h, t = (vectors[part] for part in places.chunk(2))
        given_h, given_t = h, t
        if self._model.config.conditioned:
            given_h, given_t = (self.given(each, relations) for each in (heads, tails))
        score, r = self._model.score, self.relation_vectors[relations]
        return (score.rows(given_h + r, t) + score.rows(given_t - r, h)) / 2

    def tails_shown(
        self, heads: Int64[Tensor, " B"], relations: Int64[Tensor, " B"], shown: ShownFacts
    ) -> Float[Tensor, "B C"]:
        """As `tails`, of heads of which facts are shown."""
        return self.tails_of(self._introduced(heads, relations, shown), relations)

    def heads_shown(
        self, relations: Int64[Tensor, " B"], tails: Int64[Tensor, " B"], shown: ShownFacts
    ) -> Float[Tensor, "B C"]:
        """As `heads`, of tails of which facts are shown."""
        return self.heads_of(relations, self._introduced(tails, relations, shown))

    def _introduced(
        self, entities: Int64[Tensor, " B"], relations: Int64[Tensor, " B"], shown: ShownFacts
    ) -> Float[Tensor, "B D"]:
        """The mean of what the text gives and of where each fact says that the entity lies."""
        if not shown.others.numel():
            return self.given(entities, relations)
        others = self.given(shown.others.flatten(), shown.relations.flatten()).unflatten(0, shown.others.shape)
        said = shown.translated(others, self.relation_vectors[shown.relations])
        return torch.cat([self.given(entities, relations)[:, None], said], dim=1).mean(dim=1)

    def tails_of(self, heads: Float[Tensor, "B D"], relations: Int64[Tensor, " B"]) -> Float[Tensor, "B C"]:
        """As `tails`, for heads that are `given` as vectors: entities outside the dataset."""
        return self._model.score.pairs(heads + self.relation_vectors[relations], self.entities)

    def heads_of(self, relations: Int64[Tensor, " B"], tails: Float[Tensor, "B D"]) -> Float[Tensor, "B C"]:
        """As `heads`, for tails that are `given` as vectors."""
        return self._model.score.pairs(tails - self.relation_vectors[relations], self.entities)

    def relations(self, heads: Int64[Tensor, " B"], tails: Int64[Tensor, " B"]) -> Float[Tensor, "B R"]:
        """Score of every relation between head and tail."""
        every, rows = torch.arange(len(self.relation_vectors)), []
        for head, tail, *ends in zip(heads, tails, self.vectors(heads), self.vectors(tails), strict=True):
            h, t = given_h, given_t = [end.expand(len(every), -1) for end in ends]
            if self._model.config.conditioned:
                given_h, given_t = (self.given(end.expand(len(every)), every) for end in (head, tail))
            rows.append(self._each_relation(h, t, given_h, given_t))
        return torch.stack(rows)

    def relations_of(
        self, head: int, tail: int, texts: tuple[Descriptions | None, Descriptions | None] = (None, None)
    ) -> Float[Tensor, " R"]:
        """Score of every relation between two entities, of the dataset or of `texts`: as in training, the mean of both
        questions'."""
        every = torch.arange(len(self.relation_vectors))
        ends = [(torch.full_like(every, end), text) for end, text in zip((head, tail), texts, strict=True)]
        # These two are read, not the candidates: none is ranked.
        h, t = (embed_all(self._model, text or self._texts, own) for own, text in ends)
        given_h, given_t = h, t
        if self._model.config.conditioned:
            given_h, given_t = (self.given(own, every, text) for own, text in ends)
        return self._each_relation(h, t, given_h, given_t)

    def _each_relation(
        self,
        heads: Float[Tensor, "R D"],
        tails: Float[Tensor, "R D"],
        given_heads: Float[Tensor, "R D"],
        given_tails: Float[Tensor, "R D"],
    ) -> Float[Tensor, " R"]:
        score, relations = self._model.score, self.relation_vectors
        return (score.rows(given_heads + relations, tails) + score.rows(given_tails - relations, heads)) / 2
