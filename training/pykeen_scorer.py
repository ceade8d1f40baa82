"""A model of PyKEEN behind our protocols: it is ranked by the same code as our own. B queries, C candidates, L entities
that have a row, R relations, D numbers of a vector.
"""

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from schemas.errors import DataError
from training.evaluation.facts import Facts
from training.scoring import MEASURES, ShownFacts, VectorForm

SCORES_AT_ONCE = 2**24
"""Numbers that one call of a PyKEEN model may hold: it broadcasts queries x entities x dimensions."""


class PykeenScorer:
    """A PyKEEN model behind training.scoring's Scorer, VectorScorer, RelationScorer, TripleScorer and FewShotScorer.
    L entities have a row."""

    least_facts = 1

    def __init__(
        self, model: nn.Module, facts: Facts | None = None, candidates: Int64[Tensor, " C"] | None = None
    ) -> None:
        """`facts` of the inductive setting say which entities the rows are, the others score -inf; the columns are the
        `candidates`, None for all entities."""
        self._model: Any = model.eval()
        self._facts, self._learnt = facts, None if facts is None else learnt_entities(facts)
        self._columns = None if self._learnt is None else self._place(torch.arange(facts.entities if facts else 0))
        if candidates is not None:
            self._columns = candidates if self._columns is None else self._columns[candidates]
        size = sum(parameter.numel() for parameter in model.parameters())
        self._rows = max(1, SCORES_AT_ONCE // max(1, size))

    def among(self, candidates: Int64[Tensor, " C"]) -> "PykeenScorer":
        """The same with these columns alone."""
        return PykeenScorer(self._model, self._facts, candidates)

    def tails(self, heads: Int64[Tensor, " B"], relations: Int64[Tensor, " B"]) -> Float[Tensor, "B C"]:
        """Scores of every candidate as the tail of (head, relation)."""
        return self._scores(self._model.predict_t, torch.stack([self._row(heads), relations], dim=1), self._wide)

    def heads(self, relations: Int64[Tensor, " B"], tails: Int64[Tensor, " B"]) -> Float[Tensor, "B C"]:
        """Scores of every candidate as the head of (relation, tail)."""
        return self._scores(self._model.predict_h, torch.stack([relations, self._row(tails)], dim=1), self._wide)

    def relations(self, heads: Int64[Tensor, " B"], tails: Int64[Tensor, " B"]) -> Float[Tensor, "B R"]:
        """Scores of every relation between head and tail."""
        # A model with a relation for each one's other direction has a column for that too, behind it.
        step = 2 if self._model.use_inverse_triples else 1
        pairs = torch.stack([self._row(heads), self._row(tails)], dim=1)
        return self._scores(self._model.predict_r, pairs, lambda scores: scores[:, ::step])

    @torch.no_grad()
    def vector_form(self) -> VectorForm | None:
        """For the models of SAID: where a fact says that its other entity lies is what candidates are compared with."""
        name = type(self._model).__name__
        if name not in SAID or (self._columns is not None and bool((self._columns < 0).any())):
            return None
        table = _real([table().detach() for table in self._model.entity_representations])
        measure = MEASURES[int(self._model.interaction.p)] if name in DISTANCES else "dot"
        return VectorForm(
            measure,
            table if self._columns is None else table[self._columns.to(table.device)],
            lambda heads, relations: self._said(heads, relations, as_head=False),
            lambda relations, tails: self._said(tails, relations, as_head=True),
        )

    @torch.no_grad()
    def _said(
        self, entities: Int64[Tensor, " B"], relations: Int64[Tensor, " B"], *, as_head: bool
    ) -> Float[Tensor, "B D"]:
        model, device = self._model, self._model.device
        others = [table(self._row(entities).to(device)) for table in model.entity_representations]
        between = [table(relations.to(device)) for table in model.relation_representations]
        forward = torch.full((len(entities), 1), as_head, device=device)
        return _real(SAID[type(model).__name__](others, between, forward))

    @torch.no_grad()
    def triples(
        self, heads: Int64[Tensor, " N"], relations: Int64[Tensor, " N"], tails: Int64[Tensor, " N"]
    ) -> Float[Tensor, " N"]:
        """Score of each triple."""
        rows = torch.stack([self._row(heads), relations, self._row(tails)], dim=1)
        return torch.cat([self._model.predict_hrt(part.to(self._model.device))[:, 0] for part in rows.split(2**14)])

    def tails_shown(
        self, heads: Int64[Tensor, " B"], relations: Int64[Tensor, " B"], shown: ShownFacts
    ) -> Float[Tensor, "B C"]:
        """As `tails`, of heads that are the mean of what their facts say."""
        return self._wide(self._shown_scores(relations, shown, as_head=True))

    def heads_shown(
        self, relations: Int64[Tensor, " B"], tails: Int64[Tensor, " B"], shown: ShownFacts
    ) -> Float[Tensor, "B C"]:
        """As `heads`, of tails that are the mean of what their facts say."""
        return self._wide(self._shown_scores(relations, shown, as_head=False))

    def _place(self, entities: Int64[Tensor, " N"]) -> Int64[Tensor, " N"]:
        """The row of each entity, -1 for none."""
        if self._learnt is None:
            return entities
        rows = torch.searchsorted(self._learnt, entities.contiguous()).clamp(max=len(self._learnt) - 1)
        return torch.where(self._learnt[rows] == entities, rows, -1)

    def _row(self, entities: Int64[Tensor, " B"]) -> Int64[Tensor, " B"]:
        rows = self._place(entities)
        missing = int((rows < 0).sum()) if self._learnt is not None else 0
        if missing:
            raise DataError(
                f"{missing} of the entities that are given are in no train triple, and an embedding has no vector of "
                "them. Ask about entities of train, or take a system that reads texts: kepler or dkrl."
            )
        return rows

    def _wide(self, scores: Float[Tensor, "B L"]) -> Float[Tensor, "B C"]:
        if self._columns is None:
            return scores
        columns = self._columns.to(scores.device)
        return scores.index_select(1, columns.clamp(min=0)).masked_fill_(columns < 0, -torch.inf)

    @torch.no_grad()
    def _scores(
        self, score: Any, pairs: Int64[Tensor, "B 2"], columns: Callable[[Tensor], Tensor]
    ) -> Float[Tensor, "B K"]:
        """Some queries at a time, of whose scores no others than the wanted columns are kept."""
        return torch.cat([columns(score(part.to(self._model.device))) for part in pairs.split(self._rows)])

    @torch.no_grad()
    def _shown_scores(
        self, relations: Int64[Tensor, " B"], shown: ShownFacts, *, as_head: bool
    ) -> Float[Tensor, "B L"]:
        name, device = type(self._model).__name__, self._model.device
        if name not in SAID:
            raise DataError(
                "This embedding's facts do not say where an entity lies, so it can't be asked in "
                f"setting=semi-inductive. It takes {', '.join(SAID)}."
            )
        every = [table()[None] for table in self._model.entity_representations]
        others = [table(self._row(shown.others.flatten()).to(device)) for table in self._model.entity_representations]
        others = [each.unflatten(0, shown.others.shape) for each in others]
        between, asked = (
            [table(wanted.to(device)) for table in self._model.relation_representations]
            for wanted in (shown.relations, relations)
        )
        forward = shown.as_head[..., None].to(device)
        given = [said.mean(dim=1) for said in SAID[name](others, between, forward)]
        parts = []
        for start in range(0, len(relations), self._rows):
            rows = slice(start, start + self._rows)
            one, relation = ([each[rows, None] for each in side] for side in (given, asked))
            head, tail = (one, every) if as_head else (every, one)
            parts.append(self._model.interaction(h=_sole(head), r=_sole(relation), t=_sole(tail)))
        return torch.cat(parts)


def _translated(others: list[Tensor], relations: list[Tensor], as_head: Tensor) -> list[Tensor]:
    return [torch.where(as_head, others[0] - relations[0], others[0] + relations[0])]


def _multiplied(others: list[Tensor], relations: list[Tensor], as_head: Tensor) -> list[Tensor]:
    return [torch.where(as_head, others[0] * relations[0].conj(), others[0] * relations[0])]


def _crossed(others: list[Tensor], relations: list[Tensor], as_head: Tensor) -> list[Tensor]:
    (one, other), (relation, inverse) = others, relations
    first = torch.where(as_head, other * relation, other * inverse)
    return [first, torch.where(as_head, one * inverse, one * relation)]


def _real(vectors: list[Tensor]) -> Float[Tensor, "N D"]:
    """Representations (N, ...) as one row of real numbers each."""
    return torch.cat([(torch.view_as_real(each) if each.is_complex() else each).flatten(1) for each in vectors], dim=1)


DISTANCES = ("TransE", "RotatE")
"""Models that score by minus a distance."""
SAID: dict[str, Callable[[list[Tensor], list[Tensor], Tensor], list[Tensor]]] = {
    "TransE": _translated,
    "RotatE": _multiplied,
    "DistMult": _multiplied,
    "ComplEx": _multiplied,
    "SimplE": _crossed,
}
"""(the facts' other entities, their relations, whether the entity in question is the head) -> where each fact says that
it lies, shapes (B, K, D) throughout: where the distance is 0, else the direction in which the score grows (for DistMult
Albooyeh et al., Findings of EMNLP 2020, "ERAvg")."""


def _sole(representations: list[Tensor]) -> Any:
    """PyKEEN's form: one tensor, or a tuple of several."""
    return representations[0] if len(representations) == 1 else tuple(representations)


def learnt_entities(facts: Facts) -> Int64[Tensor, " L"] | None:
    """The entities that the rows are of, where they are not all: PyKEEN draws negatives from all that have a row."""
    return None if facts.setting == "transductive" else torch.from_numpy(facts.learnable)
