"""CoLAKE (Sun et al., COLING 2020): one Transformer over words, entities and relations of a word-knowledge graph.

Differences from the authors' code:
- relations are trained, as the paper says (the released code freezes their table);
- positions begin where RoBERTa's own do, everywhere (the released code begins at row 0 of their table, so that the
  first word has the padding row, in pre-training and fine-tuning, and at RoBERTa's own in probing; colake.compat moves
  a table that was learnt so to where it is read);
- neighbours are dropped and nodes masked anew each epoch, from counter-based hashes (there: once, on disk);
- the paper's share of nodes is masked, without the code's caps and always-labelled anchors (colake.masking = "code");
- rows begin as the mean over label and aliases, as the paper says (there: the first alias);
- words are ranked at labelled nodes only (there: at all of them); a term without labels is left out (there: NaN);
- an entity row gets one update a step, from the sum of its gradients (there: one for each time it was looked up, in an
  asynchronous key-value store);
- one mask symbol per table, as its last row; no <unk> or <pad> rows for entities and relations.

B graphs, S nodes of the largest, N labelled nodes, M entity nodes, C candidate entities, E entities, R relations,
D hidden.
"""

from collections.abc import Iterable, Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64, Integer
from torch import Tensor, nn
from torch.nn import functional as F

from schemas.errors import DataError
from schemas.hashing import normal, random_u64
from training.config import Config
from training.data.collate import ENTITY, RELATION, WORD, Graphs, RawGraphs, build_graphs
from training.data.graphs import (
    IGNORE,
    ColakeBatch,
    Graph,
    GraphPiece,
    TableSizes,
    pad_graphs,
    raw_from_graphs,
    visibility,
)
from training.data.names import NamedRows
from training.data.special import SpecialTokens
from training.data.stream import SOLE, Rank
from training.encoders import TiedHead, build_encoder
from training.entity_memory import CPU, open_memory
from training.objectives import cross_entropy_sum

PREDICT_BATCH = 32
TAIL = 3
"""An entity that is asked for as the tail of a triple."""


class Colake(nn.Module):
    """Three embedding tables, one encoder with masked attention, three heads tied to the tables.

    The entities' table is no parameter: it is on `device` from the beginning, or where config.memory says.
    """

    def __init__(
        self,
        config: Config,
        sizes: TableSizes,
        device: torch.device = CPU,
        rank: Rank = SOLE,
        *,
        training: bool = True,
    ) -> None:
        super().__init__()
        built = build_encoder(config.encoder, sizes.words, token_types=3)
        hidden = built.encoder.config.hidden_size
        self.encoder = built.encoder
        self.position_offset = built.position_offset
        if config.colake.compat:
            _move_positions(self.encoder, self.position_offset)
        self.memory = open_memory(config.memory, sizes.entities + 1, hidden, device, rank, training=training)
        self.relation = nn.Embedding(sizes.relations + 1, hidden)
        self.word_head = built.head
        self._cost = built.cost
        self.entity_head = TiedHead(hidden, None)
        self.relation_head = TiedHead(hidden, sizes.relations + 1)
        self.weights = {
            "word": config.colake.word_weight,
            "entity": config.colake.entity_weight,
            "relation": config.colake.relation_weight,
        }
        self._seed, self._flat = config.seed, config.colake.flat

    @torch.no_grad()
    def initialise(self, entities: Iterable[NamedRows], relations: Iterable[NamedRows]) -> None:
        """Each entity and relation row becomes the mean of its names, a name being the mean of its words' embeddings;
        one without a name becomes random numbers of the same spread, by its number."""
        for block in entities:
            self.memory.fill(block.start, self._initial("entities", block))
        for block in relations:
            rows = self._initial("relations", block)
            self.relation.weight[block.start : block.start + len(rows)] = rows

    def _initial(self, purpose: str, block: NamedRows) -> Float[Tensor, "B D"]:
        words, tokens = self.encoder.get_input_embeddings().weight, block.tokens
        ids, starts, shares = map(torch.from_numpy, (tokens.values, tokens.cu_seqlens[:-1], block.shares))
        rows = F.embedding_bag(ids, words, starts, mode="sum", per_sample_weights=shares.to(words))
        unnamed = np.flatnonzero(tokens.lengths == 0)
        places = (block.start + unnamed[:, None], np.arange(words.shape[1]))
        random = normal(random_u64(self._seed, f"rows/{purpose}", *places))
        rows[torch.from_numpy(unnamed)] = torch.from_numpy(random).to(words) * words.std()
        return rows

    def states(self, piece: GraphPiece, entities: Float[Tensor, "M D"] | None = None) -> Float[Tensor, "B S D"]:
        """Last hidden states of all nodes; `entities` are the rows of the piece's entity nodes, where they are read."""
        if entities is None:
            entities = self.memory.gather(piece.ids.flatten()[piece.nodes[ENTITY]])
        return self.encoder(
            inputs_embeds=self._embed(piece, entities),
            attention_mask=visibility(piece),
            position_ids=self._positions(piece) + self.position_offset,
            token_type_ids=torch.zeros_like(piece.types) if self._flat else piece.types,
        ).last_hidden_state

    def _positions(self, piece: GraphPiece) -> Int64[Tensor, "B S"]:
        if not self._flat:
            return piece.positions
        return torch.arange(piece.ids.shape[1], device=piece.ids.device).expand_as(piece.ids)

    def _embed(self, piece: GraphPiece, entities: Float[Tensor, "M D"]) -> Float[Tensor, "B S D"]:
        ids = piece.ids.flatten()
        words = self.encoder.get_input_embeddings()(ids[piece.nodes[WORD]])
        rows = torch.cat([words, entities, self.relation(ids[piece.nodes[RELATION]])])
        return rows.index_select(0, piece.order).view(*piece.ids.shape, -1)

    def losses(self, batch: ColakeBatch) -> dict[str, Float[Tensor, ""]]:
        """Sum of the cross-entropies of each term that has labels."""
        # All rows of the micro-batch are read at once.
        wanted = [*(piece.ids.flatten()[piece.nodes[ENTITY]] for piece in batch.pieces), batch.candidates]
        *rows, candidates = self.memory.gather(torch.cat(wanted)).split([len(ids) for ids in wanted])
        if not batch.pieces:
            return {}
        pieces = [self._labelled(*each) for each in zip(batch.pieces, rows, strict=True)]
        losses = {}
        for name, kind in (("word", WORD), ("entity", ENTITY), ("relation", RELATION)):
            states, labels = (torch.cat(parts) for parts in zip(*(piece[kind] for piece in pieces), strict=True))
            if name == "entity":
                # The gold entities come first and ascend, so a label's class is its place among them.
                labels = torch.searchsorted(batch.candidates[: batch.gold], labels)
            if len(labels):
                logits = self._logits(name, states, candidates)
                if name == "entity" and batch.log_chance is not None:
                    logits = logits - batch.log_chance
                losses[name] = cross_entropy_sum(logits, labels)
        return losses

    def flops(self, batch: ColakeBatch) -> int:
        """Floating-point operations of `losses` and its backward, padding left out."""
        labels, relations = batch.counts, self.relation.num_embeddings
        return (
            self._cost.flops(batch.lengths)
            + self.word_head.flops(labels["word"], self.encoder.get_input_embeddings().num_embeddings)
            + self.entity_head.flops(labels["entity"], len(batch.candidates))
            + self.relation_head.flops(labels["relation"], relations)
        )

    def _labelled(
        self, piece: GraphPiece, entities: Float[Tensor, "M D"]
    ) -> list[tuple[Float[Tensor, "_ D"], Int64[Tensor, " _"]]]:
        """States and labels of the words, entities and relations that are predicted."""
        states, labels = self.states(piece, entities).flatten(0, 1), piece.labels.flatten()
        return [(states.index_select(0, places), labels[places]) for places in piece.asked]

    def _logits(
        self, name: str, states: Float[Tensor, "N D"], candidates: Float[Tensor, "C D"]
    ) -> Float[Tensor, "N C2"]:
        if name == "entity":
            return self.entity_head(states, candidates)
        if name == "relation":
            return self.relation_head(states, self.relation.weight)
        return self.word_head(states, self.encoder.get_input_embeddings().weight)


@torch.no_grad()
def _move_positions(encoder: nn.Module, rows: int) -> None:
    """Let position i have the row i that the weights come with, where the encoder reads row i + `rows` for it."""
    table = encoder.embeddings.position_embeddings.weight
    table[rows:] = table[: len(table) - rows].clone()


class ColakePredictor:
    """Answers about masked nodes: each question masks one node of its graph and leaves the rest as given."""

    def __init__(self, model: Colake, special: SpecialTokens, sizes: TableSizes, max_units: int) -> None:
        self.model = model.eval()
        self._special, self._sizes, self._max_units = special, sizes, max_units

    def entity_logits(self, graphs: Sequence[Graph], anchor: Int64[np.ndarray, " B"]) -> Float[Tensor, "B E"]:
        """Logits of every entity at the given anchor of each graph."""
        return self._logits(graphs, anchor, ENTITY)

    @torch.no_grad()
    def candidate_logits(
        self, graphs: Sequence[Graph], anchor: Int64[np.ndarray, " B"], candidates: Sequence[Integer[np.ndarray, " _"]]
    ) -> list[Float[Tensor, " _"]]:
        """Logits of some entities, those of each graph its own, at the given anchor of each graph."""
        states, wanted = self._states(graphs, anchor, ENTITY), np.concatenate(candidates).astype(np.int64)
        rows = self.model.memory.gather(torch.from_numpy(wanted)).split([len(entities) for entities in candidates])
        return [self.model.entity_head(state[None], table)[0] for state, table in zip(states, rows, strict=True)]

    @torch.no_grad()
    def anchor_states(self, graphs: Sequence[Graph]) -> list[Float[Tensor, "A D"]]:
        """Last hidden states of the anchors of each graph, nothing masked; NaN for those that were cut."""
        found = []
        for start in range(0, len(graphs), PREDICT_BATCH):
            some = graphs[start : start + PREDICT_BATCH]
            raw, built = self._built(some)
            none = np.full(len(built.ids), IGNORE)
            states = self.model.states(pad_graphs(built, built.ids, none, np.arange(len(some)), self._special.pad))
            for row, graph in enumerate(some):
                own = torch.full((len(graph.anchors), states.shape[2]), torch.nan)
                nodes = torch.from_numpy(built.unit_nodes[raw.units.rows == row][graph.units < 0])
                own[torch.from_numpy(-1 - graph.units[graph.units < 0])[nodes >= 0]] = states[row, nodes[nodes >= 0]]
                found.append(own)
        return found

    def relation_logits(
        self,
        graphs: Sequence[Graph],
        triple: Int64[np.ndarray, " B"],
        hidden: Sequence[Bool[np.ndarray, " _"]] = (),
    ) -> Float[Tensor, "B R"]:
        """Logits of every relation at the relation node of the given triple of each graph.

        `hidden` tells which anchors of each graph are masked as well.
        """
        return self._logits(graphs, triple, RELATION, hidden)

    def tail_logits(self, graphs: Sequence[Graph], triple: Int64[np.ndarray, " B"]) -> Float[Tensor, "B E"]:
        """Logits of every entity at the tail of the given triple of each graph."""
        return self._logits(graphs, triple, TAIL)

    def word_logits(self, graphs: Sequence[Graph], unit: Int64[np.ndarray, " B"]) -> Float[Tensor, "B V"]:
        """Logits of every token at the given unit of each graph."""
        return self._logits(graphs, unit, WORD)

    @torch.no_grad()
    def _logits(
        self,
        graphs: Sequence[Graph],
        which: Int64[np.ndarray, " B"],
        kind: int,
        hidden: Sequence[Bool[np.ndarray, " _"]] = (),
    ) -> Tensor:
        return self._head(self._states(graphs, which, kind, hidden), kind) if len(graphs) else torch.empty(0, 0)

    def _states(
        self,
        graphs: Sequence[Graph],
        which: Int64[np.ndarray, " B"],
        kind: int,
        hidden: Sequence[Bool[np.ndarray, " _"]] = (),
    ) -> Float[Tensor, "B D"]:
        """The state of each graph's masked node."""
        pieces = []
        for start in range(0, len(graphs), PREDICT_BATCH):
            rows = slice(start, start + PREDICT_BATCH)
            piece, nodes = self._masked(graphs[rows], which[rows], kind, hidden[rows])
            pieces.append(self.model.states(piece)[torch.arange(len(nodes)), nodes])
        return torch.cat(pieces)

    def _head(self, states: Float[Tensor, "N D"], kind: int) -> Float[Tensor, "N C"]:
        model = self.model
        if kind in (ENTITY, TAIL):
            return model.entity_head(states, model.memory.weight)[:, :-1]
        if kind == RELATION:
            return model.relation_head(states, model.relation.weight)[:, :-1]
        return model.word_head(states, model.encoder.get_input_embeddings().weight)

    def _built(self, graphs: Sequence[Graph]) -> tuple[RawGraphs, Graphs]:
        raw = raw_from_graphs(graphs)
        return raw, build_graphs(
            raw,
            bos=self._special.bos,
            eos=self._special.eos,
            max_units=self._max_units,
            max_nodes=np.iinfo(np.int64).max,
            priority=np.zeros(len(raw.tails.values), dtype=np.uint64),
        )

    def _masked(
        self,
        graphs: Sequence[Graph],
        which: Int64[np.ndarray, " B"],
        kind: int,
        hidden: Sequence[Bool[np.ndarray, " _"]] = (),
    ) -> tuple[GraphPiece, Int64[Tensor, " B"]]:
        """The padded batch with one node of each graph, and the hidden anchors, masked; and that node's place."""
        raw, built = self._built(graphs)
        nodes = _asked(raw, built, which, kind)
        if (nodes < 0).any():
            raise DataError(
                f"A text of {int(raw.units.lengths.max())} tokens is cut at {self._max_units}, before the node that is "
                "asked for. Ask about a shorter passage."
            )
        ids, entity = built.ids.copy(), self._sizes.entities
        masks = {WORD: self._special.mask, ENTITY: entity, TAIL: entity, RELATION: self._sizes.relations}
        ids[built.cu_seqlens[:-1] + nodes] = masks[kind]
        if len(hidden):
            ids[_hidden_nodes(raw, built, np.concatenate(hidden))] = entity
        none, rows = np.full(len(ids), IGNORE), np.arange(len(graphs))
        return pad_graphs(built, ids, none, rows, self._special.pad), torch.from_numpy(nodes)


def _asked(raw: RawGraphs, built: Graphs, which: Int64[np.ndarray, " B"], kind: int) -> Int64[np.ndarray, " B"]:
    """Place of the node that each question is about, -1 where it was cut."""
    if kind == TAIL:
        return built.tail_nodes[raw.tails.cu_seqlens[:-1] + which]
    if kind == RELATION:
        return built.triple_nodes[raw.tails.cu_seqlens[:-1] + which]
    if kind == WORD:
        return built.unit_nodes[raw.units.cu_seqlens[:-1] + which]
    marks = np.flatnonzero(raw.units.values == -1 - which[raw.units.rows])
    return built.unit_nodes[marks]


def _hidden_nodes(raw: RawGraphs, built: Graphs, hidden: Bool[np.ndarray, " A"]) -> Int64[np.ndarray, " H"]:
    """Nodes of the hidden anchors, among all nodes; those that were cut are none."""
    marks = np.flatnonzero((raw.units.values < 0) & (built.unit_nodes >= 0))
    graphs = raw.units.rows[marks]
    chosen = hidden[raw.anchors.cu_seqlens[graphs] - 1 - raw.units.values[marks]]
    return built.cu_seqlens[graphs[chosen]] + built.unit_nodes[marks[chosen]]
