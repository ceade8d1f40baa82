"""JAKET's batches: windows of text with linked mentions, walks over the graph, and the blocks of neighbours for both.

P linked tokens, Q mentions that are asked for, C candidates, N nodes, V of them targets, A labelled ones, W pairs.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Bool, Int64, UInt64
from torch import Tensor

from schemas.hashing import random_u64
from training.config import JaketConfig
from training.data.batch import by_length, tensor
from training.data.categories import NONE
from training.data.described import Described, DescribedPiece
from training.data.graphs import IGNORE
from training.data.linked_text import LinkedFeed, LinkedText
from training.data.neighbours import Blocks, Draw, Neighbours
from training.data.stream import Part

TERMS = ("category", "relation", "word", "entity")
"""The four tasks: c, r, t and e."""
ROOT = ("entity", "tail", "relation")
"""Columns of a root, beside `walks`."""


@dataclasses.dataclass(frozen=True)
class KnowledgeBlocks:
    """The entities of a micro-batch with their neighbours, as KnowledgeModule reads them."""

    nodes: Int64[Tensor, " N"]
    sizes: tuple[int, ...]
    edges: list[Int64[Tensor, "_ 3"]]

    @classmethod
    def of(cls, blocks: Blocks) -> "KnowledgeBlocks":
        """The same as tensors."""
        return cls(tensor(blocks.nodes), blocks.sizes, [tensor(own) for own in blocks.edges])

    @classmethod
    def around(
        cls, entities: Int64[np.ndarray, " V"], graph: Neighbours, config: JaketConfig, draw: Draw
    ) -> "KnowledgeBlocks":
        """Distinct entities of a graph, of which no triple is hidden."""
        return cls.of(graph.blocks(entities, config.layers, config.neighbours, draw, np.empty(0, dtype=np.int64)))


@dataclasses.dataclass(frozen=True)
class LinkedPiece:
    """Some windows, padded and masked. B windows, S tokens of the longest; places are in the flattened rectangle."""

    ids: Int64[Tensor, "B S"]
    real: Bool[Tensor, "B S"]
    labels: Int64[Tensor, "B S"]
    """IGNORE, or the token that is asked for."""
    places: Int64[Tensor, " P"]
    """Every token of every linked mention."""
    linked: Int64[Tensor, " P"]
    """Which target its entity is."""
    asked: Int64[Tensor, "Q 2"]
    """First and last token of the mentions that are asked for."""
    gold: Int64[Tensor, " Q"]
    """Which candidate each one's entity is."""


@dataclasses.dataclass(frozen=True)
class JaketBatch:
    """A micro-batch."""

    pieces: list[LinkedPiece]
    blocks: KnowledgeBlocks
    """Its targets are the entities of mentions and walks."""
    candidates: Int64[Tensor, " C"]
    classified: Int64[Tensor, "A 2"]
    """Columns target, class."""
    pairs: Int64[Tensor, "W 3"]
    """Columns head and tail (targets), relation."""
    descriptions: list[DescribedPiece]
    """Of the targets, where the model reads these in place of a memory."""

    @property
    def counts(self) -> dict[str, int]:
        """Labels of each loss term."""
        return {
            "category": len(self.classified),
            "relation": len(self.pairs),
            "word": sum(int((piece.labels != IGNORE).sum()) for piece in self.pieces),
            "entity": sum(len(piece.gold) for piece in self.pieces),
        }

    @property
    def lengths(self) -> Int64[Tensor, " B"]:
        """Tokens of each window, and of each description that is read."""
        none = torch.empty(0, dtype=torch.int64)
        return torch.cat([none, *(piece.real.sum(dim=1) for piece in (*self.pieces, *self.descriptions))])

    @property
    def sizes(self) -> dict[str, int]:
        """Padded tokens; the entities and edges of all blocks."""
        return {
            "padded_tokens": sum(piece.ids.numel() for piece in (*self.pieces, *self.descriptions)),
            "entities": len(self.blocks.nodes),
            "edges": sum(len(own) for own in self.blocks.edges),
        }


@dataclasses.dataclass(frozen=True)
class _Walked:
    """What the knowledge tasks ask of some roots, by entity."""

    nodes: Int64[np.ndarray, " A"]
    classes: Int64[np.ndarray, " A"]
    pairs: Int64[np.ndarray, "W 3"]
    """Columns head, tail, relation."""
    hidden: Int64[np.ndarray, " H"]
    """The pairs' triples, ascending."""


@dataclasses.dataclass(frozen=True)
class JaketFeed:
    """Windows and roots -> micro-batches; what is drawn depends on seed, epoch or step, and ids."""

    text: LinkedFeed
    graph: Neighbours
    categories: Int64[np.ndarray, " E"]
    """The classes that may be seen, NONE for all others."""
    drawable: Int64[np.ndarray, " D"]
    """The entities that are drawn as negatives."""
    described: Described | None
    """For a model without a memory."""
    relations: int
    config: JaketConfig
    seed: int
    stream: str

    def batch(self, windows: Part | None, roots: Part | None, step: int) -> JaketBatch:
        """One micro-batch of a step."""
        texts = [] if windows is None else self._texts(windows)
        walked = self._walked(roots, step)
        shown = [text.entities[~text.asked] for text in texts] if self._knows else []
        targets = np.unique(np.concatenate([walked.nodes, walked.pairs[:, :2].ravel(), *shown]))
        golds = np.unique(np.concatenate([np.empty(0, np.int64), *(text.entities[text.asked] for text in texts)]))
        candidates = self._candidates(golds, step)
        layers = self.config.layers if self._knows else 0
        draw = self._draw("neighbours", step)
        blocks = self.graph.blocks(targets, layers, self.config.neighbours, draw, walked.hidden)
        placed = np.searchsorted(targets, walked.pairs[:, :2])
        return JaketBatch(
            pieces=[self._piece(text, targets, candidates) for text in texts],
            blocks=KnowledgeBlocks.of(blocks),
            candidates=tensor(candidates),
            classified=tensor(np.stack([np.searchsorted(targets, walked.nodes), walked.classes], axis=-1)),
            pairs=tensor(np.concatenate([placed, walked.pairs[:, 2:]], axis=-1)),
            descriptions=[] if self.described is None else list(self.described.pieces(targets)),
        )

    @property
    def _knows(self) -> bool:
        return self.config.knowledge != "none"

    def _draw(self, purpose: str, step: int) -> Draw:
        def words(entities: Int64[np.ndarray, " N"], layer: int) -> UInt64[np.ndarray, " N"]:
            return random_u64(self.seed, f"{self.stream}/{purpose}", step, layer, entities)

        return words

    def _texts(self, windows: Part) -> list[LinkedText]:
        pieces = by_length(windows.columns.lists["ids"].lengths + 2, self.config.encode_tokens)
        return [self.text.batch(windows.take(rows)) for rows in pieces]

    def _walked(self, roots: Part | None, step: int) -> _Walked:
        nothing = np.empty(0, dtype=np.int64)
        if roots is None:
            return _Walked(nothing, nothing, nothing.reshape(0, 3), nothing)
        heads, tails, kinds = (roots.columns.numbers[name].astype(np.int64) for name in ROOT)
        given = tails >= 0
        if roots.columns.numbers["walks"].any():
            nodes, pairs, hidden = self._walk(heads, roots.epochs)
        else:
            nodes, hidden = heads[~given], nothing
            pairs = np.stack([heads[given], tails[given], kinds[given]], axis=-1)
        classes = self.categories[nodes] if self.config.category_weight else np.full(len(nodes), NONE)
        if not self.config.relation_weight:
            pairs, hidden = pairs[:0], hidden[:0]
        return _Walked(nodes[classes != NONE], classes[classes != NONE], pairs, hidden)

    def _walk(
        self, roots: Int64[np.ndarray, " N"], epochs: Int64[np.ndarray, " N"]
    ) -> tuple[Int64[np.ndarray, " A"], Int64[np.ndarray, "W 3"], Int64[np.ndarray, " H"]]:
        """(the nodes of all walks, their pairs, the pairs' triples): those of a root once each, so that their number
        does not depend on which roots share a micro-batch."""
        own = self.config
        number, place = np.arange(own.walks)[:, None], np.arange(own.walk_length)
        words = random_u64(
            self.seed, f"{self.stream}/walks", epochs[:, None, None], roots[:, None, None], number[None], place
        )
        root = np.repeat(np.arange(len(roots)), own.walks)
        edges = self.graph.walk(roots[root], words.reshape(len(root), own.walk_length))
        root, edges = np.repeat(root, own.walk_length)[edges.ravel() >= 0], edges[edges >= 0]
        others = self.graph.others[edges]
        entities = len(self.categories)
        nodes = np.unique(np.concatenate([np.arange(len(roots)) * entities + roots, root * entities + others]))
        triples, first = np.unique(np.stack([root, self.graph.triples[edges]], axis=-1), axis=0, return_index=True)[:2]
        edges, kinds = edges[first], self.graph.relations[edges[first]]
        heads = np.searchsorted(self.graph.starts, edges, side="right") - 1
        tails = self.graph.others[edges]
        # A pair is asked for in the direction of its triple.
        back = kinds >= self.relations
        heads, tails = np.where(back, tails, heads), np.where(back, heads, tails)
        pairs = np.stack([heads, tails, kinds % self.relations], axis=-1)
        return nodes % entities, pairs, np.unique(triples[:, 1])

    def _candidates(self, golds: Int64[np.ndarray, " G"], step: int) -> Int64[np.ndarray, " C"]:
        """The golds, their neighbours and random entities, each once: no negative of a mention is its gold."""
        if not len(golds):
            return golds
        sampled = self.graph.sample(golds, self.config.gold_neighbours, self._draw("golds", step)(golds, 0))
        words = random_u64(self.seed, f"{self.stream}/negatives", step, np.arange(self.config.negatives))
        drawn = self.drawable[(words % np.uint64(len(self.drawable))).astype(np.int64)]
        return np.unique(np.concatenate([golds, self.graph.others[sampled.edges], drawn]))

    def _piece(
        self, text: LinkedText, targets: Int64[np.ndarray, " V"], candidates: Int64[np.ndarray, " C"]
    ) -> LinkedPiece:
        width = text.texts.ids.shape[1]
        shown, first = ~text.asked & self._knows, text.rows * width
        sizes = (text.ends - text.starts + 1)[shown]
        within = np.arange(sizes.sum()) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        ends = np.stack([first + text.starts, first + text.ends], axis=-1)[text.asked]
        return LinkedPiece(
            ids=text.texts.ids,
            real=text.texts.real,
            labels=text.texts.labels if self.config.word_weight else torch.full_like(text.texts.labels, IGNORE),
            places=tensor(np.repeat((first + text.starts)[shown], sizes) + within),
            linked=tensor(np.searchsorted(targets, np.repeat(text.entities[shown], sizes))),
            asked=tensor(ends),
            gold=tensor(np.searchsorted(candidates, text.entities[text.asked])),
        )


def root_rows(entities: Sequence[int] | Int64[np.ndarray, " N"]) -> dict[str, Int64[np.ndarray, " N"]]:
    """Rows of the stream of roots, from which walks begin."""
    nothing = np.full(len(entities), -1)
    return {"entity": np.asarray(entities), "tail": nothing, "relation": nothing, "walks": np.ones_like(nothing)}


def asked_rows(
    labelled: Int64[np.ndarray, " A"], triples: Int64[np.ndarray, "T 3"]
) -> dict[str, Int64[np.ndarray, " N"]]:
    """The same of held-out questions: entities whose class is asked for, triples whose relation is."""
    nothing = np.full(len(labelled), -1)
    return {
        "entity": np.concatenate([labelled, triples[:, 0]]),
        "tail": np.concatenate([nothing, triples[:, 2]]),
        "relation": np.concatenate([nothing, triples[:, 1]]),
        "walks": np.zeros(len(labelled) + len(triples), dtype=np.int64),
    }
