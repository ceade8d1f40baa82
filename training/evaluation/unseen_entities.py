"""Classes of entities of a graph that pre-training has not met (JAKET, Yu et al., AAAI 2022, section 4.3): what
`wikiloom import entity-classification` makes. Learned from a fifth of the labelled entities, or from a cut of these.

An entity is read as its text. Of a JAKET run the entity's vector is added to the words that name it (to all words of a
text that does not): the run's LM1 makes context embeddings of the new graph's texts, its knowledge module reads them
with their neighbours, once; both stay as they are, while the language model and a classifier learn.
N examples, M entities, D hidden.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from schemas.dataset import Dataset
from schemas.errors import DataError
from training.config_types import Positive
from training.data.labelled import LabelledReader
from training.data.neighbours import neighbours_of
from training.data.setting import as_array, read_triples
from training.evaluation import finetuned
from training.evaluation.finetuned import Majority, Questions, Subject, label_names, protocol, read_rows, sole
from training.evaluation.scores import accuracy, macro
from training.finetune import FinetuneSettings
from training.labelled_encoder import Start
from training.models.answerers import Contexts, JaketAnswerer

TASK = "entity-classification"
"""Of the examples."""
CUTS = {"5": ("train-5",), "20": ("train-5", "train-20"), "100": ("train-5", "train-20", "train-100")}
"""Per cent of train -> its groups."""
AT_ONCE = 512
"""Entities whose neighbours are read together."""


@dataclasses.dataclass(frozen=True)
class UnseenEntitiesSettings(FinetuneSettings):
    """What `--set` can change."""

    epochs: Positive = 10
    form: Literal["start"] = "start"
    cut: Literal["100", "20", "5"] = "100"
    """Per cent of train that is learned from."""


@dataclasses.dataclass(frozen=True)
class UnseenQuestions(Questions):
    """The examples, and the dataset whose graph they are of."""

    dataset: Dataset

    @property
    def entities(self) -> list[str]:
        """Those of all examples."""
        (subject,) = self.subjects
        rows = [*subject.train, *subject.select, *subject.reported[""]]
        return sorted({entity for row in rows for entity in row["answers"]})


def prepare(dataset: Dataset, split: str, settings: UnseenEntitiesSettings) -> UnseenQuestions:
    """The examples; DataError where there is nothing to learn from or to report."""
    rows, where = read_rows(dataset, TASK, split, settings)
    rows = {name: [_mentioned(row) for row in part] for name, part in rows.items()}
    rows["train"] = [row for row in rows["train"] if row["group"] in CUTS[settings.cut]]
    if not rows["train"]:
        raise DataError(f"{dataset.folder} has no example in {settings.cut} % of train. Set a larger cut.")
    labels = label_names(rows)
    subject = Subject(
        "", "label", labels, (), None, rows["train"], rows["select"], {"": rows["reported"]}, _score, _accuracy
    )
    said = {
        **protocol(TASK, split, rows, where, settings),
        "epoch_chosen_by": "accuracy",
        "labels": len(labels),
        "labels_not_in_train": len(labels) - len({row["label"] for row in rows["train"]}),
        "graph": {"entities": dataset.rows("entities"), "triples": dataset.rows("triples"), "both_directions": True},
    }
    if settings.cut != "100":
        said["setting"] = f"{settings.cut}-per-cent"
    return UnseenQuestions([subject], settings, said, sole, dataset)


def ask(system: Start | Majority, questions: UnseenQuestions) -> dict[str, Any]:
    """Accuracy, and the macro F1 over classes (`all`); means over the seeds with standard deviations (`_sd`). `inputs`
    says of a JAKET run how many of the entities it has met in pre-training."""
    if isinstance(system, Start) and system.jaket is not None and system.jaket.knowledge is not None:
        system = dataclasses.replace(system, entities=_known(system, questions.dataset, questions.settings))
    found = finetuned.ask(system, questions)
    if isinstance(system, Start) and system.met is not None:
        found["inputs"]["entities_met_in_pretraining"] = system.met(questions.entities)
    return found


def _mentioned(row: dict[str, Any]) -> dict[str, Any]:
    """The row with a mention of its entity: all of a text that does not name it."""
    (entity,) = row["answers"]
    whole = {"start": 0, "end": len(row["text"]), "entity": entity, "role": "target"}
    return row if row["mentions"] else {**row, "mentions": [whole]}


def _score(logits: Tensor, gold: Tensor) -> dict[str, Any]:
    said = logits.argmax(dim=1)
    return {"all": {"accuracy": accuracy(said, gold), "macro_f1": macro(said, gold, None)["f1"]}}


def _accuracy(metrics: dict[str, Any]) -> float:
    return float(metrics["all"]["accuracy"])


def _known(
    start: Start, dataset: Dataset, settings: FinetuneSettings
) -> Callable[[Sequence[str]], tuple[list[str], Float[Tensor, "M D"]]]:
    """What JAKET's knowledge module makes of the new graph's entities."""
    entities = dataset.read("entities", columns=["entity", "label", "text", "text_mention"]).to_pylist()
    index = {row["entity"]: number for number, row in enumerate(entities)}
    length = min(settings.max_length, start.max_length, start.jaket.config.description_length)
    reader = LabelledReader(start.tokenizer, start.special, {}, index, length, nodes=False)
    relations = dataset.read("relations", columns=["relation", "label"]).to_pylist()
    triples = as_array(read_triples(dataset, "train", "transductive"))
    texts = [reader.read(_described(row)) for row in entities]
    kinds = [reader.read(_text(row["label"] or row["relation"])) for row in relations]
    model = JaketAnswerer(
        start,
        Contexts.of(start, texts, kinds),
        neighbours_of(triples, len(entities), len(relations), inverse=True),
        after_graph=True,
        seed=settings.seed,
        dropout=0.0,
    ).eval()
    with torch.no_grad():
        pieces = [
            model.answers(np.arange(begin, min(begin + AT_ONCE, len(entities))))
            for begin in range(0, len(entities), AT_ONCE)
        ]
    rows = torch.cat(pieces)

    def rows_of(wanted: Sequence[str]) -> tuple[list[str], Float[Tensor, "M D"]]:
        known = [entity for entity in wanted if entity in index]
        return known, rows[torch.tensor([index[entity] for entity in known], dtype=torch.int64)]

    return rows_of


def _described(row: dict[str, Any]) -> dict[str, Any]:
    span = row["text_mention"]
    mention = {**span, "entity": row["entity"], "role": "target"} if span else None
    return _text(row["text"] or row["label"] or row["entity"], *([mention] if mention else []))


def _text(text: str, *mentions: dict[str, Any]) -> dict[str, Any]:
    return {"text": text, "text_b": None, "mentions": list(mentions)}
