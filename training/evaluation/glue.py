"""GLUE: each of its tasks is learned on its own, and scored as the benchmark does.

Its test labels are not published, so --split valid is what can be reported; the epoch is then chosen on a tenth of
train.
"""

import dataclasses
from collections.abc import Callable
from statistics import fmean
from typing import Any, Literal

from torch import Tensor

from schemas.dataset import Dataset
from schemas.errors import DataError, UsageError, nearest
from training.config import Share
from training.evaluation.finetuned import (
    Learned,
    Questions,
    Rows,
    Subject,
    label_names,
    protocol,
    read_rows,
    require_labels,
)
from training.evaluation.scores import accuracy, matthews, micro_of_labels, pearson, spearman
from training.finetune import FinetuneSettings

TASK = "glue"
MISMATCHED = "MNLI-mm"


def _right(said: Tensor, gold: Tensor) -> dict[str, float]:
    return {"accuracy": accuracy(said, gold)}


def _right_and_f1(said: Tensor, gold: Tensor) -> dict[str, float]:
    return {"accuracy": accuracy(said, gold), "f1": micro_of_labels(said[:, None] == 1, gold[:, None] == 1)["f1"]}


def _matthews(said: Tensor, gold: Tensor) -> dict[str, float]:
    return {"matthews": matthews(said, gold)}


def _correlations(said: Tensor, gold: Tensor) -> dict[str, float]:
    return {"pearson": pearson(said, gold), "spearman": spearman(said, gold)}


METRICS: dict[str, Callable[[Tensor, Tensor], dict[str, float]]] = {
    "CoLA": _matthews,
    "SST-2": _right,
    "MRPC": _right_and_f1,
    "STS-B": _correlations,
    "QQP": _right_and_f1,
    "MNLI": _right,
    "QNLI": _right,
    "RTE": _right,
}
"""The benchmark's own; where it has two, the score is their mean. Class 1 is the second label by name."""


@dataclasses.dataclass(frozen=True)
class GlueSettings(FinetuneSettings):
    """What `--set` can change."""

    dropout: Share = 0.1
    form: Literal["start"] = "start"
    """Nothing is marked in its texts."""
    tasks: str = ""
    """Those to learn, such as CoLA,RTE; empty for all that the dataset has."""


def prepare(dataset: Dataset, split: str, settings: GlueSettings) -> Questions:
    """A subject for each task; DataError where there is nothing to learn from or to report."""
    rows, where = read_rows(dataset, TASK, split, settings)
    groups = {row["group"] for row in rows["train"]}
    wanted = [name for name in settings.tasks.split(",") if name] or [name for name in METRICS if name in groups]
    for name in wanted:
        if name not in groups or name not in METRICS:
            known = [task for task in METRICS if task in groups]
            raise UsageError(f"{dataset.folder} has no task {name!r}, only {', '.join(known)}.{nearest(name, known)}")
    subjects = [_subject(dataset, name, rows) for name in wanted]
    said = {
        **protocol(TASK, split, rows, where, settings),
        "tasks": {subject.name: {"train": len(subject.train), "labels": len(subject.labels)} for subject in subjects},
        "score": "the benchmark's metric, or the mean of its two; average: the mean over tasks",
    }
    return Questions(subjects, settings, said, _summary)


def _subject(dataset: Dataset, name: str, rows: dict[str, Rows]) -> Subject:
    own = {part: [row for row in found if row["group"] == name] for part, found in rows.items()}
    reported = {name: own["reported"]}
    if name == "MNLI":
        reported[MISMATCHED] = [row for row in rows["reported"] if row["group"] == MISMATCHED]
    reported = {part: found for part, found in reported.items() if found}
    if not own["train"] or not own["select"] or not reported:
        sizes = ", ".join(f"{part} {len(found)}" for part, found in own.items())
        raise DataError(f"{dataset.folder} has not all parts of {name} ({sizes}). Import its files.")
    require_labels(dataset, {"train": own["train"], "where the epoch is chosen": own["select"], **reported})
    numbers = name == "STS-B"

    def score(logits: Tensor, gold: Tensor) -> dict[str, Any]:
        metrics = METRICS[name](logits[:, 0] if numbers else logits.argmax(dim=1), gold)
        return {"score": sum(metrics.values()) / len(metrics), **metrics}

    labels = ["score"] if numbers else label_names({**own, **reported})
    loss = "score" if numbers else "label"
    train, select = own["train"], own["select"]
    return Subject(name, loss, labels, (), None, train, select, reported, score, lambda metrics: metrics["score"])


def _summary(found: dict[str, Learned]) -> dict[str, Any]:
    """The parts of all tasks, and their average, to which both of MNLI's count as one."""
    scores = [fmean(metrics["score"] for metrics in one.parts.values()) for one in found.values()]
    parts = {part: metrics for one in found.values() for part, metrics in one.parts.items()}
    kinds = dict.fromkeys(kind for one in found.values() for kind in one.more)
    more = {kind: {name: one.more[kind] for name, one in found.items()} for kind in kinds}
    return {"average": {"score": fmean(scores)}, **parts, **more}
