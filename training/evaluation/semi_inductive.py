"""Semi-inductive link prediction: an entity that train lacks is asked about with k of its facts shown.

As Kochsiek and Gemulla (Wikidata5M-SI, Findings of EMNLP 2023) have it: the question is a fact between an entity of the
evaluated split, which is given, and one of train, which is asked for among all of train's. Those facts are the ones
that the inductive split drops. Each question has its entity's other facts of that kind to be shown, but for those with
the very entity that is asked for, which would give it away; the k of them are the first by a hash, so that those for
k = 1 are among those for k = 3. N questions, K facts.
"""

import dataclasses
import itertools
from collections import defaultdict
from typing import Any

import numpy as np
import pyarrow.compute as pc
import torch
from jaxtyping import Bool, Int64

from schemas.dataset import Dataset
from schemas.errors import DataError
from schemas.hashing import random_u64
from training.data.setting import as_array, read_triples
from training.evaluation.facts import Facts, read_facts
from training.evaluation.link_prediction import MOST_SHOTS, LinkPredictionSettings
from training.evaluation.ranking import Candidates, KnownAnswers, Side, rank_triples
from training.evaluation.ranks import join, rank_metrics
from training.evaluation.settings import require_split
from training.scoring import FewShotScorer, Scorer, ShownFacts

DROPPED = "dropped"
PARTS = tuple(f"k={k}" for k in range(MOST_SHOTS + 1))
Array = np.ndarray


@dataclasses.dataclass(frozen=True)
class FewShotQuestions:
    """Facts between an entity that train lacks and one of train, which is asked for."""

    facts: Facts
    triples: Int64[Array, "N 3"]
    given_head: Bool[Array, " N"]
    """Whether the head is the entity that train lacks."""
    shown: Int64[Array, "N K"]
    """For each question the rows of `triples` that may be shown, -1 after the last."""
    known: dict[Side, KnownAnswers | None]
    candidates: Candidates
    settings: LinkPredictionSettings
    protocol: dict[str, Any]

    def enough(self, k: int) -> Bool[Array, " N"]:
        """Which questions have k facts to show."""
        return (self.shown >= 0).sum(axis=1) >= k

    def facts_of(self, rows: Int64[Array, " B"], k: int) -> ShownFacts:
        """The first k facts of some questions that have so many."""
        shown = self.shown[rows, :k]
        heads, relations, tails = (self.triples[shown, part] for part in range(3))
        as_head = self.given_head[shown]
        others = np.where(as_head, tails, heads)
        return ShownFacts(*(torch.from_numpy(np.ascontiguousarray(part)) for part in (relations, others, as_head)))


def prepare(dataset: Dataset, split: str, settings: LinkPredictionSettings) -> FewShotQuestions:
    """Read the facts that join the split with train, and choose what is shown; DataError where there is none."""
    require_split("link-prediction", split)
    facts = read_facts(dataset, "inductive")
    sides = dataset.read("entities", columns=["inductive_split"])["inductive_split"]
    own, train = (pc.equal(sides, side).to_numpy() for side in (split, "train"))
    # A dataset with a fraction of its train triples may have entities on train's side of which none is left.
    train = train & facts.seen()
    dropped = np.unique(as_array(read_triples(dataset, DROPPED, "inductive")), axis=0)
    heads, tails = dropped[:, 0], dropped[:, 2]
    joining = (own[heads] & train[tails]) | (train[heads] & own[tails])
    learnt = np.isin(dropped[:, 1], facts.splits["train"][:, 1])
    triples = dropped[joining & learnt]
    if not len(triples):
        raise DataError(
            f"{dataset.folder} has no facts that join entities of the inductive {split} with train's. "
            "They come from an inductive split beside a transductive one: wikiloom import FORMAT --split inductive"
        )
    facts = dataclasses.replace(facts, splits={**facts.splits, DROPPED: dropped})
    filtered = settings.filter != "none"
    questions = FewShotQuestions(
        facts=facts,
        triples=triples,
        given_head=own[triples[:, 0]],
        shown=_choose(triples, own[triples[:, 0]], max(settings.numbers), settings.seed),
        known={side: KnownAnswers(facts, (DROPPED,), side) if filtered else None for side in ("head", "tail")},
        candidates=Candidates(np.flatnonzero(train), of=len(train)),
        settings=settings,
        protocol={},
    )
    return dataclasses.replace(questions, protocol=_protocol(questions, split, int((joining & ~learnt).sum())))


def semi_inductive(scorer: Scorer, questions: FewShotQuestions) -> dict[str, Any]:
    """The metrics by the number of facts shown: {"k=0": {...}, "k=1": {...}, ...}.

    Each has `questions` and its metrics over these; `too_few_facts` have no k facts, and are not among them. A system
    that represents no entity by facts answers as it does without; one that needs facts has no metrics for k=0.
    """
    narrow = questions.candidates.narrow(scorer)
    return {f"k={k}": _with_facts(narrow, questions, k) for k in questions.settings.numbers}


def _with_facts(scorer: Scorer, questions: FewShotQuestions, k: int) -> dict[str, Any]:
    enough = questions.enough(k)
    counts = {"questions": int(enough.sum()), "too_few_facts": int((~enough).sum())}
    few = isinstance(scorer, FewShotScorer)
    if not enough.any() or (isinstance(scorer, FewShotScorer) and k < scorer.least_facts):
        return counts
    ties, ranks = questions.settings.ties, {}
    sides: tuple[tuple[Side, Array], ...] = (("head", ~questions.given_head), ("tail", questions.given_head))
    for side, asked in sides:
        rows = np.flatnonzero(enough & asked)
        shown = questions.facts_of(rows, k) if few else None
        triples, known = questions.triples[rows], questions.known[side]
        ranks[side] = rank_triples(scorer, triples, side, known, 0, questions.candidates, shown)
    metrics = {side: rank_metrics(found.by(ties)) for side, found in ranks.items() if len(found.optimistic)}
    return {**counts, **rank_metrics(join([*ranks.values()]).by(ties)), **metrics}


def _choose(triples: Int64[Array, "N 3"], given_head: Bool[Array, " N"], k: int, seed: int) -> Int64[Array, "N K"]:
    """The first k rows of each question's entity by hash, but for those with the entity that is asked for."""
    given, other = (np.where(given_head, triples[:, a], triples[:, b]).tolist() for a, b in ((0, 2), (2, 0)))
    of_entity: dict[int, list[int]] = defaultdict(list)
    for row in random_u64(seed, "semi-inductive/facts", *triples.T).argsort(kind="stable").tolist():
        of_entity[given[row]].append(row)
    shown = np.full((len(triples), k), -1)
    for question, (entity, asked) in enumerate(zip(given, other, strict=True)):
        chosen = list(itertools.islice((row for row in of_entity[entity] if other[row] != asked), k))
        shown[question, : len(chosen)] = chosen
    return shown


def _protocol(questions: FewShotQuestions, split: str, relation_unseen: int) -> dict[str, Any]:
    settings = questions.settings
    filtered = questions.known["head"] is not None
    return {
        "setting": settings.setting,
        "split": split,
        "triples": len(questions.triples),
        "sides": ["the entity of train"],
        "entities": len(np.unique(questions.triples[:, [0, 2]][_given(questions.given_head)])),
        "candidates": len(questions.candidates),
        "filtered": filtered,
        "filter_splits": [DROPPED] if filtered else [],
        "ties": settings.ties,
        "shots": list(settings.numbers),
        "seed": settings.seed,
        "too_few_facts": {str(k): int((~questions.enough(k)).sum()) for k in settings.numbers},
        "left_out": {"relation_unseen": relation_unseen},
    }


def _given(given_head: Bool[Array, " N"]) -> Bool[Array, "N 2"]:
    return np.stack([given_head, ~given_head], axis=1)
