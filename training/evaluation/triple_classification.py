"""Triple classification (Socher et al., NIPS 2013): is (h, r, t) true? A score above a threshold says so.

The threshold is chosen on valid, by accuracy, among the scores that are observed there: one for all relations, or one
for each (a relation that valid lacks has the one for all). Negatives are a benchmark's own (FB13, WN11, CoDEx) or ours,
which come out in a file. N triples.
"""

import dataclasses
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Bool, Float64, Int64

from schemas.dataset import Dataset
from schemas.errors import DataError, UsageError
from training.evaluation.facts import Facts, read_facts
from training.evaluation.negatives_file import ASKED, Negatives, find_negatives, write
from training.evaluation.settings import variant
from training.scoring import TripleScorer

Array = np.ndarray
NEGATIVES = "triple-classification-negatives-{seed}.tsv"


@dataclasses.dataclass(frozen=True)
class TripleClassificationSettings:
    """What `--set` can change."""

    threshold: Literal["relation", "global"] = "relation"
    """Whether each relation has a threshold of its own."""
    negatives_from: str = ""
    """given (the dataset's), sampled, or a file of them (NAME.tsv or a path), which is made where there is none; by
    default given where the dataset has them, else sampled."""
    negatives_seed: int = 0
    """Of the sampled ones: the same for runs of several seeds."""


@dataclasses.dataclass(frozen=True)
class Labelled:
    """True and false triples together."""

    triples: Int64[Array, "N 3"]
    labels: Bool[Array, " N"]

    @property
    def relations(self) -> Int64[Array, " N"]:
        """Of each triple."""
        return self.triples[:, 1]


@dataclasses.dataclass(frozen=True)
class TripleQuestions:
    """The triples to fit a threshold on and those to judge: the same for every system."""

    facts: Facts
    valid: Labelled
    asked: Labelled
    relation_names: list[str]
    negatives: Negatives
    settings: TripleClassificationSettings
    protocol: dict[str, Any]

    def leave(self, folder: Path) -> None:
        """Sampled negatives beside the results, for other systems to be asked about."""
        if self.negatives.source == "sampled":
            write(folder / NEGATIVES.format(seed=self.settings.negatives_seed), self.negatives)


def prepare(dataset: Dataset, split: str, settings: TripleClassificationSettings) -> TripleQuestions:
    """Read true and false triples; DataError where there are none to fit on or to judge."""
    if split not in ASKED:
        raise UsageError(f"triple-classification has splits {' and '.join(ASKED)}, not {split!r}.")
    facts = read_facts(dataset)
    negatives = find_negatives(dataset, facts, settings.negatives_from, settings.negatives_seed)
    parts = {each: _labelled(facts.splits[each], negatives.triples[each]) for each in ASKED}
    for each, part in parts.items():
        if not part.labels.any() or part.labels.all():
            raise DataError(
                f"{dataset.folder} has {int(part.labels.sum())} true and {int((~part.labels).sum())} false {each} "
                "triples; triple-classification needs both."
            )
    asked = parts[split]
    protocol: dict[str, Any] = {
        "split": split,
        "triples": int(asked.labels.sum()),
        "negatives": negatives.protocol(facts, settings.negatives_seed),
        "threshold": settings.threshold,
        "threshold_chosen_by": "accuracy on valid, among the observed scores",
        "unseen": {"policy": "keep", "triples": int(facts.unseen(asked.triples).sum())},
    }
    told = settings
    if negatives.source == "file":
        # Whatever it is called, and whoever made it.
        told = dataclasses.replace(settings, negatives_from=f"file {negatives.sha256[:8]}", negatives_seed=0)
    if named := variant(told, "threshold", "negatives_from", "negatives_seed"):
        protocol["variant"] = named
    names = dataset.read("relations", columns=["relation"])["relation"].to_pylist()
    return TripleQuestions(facts, parts["valid"], asked, names, negatives, settings, protocol)


def triple_classification(system: TripleScorer, questions: TripleQuestions) -> dict[str, Any]:
    """The metrics: {"all": {...}, "valid": {...}, "unseen": {...}, "fell_back": {...}, "relations": {...}}.

    Precision, recall and F1 are of "true". AUC is the chance that a true triple scores above a false one, whatever the
    thresholds. "unseen" are the triples with an entity that train lacks, "fell_back" those whose relation has no
    threshold of its own; "relations" has each one's threshold and its share of all errors.
    """
    fitted = _scores(system, questions.valid)
    thresholds = Thresholds.fit(fitted, questions.valid, each=questions.settings.threshold == "relation")
    asked, scores = questions.asked, _scores(system, questions.asked)
    said = thresholds.judge(scores, asked.relations)
    right = said == asked.labels
    unseen = questions.facts.unseen(asked.triples)
    fallen = ~np.isin(asked.relations, [*thresholds.own]) & (questions.settings.threshold == "relation")
    return {
        "all": {
            "triples": len(right),
            "accuracy": float(right.mean()),
            "auc": auc(scores, asked.labels),
            **_f1(said, asked.labels),
            "threshold": thresholds.overall,
        },
        "valid": {
            "accuracy": float((thresholds.judge(fitted, questions.valid.relations) == questions.valid.labels).mean())
        },
        "unseen": {"triples": int(unseen.sum()), **({"accuracy": float(right[unseen].mean())} if unseen.any() else {})},
        "fell_back": {"relations": len(np.unique(asked.relations[fallen])), "triples": int(fallen.sum())},
        "relations": _by_relation(questions, thresholds, right),
    }


@dataclasses.dataclass(frozen=True)
class Thresholds:
    """A triple is said to be true where its score is above."""

    overall: float
    own: dict[int, float]
    """By relation."""

    @classmethod
    def fit(cls, scores: Float64[Array, " N"], part: Labelled, *, each: bool) -> "Thresholds":
        """Those with the best accuracy, overall and, if wanted, for `each` relation."""
        own = {}
        for relation in np.unique(part.relations).tolist() if each else ():
            of = part.relations == relation
            own[relation] = best_threshold(scores[of], part.labels[of])
        return cls(best_threshold(scores, part.labels), own)

    def of(self, relation: int) -> float:
        """A relation's own, or the one for all."""
        return self.own.get(relation, self.overall)

    def judge(self, scores: Float64[Array, " N"], relations: Int64[Array, " N"]) -> Bool[Array, " N"]:
        """Which triples are said to be true."""
        which, place = np.unique(relations, return_inverse=True)
        return scores > np.array([self.of(relation) for relation in which.tolist()])[place]


def best_threshold(scores: Float64[Array, " N"], labels: Bool[Array, " N"]) -> float:
    """Where "true" is what scores above, the threshold of the best accuracy, midway between two observed scores (or
    just below all of them, or at the highest); of several equally good ones the middle one."""
    distinct, place = np.unique(scores, return_inverse=True)
    true, false = (np.bincount(place[labels == label], minlength=len(distinct)) for label in (True, False))
    # Cut k has the k lowest distinct scores on its lower side.
    right = np.concatenate([[0], np.cumsum(false)]) + true.sum() - np.concatenate([[0], np.cumsum(true)])
    best = np.flatnonzero(right == right.max())
    cut = int(best[len(best) // 2])
    if cut in (0, len(distinct)):
        return float(distinct[-1] if cut else np.nextafter(distinct[0], -np.inf))
    lower, upper = distinct[cut - 1], distinct[cut]
    middle = lower + (upper - lower) / 2
    return float(middle if lower < middle < upper else lower)


def auc(scores: Float64[Array, " N"], labels: Bool[Array, " N"]) -> float:
    """The chance that a true triple scores above a false one, ties counting a half (Mann and Whitney)."""
    false = np.sort(scores[~labels])
    below = np.searchsorted(false, scores[labels], side="left")
    reached = np.searchsorted(false, scores[labels], side="right")
    return float((below + reached).mean() / 2 / len(false))


def _labelled(true: Int64[Array, "T 3"], false: Int64[Array, "F 3"]) -> Labelled:
    return Labelled(np.concatenate([true, false]), np.arange(len(true) + len(false)) < len(true))


def _scores(system: TripleScorer, part: Labelled) -> Float64[Array, " N"]:
    heads, relations, tails = torch.from_numpy(part.triples.copy()).unbind(dim=1)
    with torch.no_grad():
        scores = system.triples(heads, relations, tails).double().cpu().numpy()
    if not np.isfinite(scores).all():
        raise DataError(
            f"The model's scores are no numbers for {int((~np.isfinite(scores)).sum())} of {len(scores)} triples. "
            "The training has diverged: train again with a smaller lr, or take an earlier checkpoint."
        )
    return scores


def _f1(said: Bool[Array, " N"], labels: Bool[Array, " N"]) -> dict[str, float]:
    hits = int((said & labels).sum())
    precision, recall = hits / max(1, int(said.sum())), hits / max(1, int(labels.sum()))
    f1 = 2 * precision * recall / (precision + recall) if hits else 0.0
    return {"precision": precision, "recall": recall, "f1": f1}


def _by_relation(
    questions: TripleQuestions, thresholds: Thresholds, right: Bool[Array, " N"]
) -> dict[str, dict[str, int | float]]:
    relations, errors = questions.asked.relations, int((~right).sum())
    rows = {}
    for relation in np.unique(relations).tolist():
        own = right[relations == relation]
        rows[questions.relation_names[relation]] = {
            "triples": len(own),
            "accuracy": float(own.mean()),
            "error_share": int((~own).sum()) / max(1, errors),
            "threshold": thresholds.of(relation),
        }
    return rows
