"""Entity linking: the parts of a text that name an entity of a dataset, and which one.

Mentions are found by the dataset's own links (dictionary.py), given, or named entities that spaCy finds. An entity is
chosen among those that the surface leads to, by how often it does, and where there is a CoLAKE run by what the model
restores at the mention, masked in the text's word-knowledge graph (disambiguation.py). Without a run torch is not
imported.
"""

import dataclasses
import itertools
from collections.abc import Callable, Sequence
from typing import Annotated, NamedTuple, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float64, Int32, Int64
from pydantic import Field

from schemas.dataset import Dataset
from schemas.errors import UsageError, first_line
from training.linking.dictionary import Dictionary, Found, open_dictionary

Span = tuple[int, int]
"""[start, end) in code points."""


@dataclasses.dataclass(frozen=True)
class LinkSettings:
    """What `--set` can change."""

    min_link: Annotated[float, Field(ge=0, le=1)] = 0.1
    """Surfaces are looked for that at least so many of the pages that have them link."""
    context: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 1.0
    """Weight of a run's logits beside the logarithm of the priors."""
    ner: str = ""
    """A spaCy pipeline by name or folder, whose named entities are the mentions."""


class Link(NamedTuple):
    """A part of a text, text[start:end] in code points, and the entity that it names."""

    start: int
    end: int
    entity_index: int
    score: float = 1.0
    """P(the entity | the mention); where the mention was found by its surface, times P(it is a link)."""


@runtime_checkable
class Context(Protocol):
    """What can tell candidates apart by their text."""

    def logits(
        self, text: str, links: Sequence[Link], candidates: Sequence[Int32[np.ndarray, " _"]]
    ) -> list[Float64[np.ndarray, " _"]]:
        """Of each link's candidates, known up to a constant for each link; `links` are a first guess at them all."""
        ...


class Linker:
    """Links texts to the entities of a dataset."""

    def __init__(
        self,
        dictionary: Dictionary,
        context: Context | None = None,
        weight: float = 1.0,
        ner: Callable[[str], list[Span]] | None = None,
    ) -> None:
        self.dictionary = dictionary
        self._context, self._weight, self._ner = context, weight, ner

    def link(self, text: str) -> list[Link]:
        """The links of a text, in text order and apart from each other."""
        return self.link_all([text])[0]

    def link_all(self, texts: Sequence[str]) -> list[list[Link]]:
        """The links of each text; for short ones much faster than one by one."""
        if self._ner:
            return [[link for link in self.link_spans(text, self._ner(text)) if link] for text in texts]
        found = self.dictionary.detect(texts)
        links = self._choose(texts, found, self.dictionary.linked[found.surfaces])
        edges = np.searchsorted(found.rows, np.arange(len(texts) + 1)).tolist()
        return [links[start:end] for start, end in itertools.pairwise(edges)]

    def link_spans(self, text: str, spans: Sequence[Span]) -> list[Link | None]:
        """A link for each span, which may overlap; None where no train page links such a surface."""
        surfaces = np.array([self.dictionary.number(text[start:end]) for start, end in spans], dtype=np.int64)
        known = surfaces >= 0
        places = np.array(spans, dtype=np.int32).reshape(-1, 2)[known]
        found = Found(np.zeros(len(places), dtype=np.int64), places, surfaces[known])
        links = iter(self._choose([text], found, np.ones(len(places))))
        return [next(links) if is_known else None for is_known in known]

    def _choose(self, texts: Sequence[str], found: Found, shares: Float64[np.ndarray, " M"]) -> list[Link]:
        """Each mention's likeliest candidate, of those alike the one of the smallest index; scores times `shares`."""
        first = self.dictionary.offsets[found.surfaces]
        entities, scores = self.dictionary.entities[first], self.dictionary.priors[first]
        if self._context:
            edges = np.searchsorted(found.rows, np.arange(len(texts) + 1)).tolist()
            for text, (start, end) in zip(texts, itertools.pairwise(edges), strict=True):
                here = slice(start, end)
                guesses = _links(found.spans[here], entities[here], scores[here])
                self._reconsider(text, guesses, found.surfaces[here], entities[here], scores[here])
        return _links(found.spans, entities, scores * shares)

    def _reconsider(
        self,
        text: str,
        guesses: Sequence[Link],
        surfaces: Int64[np.ndarray, " M"],
        entities: Int32[np.ndarray, " M"],
        scores: Float64[np.ndarray, " M"],
    ) -> None:
        """Put what priors and context together say in the place of entities and scores."""
        found = [self.dictionary.candidates(surface) for surface in surfaces.tolist()]
        logits = self._context.logits(text, guesses, [candidates for candidates, _ in found])
        for place, ((candidates, priors), more) in enumerate(zip(found, logits, strict=True)):
            weights = np.log(priors) + self._weight * more
            weights = np.exp(weights - weights.max())
            best = weights.argmax()
            entities[place], scores[place] = candidates[best], weights[best] / weights.sum()


def _links(
    spans: Int32[np.ndarray, "M 2"], entities: Int32[np.ndarray, " M"], scores: Float64[np.ndarray, " M"]
) -> list[Link]:
    return list(map(Link, *spans.T.tolist(), entities.tolist(), scores.tolist()))


def open_linker(dataset: Dataset, settings: LinkSettings, context: Context | None = None) -> Linker:
    """A linker of a dataset's anchors; DataError where it has none, UsageError for a spaCy that is not there."""
    ner = named_entities(settings.ner) if settings.ner else None
    return Linker(open_dictionary(dataset, settings.min_link), context, settings.context, ner)


def named_entities(pipeline: str) -> Callable[[str], list[Span]]:
    """Text -> the spans of its named entities, by a spaCy pipeline; UsageError where it or spaCy is missing."""
    try:
        import spacy
    except ModuleNotFoundError as error:
        raise UsageError(
            f"ner={pipeline} is a spaCy pipeline, and spaCy is not installed: pip install 'wikiloom[spacy]'"
        ) from error
    try:
        nlp = spacy.load(pipeline)
    except (OSError, ValueError) as error:
        reason = first_line(error)
        raise UsageError(f"ner={pipeline}: spaCy can't load it ({reason}).") from error
    return lambda text: [(entity.start_char, entity.end_char) for entity in nlp(text).ents]
