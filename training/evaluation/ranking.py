"""Filtered ranks by counting: no sort, three tie policies, the gold's score taken from the very matrix it is ranked in.

A score that comes from another summation than the candidates' moves ranks (BLAS blocks differ by shape), hence the one
matrix. A scorer that has vectors is ranked by these alone (vector_ranking). B queries, E entities, C of them
candidates, M known answers of the B queries.
"""

import dataclasses
from collections.abc import Callable
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor

from schemas.errors import DataError
from training.evaluation.facts import Facts, Groups
from training.evaluation.ranks import Ranks
from training.evaluation.state_file import StateFile
from training.evaluation.vector_ranking import Known, rank_by_vectors, rivals
from training.metrics import progress
from training.scoring import FewShotScorer, NarrowScorer, PairwiseScorer, Scorer, ShownFacts, TripleScorer, VectorScorer

Side = Literal["head", "tail"]
SCORES_AT_ONCE = 2**24
"""Scores in memory at a time: 64 MB in float32."""
PAIRS_AT_ONCE = 2**14
"""The same of a cross-encoder, which may read some hundred a second: so much is lost when a ranking is interrupted."""
PROBED = 4
"""Triples whose scores tell a model from another."""
MANY = 64
"""Such pieces from which on progress is shown."""


def rank_by_counting(
    scores: Float[Tensor, "B E"],
    gold: Int64[Tensor, " B"],
    known: Known | None = None,
    own: Int64[Tensor, " B"] | None = None,
) -> Ranks:
    """Rank each row's gold among all columns but its other known answers.

    `known` names cells (row, column), each at most once; the gold's own cell may be among them. `own` is the column of
    the row's given entity, -1 for none. Raises DataError for scores that are not numbers.
    """
    _require_numbers(scores)
    gold = gold.to(scores.device)
    target = scores.gather(1, gold[:, None])
    above, reached = (scores > target).sum(dim=1), (scores >= target).sum(dim=1)
    if known is not None:
        rows, columns = known[0].to(scores.device), known[1].to(scores.device)
        others = columns != gold[rows]
        rows, columns = rows[others], columns[others]
        # Counted out, not overwritten: right for a gold at -inf too, and the caller's scores stay as they are.
        filtered, limit = scores[rows, columns], target[rows, 0]
        above.index_add_(0, rows, (filtered > limit).long(), alpha=-1)
        reached.index_add_(0, rows, (filtered >= limit).long(), alpha=-1)
    ranks = Ranks((above + 1).cpu(), reached.cpu())
    if own is None:
        return ranks
    score, rival = scores.gather(1, own.clamp(min=0)[:, None].to(scores.device)), rivals(own, gold.cpu(), known)
    placed = 2 * (score > target).long() + (score == target).long()
    return dataclasses.replace(ranks, own=torch.where(rival, placed[:, 0].cpu(), 0))


class KnownAnswers:
    """Which answers are known to be true for a query, from some splits: the filter."""

    def __init__(self, facts: Facts, splits: tuple[str, ...], side: Side) -> None:
        # In the order of the queries, so that grouping them has nothing left to sort.
        triples = facts.triples(*splits, by="head" if side == "tail" else "tail")
        self._given, self._answer = (0, 2) if side == "tail" else (2, 0)
        self._relations = facts.relations
        self._answers = triples[:, self._answer]
        self._groups = Groups(self._keys(triples))

    def of(self, triples: Int64[np.ndarray, "B 3"]) -> tuple[Int64[Tensor, " M"], Int64[Tensor, " M"]]:
        """(row, entity) of every known answer to the triples' queries."""
        rows, found = self._groups.find(self._keys(triples))
        return torch.from_numpy(rows), torch.from_numpy(self._answers[found])

    def lists(self, triples: Int64[np.ndarray, "B 3"]) -> list[Int64[np.ndarray, " K"]]:
        """For each triple the known answers to its query, sorted."""
        rows, found = (part.numpy() for part in self.of(triples))
        order = np.lexsort((found, rows))
        return np.split(found[order], np.searchsorted(rows[order], np.arange(1, len(triples))))

    def _keys(self, triples: Int64[np.ndarray, "N 3"]) -> Int64[np.ndarray, " N"]:
        return triples[:, self._given] * self._relations + triples[:, 1]


class Candidates:
    """Those of E entities that are ranked, sorted: C columns."""

    def __init__(self, entities: Int64[np.ndarray, " C"], of: int) -> None:
        self.entities, self._of = torch.from_numpy(entities), of

    def __len__(self) -> int:
        return len(self.entities)

    def narrow(self, scorer: Scorer) -> Scorer:
        """The scorer with these columns alone; others are not even computed where it can leave them out."""
        if isinstance(scorer, NarrowScorer):
            return scorer.among(self.entities)
        return _Columns(scorer, self.entities, max(1, SCORES_AT_ONCE // self._of))

    def columns(self, entities: Int64[Tensor, " N"]) -> Int64[Tensor, " N"]:
        """The column of each entity, -1 for one that is no candidate."""
        places = torch.searchsorted(self.entities, entities.contiguous()).clamp(max=len(self) - 1)
        return torch.where(self.entities[places] == entities, places, -1)

    def cells(
        self, known: tuple[Int64[Tensor, " M"], Int64[Tensor, " M"]]
    ) -> tuple[Int64[Tensor, " K"], Int64[Tensor, " K"]]:
        """(row, column) of the known answers that are candidates."""
        columns = self.columns(known[1])
        return known[0][columns >= 0], columns[columns >= 0]


class _Columns:
    """Some columns of a scorer that scores every entity, for `rows` queries at a time."""

    def __init__(self, scorer: Scorer, entities: Int64[Tensor, " C"], rows: int) -> None:
        self._scorer, self._entities, self._rows = scorer, entities, rows

    def tails(self, heads: Int64[Tensor, " B"], relations: Int64[Tensor, " B"]) -> Float[Tensor, "B C"]:
        return self._of(self._scorer.tails, heads, relations)

    def heads(self, relations: Int64[Tensor, " B"], tails: Int64[Tensor, " B"]) -> Float[Tensor, "B C"]:
        return self._of(self._scorer.heads, relations, tails)

    def _of(
        self, score: Callable[[Tensor, Tensor], Tensor], one: Int64[Tensor, " B"], other: Int64[Tensor, " B"]
    ) -> Float[Tensor, "B C"]:
        parts = zip(one.split(self._rows), other.split(self._rows), strict=True)
        scores = (score(*part) for part in parts)
        return torch.cat([part.index_select(1, self._entities.to(part.device)) for part in scores])


def rank_triples(
    scorer: Scorer,
    triples: Int64[np.ndarray, "N 3"],
    side: Side,
    known: KnownAnswers | None,
    entities: int,
    candidates: Candidates | None = None,
    shown: ShownFacts | None = None,
    state: StateFile | None = None,
) -> Ranks:
    """Rank the head or the tail of each triple among all `entities`, or among candidates, to which the scorer has been
    narrowed; a bounded number of scores at a time. What is asked for has to be a candidate. `shown` are facts of what
    is given, for a FewShotScorer. With a `state` an interrupted ranking goes on, and one that is done is known: its
    caller removes the file."""
    if state is not None and candidates is not None:
        state = state.among(candidates.entities.numpy())
    form = scorer.vector_form() if isinstance(scorer, VectorScorer) and shown is None else None
    if form is not None:
        heads, relations, tails = torch.from_numpy(triples.copy()).unbind(dim=1)
        queries = form.tails(heads, relations) if side == "tail" else form.heads(relations, tails)
        return rank_by_vectors(
            form.measure, form.entities, queries, *_asked(triples, side, known, candidates), state=state
        )
    if isinstance(scorer, PairwiseScorer) and shown is None:
        # Equal queries stand together, and are scored once.
        order = np.lexsort(triples.T[[0, 1] if side == "tail" else [2, 1]])
        ranks = _rank_rows(scorer, triples[order], side, known, entities, candidates, None, state)
        return ranks.where(np.argsort(order))
    return _rank_rows(scorer, triples, side, known, entities, candidates, shown, state)


def _rank_rows(
    scorer: Scorer,
    triples: Int64[np.ndarray, "N 3"],
    side: Side,
    known: KnownAnswers | None,
    entities: int,
    candidates: Candidates | None,
    shown: ShownFacts | None,
    state: StateFile | None,
) -> Ranks:
    """By rows of scores."""
    # What is expensive is kept in smaller pieces.
    slow = isinstance(scorer, PairwiseScorer)
    at_once = PAIRS_AT_ONCE if slow else SCORES_AT_ONCE
    size = max(1, at_once // max(1, entities if candidates is None else len(candidates)))
    starts, counts = range(0, len(triples), size), np.zeros((3, len(triples)), np.int64)
    done = 0
    if state is not None:
        of = f"{side} {size} {entities}\n".encode() + triples.tobytes() + _cells(triples, known, candidates)
        done = state.resume(of, _probe(scorer, triples, side), counts)
    many = 1 if slow else MANY
    with progress(len(starts), done, size, shown=len(starts) > many, what="ranking", unit="queries") as report:
        for number, start in list(enumerate(starts))[done:]:
            rows = slice(start, start + size)
            scores = _scores(scorer, triples[rows], side, None if shown is None else shown.rows(rows))
            ranks = rank_by_counting(scores, *_asked(triples[rows], side, known, candidates))
            counts[:, rows] = torch.stack([ranks.optimistic, ranks.pessimistic, ranks.own])  # type: ignore[list-item]
            report(number + 1)
            if state is not None:
                state.save(number + 1)
    return Ranks(*torch.from_numpy(counts))


def _cells(triples: Int64[np.ndarray, "N 3"], known: KnownAnswers | None, candidates: Candidates | None) -> bytes:
    """The filter, and how many are ranked, to know a ranking by."""
    columns = b"" if candidates is None else f"{len(candidates)} candidates\n".encode()
    if known is None:
        return columns + b"raw"
    return columns + b"".join(part.numpy().tobytes() for part in known.of(triples))


def _probe(scorer: Scorer, triples: Int64[np.ndarray, "N 3"], side: Side) -> Float64[np.ndarray, " S"]:
    """Some scores, to know the model by."""
    few = triples[:PROBED]
    if isinstance(scorer, TripleScorer) and isinstance(scorer, PairwiseScorer):
        scores = scorer.triples(*torch.from_numpy(few.copy()).unbind(dim=1))
    else:
        scores = _scores(scorer, few, side, None).flatten()
        scores = scores[scores.isfinite()]
    return scores.double().cpu().numpy()


def _asked(
    triples: Int64[np.ndarray, "B 3"], side: Side, known: KnownAnswers | None, candidates: Candidates | None
) -> tuple[Int64[Tensor, " B"], Known | None, Int64[Tensor, " B"]]:
    """(the columns of the golds, the cells of the known answers, the columns of the given entities)."""
    heads, _, tails = torch.from_numpy(triples.copy()).unbind(dim=1)
    gold, own = (tails, heads) if side == "tail" else (heads, tails)
    cells = None if known is None else known.of(triples)
    if candidates is None:
        return gold, cells, own
    return candidates.columns(gold), None if cells is None else candidates.cells(cells), candidates.columns(own)


def _scores(
    scorer: Scorer, triples: Int64[np.ndarray, "B 3"], side: Side, shown: ShownFacts | None
) -> Float[Tensor, "B C"]:
    heads, relations, tails = torch.from_numpy(triples.copy()).unbind(dim=1)
    if shown is not None and isinstance(scorer, FewShotScorer):
        if side == "tail":
            return scorer.tails_shown(heads, relations, shown)
        return scorer.heads_shown(relations, tails, shown)
    return scorer.tails(heads, relations) if side == "tail" else scorer.heads(relations, tails)


def _require_numbers(scores: Float[Tensor, "B E"]) -> None:
    missing = int(scores.isnan().any(dim=1).sum())
    if missing:
        raise DataError(
            f"The model's scores are NaN for {missing} of {len(scores)} queries, so there is nothing to rank. "
            "The training has diverged: train again with a smaller lr, or take an earlier checkpoint."
        )
