"""Masked entities and relations in the word-knowledge graphs of held-out pages: what CoLAKE is trained to restore.

An entity query masks one anchor and removes every fact that the entity takes part in, as head or as tail: the answer
has to come from the words and the other entities. A relation query masks one relation node and leaves the rest of the
graph as it is; those whose tail is an anchor too are reported apart as well. A tail query masks the tail of one fact,
where that is no anchor, and leaves the rest. The queries are the same for every system: those with the smallest hashes
of (seed, graph, node).
"""

import dataclasses
from collections.abc import Sequence
from typing import Annotated, Any, Literal, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Int64
from pydantic import Field
from torch import Tensor

from schemas.dataset import Dataset
from schemas.errors import DataError
from schemas.hashing import random_u64
from training.data.graphs import Graph, read_graphs
from training.evaluation import ranking
from training.evaluation.masked_rules import TrainGraphs, read_train_graphs
from training.evaluation.ranking import rank_by_counting
from training.evaluation.ranks import Ranks, expected_accuracy, join, rank_metrics
from training.evaluation.settings import require_split, variant

KINDS = ("entity", "relation", "tail")
PARTS = (*KINDS, "between_anchors")
"""Of the metrics; the last one are those relation queries whose tail is an anchor, as the head is."""


@runtime_checkable
class MaskedPredictor(Protocol):
    """Anything that can restore a masked node: a trained CoLAKE or JAKET, or a plain rule.

    JAKET restores entities alone. What restores the other KINDS has, for triples of graphs as `entity_logits` for
    anchors, `relation_logits` (B, R), the scores of every relation at the relation node of one triple of each graph,
    and `tail_logits` (B, E), those of every entity at its tail.
    """

    def entity_logits(self, graphs: Sequence[Graph], anchor: Int64[np.ndarray, " B"]) -> Float[Tensor, "B E"]:
        """Scores of every entity at one anchor of each graph."""
        ...


@dataclasses.dataclass(frozen=True)
class MaskedSettings:
    """What `--set` can change."""

    queries: Annotated[int, Field(ge=1)] = 2_000
    """At most so many queries of each kind."""
    seed: int = 0
    """Chooses the queries, where there are more."""
    unseen: Literal["keep", "skip"] = "keep"
    """What happens to entity queries whose answer is an anchor of no train graph."""
    surface: Literal["shown", "masked"] = "shown"
    """JAKET reads the words of the anchor that is asked for, as it is trained (shown), or masks in their place. CoLAKE
    never reads them, nor do the rules."""


@dataclasses.dataclass(frozen=True)
class MaskedQuestions:
    """The graphs, and which of their nodes to mask: the same for every system."""

    graphs: list[Graph]
    queries: dict[str, Int64[np.ndarray, "_ 2"]]
    """Of each kind: columns graph, and anchor (entity) or triple (relation, tail)."""
    train: TrainGraphs
    protocol: dict[str, Any]

    @property
    def unseen(self) -> np.ndarray:
        """Which entity queries have an answer that is an anchor of no train graph; bool (N,)."""
        return self.train.anchor_counts[self.answers("entity")] == 0

    @property
    def between_anchors(self) -> np.ndarray:
        """Which relation queries are about two anchors; bool (M,)."""
        queries = self.queries["relation"]
        return np.array([self.graphs[g].triples[k, 2] in self.graphs[g].anchors for g, k in queries], dtype=bool)

    def answers(self, kind: str) -> Int64[np.ndarray, " N"]:
        """The gold index of each query."""
        return _answers(self.graphs, kind, self.queries[kind])

    def masked(self, kind: str, rows: slice) -> tuple[list[Graph], Int64[np.ndarray, " B"]]:
        """(graphs, node) to ask about: the graphs of entity queries without the entity's own facts."""
        queries = self.queries[kind][rows]
        graphs = [self.graphs[g] for g in queries[:, 0]]
        if kind == "entity":
            graphs = [without_facts(graph, int(k)) for graph, k in zip(graphs, queries[:, 1], strict=True)]
        return graphs, queries[:, 1]


def prepare(dataset: Dataset, split: str, settings: MaskedSettings, tokens: Dataset | None = None) -> MaskedQuestions:
    """Choose the queries of a split; DataError where it has no graph.

    The graphs come from `tokens`, or without word ids from the dataset's own wk_graphs (enough for the plain rules).
    """
    require_split("masked", split)
    source = tokens or dataset
    graphs = read_graphs(source, split) if tokens else _wordless_graphs(dataset, split)
    ids = source.read("wk_graphs", split, ["graph_id"])["graph_id"].to_numpy()
    train = read_train_graphs(dataset)
    possible = {
        "entity": _pairs([len(graph.anchors) for graph in graphs]),
        "relation": _pairs([len(graph.triples) for graph in graphs]),
    }
    possible["tail"] = np.array(
        [(g, k) for g, k in possible["relation"] if graphs[g].triples[k, 2] not in graphs[g].anchors], dtype=np.int64
    ).reshape(-1, 2)
    if not len(possible["entity"]):
        pages = dataset.rows("pages", split)
        raise DataError(
            f"{dataset.folder} has no word-knowledge graph in split {split} ({pages} pages): there is nothing to mask. "
            "Try another --split, or build from more pages."
        )
    unseen = train.anchor_counts[_answers(graphs, "entity", possible["entity"])] == 0
    asked = {**possible, "entity": possible["entity"][~unseen]} if settings.unseen == "skip" else possible
    queries = {kind: _smallest(asked[kind], ids, kind, settings) for kind in KINDS}
    protocol = _protocol(dataset, settings, possible, queries) | {
        "split": split,
        "graphs": len(graphs),
        "unseen": {"policy": settings.unseen, "queries": int(unseen.sum())},
    }
    return MaskedQuestions(graphs, queries, train, protocol)


def masked(predictor: MaskedPredictor, questions: MaskedQuestions) -> dict[str, Any]:
    """The metrics of each of PARTS that the predictor has an answer for: queries, accuracy, mr, mrr and hits@k.

    "entity" has accuracy_seen beside: over the answers that are anchors of some train graph.
    """
    found = {kind: ranks(predictor, questions, kind) for kind in KINDS if hasattr(predictor, f"{kind}_logits")}
    if "relation" in found:
        found["between_anchors"] = found["relation"].where(questions.between_anchors)
    metrics = {part: _metrics(own) for part, own in found.items()}
    seen = ~questions.unseen
    if seen.any():
        metrics["entity"]["accuracy_seen"] = expected_accuracy(found["entity"].where(seen))
    return metrics


def without_facts(graph: Graph, anchor: int) -> Graph:
    """The graph less every triple with this anchor's entity as head or as tail."""
    entity = graph.anchors[anchor]
    keep = (graph.triples[:, 0] != anchor) & (graph.triples[:, 2] != entity)
    return dataclasses.replace(graph, triples=graph.triples[keep])


def _protocol(
    dataset: Dataset, settings: MaskedSettings, possible: dict[str, np.ndarray], queries: dict[str, np.ndarray]
) -> dict[str, Any]:
    asked = {
        f"{kind}_queries": {"possible": len(possible[kind]), "limit": settings.queries, "asked": len(queries[kind])}
        for kind in KINDS
    }
    return asked | {
        "candidates": {kind: dataset.rows("relations" if kind == "relation" else "entities") for kind in KINDS},
        "filtered": False,
        "ties": "realistic; accuracy counts 1/n where n candidates share the best score",
        "masking": "entity: one anchor, all facts of the entity removed; relation: one relation node, the rest shown; "
        "tail: the tail of a fact, no anchor, the rest shown",
        "seed": settings.seed,
        "surface": settings.surface,
        "variant": variant(settings, "surface"),
    }


def ranks(predictor: MaskedPredictor, questions: MaskedQuestions, kind: str) -> Ranks:
    """Of each query's answer among all entities, or all relations."""
    answers = torch.from_numpy(questions.answers(kind))
    size = max(1, ranking.SCORES_AT_ONCE // max(1, questions.protocol["candidates"][kind]))
    parts = []
    for start in range(0, len(answers), size):
        graphs, nodes = questions.masked(kind, slice(start, start + size))
        scores = getattr(predictor, f"{kind}_logits")(graphs, nodes)
        parts.append(rank_by_counting(scores, answers[start : start + size]))
    return join(parts)


def _answers(graphs: list[Graph], kind: str, queries: Int64[np.ndarray, "N 2"]) -> Int64[np.ndarray, " N"]:
    if kind == "entity":
        return np.array([graphs[g].anchors[k] for g, k in queries], dtype=np.int64)
    return np.array([graphs[g].triples[k, 1 if kind == "relation" else 2] for g, k in queries], dtype=np.int64)


def _metrics(ranks: Ranks) -> dict[str, Any]:
    queries = len(ranks.optimistic)
    if not queries:
        return {"queries": 0}
    return {"queries": queries, "accuracy": expected_accuracy(ranks), **rank_metrics(ranks.by("realistic"))}


def _pairs(counts: Sequence[int]) -> Int64[np.ndarray, "N 2"]:
    """(graph, node) for every node."""
    lengths = np.array(counts, dtype=np.int64)
    graphs = np.repeat(np.arange(len(lengths)), lengths)
    return np.stack([graphs, np.arange(len(graphs)) - np.repeat(np.cumsum(lengths) - lengths, lengths)], axis=1)


def _smallest(
    pairs: Int64[np.ndarray, "N 2"], ids: Int64[np.ndarray, " G"], kind: str, settings: MaskedSettings
) -> Int64[np.ndarray, "K 2"]:
    """The pairs with the smallest hashes, in the order of the graphs."""
    hashes = random_u64(settings.seed, f"masked/{kind}", ids[pairs[:, 0]], pairs[:, 1])
    return pairs[np.sort(np.argsort(hashes, kind="stable")[: settings.queries])]


def _wordless_graphs(dataset: Dataset, split: str) -> list[Graph]:
    """The graphs of the dataset itself, each anchor one unit and no words."""
    graphs = []
    for row in dataset.read("wk_graphs", split, ["mentions", "triples"]).to_pylist():
        anchors = np.array([mention["entity_index"] for mention in row["mentions"]], dtype=np.int32)
        triples = [(t["anchor"], t["relation_index"], t["tail_index"]) for t in row["triples"]]
        units = -1 - np.arange(len(anchors), dtype=np.int32)
        graphs.append(Graph(units, anchors, np.array(triples, dtype=np.int32).reshape(-1, 3)))
    return graphs
