"""Relation classification: which relation a sentence states between its head and its tail (FewRel as ERNIE's authors
re-arranged it, TACRED).

Markers [HD] [/HD] and [TL] [/TL] stand around the first mention of each; the classifier begins as CoLAKE's relation
head, its outputs as the rows of the relations that the run knows.
"""

import dataclasses
from typing import Any

from torch import Tensor

from schemas.dataset import Dataset
from training.evaluation.finetuned import Questions, Subject, label_names, protocol, read_rows, require_labels, sole
from training.evaluation.scores import accuracy, macro, micro
from training.finetune import FinetuneSettings

TASK = "relation-classification"


@dataclasses.dataclass(frozen=True)
class RelationClassificationSettings(FinetuneSettings):
    """What `--set` can change."""

    negative: str = "no_relation"
    """The label that says that there is none: it counts in no F1."""


def prepare(dataset: Dataset, split: str, settings: RelationClassificationSettings) -> Questions:
    """The examples; DataError where there is nothing to learn from or to report.

    The epoch is chosen by micro F1 where there is a negative label (TACRED), else by macro F1 (FewRel).
    """
    rows, where = read_rows(dataset, TASK, split, settings)
    require_labels(dataset, rows)
    labels = label_names(rows)
    negative = labels.index(settings.negative) if settings.negative in labels else None
    kind = "macro" if negative is None else "micro"

    def score(logits: Tensor, gold: Tensor) -> dict[str, Any]:
        said = logits.argmax(dim=1)
        return {
            "macro": macro(said, gold, negative),
            "micro": micro(said, gold, negative),
            "all": {"accuracy": accuracy(said, gold)},
        }

    subject = Subject(
        "",
        "label",
        labels,
        ("head", "tail"),
        "relation",
        rows["train"],
        rows["select"],
        {"": rows["reported"]},
        score,
        lambda metrics: metrics[kind]["f1"],
    )
    seen = {row["label"] for row in rows["train"]}
    said = {
        **protocol(TASK, split, rows, where, settings),
        "epoch_chosen_by": f"{kind} F1",
        "labels": len(labels),
        "labels_not_in_train": len(labels) - len(seen),
        "no_relation_excluded": negative is not None,
    }
    return Questions([subject], settings, said, sole)
