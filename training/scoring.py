"""What a link predictor gives to the ranking: a score for every entity, as the tail or as the head.

B queries, E entities of the dataset, in the order of entity_index; C of them are candidates. K facts shown, D hidden,
N triples.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Literal, Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from training.objectives import Score


@runtime_checkable
class Scorer(Protocol):
    """Anything that can answer (h, r, ?) and (?, r, t): a trained model or a plain rule.

    Higher is more plausible. Scores may be of any float type and lie on any device; they are compared within a row
    only, so they need no common scale.
    """

    def tails(self, heads: Int64[Tensor, " B"], relations: Int64[Tensor, " B"]) -> Float[Tensor, "B E"]:
        """Scores of every entity as the tail of (head, relation)."""
        ...

    def heads(self, relations: Int64[Tensor, " B"], tails: Int64[Tensor, " B"]) -> Float[Tensor, "B E"]:
        """Scores of every entity as the head of (relation, tail)."""
        ...


@runtime_checkable
class NarrowScorer(Protocol):
    """A scorer that need not score what is no candidate."""

    def among(self, candidates: Int64[Tensor, " C"]) -> Scorer:
        """The same scores of these entities alone, C columns in their order; queries may still be of any entity."""
        ...


Asked = Callable[[Int64[Tensor, " B"], Int64[Tensor, " B"]], Float[Tensor, "B D"]]
Measure = Literal["dot", "l1", "l2"]
MEASURES: dict[int, Measure] = {1: "l1", 2: "l2"}
"""Of distances, by their norm."""


@dataclasses.dataclass(frozen=True)
class VectorForm:
    """A scorer as vectors: a query's vector against each candidate's, by their product or minus their distance."""

    measure: Measure
    entities: Float[Tensor, "C D"]
    """The candidates' vectors, in the order of the scorer's columns; may be a memory-mapped file."""
    tails: Asked
    """(heads, relations) -> the vectors that tails are compared with."""
    heads: Asked
    """(relations, tails) -> the vectors that heads are compared with."""

    @classmethod
    def of(cls, score: Score, entities: Float[Tensor, "C D"], tails: Asked, heads: Asked) -> "VectorForm":
        """The form of a score that may be a cosine: the product of vectors of unit length."""
        if score.kind != "cosine":
            return cls(MEASURES[score.norm], entities, tails, heads)
        unit = functools.partial(torch.nn.functional.normalize, dim=-1)
        return cls("dot", unit(entities), lambda *of: unit(tails(*of)), lambda *of: unit(heads(*of)))


@runtime_checkable
class VectorScorer(Protocol):
    """A scorer that need not score every candidate itself: ranking does so by matrix products, without a row of scores
    in memory, and settles near ties in 64 bits."""

    def vector_form(self) -> VectorForm | None:
        """The same scores (or others in the same order) as vectors; None where they are not of that form."""
        ...


@dataclasses.dataclass(frozen=True)
class ShownFacts:
    """Facts of the entity that each query gives, which train lacks: K with entities of train for each of B queries."""

    relations: Int64[Tensor, "B K"]
    others: Int64[Tensor, "B K"]
    """The entities of train."""
    as_head: Bool[Tensor, "B K"]
    """Whether the given entity is the fact's head."""

    def rows(self, rows: slice) -> "ShownFacts":
        """Those of some queries."""
        return ShownFacts(self.relations[rows], self.others[rows], self.as_head[rows])

    def translated(self, others: Float[Tensor, "B K D"], relations: Float[Tensor, "B K D"]) -> Float[Tensor, "B K D"]:
        """Where each fact says that the given entity lies, to a model of translations: t - r, or h + r."""
        return torch.where(self.as_head[..., None].to(others.device), others - relations, others + relations)


@runtime_checkable
class FewShotScorer(Protocol):
    """A scorer that can represent an entity which train lacks by facts that are shown to it."""

    least_facts: int
    """How many it needs at least: 0 where it has the entity's text as well."""

    def tails_shown(
        self, heads: Int64[Tensor, " B"], relations: Int64[Tensor, " B"], shown: ShownFacts
    ) -> Float[Tensor, "B C"]:
        """As Scorer.tails, of heads that train lacks."""
        ...

    def heads_shown(
        self, relations: Int64[Tensor, " B"], tails: Int64[Tensor, " B"], shown: ShownFacts
    ) -> Float[Tensor, "B C"]:
        """As Scorer.heads, of tails that train lacks."""
        ...


@runtime_checkable
class RelationScorer(Protocol):
    """Anything that can answer (h, ?, t) of a pair alone: an embedding or a plain rule. R relations of the dataset."""

    def relations(self, heads: Int64[Tensor, " B"], tails: Int64[Tensor, " B"]) -> Float[Tensor, "B R"]:
        """Scores of every relation between head and tail."""
        ...


@runtime_checkable
class TripleScorer(Protocol):
    """Anything that can say how plausible a triple is by itself: what triple classification cuts by a threshold."""

    def triples(
        self, heads: Int64[Tensor, " N"], relations: Int64[Tensor, " N"], tails: Int64[Tensor, " N"]
    ) -> Float[Tensor, " N"]:
        """A score for each triple; higher is more plausible.

        Unlike a Scorer's, these are compared with one another, whatever their entities. N may be a whole split: the
        scorer itself sees to it that it does not hold too much at once.
        """
        ...


@runtime_checkable
class PairwiseScorer(Protocol):
    """A TripleScorer to which a row of candidates costs as much as each of them alone, such as a cross-encoder: of a
    sample of candidates its triples are scored, not whole rows."""

    pairwise: bool
