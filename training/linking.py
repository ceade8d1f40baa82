"""Entity linking: the parts of a text that name an entity of a dataset, and which one.

Mentions are found by the dataset's own links (training/dictionary.py), given, or named entities that spaCy finds. An
entity is chosen among those that the surface leads to, by how often it does, and where there is a CoLAKE run by what
the model restores at the mention, masked in the text's word-knowledge graph (training/disambiguation.py). Without a run
torch is not imported.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Annotated, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float64, Int32
from pydantic import Field

from schemas.dataset import Dataset
from schemas.errors import UsageError
from training.dictionary import Dictionary, Mention, open_dictionary

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


@dataclasses.dataclass(frozen=True)
class Link:
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
        if self._ner:
            return [link for link in self.link_spans(text, self._ner(text)) if link]
        mentions = self.dictionary.detect(text)
        links = self._choose(text, mentions)
        shares = self.dictionary.linked[[mention.surface for mention in mentions]].tolist()
        return [
            dataclasses.replace(link, score=link.score * share)
            for link, share in zip(links, shares, strict=True)
            if link
        ]

    def link_spans(self, text: str, spans: Sequence[Span]) -> list[Link | None]:
        """A link for each span, which may overlap; None where no train page links such a surface."""
        return self._choose(text, [Mention(*span, self.dictionary.number(text[slice(*span)])) for span in spans])

    def _choose(self, text: str, mentions: Sequence[Mention]) -> list[Link | None]:
        """Each mention's likeliest candidate; of those alike the one of the smallest index."""
        known = [mention for mention in mentions if mention.surface >= 0]
        found = [self.dictionary.candidates(mention.surface) for mention in known]
        links = [
            Link(mention.start, mention.end, int(entities[0]), float(priors[0]))
            for mention, (entities, priors) in zip(known, found, strict=True)
        ]
        if self._context:
            logits = self._context.logits(text, links, [entities for entities, _ in found])
            links = [
                self._posterior(link, entities, priors, more)
                for link, (entities, priors), more in zip(links, found, logits, strict=True)
            ]
        chosen = iter(links)
        return [next(chosen) if mention.surface >= 0 else None for mention in mentions]

    def _posterior(
        self,
        link: Link,
        entities: Int32[np.ndarray, " K"],
        priors: Float64[np.ndarray, " K"],
        logits: Float64[np.ndarray, " K"],
    ) -> Link:
        scores = np.log(priors) + self._weight * logits
        shares = np.exp(scores - scores.max())
        best = int(shares.argmax())
        return Link(link.start, link.end, int(entities[best]), float(shares[best] / shares.sum()))


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
        reason = str(error).splitlines()[0][:200]
        raise UsageError(f"ner={pipeline}: spaCy can't load it ({reason}).") from error
    return lambda text: [(entity.start_char, entity.end_char) for entity in nlp(text).ents]
