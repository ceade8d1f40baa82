"""What a link predictor gives to the ranking: a score for every entity, as the tail or as the head.

B queries, E entities of the dataset, in the order of entity_index; C of them are candidates.
"""

from typing import Protocol, runtime_checkable

from jaxtyping import Float, Int64
from torch import Tensor


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


@runtime_checkable
class RelationScorer(Protocol):
    """Anything that can answer (h, ?, t) of a pair alone: an embedding or a plain rule. R relations of the dataset."""

    def relations(self, heads: Int64[Tensor, " B"], tails: Int64[Tensor, " B"]) -> Float[Tensor, "B R"]:
        """Scores of every relation between head and tail."""
        ...
