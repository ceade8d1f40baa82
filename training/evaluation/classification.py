"""Relation classification: which relation a sentence states between its head and its tail (FewRel as ERNIE's authors
re-arranged it, TACRED).

Markers [HD] [/HD] and [TL] [/TL] stand around the first mention of each. In CoLAKE's form the classifier begins as its
relation head, the outputs as the rows of the relations that the run knows. Probes hide the mentions or the context; the
reported examples are scored in fifths by the frequency of their entities as well.
"""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor

from schemas.dataset import Dataset
from schemas.errors import UsageError
from training.evaluation.entity_frequency import FIFTHS, Frequencies, fifths, fifths_of_entities, frequencies
from training.evaluation.finetuned import (
    Learned,
    Questions,
    Rows,
    Subject,
    label_names,
    protocol,
    read_rows,
    require_labels,
    sole,
)
from training.evaluation.probes import Input, one_fifth, probe
from training.evaluation.scores import accuracy, macro, micro
from training.finetune import FinetuneSettings

TASK = "relation-classification"


@dataclasses.dataclass(frozen=True)
class RelationClassificationSettings(FinetuneSettings):
    """What `--set` can change."""

    negative: str = "no_relation"
    """The label that says that there is none: it counts in no F1."""
    input: Input = "text"
    """masked-entity: the words of each mention are one mask, and no entity is shown; only-entity: the two mentions with
    their markers, without the text around them. In train as in what is reported (KEPLER, table 14)."""
    only_fifth: Annotated[int, Field(ge=0, le=FIFTHS)] = 0
    """1 (rarest) to 5: the mentions of all entities outside this fifth by frequency are masked, in train as in what is
    reported (KEPLER's analysis by entity frequency); 0 masks none."""
    frequencies: str = ""
    """The dataset whose entities.frequency counts for the fifths; empty for that of the examples."""


def prepare(dataset: Dataset, split: str, settings: RelationClassificationSettings) -> Questions:
    """The examples; DataError where there is nothing to learn from or to report.

    The epoch is chosen by micro F1 where there is a negative label (TACRED), else by macro F1 (FewRel).
    """
    if settings.input != "text" and settings.only_fifth:
        raise UsageError(
            f"--set input={settings.input} hides mentions already: leave only_fifth at 0, or input at text."
        )
    rows, where = read_rows(dataset, TASK, split, settings)
    require_labels(dataset, rows)
    labels = label_names(rows)
    negative = labels.index(settings.negative) if settings.negative in labels else None
    kind = "macro" if negative is None else "micro"
    found = frequencies(Dataset(Path(settings.frequencies)) if settings.frequencies else dataset, rows)
    parts = fifths(rows["reported"], found)
    subject = Subject(
        "",
        "label",
        labels,
        ("head", "tail"),
        "relation",
        _shown(rows, "train", settings, found),
        _shown(rows, "select", settings, found),
        {"": _shown(rows, "reported", settings, found)},
        _score(negative),
        lambda metrics: metrics[kind]["f1"],
        {"": {f"fifth_{number}": torch.from_numpy(part) for number, part in enumerate(parts, start=1)}},
    )
    said = {
        **protocol(TASK, split, rows, where, settings),
        "epoch_chosen_by": f"{kind} F1",
        "labels": len(labels),
        "labels_not_in_train": len(labels) - len({row["label"] for row in rows["train"]}),
        "no_relation_excluded": negative is not None,
        "frequency": f"{found.rule}; of an example that of its rarer end",
        "fifths": [_told([rows["reported"][i] for i in part], found) for part in parts],
    }
    if settings.only_fifth or settings.input != "text":
        said["setting"] = f"fifth-{settings.only_fifth}" if settings.only_fifth else settings.input
    del said["frequencies"]  # a path, whose digest `frequency` has
    return Questions([subject], settings, said, _summary)


def _shown(rows: dict[str, Rows], part: str, settings: RelationClassificationSettings, found: Frequencies) -> Rows:
    """A part as the model reads it."""
    if not settings.only_fifth:
        return probe(rows[part], settings.input)
    everything = [row for own in rows.values() for row in own]
    return one_fifth(rows[part], found, fifths_of_entities(everything, found), settings.only_fifth)


def _score(negative: int | None) -> Callable[[Tensor, Tensor], dict[str, Any]]:
    def score(logits: Tensor, gold: Tensor) -> dict[str, Any]:
        said = logits.argmax(dim=1)
        return {
            "macro": macro(said, gold, negative),
            "micro": micro(said, gold, negative),
            "all": {"accuracy": accuracy(said, gold)},
        }

    return score


def _told(rows: Rows, found: Frequencies) -> dict[str, int]:
    """What the protocol says of a fifth."""
    counts = [found.of_example(row) for row in rows]
    return {"examples": len(rows), "from": min(counts, default=0), "to": max(counts, default=0)}


def _summary(found: dict[str, Learned]) -> dict[str, Any]:
    """The metrics of all, with those of the fifths under `fifths`."""
    metrics = sole(found)
    return {
        **{name: value for name, value in metrics.items() if not name.startswith("fifth_")},
        "fifths": {name[-1]: value for name, value in metrics.items() if name.startswith("fifth_")},
    }
