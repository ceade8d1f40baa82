"""Link prediction: which tail completes (h, r, ?), which head (?, r, t), in one of the settings of a dataset.

transductive: among all entities, other answers known from any split not counted against the model ("filtered", Bordes
et al., NIPS 2013). inductive (KEPLER, Wang et al., TACL 2021): of a split whose entities train does not have, among the
entities of that split, other answers known from that split not counted. All queries weigh the same, and both sides have
as many, unless the candidates are a file's. Every choice is written into the result.
"""

import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import pyarrow.compute as pc
import torch
from pydantic import Field

from schemas.dataset import Dataset
from schemas.errors import DataError, UsageError, nearest
from schemas.hashing import random_u64
from training.data.setting import SPLITS, Setting
from training.evaluation.breakdowns import Asked, breakdowns
from training.evaluation.facts import Facts, read_facts
from training.evaluation.ranking import Candidates, KnownAnswers, Side, rank_triples
from training.evaluation.ranks import Ranks, join, rank_intervals, rank_metrics
from training.evaluation.sampled_ranking import draw_candidates, rank_among
from training.evaluation.settings import require_split, variant
from training.evaluation.state_file import StateFile, weights_digest
from training.scoring import Scorer, TripleScorer

SIDES: tuple[Side, ...] = ("head", "tail")
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
    candidates: str = ""
    """Who is ranked: all; split, the entities of the evaluated split; sampled=N, for each query N false ones drawn for
    it; or a file with an entity a line. By default all, and split in the inductive setting."""
    shortlist: Annotated[int, Field(ge=0)] = 0
    """For systems that read facts one by one: so many answers of each query, the best ones of the run `shortlist_by`,
    are scored, and the others stay in its order. 0 scores all."""
    shortlist_by: str = ""
    """The folder of that run, of wikiloom train or baseline."""
    own_entity: Literal["keep", "remove"] = "keep"
    """Whether the entity that a query gives is a candidate for its answer, as in published tables. The result has both
    readings, unless candidates are sampled."""
    triples: Annotated[int, Field(ge=0)] = 0
    """How many triples are asked about, the first by a hash; 0 for all. The metrics of some have 95 % intervals."""
    resamples: Annotated[int, Field(ge=1)] = 1_000
    """Of these intervals' bootstrap."""
    shots: str = "0,1,3,5"
    """How many facts of the entity that train lacks are shown (semi-inductive): numbers of 0 to 10."""
    seed: int = 0
    """Of the choice of these facts, of triples and of sampled candidates."""

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
        if self.setting == "semi-inductive" and (self.candidates or self.triples or self.own_entity != "keep"):
            raise UsageError(
                "candidates, triples and own_entity are not for setting=semi-inductive: the entity of train is asked "
                "for, among all of these."
            )
        if bool(self.shortlist) != bool(self.shortlist_by):
            raise UsageError("shortlist (answers of a query) and shortlist_by (the run that names them) go together.")
        if self.shortlist and (self.setting != "transductive" or self.candidates):
            raise UsageError(f"shortlist={self.shortlist} is of all entities: for setting=transductive, no candidates.")
        if self.setting == "inductive" and self.candidates.startswith("sampled"):
            raise UsageError(f"candidates={self.candidates} is for setting=transductive: it draws from all entities.")
        if self.setting != "transductive" and self.unseen == "skip":
            raise UsageError(f"unseen=skip leaves nothing to ask in setting={self.setting}: every triple is unseen.")

    @property
    def sample(self) -> int:
        """How many candidates are drawn for each query; 0 where they are the same for all."""
        kind, _, number = self.candidates.partition("=")
        if kind != "sampled":
            return 0
        if not (number.isdecimal() and int(number)):
            raise UsageError(f"candidates={self.candidates}: expected their number, such as sampled=500.")
        return int(number)

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
    known: dict[Side, KnownAnswers | None]
    candidates: Candidates | None
    """None for all entities."""
    settings: LinkPredictionSettings
    protocol: dict[str, Any]
    states: dict[Side, StateFile] = dataclasses.field(default_factory=dict)
    """Where a long ranking leaves what it has counted so far."""

    def kept_in(self, path: Path, by: str) -> "Questions":
        """The same questions, whose ranking by weights of that digest can be interrupted: path-SIDE.state."""
        # The filter and the candidates are known by what they are, the run that makes a shortlist by the protocol.
        asked = f"{by} {json.dumps(self.protocol.get('shortlist'))}".encode()
        states = {side: StateFile(path.with_name(f"{path.name}-{side}.state"), asked) for side in SIDES}
        return dataclasses.replace(self, states=states)

    def forget(self) -> None:
        """Remove these files."""
        for state in self.states.values():
            state.remove()

    def asked(self, side: Side) -> np.ndarray:
        """The triples whose answer on that side is a candidate."""
        if self.candidates is None:
            return self.triples
        answers = torch.from_numpy(self.triples[:, 2 if side == "tail" else 0].copy())
        return self.triples[(self.candidates.columns(answers) >= 0).numpy()]


def prepare(dataset: Dataset, split: str, settings: LinkPredictionSettings) -> Questions:
    """Read the split and build its filters; DataError where there is nothing to rank."""
    require_split("link-prediction", split)
    facts = read_facts(dataset, TRAINED_ON[settings.setting])
    triples = facts.splits[split]
    unseen = facts.unseen(triples)
    if settings.unseen == "skip":
        triples = triples[~unseen]
    _require_triples(dataset, split, settings, triples, unseen)
    kind, candidates = _candidates(dataset, split, settings, triples)
    every, triples = len(triples), _some(triples, settings)
    splits = settings.filter_splits(split)
    known = {side: KnownAnswers(facts, splits, side) if splits else None for side in SIDES}
    names = dataset.read("relations", columns=["relation"])["relation"].to_pylist()
    questions = Questions(facts, triples, names, known, candidates, settings, {})
    if not any(len(questions.asked(side)) for side in SIDES):
        raise DataError(f"candidates={settings.candidates}: none of them is an answer of {dataset.folder}'s {split}.")
    protocol = _protocol(questions, split, kind, every)
    protocol["unseen"] = {"policy": settings.unseen, "triples": int(unseen.sum())}
    return dataclasses.replace(questions, protocol=protocol)


def _protocol(questions: Questions, split: str, kind: str, every: int) -> dict[str, Any]:
    settings, candidates, triples = questions.settings, questions.candidates, len(questions.triples)
    splits = settings.filter_splits(split)
    protocol: dict[str, Any] = {
        "setting": settings.setting,
        "split": split,
        "triples": triples,
        "sides": list(SIDES),
        "candidates": settings.sample or (questions.facts.entities if candidates is None else len(candidates)),
        "candidate_set": kind,
        "own_entity": settings.own_entity,
        "filtered": bool(splits),
        "filter_splits": list(splits),
        "ties": settings.ties,
    }
    told = dataclasses.replace(settings, candidates="" if kind.startswith("given") else settings.candidates)
    if settings.shortlist:
        first = Path(settings.shortlist_by)
        told = dataclasses.replace(told, shortlist_by=weights_digest(first)[:8])
        protocol["shortlist"] = {
            "answers": settings.shortlist,
            "by": first.resolve().name,
            "weights": told.shortlist_by,
        }
    if every > triples or settings.sample:
        protocol["sampled"] = {"triples_of": every, "seed": settings.seed, "resamples": settings.resamples}
    of_hash = ("seed",) if "sampled" in protocol else ()
    named = ("ties", "filter", "unseen", "candidates", "own_entity", "triples", "shortlist", "shortlist_by", *of_hash)
    parts = [variant(told, *named), f"candidates={kind}" if kind.startswith("given") else ""]
    if any(parts):
        protocol["variant"] = ",".join(filter(None, parts))
    left_out = {side: triples - len(questions.asked(side)) for side in SIDES}
    if any(left_out.values()):
        protocol["answer_no_candidate"] = left_out
    return protocol


def link_prediction(scorer: Scorer | TripleScorer, questions: Questions) -> dict[str, Any]:
    """The metrics: {"both": {...}, "head": {...}, "tail": {...}, "ties": {...}, "own_entity": {...}} and breakdowns.

    "both" is the mean over the 2N queries. "ties" gives the MRR under the two other readings of a tie, so a model that
    scores everything alike can't hide; "own_entity" all metrics with and without the entity that the query gives among
    the candidates. "intervals" are there where triples or candidates are a sample. See breakdowns.py for the rest.
    """
    settings, ranks = questions.settings, {side: _rank(scorer, questions, side) for side in SIDES}
    ties, read = settings.ties, "remove" if settings.own_entity == "remove" else "keep"
    readings = {side: {"keep": found, "remove": found.without_own()} for side, found in ranks.items()}
    chosen = {side: found[read] for side, found in readings.items()}
    both = join([chosen[side] for side in SIDES])
    asked = Asked(
        np.concatenate([questions.asked(side) for side in SIDES]),
        np.repeat([side == "tail" for side in SIDES], [len(questions.asked(side)) for side in SIDES]),
    )
    metrics = {
        "both": rank_metrics(both.by(ties)),
        **{side: rank_metrics(chosen[side].by(ties)) for side in SIDES if len(chosen[side].optimistic)},
        "ties": {name: rank_metrics(both.by(name))["mrr"] for name in ("optimistic", "pessimistic")},
    }
    if not settings.sample:
        every = {read: join([readings[side][read] for side in SIDES]) for read in ("keep", "remove")}
        metrics["own_entity"] = {read: rank_metrics(found.by(ties)) for read, found in every.items()}
    if "sampled" in questions.protocol:
        _, numbers = np.unique(asked.triples, axis=0, return_inverse=True)
        metrics["intervals"] = rank_intervals(both.by(ties), numbers.ravel(), settings.seed, settings.resamples)
    return metrics | breakdowns(questions.facts, questions.relation_names, asked, both, ties)


def _rank(scorer: Scorer | TripleScorer, questions: Questions, side: Side) -> Ranks:
    settings, triples, known = questions.settings, questions.asked(side), questions.known[side]
    entities, candidates = questions.facts.entities, questions.candidates
    if settings.sample:
        drawn = draw_candidates(
            triples, side, known, entities, settings.sample, seed=settings.seed, own=settings.own_entity == "keep"
        )
        return rank_among(scorer, triples, side, drawn, entities)
    if not isinstance(scorer, Scorer):
        raise DataError("This system scores triples one by one: ask it about some, --set candidates=sampled=100.")
    asked = scorer if candidates is None else candidates.narrow(scorer)
    return rank_triples(asked, triples, side, known, entities, candidates, state=questions.states.get(side))


def _some(triples: np.ndarray, settings: LinkPredictionSettings) -> np.ndarray:
    """The triples that are asked about, in order."""
    if not settings.triples or settings.triples >= len(triples):
        return triples
    order = random_u64(settings.seed, "link-prediction/triples", *triples.T).argsort(kind="stable")
    return triples[np.sort(order[: settings.triples])]


def _candidates(
    dataset: Dataset, split: str, settings: LinkPredictionSettings, triples: np.ndarray
) -> tuple[str, Candidates | None]:
    """(what the protocol calls them, those that are ranked, None for all)."""
    wanted = settings.candidates or ("all" if settings.setting == "transductive" else "split")
    if wanted == "all" or settings.sample:
        return wanted.partition("=")[0], None
    if wanted == "split" and settings.setting == "inductive":
        return wanted, _entities_of(dataset, split, triples)
    count = dataset.rows("entities")
    if wanted == "split":
        return wanted, Candidates(np.unique(triples[:, [0, 2]]), of=count)
    try:
        text = Path(wanted).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            f"candidates={wanted}: expected all, split, sampled=N or a file with an entity a line "
            f"({type(error).__name__})."
        ) from None
    index = {name: i for i, name in enumerate(dataset.read("entities", columns=["entity"])["entity"].to_pylist())}
    names = list(filter(None, text.splitlines()))
    if missing := [name for name in names if name not in index]:
        raise DataError(f"{wanted} names {missing[0]!r}, which is no entity of {dataset.folder} ({len(missing)} such).")
    if not names:
        raise DataError(f"{wanted} is empty: expected an entity of {dataset.folder} a line.")
    chosen = np.unique([index[name] for name in names])
    return f"given {hashlib.sha256(text.encode()).hexdigest()[:8]}", Candidates(chosen, of=count)


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
