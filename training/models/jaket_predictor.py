"""What a trained JAKET answers: masked entities of a text, masked words, and the categories of entities.

B graphs, N entities asked about, E entities, C classes, V words, D hidden.
"""

import functools
from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Int64, UInt64
from torch import Tensor

from schemas.errors import DataError
from schemas.hashing import random_u64
from training.config import Config
from training.data.batch import ragged_rows, tensor, to_device
from training.data.graphs import Graph
from training.data.jaket import KnowledgeBlocks
from training.data.neighbours import Neighbours
from training.data.text import TextBatch
from training.feeds.jaket import entity_texts, linked_entities, open_graph
from training.models.jaket import Jaket
from training.sources import Source

PREDICT_BATCH = 32
CLASSIFY_BATCH = 512
Surface = Literal["shown", "masked"]
"""What a text says at the mention whose entity is asked for: its words, or as many masks."""


class JaketPredictor:
    """Answers with the entities' neighbours sampled as in training, the same ones each time."""

    def __init__(self, model: Jaket, config: Config, source: Source, surface: Surface = "shown") -> None:
        self.model = model.eval()
        self._config, self._source, self._surface = config, source, surface
        self._device = model.encoder.get_input_embeddings().weight.device

    @functools.cached_property
    def _graph(self) -> Neighbours:
        dataset = self._source.dataset
        return open_graph(self._config, dataset, linked_entities(self._config, dataset))

    @torch.no_grad()
    def known(self, entities: Int64[np.ndarray, " N"]) -> Float[Tensor, "N D"]:
        """E^KM of distinct entities; of a model without a graph network, the encoder's output of their descriptions."""
        if self.model.memory is None:
            pieces = [
                to_device(piece, self._device) for piece in entity_texts(self._config, self._source).pieces(entities)
            ]
            return self.model.described(pieces, len(entities))
        blocks = KnowledgeBlocks.around(entities, self._graph, self.model.config, self._draw)
        blocks = to_device(blocks, self._device)
        return self.model.entities(self.model.memory.pull(blocks.nodes), blocks)

    def _draw(self, entities: Int64[np.ndarray, " N"], layer: int) -> UInt64[np.ndarray, " N"]:
        return random_u64(self._config.seed, "answers/neighbours", layer, entities)

    @torch.no_grad()
    def category_logits(self, entities: Int64[np.ndarray, " N"]) -> Float[Tensor, "N C"]:
        """Scores of every class for distinct entities; DataError for a run that has not learned to tell them."""
        if self.model.category_head is None:
            raise DataError("This run has not learned categories (jaket.category_weight = 0).")
        parts = [entities[first : first + CLASSIFY_BATCH] for first in range(0, len(entities), CLASSIFY_BATCH)]
        return torch.cat([self.model.category_head(self.known(part)) for part in parts])

    @torch.no_grad()
    def entity_logits(self, graphs: Sequence[Graph], anchor: Int64[np.ndarray, " B"]) -> Float[Tensor, "B E"]:
        """Scores of every entity at one anchor of each graph, whose words are read; the other anchors are linked."""
        if self.model.query is None:
            raise DataError(
                "This run has not learned to restore entities: it has no graph network, or jaket.entity_weight = 0."
            )
        assert self.model.memory is not None
        everything = self.model.memory.pull(torch.arange(self.model.memory.rows, device=self._device))
        queries = [
            self._queries(graphs[first : first + PREDICT_BATCH], anchor[first : first + PREDICT_BATCH])
            for first in range(0, len(graphs), PREDICT_BATCH)
        ]
        return torch.cat([self.model.asked_for(mentions) @ everything.T for mentions in queries]).float().cpu()

    @torch.no_grad()
    def word_logits(self, texts: TextBatch, places: Int64[Tensor, " N"]) -> Float[Tensor, "N V"]:
        """Scores of every word at these places of texts without entities."""
        texts = to_device(texts, self._device)
        states = self.model.states(texts.ids, texts.real).flatten(0, 1)
        words = self.model.encoder.get_input_embeddings().weight
        return self.model.word_head(states.index_select(0, places.to(self._device)), words)

    def _queries(self, graphs: Sequence[Graph], anchor: Int64[np.ndarray, " B"]) -> Float[Tensor, "B D"]:
        longest, special = self._config.encoder.max_positions - 2, self._source.special
        texts, spans = zip(*(_written(graph) for graph in graphs), strict=True)
        rows, links, asked = [], [], []
        for row, (words, span, graph, hidden) in enumerate(zip(texts, spans, graphs, anchor.tolist(), strict=True)):
            # Of a text that is too long, what ends with the mention.
            first = max(0, int(span[hidden, 1]) - longest)
            words = words[first : first + longest].copy()
            span = span - first
            if self._surface == "masked":
                words[span[hidden, 0] : span[hidden, 1]] = special.mask
            rows.append([special.bos, *words.tolist(), special.eos])
            asked.append((span[hidden] + [1, 0]).tolist())
            shown = (span[:, 0] >= 0) & (span[:, 1] <= len(words)) & (np.arange(len(span)) != hidden)
            for k in np.flatnonzero(shown):
                links += [(row, place + 1, int(graph.anchors[k])) for place in range(*span[k])]
        framed = ragged_rows(rows)
        ids = tensor(framed.padded(special.pad)).to(self._device)
        real = torch.arange(ids.shape[1]) < torch.from_numpy(framed.lengths)[:, None]
        linked = np.array(links, dtype=np.int64).reshape(-1, 3)
        entities, which = np.unique(linked[:, 2], return_inverse=True)
        added = self.known(entities).index_select(0, tensor(which.ravel()).to(self._device))
        places = tensor(linked[:, 0] * ids.shape[1] + linked[:, 1]).to(self._device)
        flat = self.model.states(ids, real.to(self._device), places, added).flatten(0, 1)
        ends = torch.tensor(asked) + torch.arange(len(graphs))[:, None] * ids.shape[1]
        return self.model.mention(flat, ends.to(self._device))


def _written(graph: Graph) -> tuple[np.ndarray, np.ndarray]:
    """(the text's tokens, anchors written out, shape (U,); [start, end) of each anchor's, shape (A, 2))."""
    if len(graph.surfaces) != len(graph.anchors):
        raise DataError("The graphs have no words for their anchors: ask a dataset with tokens.")
    words: list[int] = []
    spans = np.zeros((len(graph.anchors), 2), dtype=np.int64)
    for unit in graph.units.tolist():
        start = len(words)
        words += [unit] if unit >= 0 else graph.surfaces[-1 - unit].tolist()
        if unit < 0:
            spans[-1 - unit] = start, len(words)
    return np.array(words, dtype=np.int64), spans
