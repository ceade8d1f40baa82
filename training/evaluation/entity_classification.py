"""The categories of held-out entities: what JAKET's knowledge module is trained to tell (its first task).

An entity's class is the most frequent one of its categories (training/data/categories.py); which labelled entities are
held out depends on their ids alone. All of them are nodes of the graph, and have their descriptions; their categories
are seen by nothing that is asked. N entities, C classes.
"""

import dataclasses
from typing import Annotated, Any, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Int64
from pydantic import Field
from torch import Tensor

from schemas.dataset import Dataset
from schemas.errors import DataError
from training.config import Positive
from training.data.categories import NONE, Categories, read_categories
from training.evaluation.settings import require_split, variant

TASK = "entity-classification"


@runtime_checkable
class Classifier(Protocol):
    """Anything that can tell categories: a trained JAKET or a plain rule."""

    def category_logits(self, entities: Int64[np.ndarray, " N"]) -> Float[Tensor, "N C"]:
        """Scores of every class for distinct entities."""
        ...


@dataclasses.dataclass(frozen=True)
class EntityClassificationSettings:
    """What `--set` can change; a run is asked as it was trained."""

    least_members: Positive = 10
    """Entities of a category that is asked for."""
    held_out: Annotated[float, Field(gt=0, le=0.4)] = 0.1
    """Share of the labelled entities that are valid; as many are test."""


@dataclasses.dataclass(frozen=True)
class ClassQuestions:
    """The held-out entities of a split."""

    entities: Int64[np.ndarray, " N"]
    labels: Int64[np.ndarray, " N"]
    degrees: Int64[np.ndarray, " N"]
    """Train triples of each."""
    categories: Categories
    protocol: dict[str, Any]


def prepare(dataset: Dataset, split: str, settings: EntityClassificationSettings) -> ClassQuestions:
    """The entities of a split; DataError where it has none."""
    require_split(TASK, split, learns=True)
    categories = read_categories(dataset, settings.least_members, settings.held_out)
    own = categories.of(split)
    entities = np.flatnonzero(own != NONE)
    if not len(entities):
        raise DataError(
            f"{dataset.folder} has no entity in split {split} of a category with {settings.least_members} members or "
            "more. Set least_members lower, or take a dataset whose entities have categories (import --types)."
        )
    rows = dataset.read("entities", columns=["in_degree", "out_degree"])
    degrees = rows["in_degree"].to_numpy() + rows["out_degree"].to_numpy()
    protocol = {
        "split": split,
        "entities": len(entities),
        "classes": len(categories.names),
        "labelled": int((categories.labels != NONE).sum()),
        "label": "of several categories the one that most entities have",
        **dataclasses.asdict(settings),
        "variant": variant(settings, "least_members", "held_out"),
    }
    return ClassQuestions(entities, own[entities], degrees[entities], categories, protocol)


def entity_classification(system: Classifier, questions: ClassQuestions) -> dict[str, Any]:
    """{"all", "few_triples" (fewer than 5): entities, accuracy, macro_accuracy (mean over the classes that are asked
    for), hits@3}; "classes": accuracy by name."""
    logits = system.category_logits(questions.entities).float().cpu()
    gold = torch.from_numpy(questions.labels)
    if logits.shape[1] != len(questions.categories.names):
        raise DataError(
            f"The run tells {logits.shape[1]} classes, {len(questions.categories.names)} are asked for: it was trained "
            "with another jaket.least_members, or on another dataset."
        )
    metrics: dict[str, Any] = {"all": _metrics(logits, gold)}
    few = torch.from_numpy(questions.degrees < 5)
    metrics["few_triples"] = _metrics(logits[few], gold[few])
    right, names = logits.argmax(dim=1) == gold, questions.categories.names
    metrics["classes"] = {
        names[label]: {"entities": int(own.sum()), "accuracy": float(right[own].float().mean())}
        for label in gold.unique().tolist()
        if (own := gold == label).any()
    }
    return metrics


def _metrics(logits: Float[Tensor, "N C"], gold: Int64[Tensor, " N"]) -> dict[str, Any]:
    if not len(gold):
        return {"entities": 0}
    right = (logits.argmax(dim=1) == gold).double()
    classes, place = gold.unique(return_inverse=True)
    each = torch.zeros(len(classes), dtype=torch.float64).index_add(0, place, right) / place.bincount()
    best = logits.topk(min(3, logits.shape[1]), dim=1).indices
    return {
        "entities": len(gold),
        "accuracy": float(right.mean()),
        "macro_accuracy": float(each.mean()),
        "hits@3": float((best == gold[:, None]).any(dim=1).double().mean()),
    }


class Majority:
    """By the number of train entities of each class."""

    def __init__(self, questions: ClassQuestions) -> None:
        train = questions.categories.of("train")
        counts = np.bincount(train[train != NONE], minlength=len(questions.categories.names))
        self._scores = torch.from_numpy(counts.astype(np.float32))

    def category_logits(self, entities: Int64[np.ndarray, " N"]) -> Float[Tensor, "N C"]:
        """The same for all."""
        return self._scores.expand(len(entities), -1)
