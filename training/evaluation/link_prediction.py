"""Link prediction: which tail completes (h, r, ?), which head (?, r, t), among all entities of the dataset.

The protocol is Bordes et al. (NIPS 2013), "filtered": other answers known from any split are not counted against the
model. Both sides weigh the same. Every choice is written into the result.
"""

import dataclasses
from typing import Any, Literal

import numpy as np

from schemas.dataset import Dataset
from schemas.errors import DataError, UsageError, nearest
from training.evaluation.facts import SPLITS, Facts, read_facts
from training.evaluation.ranking import KnownAnswers, Ranks, join, rank_metrics, rank_triples
from training.scoring import Scorer

SIDES = ("head", "tail")


@dataclasses.dataclass(frozen=True)
class LinkPredictionSettings:
    """What `--set` can change."""

    ties: Literal["realistic", "optimistic", "pessimistic"] = "realistic"
    """How a rank is read where candidates share the gold's score."""
    filter: str = "train,valid,test"
    """Splits whose true triples are not counted against the model; none for raw ranks."""
    unseen: Literal["keep", "skip"] = "keep"
    """What happens to triples with an entity that no train triple has."""

    @property
    def filter_splits(self) -> tuple[str, ...]:
        """The splits of the filter; UsageError for an unknown one."""
        names = tuple(name for name in self.filter.split(",") if name and name != "none")
        for name in names:
            if name not in SPLITS:
                raise UsageError(
                    f"filter names split {name!r}; it takes {', '.join(SPLITS)} or none.{nearest(name, list(SPLITS))}"
                )
        return names


@dataclasses.dataclass(frozen=True)
class Questions:
    """The triples to rank and the filters to rank them with: the same for every model."""

    facts: Facts
    triples: np.ndarray
    relation_names: list[str]
    known: dict[str, KnownAnswers | None]
    settings: LinkPredictionSettings
    protocol: dict[str, Any]


def prepare(dataset: Dataset, split: str, settings: LinkPredictionSettings) -> Questions:
    """Read the split and build its filters; DataError where there is nothing to rank."""
    if split not in SPLITS:
        raise UsageError(
            f"link-prediction has no split {split!r}, only {', '.join(SPLITS)}.{nearest(split, [*SPLITS])}"
        )
    facts = read_facts(dataset)
    triples = facts.splits[split]
    unseen = facts.unseen(triples)
    if settings.unseen == "skip":
        triples = triples[~unseen]
    if not len(triples):
        raise DataError(
            f"{dataset.folder} has no {split} triples to rank ({len(unseen)} in the split, "
            f"{int(unseen.sum())} with an entity that train lacks, unseen={settings.unseen})."
        )
    splits = settings.filter_splits
    known = {side: KnownAnswers(facts, splits, side) if splits else None for side in SIDES}
    protocol = {
        "setting": "transductive",
        "split": split,
        "triples": len(triples),
        "sides": list(SIDES),
        "candidates": facts.entities,
        "filtered": bool(splits),
        "filter_splits": list(splits),
        "ties": settings.ties,
        "unseen": {"policy": settings.unseen, "triples": int(unseen.sum())},
    }
    names = dataset.read("relations", columns=["relation"])["relation"].to_pylist()
    return Questions(facts, triples, names, known, settings, protocol)


def link_prediction(scorer: Scorer, questions: Questions) -> dict[str, Any]:
    """The metrics: {"both": {...}, "head": {...}, "tail": {...}, "ties": {...}, "relations": {...}}.

    "both" is the mean over the 2N queries. "ties" gives the MRR under the two other readings of a tie, so a model that
    scores everything alike can't hide. "relations" has count, mrr and hits@10 of both sides, by relation.
    """
    ranks = {
        side: rank_triples(scorer, questions.triples, side, questions.known[side], questions.facts.entities)
        for side in SIDES
    }
    ties = questions.settings.ties
    both = join([ranks[side] for side in SIDES])
    return {
        "both": rank_metrics(both.by(ties)),
        **{side: rank_metrics(ranks[side].by(ties)) for side in SIDES},
        "ties": {name: rank_metrics(both.by(name))["mrr"] for name in ("optimistic", "pessimistic")},
        "relations": _by_relation(questions, both),
    }


def _by_relation(questions: Questions, both: Ranks) -> dict[str, dict[str, int | float]]:
    relations = np.tile(questions.triples[:, 1], len(SIDES))
    rows = {}
    for index in np.unique(relations):
        of_relation = relations == index
        metrics = rank_metrics(both.where(of_relation).by(questions.settings.ties))
        rows[questions.relation_names[index]] = {
            "triples": int(of_relation.sum()) // len(SIDES),
            "mrr": metrics["mrr"],
            "hits@10": metrics["hits@10"],
        }
    return rows
