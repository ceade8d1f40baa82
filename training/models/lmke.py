"""LMKE and C-LMKE (Wang et al., Language Models as Knowledge Embeddings, IJCAI 2022): entities and relations as tokens
of a language model, beside their texts.

LMKE tells facts from others: [CLS] h s_h r s_r t s_t [SEP], where h, r and t are learned tokens and s_* texts, which
may be missing. C-LMKE links: a query is the same with a mask for the asked part, which has no text, and is read at the
mask; an entity is [CLS] e s_e [SEP], read at e by a second encoder; training/matching.py tells how well they go
together. Its masked variant (MEM-KGC) classifies a query's output among all entities.

Differences from the authors' code:
- LMKE reads [CLS] by one logit, as the paper (there: the pooler, two logits), with its own encoder alone;
  negatives are drawn from counter-based hashes (there: files, which a later run reads again), and one that can't be
  made false is left out;
- there are two encoders (there: three, of which link prediction does not use one), and the second one's words are the
  first one's;
- tokens begin as the mean of their names' words (there: normal with deviation 1, 50 times that of words);
- a step has one update for both sides (there: one for each); each distinct query and entity of it is encoded once, and
  counts as often as it is asked, an entity once (`lmke.repeated_keys`);
- no gradient goes through the weights of negatives (`lmke.self_adversarial`), and losses are means (`lmke.summed`);
- the degree of a candidate is its own, in train; logits are ranked, not their sigmoids, which saturate.

N sequences, P parts of each, B of a piece, S tokens of its longest, Q queries, K keys, E entities, C candidates,
R relations, D hidden, W of a word.
"""

import copy
import functools
from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from training.config import Config
from training.data.batch import Ragged, to_device
from training.data.graphs import TableSizes
from training.data.links import SIDES, FactBatch, Facts, FactTexts, LinkBatch
from training.data.sequences import HIDDEN, Piece
from training.encoders import build_encoder, spares_last_layer, state_at, word_vectors
from training.matching import Matcher, Ranking, Vectors, matching_sum

AT_ONCE = 4_096
"""Sequences that are made at once where nothing is trained."""


class TokenModel(nn.Module):
    """An encoder that reads entities and relations as tokens of their own among the words."""

    memory = None
    """The tokens are parameters."""

    def __init__(self, config: Config, sizes: TableSizes) -> None:
        super().__init__()
        built = build_encoder(config.encoder, sizes.words, token_types=1)
        self.encoder, self.word_head, self._cost = built.encoder, built.head, built.cost
        # Of exports; no loss leads to it.
        self.word_head.requires_grad_(False)
        self.config, self.width = config.lmke, int(self.encoder.config.hidden_size)
        # Of words, which some encoders (ALBERT, ELECTRA) have narrower than their states.
        self._word_width = self.encoder.get_input_embeddings().embedding_dim
        self.entity = self._table(sizes.entities)
        self.relation = self._table(sizes.relations)

    def _table(self, rows: int) -> nn.Embedding:
        table = nn.Embedding(rows, self._word_width)
        nn.init.normal_(table.weight, std=self.encoder.config.initializer_range)
        return table

    @torch.no_grad()
    def initialise(self, entities: Ragged, relations: Ragged) -> None:
        """The tokens of what has a name become the mean of its words; `entities` and `relations` are these names."""
        words = self.encoder.get_input_embeddings().weight
        for table, names in ((self.entity, entities), (self.relation, relations)):
            ids, starts = torch.from_numpy(names.values), torch.from_numpy(names.cu_seqlens[:-1])
            named = torch.from_numpy(names.lengths > 0)
            table.weight[named] = F.embedding_bag(ids, words, starts, mode="mean")[named]

    def encoded(self, facts: Facts, *, read: int | None, encoder: nn.Module | None = None) -> Float[Tensor, "N D"]:
        """Each sequence's output at the holder of part `read`; at that of the part that is asked for where it is None,
        and at [CLS] where it is -1."""
        if not facts.pieces:
            return self.entity.weight.new_empty(0, self.width)
        # Once for all pieces, as the words: the gradient of a table is as large as the table.
        held = torch.stack([self._tokens(part, ids) for part, ids in enumerate(facts.parts.unbind(dim=1))], dim=1)
        words = word_vectors(self.encoder, [piece.ids for piece in facts.pieces])
        encoder = encoder or self.encoder
        states = torch.cat([
            self._piece(piece, own, held, facts.parts, read, encoder)
            for piece, own in zip(facts.pieces, words, strict=True)
        ])  # fmt: skip
        places = torch.cat([piece.rows for piece in facts.pieces])
        return states.index_select(0, places.argsort()).float()

    def _piece(
        self,
        piece: Piece,
        words: Float[Tensor, "B S W"],
        held: Float[Tensor, "N P W"],
        parts: Int64[Tensor, "N P"],
        read: int | None,
        encoder: nn.Module,
    ) -> Float[Tensor, "B D"]:
        if read is None:
            places = piece.holders.gather(1, (parts[piece.rows] == HIDDEN).long().argmax(dim=1, keepdim=True))[:, 0]
        else:
            places = piece.holders[:, read] if read >= 0 else torch.zeros_like(piece.rows)
        shown = words.scatter(1, piece.holders[..., None].expand(-1, -1, words.shape[2]), held[piece.rows])
        if self.config.recompute and torch.is_grad_enabled():
            return checkpoint(state_at, encoder, shown, piece.real, places, use_reentrant=False)  # type: ignore[no-any-return]
        return state_at(encoder, shown, piece.real, places)

    def _tokens(self, part: int, ids: Int64[Tensor, " B"]) -> Float[Tensor, "B W"]:
        table: nn.Embedding = self.relation if part == 1 else self.entity
        return table(ids)


class Lmke(TokenModel):
    """Triple classification."""

    def __init__(self, config: Config, sizes: TableSizes) -> None:
        super().__init__(config, sizes)
        self.classifier = nn.Linear(self.width, 1)
        self.weights = {"triple": 1.0}

    def logits(self, facts: Facts) -> Float[Tensor, " N"]:
        """How plausible each fact is."""
        logits: Tensor = self.classifier(self.encoded(facts, read=-1))
        return logits.squeeze(1).float()

    def losses(self, batch: FactBatch) -> dict[str, Float[Tensor, ""]]:
        """The sum of the cross-entropies; nothing of no facts."""
        if not batch.facts.pieces:
            return {}
        logits = self.logits(batch.facts)
        return {"triple": F.binary_cross_entropy_with_logits(logits, batch.labels, reduction="sum")}

    def flops(self, batch: FactBatch) -> int:
        """Floating-point operations of `losses` and its backward, padding left out."""
        return self._cost.flops(batch.lengths, one_state=spares_last_layer(self.encoder))


class CLmke(TokenModel):
    """Link prediction."""

    degrees: Float[Tensor, " E"]

    def __init__(self, config: Config, sizes: TableSizes) -> None:
        super().__init__(config, sizes)
        self.mask = self._table(len(SIDES))
        self.key_encoder = self.matcher = self.classifier = None
        if self.config.variant == "contrastive":
            self.key_encoder = copy.deepcopy(self.encoder)
            # It is given embeddings, of the first one's words.
            self.key_encoder.embeddings.word_embeddings = None
            self.matcher = Matcher(self.width, self.config.matcher_hidden or self.width)
            if self.config.initial_matcher == "product":
                self.matcher.begin_as_product()
        else:
            self.classifier = nn.Linear(self.width, sizes.entities)
        self.register_buffer("degrees", torch.zeros(sizes.entities))
        # A step has two queries of each triple.
        self.weights = {"link": 2.0 * config.train.batch_size if self.config.summed else 1.0}

    @torch.no_grad()
    def begin_masks_as(self, word: int) -> None:
        """They become the embedding of a word."""
        self.mask.weight.copy_(self.encoder.get_input_embeddings().weight[word].expand_as(self.mask.weight))

    def count_degrees(self, train: Int64[np.ndarray, "T 3"]) -> None:
        """Remember log(degree + 1) of every entity in these triples, where the matcher is told of degrees."""
        if self.config.degrees:
            counted = np.bincount(train[:, [0, 2]].ravel(), minlength=len(self.degrees))
            self.degrees.copy_(torch.from_numpy(counted).log1p())

    def queries(self, facts: Facts, given: Int64[Tensor, " Q"]) -> Vectors:
        """The output at the mask of each."""
        return Vectors(self.encoded(facts, read=None), self.degrees[given])

    def keys(self, facts: Facts, entities: Int64[Tensor, " K"]) -> Vectors:
        """The output at the entity's own token."""
        return Vectors(self.encoded(facts, read=0, encoder=self.key_encoder), self.degrees[entities])

    def losses(self, batch: LinkBatch) -> dict[str, Float[Tensor, ""]]:
        """The sum over the queries; nothing of none."""
        if not batch.queries.pieces:
            return {}
        queries = self.queries(batch.queries, batch.given)
        if self.classifier is None:
            logits = self.matcher(queries, self.keys(batch.keys, batch.entities))
        else:
            logits = self.classifier(queries.values)
        answers = torch.zeros(logits.shape, dtype=torch.bool, device=logits.device)
        answers[batch.answers[:, 0], batch.answers[:, 1]] = True
        own, times = self.config, batch.times[batch.sides]
        weighed = own.self_adversarial, own.adversarial_temperature
        return {"link": matching_sum(logits, answers, times, batch.asked, *weighed)}

    def flops(self, batch: LinkBatch) -> int:
        """Floating-point operations of `losses` and its backward, padding left out."""
        queries, keys = len(batch.given), len(batch.entities)
        head = 6 * queries * keys * self.width if self.matcher is None else self.matcher.flops(queries, keys)
        return self._cost.flops(batch.lengths, one_state=spares_last_layer(self.encoder)) + head

    def _tokens(self, part: int, ids: Int64[Tensor, " B"]) -> Float[Tensor, "B W"]:
        rows = super()._tokens(part, ids.clamp(min=0))
        masks = self.mask.weight[0 if part == 0 else 1]
        return rows if part == 1 else torch.where((ids == HIDDEN)[:, None], masks, rows)


class LmkeScorer:
    """LMKE's logits behind training.scoring's TripleScorer."""

    def __init__(self, model: Lmke, texts: FactTexts) -> None:
        self._model, self._texts = model.eval(), texts

    @torch.no_grad()
    def triples(
        self, heads: Int64[Tensor, " N"], relations: Int64[Tensor, " N"], tails: Int64[Tensor, " N"]
    ) -> Float[Tensor, " N"]:
        """The logit of each."""
        parts, device = torch.stack([heads, relations, tails], dim=1), self._model.encoder.device
        some = [self._model.logits(to_device(self._texts.facts(own.numpy()), device)) for own in parts.split(AT_ONCE)]
        return torch.cat([torch.empty(0), *(logits.cpu() for logits in some)])


class CLmkeScorer:
    """Ranks the candidates by their logits; C columns below are E, unless some entities alone are candidates. They are
    encoded once, when they are first asked for; a query once in each call, as are the few entities that `triples` and
    `relations` are asked about: of relation prediction, two for twice as many queries as there are relations."""

    def __init__(self, model: CLmke, texts: FactTexts, candidates: Int64[Tensor, " C"] | None = None) -> None:
        """`candidates` are sorted; None for all entities."""
        self._model, self._texts = model.eval(), texts
        everything = torch.arange(len(model.degrees))
        self.candidates: Int64[Tensor, " C"] = everything if candidates is None else candidates

    def among(self, candidates: Int64[Tensor, " C"]) -> "CLmkeScorer":
        """The same for these alone: no other is encoded."""
        return CLmkeScorer(self._model, self._texts, candidates)

    def tails(self, heads: Int64[Tensor, " B"], relations: Int64[Tensor, " B"]) -> Float[Tensor, "B C"]:
        """Logits of every candidate as the tail of (head, relation)."""
        return self._of_all(torch.stack([heads, relations, torch.full_like(heads, HIDDEN)], dim=1))

    def heads(self, relations: Int64[Tensor, " B"], tails: Int64[Tensor, " B"]) -> Float[Tensor, "B C"]:
        """Logits of every candidate as the head of (relation, tail)."""
        return self._of_all(torch.stack([torch.full_like(tails, HIDDEN), relations, tails], dim=1))

    def triples(
        self, heads: Int64[Tensor, " N"], relations: Int64[Tensor, " N"], tails: Int64[Tensor, " N"]
    ) -> Float[Tensor, " N"]:
        """The mean of the logits of its two answers, each to its query."""
        parts, logits = torch.stack([heads, relations, tails], dim=1), []
        for end, answers in ((0, heads), (2, tails)):
            asking = parts.clone()
            asking[:, end] = HIDDEN
            logits.append(self._of_pairs(asking, answers))
        return (logits[0] + logits[1]) / 2

    def relations(self, heads: Int64[Tensor, " B"], tails: Int64[Tensor, " B"]) -> Float[Tensor, "B R"]:
        """The same for every relation between head and tail."""
        count = self._model.relation.num_embeddings
        every = torch.arange(count).repeat(len(heads))
        found = self.triples(heads.repeat_interleave(count), every, tails.repeat_interleave(count))
        return found.view(len(heads), count)

    @functools.cached_property
    def _ranking(self) -> Ranking:
        assert self._model.matcher is not None
        return Ranking(self._model.matcher, self._keys(self.candidates))

    @torch.no_grad()
    def _of_all(self, asking: Int64[Tensor, "B 3"]) -> Float[Tensor, "B C"]:
        distinct, places = asking.unique(dim=0, return_inverse=True)
        queries, classifier = self._queries(distinct), self._model.classifier
        if classifier is None:
            scores = self._ranking.scores(queries)
        else:
            chosen = self.candidates.to(classifier.weight.device)
            scores = F.linear(queries.values, classifier.weight[chosen], classifier.bias[chosen])
        return scores[places.to(scores.device)]

    @torch.no_grad()
    def _of_pairs(self, asking: Int64[Tensor, "N 3"], answers: Int64[Tensor, " N"]) -> Float[Tensor, " N"]:
        distinct, places = asking.unique(dim=0, return_inverse=True)
        queries, classifier = self._queries(distinct), self._model.classifier
        places = places.to(queries.values.device)
        if classifier is not None:
            rows = answers.to(places.device)
            return ((queries.values[places] * classifier.weight[rows]).sum(dim=1) + classifier.bias[rows]).cpu()
        entities, own = answers.unique(return_inverse=True)
        keys, own, matcher = self._keys(entities), own.to(places.device), self._model.matcher
        pairs = zip(places.split(AT_ONCE), own.split(AT_ONCE), strict=True)
        some = [matcher.of_pairs(queries.rows(query), keys.rows(key)) for query, key in pairs]
        return torch.cat([torch.empty(0), *(logits.cpu() for logits in some)])

    def _queries(self, asking: Int64[Tensor, "Q 3"]) -> Vectors:
        given = torch.where(asking[:, 0] == HIDDEN, asking[:, 2], asking[:, 0])
        return self._some(self._model.queries, self._texts.facts, asking, given)

    @torch.no_grad()
    def _keys(self, entities: Int64[Tensor, " K"]) -> Vectors:
        return self._some(self._model.keys, self._texts.alone, entities, entities)

    def _some(
        self,
        encode: Callable[[Facts, Tensor], Vectors],
        read: Callable[[np.ndarray], Facts],
        asked: Int64[Tensor, "N ..."],
        entities: Int64[Tensor, " N"],
    ) -> Vectors:
        device, parts = self._model.encoder.device, zip(asked.split(AT_ONCE), entities.split(AT_ONCE), strict=True)
        some = [encode(to_device(read(own.numpy()), device), of.to(device)) for own, of in parts]
        return Vectors(torch.cat([each.values for each in some]), torch.cat([each.degrees for each in some]))
