"""JAKET (Yu et al., AAAI 2022): a language model in two halves around a graph network over the entities of its text.

LM1, the embeddings and the first half of the layers, makes Z; the knowledge module makes E^KM of the linked entities
out of their context embeddings (LM1 at the entity's name in its description) and those of their neighbours; LM2 goes on
with LayerNorm(Z + E^KM). No code of the authors is public: what the paper leaves open, and where we differ from it, is
in docs/jaket.md.

B texts, S tokens of the longest, P linked tokens, N nodes, V targets, Q mentions asked for, C candidates, D hidden.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

from schemas.errors import DataError
from schemas.hashing import normal, random_u64
from training.config import Config
from training.data.batch import to_device
from training.data.described import Described, DescribedPiece, state_between
from training.data.graphs import IGNORE, TableSizes
from training.data.jaket import JaketBatch, KnowledgeBlocks, LinkedPiece
from training.data.stream import SOLE, Rank
from training.encoders import build_encoder
from training.entity_memory import CPU
from training.entity_memory.context import ContextMemory, Schedule
from training.models.relational_gat import KnowledgeModule
from training.objectives import cross_entropy_sum


class Jaket(nn.Module):
    """An encoder in two halves, the knowledge module between them, and a head for each task."""

    own_rate = ("encoder", "word_head", "merge", "query")
    """The language model's modules; the knowledge module and its heads learn at optim.rest_scale."""

    def __init__(
        self, config: Config, sizes: TableSizes, classes: int, device: torch.device = CPU, rank: Rank = SOLE
    ) -> None:
        """`classes` of entities. The context memory is on `device` from the beginning, or where config.memory says."""
        super().__init__()
        own = self.config = config.jaket
        built = build_encoder(config.encoder, sizes.words, token_types=1)
        self.encoder, self.word_head, self._cost = built.encoder, built.head, built.cost
        hidden = self.encoder.config.hidden_size
        _require_halves(self.encoder, config)
        self.weights = own.weights
        knows = own.knowledge != "none"
        if knows and hidden % own.heads:
            raise DataError(f"jaket.heads = {own.heads}: the encoder's {hidden} numbers can't be shared among them.")
        reads = not self.weights.keys().isdisjoint(("word", "entity"))
        self.word_head.requires_grad_("word" in self.weights)
        if knows and not reads:
            # A graph network alone: nothing leads to the encoder.
            self.encoder.requires_grad_(False)
        self.knowledge = KnowledgeModule(hidden, own.heads, own.layers, config.encoder.dropout) if knows else None
        self.merge = nn.LayerNorm(hidden, eps=1e-5) if knows and reads else nn.Identity()
        wanted = "entity" in self.weights
        self.query = _query(hidden) if wanted else None
        self.category_head = nn.Linear(hidden, classes) if "category" in self.weights else None
        self.relation_head = nn.Linear(3 * hidden, sizes.relations) if "relation" in self.weights else None
        described = knows and own.relations == "described"
        rows = sizes.relations * (1 + own.inverse)
        self.register_buffer("relation_memory", torch.zeros(rows, hidden) if described else None)
        self.memory = _memory(config, sizes.entities, hidden, device, rank) if knows else None
        self._seed, self._bf16 = config.seed, config.train.precision == "bf16"
        if config.train.compile:
            for layer in self.encoder.encoder.layer:
                layer.compile(dynamic=True)

    def remember(self, entities: Described) -> None:
        """Let the memory be made from these descriptions."""
        assert self.memory is not None
        self.memory.encode = lambda chosen: self.context(entities, chosen)

    @torch.no_grad()
    def initialise(self, relations: Described | None) -> None:
        """The memory's first rows: what LM1 makes of the descriptions, or random numbers; and the relations'."""
        assert self.memory is not None
        if self.config.knowledge == "random":
            for start in range(0, self.memory.rows, 16_384):
                ids = np.arange(start, min(start + 16_384, self.memory.rows))
                words = random_u64(self._seed, "rows/context", ids[:, None], np.arange(self.memory.width))
                self.memory.fill(start, torch.from_numpy(normal(words)).float())
        else:
            self.memory.fill_all()
        if relations is not None:
            rows = self.context(relations, np.arange(len(relations.tokens.lengths)))
            self.relation_memory.copy_(torch.cat([rows, -rows])[: len(self.relation_memory)])

    # What the two halves and the knowledge module make.

    def first_half(self, ids: Int64[Tensor, "B S"], real: Bool[Tensor, "B S"]) -> tuple[Float[Tensor, "B S D"], Any]:
        """LM1: (Z, the mask that the layers read)."""
        from transformers.masking_utils import create_bidirectional_mask

        states = self.encoder.embeddings(input_ids=ids)
        mask = create_bidirectional_mask(config=self.encoder.config, inputs_embeds=states, attention_mask=real)
        layers = self.encoder.encoder.layer
        for layer in layers[: len(layers) // 2]:
            states = _states(layer(states, mask))
        return states, mask

    def second_half(self, states: Float[Tensor, "B S D"], mask: Any) -> Float[Tensor, "B S D"]:
        """LM2."""
        layers = self.encoder.encoder.layer
        for layer in layers[len(layers) // 2 :]:
            states = _states(layer(states, mask))
        return states

    def states(
        self,
        ids: Int64[Tensor, "B S"],
        real: Bool[Tensor, "B S"],
        places: Int64[Tensor, " P"] | None = None,
        added: Float[Tensor, "P D"] | None = None,
    ) -> Float[Tensor, "B S D"]:
        """Z^LM of texts: `added` is the vector of the entity that each token of `places` (in the flattened rectangle)
        names."""
        states, mask = self.first_half(ids, real)
        if places is not None and added is not None:
            flat = states.flatten(0, 1)
            states = flat.index_add(0, places, added.to(flat.dtype)).view_as(states)
        return self.second_half(self.merge(states), mask)

    def entities(
        self, rows: Float[Tensor, "N D"], blocks: KnowledgeBlocks, relations: Float[Tensor, "R D"] | None = None
    ) -> Float[Tensor, "V D"]:
        """E^KM of the blocks' targets, out of the context embeddings of its nodes."""
        assert self.knowledge is not None
        kinds = self.relation_memory if relations is None else relations
        return self.knowledge(rows, blocks.edges, blocks.sizes, kinds)

    @torch.no_grad()
    def context(self, texts: Described, chosen: Int64[np.ndarray, " N"]) -> Float[Tensor, "N D"]:
        """E^0: LM1's states at both ends of the mention in each of these descriptions, their mean; dropout off."""
        training, device = self.training, self.encoder.get_input_embeddings().weight.device
        self.eval()
        out = torch.empty(len(chosen), self.encoder.config.hidden_size, device=device)
        with torch.autocast(device.type, torch.bfloat16, enabled=self._bf16):
            for piece in texts.pieces(chosen):
                on_device = to_device(piece, device)
                states, _ = self.first_half(on_device.ids, on_device.real)
                out[on_device.rows] = state_between(states, on_device.ends).float()
        self.train(training)
        return out

    def described(self, pieces: Sequence[DescribedPiece], count: int) -> Float[Tensor, "V D"]:
        """What the whole encoder makes of entities' descriptions, with gradient."""
        states = [state_between(self.states(piece.ids, piece.real), piece.ends) for piece in pieces]
        if not states:
            return self.word_head.dense.weight.new_zeros(0, self.encoder.config.hidden_size)
        order = torch.cat([piece.rows for piece in pieces])
        joined = torch.cat(states)
        return joined.new_zeros(count, joined.shape[1]).index_copy(0, order, joined)

    # What is learned.

    def losses(self, batch: JaketBatch) -> dict[str, Float[Tensor, ""]]:
        """Sum of the cross-entropies of each term that has labels."""
        nodes, counts = len(batch.blocks.nodes), batch.counts
        if self.memory is not None:
            # All rows of the micro-batch are read at once.
            rows = self.memory.pull(torch.cat([batch.blocks.nodes, batch.candidates]))
            entities, candidates = self.entities(rows[:nodes], batch.blocks), rows[nodes:]
        else:
            entities, candidates = self.described(batch.descriptions, nodes), None
        losses = {}
        if counts["category"]:
            target, label = batch.classified.unbind(dim=1)
            losses["category"] = cross_entropy_sum(self.category_head(entities.index_select(0, target)), label)
        if counts["relation"]:
            heads, tails = (entities.index_select(0, batch.pairs[:, side]) for side in (0, 1))
            logits = self.relation_head(torch.cat([heads, tails, heads * tails], dim=-1))
            losses["relation"] = cross_entropy_sum(logits, batch.pairs[:, 2])
        if batch.pieces:
            losses |= self._of_text(batch.pieces, entities, candidates)
        return losses

    def _of_text(
        self,
        pieces: Sequence[LinkedPiece],
        entities: Float[Tensor, "V D"],
        candidates: Float[Tensor, "C D"] | None,
    ) -> dict[str, Float[Tensor, ""]]:
        read, words, ends, golds = [], [], [], []
        for piece in pieces:
            added = entities.index_select(0, piece.linked) if self.memory is not None else None
            states = self.states(piece.ids, piece.real, piece.places, added).flatten(0, 1)
            labelled = torch.nonzero(piece.labels.flatten() != IGNORE).squeeze(1)
            read.append(states.index_select(0, labelled))
            words.append(piece.labels.flatten().index_select(0, labelled))
            ends.append(self.mention(states, piece.asked))
            golds.append(piece.gold)
        losses, labels, gold = {}, torch.cat(words), torch.cat(golds)
        if len(labels):
            logits = self.word_head(torch.cat(read), self.encoder.get_input_embeddings().weight)
            losses["word"] = cross_entropy_sum(logits, labels)
        if len(gold) and candidates is not None:
            losses["entity"] = cross_entropy_sum(self.asked_for(torch.cat(ends)) @ candidates.T, gold)
        return losses

    def mention(self, flat: Float[Tensor, "M D"], ends: Int64[Tensor, "Q 2"]) -> Float[Tensor, "Q D"]:
        """The mean of the states at the first and the last token of mentions."""
        return (flat.index_select(0, ends[:, 0]) + flat.index_select(0, ends[:, 1])) / 2

    def asked_for(self, mentions: Float[Tensor, "Q D"]) -> Float[Tensor, "Q D"]:
        """q = W2 relu(W1 z): what is compared with context embeddings, by inner products."""
        assert self.query is not None
        # Context embeddings have a length of about the root of D; W2 takes up the factor, learning rates do not.
        queries: Tensor = self.query(mentions) * mentions.shape[1] ** -0.5
        return queries

    def flops(self, batch: JaketBatch) -> int:
        """Floating-point operations of `losses` and its backward, padding left out."""
        counts, words = batch.counts, self.encoder.get_input_embeddings().num_embeddings
        total = self._cost.flops(batch.lengths) + self.word_head.flops(counts["word"], words)
        if self.knowledge is not None:
            for edges, nodes in zip(batch.blocks.edges, (len(batch.blocks.nodes), *batch.blocks.sizes), strict=False):
                total += self.knowledge.flops(nodes, len(edges))
        return total + 6 * counts["entity"] * len(batch.candidates) * self.encoder.config.hidden_size


def _query(hidden: int) -> nn.Sequential:
    """W1, ReLU, W2. They begin as identities: a mention's state is in the space of context embeddings already."""
    query = nn.Sequential(nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, hidden))
    for layer in query[::2]:
        nn.init.eye_(layer.weight)
        nn.init.zeros_(layer.bias)
    return query


def _require_halves(encoder: nn.Module, config: Config) -> None:
    layers = getattr(getattr(encoder, "encoder", None), "layer", None)
    if not isinstance(layers, nn.ModuleList) or not hasattr(encoder, "embeddings") or len(layers) < 2:
        raise DataError(
            f"jaket cuts its encoder in two halves, and {config.encoder.name} is not made of embeddings and two layers "
            "or more, as BERT and RoBERTa are. Take one of these."
        )


def _states(output: Any) -> Float[Tensor, "B S D"]:
    """A layer's output, which is a tuple in some versions of the library."""
    return output[0] if isinstance(output, tuple) else output


def _memory(config: Config, entities: int, hidden: int, device: torch.device, rank: Rank) -> ContextMemory:
    own = config.jaket
    schedule = None
    if own.knowledge == "memory" and own.refresh != "never":
        lengths = own.refresh_first, own.refresh_growth, own.refresh_hold, own.refresh_longest
        schedule = Schedule(*lengths, rolling=own.refresh == "rolling")
    return ContextMemory(config.memory, entities, hidden, schedule, own.momentum, device, rank)
