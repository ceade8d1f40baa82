"""Few-shot relation extraction on FewRel 1.0 and 2.0: N-way K-shot accuracy over episodes of relations that were never
learned from, by prototypical networks or PAIR; beside it the nearest means of the encoder as it is.

The parts share no relation. S seeds, E episodes, T queries of an episode, D hidden, M entities.
"""

import dataclasses
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow.compute as pc
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from schemas.dataset import Dataset
from schemas.errors import DataError, UsageError, nearest
from schemas.hashing import hash_string, hash_strings, random_u64
from training.data.episodes import pool_of
from training.data.setting import SPLITS
from training.evaluation.finetuned import READS, Rows, open_reader
from training.evaluation.settings import require_split, variant
from training.few_shot import FewShotSettings, Parts, Relations, evaluation_episodes, learn, nearest_means
from training.finetune import after, device_of, outputs
from training.labelled_encoder import LabelledEncoder, Start
from training.metrics import progress

TASK = "few-shot"
ROLES = ("head", "tail")
HELD_OUT = 0.2
"""Share of the relations of train on which the step is chosen where those of valid can't be taken."""
OTHERWISE = ("queries", "train_ways", "form", "distance", "divide", "entities", "episodes", "seed")
"""Choices beside _setting's by which results are kept apart: how they were learned is not among them."""
CERTAIN = 1.96
"""Standard errors on each side of a 95 % interval."""


@dataclasses.dataclass(frozen=True)
class FewShotQuestions:
    """Rows of `examples` by part (train, select, reported): the same for every system."""

    parts: dict[str, Rows]
    settings: FewShotSettings
    protocol: dict[str, Any]


class Majority:
    """The rule that always gives the most frequent answer; without `na_rate` that is chance."""


def prepare(dataset: Dataset, split: str, settings: FewShotSettings) -> FewShotQuestions:
    """The relations of each part.

    Raises UsageError for an unknown split or group, DataError where a part has fewer relations than an episode needs.
    """
    require_split(TASK, split, learns=True)
    table = dataset.read("examples")
    rows = table.filter(pc.equal(table["task"], TASK)).to_pylist()
    if not rows:
        raise DataError(
            f"{dataset.folder} has no example of {TASK}. Give with --data the dataset that wikiloom import fewrel made."
        )
    by_split = _divided(dataset, rows, settings) if settings.divide else _by_file(dataset, rows, split, settings)
    by_split = {name: part if name == split else _without(part, by_split[split]) for name, part in by_split.items()}
    parts, where = _chosen_on(by_split, split, settings)
    parts["train"] = _without(parts["train"], parts["select"])
    small = {name: _leave_out_small(part, settings) for name, part in parts.items()}
    for name, part in parts.items():
        _require_relations(dataset, name, part, settings)
    return FewShotQuestions(parts, settings, _protocol(split, parts, where, settings, small))


def ask(system: Start | Majority, questions: FewShotQuestions) -> dict[str, Any]:
    """Accuracy with a 95 % interval over episodes: `all`, and with `na_rate` `known` and `none` apart; `frozen` is that
    of the encoder as it is. Means over the seeds with standard deviations (`_sd`); `seeds` has each seed's own."""
    settings = questions.settings
    if isinstance(system, Majority):
        known, none = settings.ways * settings.queries, settings.na_rate * settings.queries
        return {"all": {"accuracy": max(settings.queries, none) / (known + none)}}
    reader, table = open_reader(system, list(questions.parts.values()), ROLES, settings)
    if settings.method == "pair":
        reader = dataclasses.replace(reader, max_length=reader.max_length // 2)
    parts = {
        name: Relations(pool_of(rows), [reader.read(row) for row in rows]) for name, rows in questions.parts.items()
    }
    together = Parts(**parts, reader=reader, rows=table)
    with progress(settings.seeds * settings.steps, 0, settings.batch_size, what=TASK, unit="episodes") as report:
        seeds = [
            learn(system, together, settings, settings.seed + number, after(number * settings.steps, report))
            for number in range(settings.seeds)
        ]
    answers = evaluation_episodes("reported", together.reported, settings).answers
    found = _accuracies(np.stack([seed.pop("right") for seed in seeds]), answers, settings.ways)
    inputs = dict(sorted(reader.counts.items()))
    frozen = _frozen(system, questions, settings)
    return {
        **found,
        "frozen": _accuracies(frozen[None], answers, settings.ways)["all"],
        "inputs": inputs,
        "seeds": seeds,
    }


def _accuracies(right: Bool[np.ndarray, "S E T"], answers: Int64[np.ndarray, "E T"], ways: int) -> dict[str, Any]:
    """Of all queries, and of those with and without an answer where there are both."""
    kinds = {"all": np.ones(answers.shape[1], dtype=bool)}
    if (answers[0] == ways).any():
        kinds |= {"known": answers[0] < ways, "none": answers[0] == ways}
    found = {}
    for name, queries in kinds.items():
        episodes = right[:, :, queries].mean(axis=2)
        found[name] = {"accuracy": float(episodes.mean()), "interval": interval(episodes.mean(axis=0))}
        if len(right) > 1:
            found[name]["accuracy_sd"] = float(episodes.mean(axis=1).std(ddof=1))
    return found


def interval(episodes: Float[np.ndarray, " E"]) -> float:
    """Half the 95 % interval of the mean accuracy of episodes, by the normal distribution; 0 for a single one."""
    return float(CERTAIN * episodes.std(ddof=1) / math.sqrt(len(episodes))) if len(episodes) > 1 else 0.0


class _Mean(LabelledEncoder):
    """The mean of all states, which is what sentence encoders are trained for."""

    def forward(self, batch: Any) -> Float[Tensor, "B D"]:
        real = batch.real.unsqueeze(-1)
        return (self.states(batch) * real).sum(dim=1) / real.sum(dim=1)


def _frozen(start: Start, questions: FewShotQuestions, settings: FewShotSettings) -> Bool[np.ndarray, "E T"]:
    """The nearest means of the encoder as it is, without markers, which it never saw."""
    rows = questions.parts["reported"]
    reader, table = open_reader(start, [rows], (), settings)
    relations = Relations(pool_of(rows), [reader.read(row) for row in rows])
    model = _Mean(start, 0, table).to(device_of(settings))
    episodes = evaluation_episodes("reported", relations, settings)
    vectors = outputs(model, relations.inputs, start.special.pad)
    return nearest_means(vectors, episodes, "euclidean") == episodes.answers


def _groups(rows: Rows) -> list[str]:
    return sorted({row["group"] for row in rows}, key=str.encode)


def _group(dataset: Dataset, rows: Rows, wanted: str, usual: Sequence[str]) -> Rows:
    """The rows of one file: the wanted one, one of the usual ones, or the only one."""
    groups = _groups(rows)
    if wanted and wanted not in groups:
        raise UsageError(
            f"{dataset.folder} has no group {wanted!r}, only {', '.join(groups)}.{nearest(wanted, groups)}"
        )
    chosen = wanted or next((name for name in usual if name in groups), groups[0] if len(groups) == 1 else "")
    if rows and not chosen:
        raise UsageError(f"{dataset.folder} has several groups ({', '.join(groups)}). Choose one by --set group=NAME.")
    return [row for row in rows if row["group"] == chosen]


def _by_file(dataset: Dataset, rows: Rows, split: str, settings: FewShotSettings) -> dict[str, Rows]:
    """The files' own splits; of several files of a split the one that is asked for, of valid its domain's."""
    own = {name: [row for row in rows if row["split"] == name] for name in SPLITS}
    held = ", ".join(f"{name} {len(part)}" for name, part in own.items())
    for name in ("train", split):
        if not own[name]:
            raise DataError(
                f"{dataset.folder} has no example of {TASK} in split {name} ({held}). Report a --split that it has, or "
                "divide the relations of one file: --set divide=8,4,4."
            )
    own[split] = _group(dataset, own[split], settings.group, ("val", "test"))
    if split == "test":
        # val_pubmed is to test_pubmed what val is to test.
        domain = own["test"][0]["group"].replace("test", "val", 1)
        own["valid"] = [row for row in own["valid"] if row["group"] == domain]
    return own


def _divided(dataset: Dataset, rows: Rows, settings: FewShotSettings) -> dict[str, Rows]:
    """One file's relations in three parts, by a hash of (seed, relation)."""
    try:
        sizes = [int(size) for size in settings.divide.split(",")]
    except ValueError:
        sizes = []
    rows = _group(dataset, rows, settings.group, ())
    names = sorted({row["label"] for row in rows}, key=hash_string)
    if len(sizes) != len(SPLITS) or min(sizes) < 0 or sum(sizes) > len(names):
        raise UsageError(
            f"--set divide={settings.divide}: expected how many relations are train, valid and test, such as 8,4,4; "
            f"there are {len(names)}."
        )
    order = np.argsort(random_u64(settings.seed, "few-shot/divide", hash_strings(names)), kind="stable")
    ends = np.cumsum([0, *sizes])
    found = {}
    for name, begin, end in zip(SPLITS, ends[:-1], ends[1:], strict=True):
        chosen = {names[place] for place in order[begin:end]}
        found[name] = [row for row in rows if row["label"] in chosen]
    return found


def _without(rows: Rows, others: Rows) -> Rows:
    """The rows whose relation none of the others has."""
    relations = {row["label"] for row in others}
    return [row for row in rows if row["label"] not in relations]


def _chosen_on(by_split: Mapping[str, Rows], split: str, settings: FewShotSettings) -> tuple[dict[str, Rows], str]:
    """(train, select, reported; where the step is chosen)."""
    train, select = by_split["train"], by_split["valid"]
    if split != "valid" and select:
        return {"train": train, "select": select, "reported": by_split[split]}, "the relations of valid"
    names = sorted({row["label"] for row in train}, key=hash_string)
    count = max(settings.ways + (settings.na_rate > 0), round(HELD_OUT * len(names)))
    order = np.argsort(random_u64(settings.seed, "few-shot/select", hash_strings(names)), kind="stable")
    held = {names[place] for place in order[:count]}
    parts = {
        "train": [row for row in train if row["label"] not in held],
        "select": [row for row in train if row["label"] in held],
        "reported": by_split[split],
    }
    return parts, f"{count} relations of train, held out by hash"


def _leave_out_small(rows: Rows, settings: FewShotSettings) -> int:
    """Take the relations out that have too few examples for an episode; returns how many."""
    least = settings.shots + settings.queries
    counts = Counter(row["label"] for row in rows)
    rows[:] = [row for row in rows if counts[row["label"]] >= least]
    return sum(count < least for count in counts.values())


def _require_relations(dataset: Dataset, name: str, rows: Rows, settings: FewShotSettings) -> None:
    ways = (settings.train_ways if name == "train" else 0) or settings.ways
    found, needed = len({row["label"] for row in rows}), ways + (settings.na_rate > 0)
    if found < needed:
        what = {"train": "learn from", "select": "choose the step on", "reported": "report"}[name]
        raise DataError(
            f"{dataset.folder} has {found} relations to {what}, an episode needs {needed}. "
            "Set fewer ways, or divide the relations otherwise."
        )


def _setting(settings: FewShotSettings) -> str:
    """What results are kept apart by: each has a file of its own."""
    none = f"na-{settings.na_rate}" if settings.na_rate else ""
    group = settings.group.replace("/", "-")  # a dataset may have any name for it, and a file is named by it
    parts = (settings.method, f"{settings.ways}-way", f"{settings.shots}-shot", none, group)
    return "-".join(part for part in parts if part)


def _protocol(
    split: str,
    parts: Mapping[str, Rows],
    where: str,
    settings: FewShotSettings,
    small: Mapping[str, int],
) -> dict[str, Any]:
    told = {
        "split": split,
        "setting": _setting(settings),
        "fine_tuned": True,
        "relations": {name: sorted({row["label"] for row in rows}, key=str.encode) for name, rows in parts.items()},
        "groups": {name: _groups(rows) for name, rows in parts.items()},
        "examples": {name: len(rows) for name, rows in parts.items()},
        "relations_with_too_few_examples": dict(small),
        "step_chosen_on": where,
        "reads": READS,
        "spread": "mean and sample standard deviation over seeds; interval: half of the 95 % one over episodes",
        **dataclasses.asdict(settings),
    }
    if other := variant(settings, *OTHERWISE):
        told["variant"] = other
    return told | ({"form": "start"} if settings.method == "pair" else {})
