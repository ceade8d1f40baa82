"""Plain rules for masked nodes, counted in the graphs of train pages: what CoLAKE has to beat.

majority: the most frequent anchor, the most frequent relation, the most frequent tail, and nothing else.
frequency: an entity by its number of train graphs as an anchor; a relation by its share among train facts whose head
shares a category (P31) with the query's head, then by its overall share; a tail by its share among all.
cooccurrence: an entity by the passages of train pages that it shares with the other anchors of the graph, P(entity in
the passage | anchor in the passage) summed over them, then by frequency; a relation by its share among train facts of
the same head and tail, then of the same tail, the same head, and all; a tail by its share among train facts of the
same head and relation, then of the same relation, the same head, and all.

"then" is a step of 1/1,000 in weight, so a later share only orders what the earlier ones leave equal. The scores are
float64, on the CPU.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float64, Int64
from torch import Tensor

from schemas.dataset import Dataset
from training.data.graphs import Graph
from training.evaluation.facts import Groups

Array = np.ndarray
STEP = 1e-3
"""Weight of a share against the one before it."""


@dataclasses.dataclass(frozen=True)
class TrainGraphs:
    """The train pages' graphs, flat. A anchors, F facts, C (entity, category) pairs."""

    entities: int
    relations: int
    anchor_graphs: Int64[Array, " A"]
    anchor_entities: Int64[Array, " A"]
    facts: Int64[Array, "F 3"]
    """Columns head, relation, tail."""
    categories: Int64[Array, "C 2"]
    """Columns entity, category."""

    @property
    def anchor_counts(self) -> Int64[Array, " E"]:
        """Graphs that each entity is an anchor of."""
        return np.bincount(self.anchor_entities, minlength=self.entities)

    @property
    def tail_counts(self) -> Int64[Array, " E"]:
        """Facts that each entity is the tail of."""
        return np.bincount(self.facts[:, 2], minlength=self.entities)

    @property
    def relation_counts(self) -> Int64[Array, " R"]:
        """Facts of each relation."""
        return np.bincount(self.facts[:, 1], minlength=self.relations)


def read_train_graphs(dataset: Dataset) -> TrainGraphs:
    """Read wk_graphs of split train, and the categories of the entities."""
    graphs = dataset.read("wk_graphs", "train", ["mentions", "triples"]).combine_chunks()
    mentions, triples = graphs["mentions"].combine_chunks(), graphs["triples"].combine_chunks()
    facts = [triples.flatten().field(name) for name in ("head_index", "relation_index", "tail_index")]
    lists = dataset.read("entities", columns=["categories"])["categories"].combine_chunks()
    codes = lists.flatten().dictionary_encode().indices
    return TrainGraphs(
        entities=dataset.rows("entities"),
        relations=dataset.rows("relations"),
        anchor_graphs=_int64(mentions.value_parent_indices()),
        anchor_entities=_int64(mentions.flatten().field("entity_index")),
        facts=np.stack([_int64(column) for column in facts], axis=1),
        categories=np.stack([_int64(lists.value_parent_indices()), _int64(codes)], axis=1),
    )


class Majority:
    """Always the most frequent."""

    def __init__(self, train: TrainGraphs) -> None:
        self._entity = _one_hot(train.anchor_counts)
        self._relation, self._tail = _one_hot(train.relation_counts), _one_hot(train.tail_counts)

    def entity_logits(self, graphs: Sequence[Graph], anchor: Int64[Array, " B"]) -> Float64[Tensor, "B E"]:
        """1 for the most frequent anchor, 0 for all others."""
        return self._entity.repeat(len(graphs), 1)

    def relation_logits(self, graphs: Sequence[Graph], triple: Int64[Array, " B"]) -> Float64[Tensor, "B R"]:
        """1 for the most frequent relation, 0 for all others."""
        return self._relation.repeat(len(graphs), 1)

    def tail_logits(self, graphs: Sequence[Graph], triple: Int64[Array, " B"]) -> Float64[Tensor, "B E"]:
        """1 for the most frequent tail, 0 for all others."""
        return self._tail.repeat(len(graphs), 1)


class Frequency:
    """By frequency; relations by that among heads of the same category."""

    def __init__(self, train: TrainGraphs) -> None:
        self._entity = torch.from_numpy(train.anchor_counts.astype(np.float64))
        self._overall, self._tails = _shares(train.relation_counts), torch.from_numpy(_shares(train.tail_counts))
        self._categories, self._by_entity = train.categories, Groups(train.categories[:, 0])
        facts, found = self._by_entity.find(train.facts[:, 0])
        self._given_category = _Shares(train.categories[found, 1], train.facts[facts, 1], train.relations)

    def entity_logits(self, graphs: Sequence[Graph], anchor: Int64[Array, " B"]) -> Float64[Tensor, "B E"]:
        """Train graphs that have the entity as an anchor."""
        return self._entity.repeat(len(graphs), 1)

    def relation_logits(self, graphs: Sequence[Graph], triple: Int64[Array, " B"]) -> Float64[Tensor, "B R"]:
        """Shares among train facts whose head shares a category, summed over the categories."""
        heads, _ = _ends(graphs, triple)
        scores = torch.from_numpy(self._overall).mul(STEP).repeat(len(graphs), 1)
        rows, found = self._by_entity.find(heads)
        self._given_category.add(scores, rows, self._categories[found, 1], 1.0)
        return scores

    def tail_logits(self, graphs: Sequence[Graph], triple: Int64[Array, " B"]) -> Float64[Tensor, "B E"]:
        """Shares of the tails among all train facts."""
        return self._tails.repeat(len(graphs), 1)


class Cooccurrence:
    """By the company that an entity, or a relation, keeps in train."""

    def __init__(self, train: TrainGraphs) -> None:
        self._graphs, self._entities = train.anchor_graphs, train.anchor_entities
        self._by_graph, self._by_entity = Groups(self._graphs), Groups(self._entities)
        self._anchor_shares, self._relation_shares = _shares(train.anchor_counts), _shares(train.relation_counts)
        self._tail_shares, self._width = _shares(train.tail_counts), train.entities
        heads, relations, tails = train.facts.T
        self._given = [_Shares(keys, relations, train.relations) for keys in self._ends_keys(heads, tails)]
        self._leading = [_Shares(keys, tails, train.entities) for keys in self._start_keys(heads, relations)]

    def entity_logits(self, graphs: Sequence[Graph], anchor: Int64[Array, " B"]) -> Float64[Tensor, "B E"]:
        """Sum over the other anchors of P(entity | anchor in the passage); 0 for those anchors themselves."""
        scores = torch.from_numpy(self._anchor_shares).mul(STEP).repeat(len(graphs), 1)
        for row, (graph, masked) in enumerate(zip(graphs, anchor, strict=True)):
            others = np.delete(graph.anchors, masked).astype(np.int64)
            which, found = self._by_entity.find(others)
            weight = 1 / np.maximum(np.bincount(which, minlength=len(others)), 1)
            places, neighbours = self._by_graph.find(self._graphs[found])
            company = torch.from_numpy(self._entities[neighbours])
            scores[row].index_add_(0, company, torch.from_numpy(weight[which[places]]))
            # An entity stands once in a graph, so the answer is none of the anchors that are shown.
            scores[row, torch.from_numpy(others)] = 0
        return scores

    def relation_logits(self, graphs: Sequence[Graph], triple: Int64[Array, " B"]) -> Float64[Tensor, "B R"]:
        """Shares of the relations given head and tail, then tail, then head, then overall."""
        heads, tails = _ends(graphs, triple)
        scores = torch.from_numpy(self._relation_shares).mul(STEP**3).repeat(len(graphs), 1)
        rows = np.arange(len(graphs))
        for level, (shares, keys) in enumerate(zip(self._given, self._ends_keys(heads, tails), strict=True)):
            shares.add(scores, rows, keys, STEP**level)
        return scores

    def tail_logits(self, graphs: Sequence[Graph], triple: Int64[Array, " B"]) -> Float64[Tensor, "B E"]:
        """Shares of the tails given head and relation, then relation, then head, then overall."""
        heads, _ = _ends(graphs, triple)
        relations = np.array([graph.triples[k, 1] for graph, k in zip(graphs, triple, strict=True)], dtype=np.int64)
        scores = torch.from_numpy(self._tail_shares).mul(STEP**3).repeat(len(graphs), 1)
        rows = np.arange(len(graphs))
        for level, (shares, keys) in enumerate(zip(self._leading, self._start_keys(heads, relations), strict=True)):
            shares.add(scores, rows, keys, STEP**level)
        return scores

    def _ends_keys(self, heads: Int64[Array, " N"], tails: Int64[Array, " N"]) -> list[Int64[Array, " N"]]:
        return [heads * self._width + tails, tails, heads]

    def _start_keys(self, heads: Int64[Array, " N"], relations: Int64[Array, " N"]) -> list[Int64[Array, " N"]]:
        return [relations * self._width + heads, relations, heads]


class _Shares:
    """P(value | key), values being relations or tails, for the keys that train has."""

    def __init__(self, keys: Int64[Array, " F"], values: Int64[Array, " F"], width: int) -> None:
        known, places = np.unique(keys, return_inverse=True)
        cells, counts = np.unique(places * width + values, return_counts=True)
        totals = np.bincount(places, minlength=len(known))
        self._places, self._shares = cells % width, counts / totals[cells // width]
        self._groups = Groups(known[cells // width])

    def add(
        self, scores: Float64[Tensor, "B V"], rows: Int64[Array, " M"], keys: Int64[Array, " M"], weight: float
    ) -> None:
        """Add the shares given `keys` to these rows of the scores."""
        which, found = self._groups.find(keys)
        cells = torch.from_numpy(rows[which]), torch.from_numpy(self._places[found])
        scores.index_put_(cells, torch.from_numpy(self._shares[found] * weight), accumulate=True)


def _ends(graphs: Sequence[Graph], triple: Int64[Array, " B"]) -> tuple[Int64[Array, " B"], Int64[Array, " B"]]:
    """Head and tail entity of one triple of each graph."""
    chosen = [graph.triples[k] for graph, k in zip(graphs, triple, strict=True)]
    heads = [graph.anchors[anchor] for graph, (anchor, _, _) in zip(graphs, chosen, strict=True)]
    return np.array(heads, dtype=np.int64), np.array([tail for _, _, tail in chosen], dtype=np.int64)


def _one_hot(counts: Int64[Array, " N"]) -> Float64[Tensor, " N"]:
    scores = torch.zeros(len(counts), dtype=torch.float64)
    if len(counts):
        scores[int(counts.argmax())] = 1
    return scores


def _shares(counts: Int64[Array, " N"]) -> Float64[Array, " N"]:
    return counts / max(1, counts.sum())


def _int64(column: object) -> Int64[Array, " N"]:
    return column.to_numpy(zero_copy_only=False).astype(np.int64)  # type: ignore[attr-defined]
