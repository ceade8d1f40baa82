"""What answers questions of a knowledge graph: the encoder alone, or JAKET (Yu et al., AAAI 2022, section 4.2).

JAKET reads a question with its topic linked: LM1, what the knowledge module makes of the topic added to its words, LM2.
Context embeddings, and what stands for relations, are made once of the new graph's texts by the run's LM1, and stay as
they are. The paper's answer is the candidate whose context embedding, made of its text alone, comes closest.

B questions, U candidates, E entities, R relations, N targets, D hidden.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, Int64, UInt64
from torch import Tensor, nn

from schemas.hashing import normal, random_u64
from training.data.batch import ragged_rows, to_device
from training.data.described import Described
from training.data.jaket import KnowledgeBlocks
from training.data.labelled import LabelledInput, labelled_batch
from training.data.neighbours import Neighbours
from training.labelled_encoder import LabelledEncoder, Start, own_network

ENCODE_TOKENS = 4_096
"""Padded tokens of texts that are encoded together."""


class TextAnswerer(LabelledEncoder):
    """The encoder alone: a candidate is its text, read as a question is."""

    def __init__(self, start: Start, texts: Sequence[LabelledInput], dropout: float) -> None:
        """`texts` of the entities, by index. The caller sets torch's seed."""
        super().__init__(start, 0, torch.empty(0, int(start.encoder.config.hidden_size)))
        self._texts, self._pad, self.dropout = texts, start.special.pad, nn.Dropout(dropout)

    def asked(self, inputs: Sequence[LabelledInput]) -> Float[Tensor, "B D"]:
        """The states at <s>."""
        return self.dropout(self._read(inputs))

    def answers(self, entities: Int64[np.ndarray, " U"]) -> Float[Tensor, "U D"]:
        """The states at <s> of their texts."""
        return self._read([self._texts[entity] for entity in entities.tolist()])

    def _read(self, inputs: Sequence[LabelledInput]) -> Float[Tensor, "B D"]:
        return self.vectors(to_device(labelled_batch(inputs, self._pad), next(self.parameters()).device), "start")


@dataclasses.dataclass(frozen=True)
class Contexts:
    """Context embeddings of a new graph, and what stands for its relations."""

    entities: Float[Tensor, "E D"] | None
    """None for a run whose memory is random."""
    relations: Float[Tensor, "R D"]

    @classmethod
    def of(cls, start: Start, texts: Sequence[LabelledInput], relations: Sequence[LabelledInput]) -> "Contexts":
        """Of `texts` of entities and relations, by index, as the run's LM1 reads them."""
        random = start.jaket.config.knowledge == "random"
        return cls(None if random else _contexts(start, texts), _contexts(start, relations))


def _contexts(start: Start, texts: Sequence[LabelledInput]) -> Float[Tensor, "N D"]:
    ends = [(one.linked[0][1], one.linked[0][2] - 1) if one.linked else (0, 0) for one in texts]
    words = ragged_rows([one.words for one in texts])
    described = Described(words, np.array(ends, dtype=np.int64), start.special.pad, ENCODE_TOKENS)
    read: Tensor = start.jaket.context(described, np.arange(len(texts)))
    return read


class JaketAnswerer(nn.Module):
    """A JAKET run on a new graph."""

    def __init__(
        self,
        start: Start,
        contexts: Contexts,
        graph: Neighbours,
        *,
        after_graph: bool,
        seed: int,
        dropout: float,
    ) -> None:
        """`contexts` are of the graph, which has inverse edges. `after_graph` says whether candidates are what the
        knowledge module makes of them, or context embeddings. The caller sets torch's seed."""
        super().__init__()
        network = own_network(start.jaket).requires_grad_(True)
        # Named first, so that the optimizer finds its weights under this name.
        self.encoder, self.jaket, self.dropout = network.encoder, network, nn.Dropout(dropout)
        self._graph, self._after, self._seed, self._turn = graph, after_graph, seed, 0
        self._pad = start.special.pad
        rows, kinds = contexts.entities, contexts.relations
        self.register_buffer("memory", self._random(len(graph.degrees)) if rows is None else rows, persistent=False)
        # As in the run: a relation that is walked backwards has the other sign.
        self.register_buffer("kinds", torch.cat([kinds, -kinds]), persistent=False)

    def asked(self, inputs: Sequence[LabelledInput]) -> Float[Tensor, "B D"]:
        """The states at <s> behind LM2."""
        self._turn += self.training
        batch = to_device(labelled_batch(inputs, self._pad), self.memory.device)
        places, entities = batch.linked.unbind(dim=1)
        targets, which = torch.unique(entities, return_inverse=True)
        added = self._known(targets.cpu().numpy()).index_select(0, which) if len(targets) else None
        states = self.jaket.states(batch.ids, batch.real, places if len(targets) else None, added)
        return self.dropout(states[:, 0])

    def answers(self, entities: Int64[np.ndarray, " U"]) -> Float[Tensor, "U D"]:
        """Context embeddings, or what the knowledge module makes of them."""
        if self._after:
            return self._known(entities)
        return self.memory[torch.from_numpy(entities).to(self.memory.device)]

    def _known(self, targets: Int64[np.ndarray, " N"]) -> Float[Tensor, "N D"]:
        """E^KM of distinct entities, out of neighbours that are sampled anew for each step that learns."""
        blocks = KnowledgeBlocks.around(targets, self._graph, self.jaket.config, self._draw)
        blocks = to_device(blocks, self.memory.device)
        return self.jaket.entities(self.memory.index_select(0, blocks.nodes), blocks, self.kinds)

    def _draw(self, entities: Int64[np.ndarray, " N"], layer: int) -> UInt64[np.ndarray, " N"]:
        turn = self._turn if self.training else 0
        return random_u64(self._seed, "kgqa/neighbours", turn, layer, entities)

    def _random(self, count: int) -> Float[Tensor, "E D"]:
        """Of a run whose memory is random, as its own rows are."""
        words = random_u64(
            self._seed, "kgqa/context", np.arange(count)[:, None], np.arange(self.encoder.config.hidden_size)
        )
        return torch.from_numpy(normal(words)).float()
