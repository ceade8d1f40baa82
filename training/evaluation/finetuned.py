"""Tasks that a model is fine-tuned for: what they have in common.

A task turns the rows of `examples` into subjects, each learned on its own (GLUE has several). The epoch is chosen on
the valid split, or, where that is what is reported or where there is none, on a tenth of train that is held out.
"""

import dataclasses
import math
import statistics
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pyarrow.compute as pc
import torch
from jaxtyping import Float
from torch import Tensor

from schemas.dataset import Dataset
from schemas.errors import DataError
from schemas.hashing import below, hash_strings, random_u64
from training.data.labelled import LabelledReader
from training.data.setting import SPLITS
from training.evaluation.settings import require_split, variant
from training.finetune import FinetuneSettings, LearningSettings, Lesson, Loss, Part, finetune, part_of, scored
from training.labelled_encoder import Start
from training.metrics import progress

HELD_OUT = 0.1
"""Share of train on which the epoch is chosen where valid can't be taken."""
READS = "text with markers; linked entities as nodes at their mention's first word, of JAKET added to all its words"
Rows = list[dict[str, Any]]


@dataclasses.dataclass(frozen=True)
class Subject:
    """Something to be learned, in terms of rows of `examples`."""

    name: str
    loss: Loss
    labels: list[str]
    roles: tuple[str, ...]
    """Of the mentions that get markers."""
    head: str | None
    train: Rows
    select: Rows
    reported: dict[str, Rows]
    """By a name of their own where there are several."""
    score: Callable[[Tensor, Tensor], dict[str, Any]]
    main: Callable[[dict[str, Any]], float]
    groups: dict[str, dict[str, Tensor]] = dataclasses.field(default_factory=dict)
    """Of a reported part: groups of its examples, scored on their own as well."""

    def targets(self, rows: Rows) -> Tensor:
        """What the outputs should be."""
        if self.loss == "score":
            return torch.tensor([float(row["label"]) for row in rows])
        index = {label: number for number, label in enumerate(self.labels)}
        if self.loss == "label":
            return torch.tensor([index[row["label"]] for row in rows], dtype=torch.int64)
        targets = torch.zeros(len(rows), len(self.labels))
        for number, row in enumerate(rows):
            targets[number, [index[label] for label in row["labels"]]] = 1.0
        return targets


@dataclasses.dataclass(frozen=True)
class Learned:
    """What is found of a subject."""

    parts: dict[str, dict[str, Any]]
    """By the names of `Subject.reported`: metrics."""
    more: dict[str, Any]
    """What became of the inputs, and each seed's own numbers; empty for a rule."""


@dataclasses.dataclass(frozen=True)
class Questions:
    """A task on a split of a dataset: the same for every system."""

    subjects: list[Subject]
    settings: FinetuneSettings
    protocol: dict[str, Any]
    summary: Callable[[dict[str, "Learned"]], dict[str, Any]]
    """What was found by subject -> the task's metrics."""


class Majority:
    """The rule that always says the most frequent label of train (of numbers, their mean)."""

    def learned(self, subject: Subject) -> Learned:
        """How well that does."""
        parts = {
            name: scored(subject, name, self._logits(subject, len(rows)), subject.targets(rows))
            for name, rows in subject.reported.items()
        }
        return Learned(parts, {})

    def _logits(self, subject: Subject, rows: int) -> Float[Tensor, "N K"]:
        targets = subject.targets(subject.train)
        if subject.loss == "score":
            return targets.mean().expand(rows, 1)
        counts = targets.sum(dim=0) if subject.loss == "labels" else torch.bincount(targets)
        said = torch.full((len(subject.labels),), -1.0)
        said[int(counts.argmax())] = 1.0
        return said.expand(rows, -1)


def ask(system: Start | Majority, questions: Questions) -> dict[str, Any]:
    """The metrics: means over the seeds and their standard deviations (`_sd`); `seeds` has each seed's own, `inputs`
    what became of mentions and texts."""
    if isinstance(system, Majority):
        return questions.summary({subject.name: system.learned(subject) for subject in questions.subjects})
    return questions.summary(
        {subject.name: _learned(system, subject, questions.settings) for subject in questions.subjects}
    )


def _learned(start: Start, subject: Subject, settings: FinetuneSettings) -> Learned:
    lesson, rows, counts = _lesson(start, subject, settings)
    steps = settings.seeds * settings.epochs * -(-len(lesson.train.inputs) // settings.batch_size)
    what = f"fine-tuning {subject.name}".rstrip()
    with progress(steps, 0, settings.batch_size, what=what, unit="examples") as report:
        seeds = finetune(start, lesson, rows, settings, report)
    parts = {name: _over_seeds([seed["reported"][name] for seed in seeds]) for name in subject.reported}
    return Learned(parts, {"inputs": dict(sorted(counts.items())), "seeds": seeds})


def _lesson(
    start: Start, subject: Subject, settings: FinetuneSettings
) -> tuple[Lesson, Float[Tensor, "M D"], Counter[str]]:
    """(the subject as this model reads it, the rows of its entities, what became of mentions and texts)."""
    everything = [subject.train, subject.select, *subject.reported.values()]
    reader, table = open_reader(start, everything, subject.roles, settings)

    def part(rows: Rows) -> Part:
        return part_of(rows, [reader.read(row) for row in rows], subject.targets(rows))

    lesson = Lesson(
        subject.loss,
        subject.labels,
        2 * len(subject.roles),
        subject.head,
        part(subject.train),
        part(subject.select),
        {name: part(rows) for name, rows in subject.reported.items()},
        subject.score,
        subject.main,
        start.form if settings.form == "auto" else settings.form,
        subject.groups,
    )
    return lesson, table, reader.counts


def open_reader(
    start: Start, everything: Sequence[Rows], roles: Sequence[str], settings: LearningSettings
) -> tuple[LabelledReader, Float[Tensor, "M D"]]:
    """(what reads the rows of these parts for a model, the rows of the entities that it knows of theirs)."""
    numbers, table = None, torch.empty(0, int(start.encoder.config.hidden_size))
    if settings.entities and start.entities is not None:
        mentioned = {m["entity"] for rows in everything for row in rows for m in row["mentions"] if m["entity"]}
        known, table = start.entities(sorted(mentioned))
        numbers = {entity: row for row, entity in enumerate(known)}
    words = int(start.encoder.get_input_embeddings().num_embeddings)
    reader = LabelledReader(
        start.tokenizer,
        start.special,
        {role: (words + 2 * number, words + 2 * number + 1) for number, role in enumerate(roles)},
        numbers,
        min(settings.max_length, start.max_length),
        nodes=start.jaket is None,
    )
    return reader, table


def read_rows(dataset: Dataset, task: str, split: str, settings: FinetuneSettings) -> tuple[dict[str, Rows], str]:
    """({train, select, reported} -> rows, where the epoch is chosen).

    Raises UsageError for an unknown split, DataError where there is nothing to learn from or to report.
    """
    require_split(task, split, learns=True)
    by_split = {name: _of_task(dataset, task, name) for name in SPLITS}
    for name in ("train", split):
        if not by_split[name]:
            held = ", ".join(f"{key} {len(rows)}" for key, rows in by_split.items())
            raise DataError(
                f"{dataset.folder} has no example of {task} in split {name} ({held}). Give with --data the dataset "
                "that wikiloom import made of the task's files, and a --split that it has."
            )
    train, select, where = by_split["train"], by_split["valid"], "valid"
    if split == "valid" or not select:
        keys = random_u64(settings.seed, "finetune/select", hash_strings(row["example_id"] for row in train))
        held_out = keys < below(HELD_OUT)
        select = [row for row, held in zip(train, held_out, strict=True) if held]
        train = [row for row, held in zip(train, held_out, strict=True) if not held]
        where = f"{HELD_OUT:.0%} of train, held out by hash"
    if not train or not select:
        raise DataError(f"{dataset.folder} has too few examples of {task} in train to choose an epoch by.")
    return {"train": train, "select": select, "reported": by_split[split]}, where


def protocol(task: str, split: str, rows: Mapping[str, Rows], where: str, settings: FinetuneSettings) -> dict[str, Any]:
    """What every such result says of how it was made."""
    return {
        "split": split,
        "fine_tuned": True,
        "examples": {name: len(part) for name, part in rows.items()},
        "epoch_chosen_on": where,
        "reads": READS,
        "spread": "mean and sample standard deviation over seeds",
        **({"variant": told} if (told := variant(settings, "entities")) else {}),
        **dataclasses.asdict(settings),
    }


def sole(found: Mapping[str, Learned]) -> dict[str, Any]:
    """The metrics of a task with one subject, which is reported on one part."""
    (learned,) = found.values()
    (metrics,) = learned.parts.values()
    return {**metrics, **learned.more}


def label_names(rows: Mapping[str, Rows]) -> list[str]:
    """The labels of all parts, by name."""
    return sorted({row["label"] for part in rows.values() for row in part}, key=str.encode)


def require_labels(dataset: Dataset, rows: Mapping[str, Rows]) -> None:
    """DataError for examples whose label is not published."""
    missing = {name: n for name, part in rows.items() if (n := sum(row["label"] is None for row in part))}
    if missing:
        held = ", ".join(f"{n} of {name}" for name, n in missing.items())
        raise DataError(f"{dataset.folder} has examples without a label ({held}). Report a --split that has them.")


def _of_task(dataset: Dataset, task: str, split: str) -> Rows:
    rows = dataset.read("examples", split)
    return rows.filter(pc.equal(rows["task"], task)).to_pylist()


def _over_seeds(results: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Numbers, nested as they are: the mean of each, and its sample standard deviation as NAME_sd."""
    found: dict[str, Any] = {}
    for name, value in results[0].items():
        values = [result[name] for result in results]
        if isinstance(value, dict):
            found[name] = _over_seeds(values)
        else:
            found[name] = math.fsum(values) / len(values)
            if len(values) > 1:
                found[f"{name}_sd"] = statistics.stdev(values)
    return found
