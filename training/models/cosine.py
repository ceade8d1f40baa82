"""Zero-shot cosine: the answer is the entity whose text is most like that of the entity given, whatever is asked.

Nothing is trained. What a text encoder reaches without a fact is the floor of every text system; on graphs whose facts
join like things it is far from chance, above all where the entity given is no candidate (`own_entity=remove`).

B queries, E entities, C candidates, N triples, D dimensions.
"""

from jaxtyping import Float, Int64
from torch import Tensor, nn

from training.data.triples import Descriptions
from training.models.frozen_encoder import TextVectorSettings, text_vectors
from training.scoring import VectorForm


class Cosine(nn.Module):
    """Every entity's vector, of unit length."""

    entities: Float[Tensor, "E D"]

    def __init__(self, entities: Float[Tensor, "E D"]) -> None:
        super().__init__()
        self.register_buffer("entities", entities)


def encoded(settings: TextVectorSettings, texts: Descriptions, words: int) -> Cosine:
    """The entities' texts encoded."""
    return Cosine(nn.functional.normalize(text_vectors(settings, texts, words), dim=-1))


class CosineScorer:
    """Behind training.scoring's Scorer, VectorScorer and TripleScorer."""

    def __init__(self, model: Cosine, candidates: Int64[Tensor, " C"] | None = None) -> None:
        """`candidates` are sorted; None for all entities."""
        self._vectors = model.entities
        self._model, self._candidates = model, model.entities if candidates is None else model.entities[candidates]

    def among(self, candidates: Int64[Tensor, " C"]) -> "CosineScorer":
        """The same for these alone."""
        return CosineScorer(self._model, candidates)

    def vector_form(self) -> VectorForm:
        """Cosines are products of unit vectors."""
        return VectorForm(
            "dot",
            self._candidates,
            lambda heads, relations: self._vectors[heads],
            lambda relations, tails: self._vectors[tails],
        )

    def tails(self, heads: Int64[Tensor, " B"], relations: Int64[Tensor, " B"]) -> Float[Tensor, "B C"]:
        """Cosine of every candidate and the head."""
        return self._vectors[heads] @ self._candidates.T

    def heads(self, relations: Int64[Tensor, " B"], tails: Int64[Tensor, " B"]) -> Float[Tensor, "B C"]:
        """Cosine of every candidate and the tail."""
        return self._vectors[tails] @ self._candidates.T

    def triples(
        self, heads: Int64[Tensor, " N"], relations: Int64[Tensor, " N"], tails: Int64[Tensor, " N"]
    ) -> Float[Tensor, " N"]:
        """Cosine of head and tail."""
        return (self._vectors[heads] * self._vectors[tails]).sum(dim=-1)
