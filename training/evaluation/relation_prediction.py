"""Relation prediction: which relation joins (h, ?, t)? Ranked among all relations, what else is known of the pair not
counted against the model. N triples, R relations.
"""

import dataclasses
from typing import Any, Literal

import numpy as np
import torch

from schemas.dataset import Dataset
from schemas.errors import DataError
from training.evaluation.breakdowns import shared_pairs
from training.evaluation.facts import Facts, Groups, read_facts
from training.evaluation.link_prediction import LinkPredictionSettings
from training.evaluation.ranking import Known, rank_by_counting
from training.evaluation.ranks import join, rank_metrics
from training.evaluation.settings import require_split, variant
from training.metrics import progress
from training.scoring import RelationScorer

AT_ONCE = 1_024
"""Triples that are asked about together."""


@dataclasses.dataclass(frozen=True)
class RelationPredictionSettings:
    """What `--set` can change: as in link prediction."""

    ties: Literal["realistic", "optimistic", "pessimistic"] = "realistic"
    filter: str = ""
    unseen: Literal["keep", "skip"] = "keep"

    def filter_splits(self, split: str) -> tuple[str, ...]:
        """The splits of the filter; UsageError for an unknown one."""
        return LinkPredictionSettings(filter=self.filter).filter_splits(split)


@dataclasses.dataclass(frozen=True)
class RelationQuestions:
    """The triples whose relation is asked for, and what is known of their pairs: the same for every system."""

    facts: Facts
    triples: np.ndarray
    relation_names: list[str]
    known: np.ndarray
    """The triples of the filter; none for raw ranks."""
    settings: RelationPredictionSettings
    protocol: dict[str, Any]


def prepare(dataset: Dataset, split: str, settings: RelationPredictionSettings) -> RelationQuestions:
    """Read the split; DataError where there is nothing to rank."""
    require_split("relation-prediction", split)
    facts = read_facts(dataset)
    triples = facts.splits[split]
    unseen = facts.unseen(triples)
    if settings.unseen == "skip":
        triples = triples[~unseen]
    if not len(triples):
        raise DataError(f"{dataset.folder} has no {split} triples whose relation could be asked for.")
    splits = settings.filter_splits(split)
    names = dataset.read("relations", columns=["relation"])["relation"].to_pylist()
    protocol: dict[str, Any] = {
        "split": split,
        "triples": len(triples),
        "candidates": facts.relations,
        "filtered": bool(splits),
        "filter_splits": list(splits),
        "ties": settings.ties,
        "unseen": {"policy": settings.unseen, "triples": int(unseen.sum())},
    }
    if told := variant(settings, "ties", "filter", "unseen"):
        protocol["variant"] = told
    return RelationQuestions(facts, triples, names, facts.triples(*splits), settings, protocol)


def relation_prediction(system: RelationScorer, questions: RelationQuestions) -> dict[str, Any]:
    """The metrics: {"all": {...}, "ties": {...}, "no_shared_pair": {...}, "relations": {...}}.

    "no_shared_pair" are the triples whose two entities no train triple joins, in either direction.
    """
    triples, ties, parts = questions.triples, questions.settings.ties, []
    pairs = Groups(questions.known[:, 0] * questions.facts.entities + questions.known[:, 2])
    starts = range(0, len(triples), AT_ONCE)
    with progress(len(starts), 0, AT_ONCE, shown=len(starts) > 8, what="ranking", unit="queries") as report:
        for number, start in enumerate(starts):
            chunk = triples[start : start + AT_ONCE]
            heads, relations, tails = torch.from_numpy(chunk.copy()).unbind(dim=1)
            rows, found = pairs.find(chunk[:, 0] * questions.facts.entities + chunk[:, 2])
            known: Known = (torch.from_numpy(rows), torch.from_numpy(questions.known[found, 1]))
            parts.append(rank_by_counting(system.relations(heads, tails), relations, known))
            report(number + 1)
    ranks = join(parts)
    new = ~shared_pairs(questions.facts, triples)
    return {
        "all": rank_metrics(ranks.by(ties)),
        "ties": {name: rank_metrics(ranks.by(name))["mrr"] for name in ("optimistic", "pessimistic")},
        "no_shared_pair": {"triples": int(new.sum()), **(rank_metrics(ranks.where(new).by(ties)) if new.any() else {})},
        "relations": {
            questions.relation_names[each]: {
                "triples": int((triples[:, 1] == each).sum()),
                **rank_metrics(ranks.where(triples[:, 1] == each).by(ties)),
            }
            for each in np.unique(triples[:, 1]).tolist()
        },
    }
