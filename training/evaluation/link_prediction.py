"""Link prediction: which tail completes (h, r, ?), which head (?, r, t), in one of the settings of a dataset.

transductive: among all entities, other answers known from any split not counted against the model ("filtered", Bordes
et al., NIPS 2013). inductive (KEPLER, Wang et al., TACL 2021): of a split whose entities train does not have, among the
entities of that split, other answers known from that split not counted. Both sides weigh the same. Every choice is
written into the result.
"""

import dataclasses
from typing import Any, Literal

import numpy as np
import pyarrow.compute as pc

from schemas.dataset import Dataset
from schemas.errors import DataError, UsageError, nearest
from training.data.setting import SPLITS, Setting
from training.evaluation.facts import Facts, read_facts
from training.evaluation.ranking import Candidates, KnownAnswers, rank_triples
from training.evaluation.ranks import Ranks, join, rank_metrics
from training.evaluation.settings import require_split
from training.scoring import Scorer

SIDES = ("head", "tail")
MOST_SHOTS = 10
TRAINED_ON: dict[str, Setting] = {
    "transductive": "transductive",
    "inductive": "inductive",
    "semi-inductive": "inductive",
}
"""Whose train triples hold none of the facts that a setting asks about: the other's hold most of them."""


@dataclasses.dataclass(frozen=True)
class LinkPredictionSettings:
    """What `--set` can change."""

    setting: Literal["transductive", "inductive", "semi-inductive"] = "transductive"
    """Whether the entities asked about are among those that train has; a run's own unless told otherwise."""
    ties: Literal["realistic", "optimistic", "pessimistic"] = "realistic"
    """How a rank is read where candidates share the gold's score."""
    filter: str = ""
    """Splits whose true triples are not counted against the model; none for raw ranks. By default train,valid,test,
    and the evaluated split alone in the inductive setting."""
    unseen: Literal["keep", "skip"] = "keep"
    """What happens to triples with an entity that no train triple has (transductive)."""
    shots: str = "0,1,3,5"
    """How many facts of the entity that train lacks are shown (semi-inductive): numbers of 0 to 10."""
    seed: int = 0
    """Of the choice of these facts."""

    @property
    def numbers(self) -> tuple[int, ...]:
        """`shots` as numbers."""
        return tuple(int(number) for number in self.shots.split(","))

    def __post_init__(self) -> None:
        if not all(number.isdecimal() and int(number) <= MOST_SHOTS for number in self.shots.split(",")):
            raise UsageError(f"shots={self.shots}: expected numbers of 0 to {MOST_SHOTS} with commas, such as 0,1,3,5.")
        if self.setting == "semi-inductive" and self.filter not in ("", "none"):
            raise UsageError(
                f"filter={self.filter}: in setting=semi-inductive all other facts of the entity are known answers, or "
                "with filter=none nothing is."
            )
        if self.setting != "transductive" and self.unseen == "skip":
            raise UsageError(f"unseen=skip leaves nothing to ask in setting={self.setting}: every triple is unseen.")

    def filter_splits(self, split: str) -> tuple[str, ...]:
        """The splits of the filter; UsageError for an unknown one."""
        usual = ",".join(SPLITS) if self.setting == "transductive" else split
        names = tuple(name for name in (self.filter or usual).split(",") if name and name != "none")
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
    candidates: Candidates | None
    """None for all entities."""
    settings: LinkPredictionSettings
    protocol: dict[str, Any]


def prepare(dataset: Dataset, split: str, settings: LinkPredictionSettings) -> Questions:
    """Read the split and build its filters; DataError where there is nothing to rank."""
    require_split("link-prediction", split)
    facts = read_facts(dataset, TRAINED_ON[settings.setting])
    triples = facts.splits[split]
    unseen = facts.unseen(triples)
    if settings.unseen == "skip":
        triples = triples[~unseen]
    _require_triples(dataset, split, settings, triples, unseen)
    candidates = None if settings.setting == "transductive" else _entities_of(dataset, split, triples)
    splits = settings.filter_splits(split)
    known = {side: KnownAnswers(facts, splits, side) if splits else None for side in SIDES}
    protocol = {
        "setting": settings.setting,
        "split": split,
        "triples": len(triples),
        "sides": list(SIDES),
        "candidates": facts.entities if candidates is None else len(candidates),
        "filtered": bool(splits),
        "filter_splits": list(splits),
        "ties": settings.ties,
        "unseen": {"policy": settings.unseen, "triples": int(unseen.sum())},
    }
    names = dataset.read("relations", columns=["relation"])["relation"].to_pylist()
    return Questions(facts, triples, names, known, candidates, settings, protocol)


def link_prediction(scorer: Scorer, questions: Questions) -> dict[str, Any]:
    """The metrics: {"both": {...}, "head": {...}, "tail": {...}, "ties": {...}, "relations": {...}}.

    "both" is the mean over the 2N queries. "ties" gives the MRR under the two other readings of a tie, so a model that
    scores everything alike can't hide. "relations" has count, mrr and hits@10 of both sides, by relation.
    """
    entities, candidates = questions.facts.entities, questions.candidates
    asked = scorer if candidates is None else candidates.narrow(scorer)
    ranks = {
        side: rank_triples(asked, questions.triples, side, questions.known[side], entities, candidates)
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


def _require_triples(
    dataset: Dataset, split: str, settings: LinkPredictionSettings, triples: np.ndarray, unseen: np.ndarray
) -> None:
    if len(triples):
        return
    if settings.setting == "inductive":
        raise DataError(
            f"{dataset.folder} has no inductive {split} triples to rank. "
            "Make such a split: wikiloom import FORMAT --split inductive --valid N --test N"
        )
    raise DataError(
        f"{dataset.folder} has no {split} triples to rank ({len(unseen)} in the split, "
        f"{int(unseen.sum())} with an entity that train lacks, unseen={settings.unseen})."
    )


def _entities_of(dataset: Dataset, split: str, triples: np.ndarray) -> Candidates:
    """The entities of an inductive split; DataError where one of its triples has another."""
    sides = dataset.read("entities", columns=["inductive_split"])["inductive_split"]
    own = pc.equal(sides, split).to_numpy()
    if not own[triples[:, [0, 2]]].all():
        raise DataError(
            f"{dataset.folder}: inductive {split} has triples of entities that are not {split}'s. "
            "Run wikiloom validate, then build the dataset again."
        )
    return Candidates(np.flatnonzero(own), of=len(own))


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
