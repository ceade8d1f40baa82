"""Entity typing: the types of a mention in its sentence (Open Entity, in its published form or ERNIE's).

Markers [ENT] [/ENT] stand around the mention; the classifier begins as CoLAKE's entity head. A type is said where its
logit is above 0.
"""

import dataclasses
from typing import Any

from torch import Tensor

from schemas.dataset import Dataset
from training.config import Positive
from training.evaluation.finetuned import Questions, Subject, protocol, read_rows, sole
from training.evaluation.scores import micro_of_labels
from training.finetune import FinetuneSettings

TASK = "typing"


@dataclasses.dataclass(frozen=True)
class TypingSettings(FinetuneSettings):
    """What `--set` can change."""

    epochs: Positive = 5


def prepare(dataset: Dataset, split: str, settings: TypingSettings) -> Questions:
    """The examples; DataError where there is nothing to learn from or to report."""
    rows, where = read_rows(dataset, TASK, split, settings)
    labels = sorted({label for part in rows.values() for row in part for label in row["labels"]}, key=str.encode)

    def score(logits: Tensor, gold: Tensor) -> dict[str, Any]:
        return {"micro": micro_of_labels(logits > 0, gold > 0)}

    subject = Subject(
        "",
        "labels",
        labels,
        ("target",),
        "entity",
        rows["train"],
        rows["select"],
        {"": rows["reported"]},
        score,
        lambda metrics: metrics["micro"]["f1"],
    )
    seen = {label for row in rows["train"] for label in row["labels"]}
    said = {
        **protocol(TASK, split, rows, where, settings),
        "epoch_chosen_by": "micro F1",
        "labels": len(labels),
        "labels_not_in_train": len(labels) - len(seen),
    }
    return Questions([subject], settings, said, sole)
