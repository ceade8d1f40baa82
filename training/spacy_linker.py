"""The spaCy component `wikiloom_linker`: links the text of a document, fills doc.ents with kb_id_.

spaCy finds it by the entry point of this package: nlp.add_pipe("wikiloom_linker", config={"dataset": DIR}) needs no
import of ours. Nothing else in this project imports this file. spaCy reads it at every start, also where it only splits
sentences for a build: so what the trainer needs is imported when a component is made.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from spacy.language import Language
from spacy.tokens import Doc, Span

from schemas.dataset import Dataset
from schemas.errors import UsageError

LABEL = "ENTITY"
"""Of what the dictionary finds; an entity that was there before keeps its own."""


class SpacyLinker:
    """Fills doc.ents. A mention has to begin and end where tokens do; one that does not is left out."""

    def __init__(
        self, dataset: str, run: str | None, mentions: Literal["dictionary", "ents"], min_link: float, context: float
    ) -> None:
        try:
            from training.linking import LinkSettings, open_linker
            from training.linking.files import open_context
        except ModuleNotFoundError as error:
            raise UsageError(
                f"wikiloom_linker needs {error.name}, which is not installed: pip install 'wikiloom[training,spacy]'"
            ) from error
        data = Dataset(Path(dataset))
        settings = LinkSettings(min_link=min_link, context=context)
        self._linker = open_linker(data, settings, open_context(Path(run) if run else None, data))
        self._ids = data.read("entities", None, ["entity"])["entity"].combine_chunks()
        self._from_ents = mentions == "ents"

    def __call__(self, doc: Doc) -> Doc:
        """With mentions = "ents" the document's entities get a kb_id_ where one is known; else those that the
        dictionary finds become its entities, and earlier ones stay where they overlap none of them."""
        if self._from_ents:
            doc.set_ents(self._linked(doc, doc.ents))
            return doc
        links = self._linker.link(doc.text)
        found = [doc.char_span(link.start, link.end, label=LABEL, kb_id=self._id(link.entity_index)) for link in links]
        spans = [span for span in found if span is not None]
        taken = {token.i for span in spans for token in span}
        doc.set_ents([*spans, *(span for span in doc.ents if taken.isdisjoint(token.i for token in span))])
        return doc

    def _linked(self, doc: Doc, entities: Sequence[Span]) -> list[Span]:
        links = self._linker.link_spans(doc.text, [(entity.start_char, entity.end_char) for entity in entities])
        return [
            Span(doc, entity.start, entity.end, label=entity.label, kb_id=self._id(link.entity_index))
            if link
            else entity
            for entity, link in zip(entities, links, strict=True)
        ]

    def _id(self, index: int) -> str:
        return self._ids[index].as_py()


@Language.factory(
    "wikiloom_linker",
    assigns=["doc.ents", "token.ent_iob", "token.ent_type", "token.ent_kb_id"],
    default_config={"run": None, "mentions": "dictionary", "min_link": 0.1, "context": 1.0},
)
def make_linker(
    nlp: Language,
    name: str,
    dataset: str,
    run: str | None,
    mentions: Literal["dictionary", "ents"],
    min_link: float,
    context: float,
) -> SpacyLinker:
    """The component; `dataset` is a dataset's folder, `run` a CoLAKE run's, see docs/linking.md for the others."""
    return SpacyLinker(dataset, run, mentions, min_link, context)
