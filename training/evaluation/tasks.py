"""The evaluation tasks: each prepares its questions once, asks a system and the plain rules, and writes one result."""

import dataclasses
import json
import os
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from schemas.dataset import Dataset
from schemas.errors import UsageError, nearest
from training.evaluation import (
    classification,
    entity_classification,
    entity_typing,
    few_shot,
    finetuned,
    glue,
    graph_completion,
    kgqa,
    link_prediction,
    linking,
    masked,
    masked_rules,
    masked_words,
    probing,
    relation_prediction,
    rules,
    semi_inductive,
    triple_classification,
    unseen_entities,
)
from training.evaluation.completion_rules import PairRule
from training.evaluation.settings import read_settings
from training.evaluation.state_file import weights_digest
from training.few_shot import FewShotSettings
from training.kgqa import KgqaSettings


@runtime_checkable
class Resumable(Protocol):
    """Questions that may take long, and whose answering goes on where it was interrupted."""

    def kept_in(self, path: Path, by: str) -> "Resumable":
        """The same, with the beginning of the paths of what is found so far, by the weights of that digest."""
        ...

    def forget(self) -> None:
        """Remove what was found: there is a result."""
        ...


@runtime_checkable
class Leaves(Protocol):
    """Questions that leave a file beside the results."""

    def leave(self, folder: Path) -> None:
        """Write it."""
        ...


@dataclasses.dataclass(frozen=True)
class Task:
    """One kind of evaluation."""

    settings: type
    prepare: Callable[[Dataset, str, Any, Dataset | None], Any]
    """(dataset, split, settings, tokens) -> questions, which hold a `protocol`."""
    ask: Callable[[Any, Any], dict[str, Any]]
    """(system, questions) -> metrics."""
    rules: dict[str, Callable[[Any], Any]]
    """Plain rules by name: questions -> a system."""
    rows: dict[str, tuple[str, ...]]
    """What the table shows: (a part of the metrics, where it is there) -> its columns."""
    on_examples: bool = False
    """Whether it may be asked on another dataset: the questions' `examples`, the setting of that name."""
    of_encoders: bool = False
    """Whether any text encoder may be asked, of a run or a plain folder, about the examples of a dataset of their own:
    it is fine-tuned on those of train, or probed as it is."""


F1 = ("precision", "recall", "f1", "f1_sd")


def _learned(module: Any, settings: type, parts: tuple[str, ...], columns: tuple[str, ...]) -> Task:
    return Task(
        settings=settings,
        prepare=lambda dataset, split, chosen, tokens: module.prepare(dataset, split, chosen),
        ask=finetuned.ask,
        rules={"majority": lambda questions: finetuned.Majority()},
        rows=dict.fromkeys(parts, columns),
        of_encoders=True,
    )


def _prepare_links(
    dataset: Dataset, split: str, settings: link_prediction.LinkPredictionSettings, tokens: Dataset | None
) -> link_prediction.Questions | semi_inductive.FewShotQuestions:
    if settings.setting == "semi-inductive":
        return semi_inductive.prepare(dataset, split, settings)
    return link_prediction.prepare(dataset, split, settings)


def _ask_links(system: Any, questions: link_prediction.Questions | semi_inductive.FewShotQuestions) -> dict[str, Any]:
    if isinstance(questions, semi_inductive.FewShotQuestions):
        return semi_inductive.semi_inductive(system, questions)
    return link_prediction.link_prediction(system, questions)


TASKS = {
    "link-prediction": Task(
        settings=link_prediction.LinkPredictionSettings,
        prepare=_prepare_links,
        ask=_ask_links,
        rules={
            "frequency": lambda questions: rules.FrequencyRule(questions.facts),
            "seen-pattern": lambda questions: rules.SeenPatternRule(questions.facts),
        },
        rows=dict.fromkeys(
            ("both", "head", "tail", *semi_inductive.PARTS), ("mrr", "mr", "hits@1", "hits@3", "hits@10")
        ),
    ),
    "relation-prediction": Task(
        settings=relation_prediction.RelationPredictionSettings,
        prepare=lambda dataset, split, settings, tokens: relation_prediction.prepare(dataset, split, settings),
        ask=relation_prediction.relation_prediction,
        rules={
            "frequency": lambda questions: rules.RelationRule(questions.facts, pair=False),
            "cooccurrence": lambda questions: rules.RelationRule(questions.facts, pair=True),
        },
        rows=dict.fromkeys(("all", "no_shared_pair"), ("mrr", "mr", "hits@1", "hits@3", "hits@10")),
    ),
    "triple-classification": Task(
        settings=triple_classification.TripleClassificationSettings,
        prepare=lambda dataset, split, settings, tokens: triple_classification.prepare(dataset, split, settings),
        ask=triple_classification.triple_classification,
        rules={
            "majority": lambda questions: rules.SameForAll(),
            "frequency": lambda questions: rules.TripleFrequencyRule(questions.facts),
            "seen-pattern": lambda questions: rules.SeenPairsRule(
                questions.facts, questions.valid.triples, questions.valid.labels
            ),
        },
        rows={"all": ("triples", "accuracy", "auc", "precision", "recall", "f1")},
    ),
    "masked": Task(
        settings=masked.MaskedSettings,
        prepare=masked.prepare,
        ask=masked.masked,
        rules={
            "majority": lambda questions: masked_rules.Majority(questions.train),
            "frequency": lambda questions: masked_rules.Frequency(questions.train),
            "cooccurrence": lambda questions: masked_rules.Cooccurrence(questions.train),
        },
        rows=dict.fromkeys(masked.PARTS, ("queries", "accuracy", "mrr", "hits@10")),
    ),
    "masked-words": Task(
        settings=masked_words.MaskedWordsSettings,
        prepare=masked_words.prepare,
        ask=masked_words.masked_words,
        rules={"unigram": masked_words.Unigram},
        rows={"words": ("queries", "accuracy", "perplexity")},
    ),
    "linking": Task(
        settings=linking.LinkingSettings,
        prepare=lambda dataset, split, settings, tokens: linking.prepare(dataset, split, settings),
        ask=linking.linking,
        rules={"prior": lambda questions: questions.linker()},
        rows=dict.fromkeys(linking.PARTS, ("mentions", "accuracy", "precision", "recall", "f1")),
        on_examples=True,
    ),
    "graph-completion": Task(
        settings=graph_completion.GraphCompletionSettings,
        prepare=graph_completion.prepare,
        ask=graph_completion.graph_completion,
        rules={
            "majority": lambda questions: PairRule(masked_rules.Majority(questions.train)),
            "frequency": lambda questions: PairRule(masked_rules.Frequency(questions.train)),
            "cooccurrence": lambda questions: PairRule(masked_rules.Cooccurrence(questions.train)),
        },
        rows=dict.fromkeys(graph_completion.PARTS, ("samples", "macro_mrr", "mrr", "hits@10")),
        on_examples=True,
    ),
    "entity-classification": Task(
        settings=entity_classification.EntityClassificationSettings,
        prepare=lambda dataset, split, settings, tokens: entity_classification.prepare(dataset, split, settings),
        ask=entity_classification.entity_classification,
        rules={"majority": entity_classification.Majority},
        rows=dict.fromkeys(("all", "few_triples"), ("entities", "accuracy", "macro_accuracy", "hits@3")),
    ),
    "typing": _learned(entity_typing, entity_typing.TypingSettings, ("micro",), F1),
    "relation-classification": _learned(
        classification, classification.RelationClassificationSettings, ("macro", "micro"), F1
    ),
    "few-shot": Task(
        settings=FewShotSettings,
        prepare=lambda dataset, split, settings, tokens: few_shot.prepare(dataset, split, settings),
        ask=few_shot.ask,
        rules={"majority": lambda questions: few_shot.Majority()},
        rows=dict.fromkeys(("all", "known", "none", "frozen"), ("accuracy", "accuracy_sd", "interval")),
        of_encoders=True,
    ),
    "kgqa": Task(
        settings=KgqaSettings,
        prepare=lambda dataset, split, settings, tokens: kgqa.prepare(dataset, split, settings),
        ask=kgqa.ask,
        rules={"random": lambda questions: kgqa.RandomCandidate(), "template": kgqa.TemplateRule},
        rows=dict.fromkeys(kgqa.ROWS, ("questions", "hits@1", "hits@1_sd")),
        of_encoders=True,
    ),
    "probing": Task(
        settings=probing.ProbingSettings,
        prepare=lambda dataset, split, settings, tokens: probing.prepare(dataset, split, settings),
        ask=probing.ask,
        rules={"frequency": lambda questions: probing.Frequency()},
        rows=dict.fromkeys((*probing.SUBSETS, "all"), ("questions", "p@1", "macro_p@1", "p@10", "mrr")),
        of_encoders=True,
    ),
    "unseen-entities": Task(
        settings=unseen_entities.UnseenEntitiesSettings,
        prepare=lambda dataset, split, settings, tokens: unseen_entities.prepare(dataset, split, settings),
        ask=unseen_entities.ask,
        rules={"majority": lambda questions: finetuned.Majority()},
        rows={"all": ("accuracy", "accuracy_sd", "macro_f1", "macro_f1_sd")},
        of_encoders=True,
    ),
    "glue": _learned(
        glue, glue.GlueSettings, ("average", *glue.METRICS, glue.MISMATCHED), ("score", "score_sd", "accuracy")
    ),
}


def find_task(name: str) -> Task:
    """A task by name; UsageError with the nearest one."""
    if name not in TASKS:
        raise UsageError(f"There is no task {name!r}, only {', '.join(TASKS)}.{nearest(name, list(TASKS))}")
    return TASKS[name]


@dataclasses.dataclass(frozen=True)
class Examination:
    """A task on one split of a dataset: the questions, asked of any number of systems."""

    name: str
    dataset: Dataset
    split: str
    questions: Any

    @property
    def task(self) -> Task:
        """The task."""
        return TASKS[self.name]

    def rule(self, name: str) -> Any:
        """One of the task's plain rules."""
        return self.task.rules[name](self.questions)

    def examine(self, folder: Path, name: str, system: Any) -> dict[str, Any]:
        """Ask the system and the task's rules, write FOLDER/results/TASK-SPLIT-DIGEST8.json, print the table.

        TASK-SETTING-SPLIT-VARIANT-DIGEST8 where the setting is not the transductive one, and other choices are not the
        usual ones: no result takes another's place.
        """
        began, questions, path = time.perf_counter(), self.questions, self._path(folder)
        if isinstance(questions, Resumable):
            questions = questions.kept_in(path.with_name(f".{path.stem}"), weights_digest(folder))
        metrics = self.task.ask(system, questions)
        result = {
            "task": self.name,
            "system": name,
            "metrics": metrics,
            "protocol": self.questions.protocol,
            "digest": self.dataset.digest,
            "seconds": round(time.perf_counter() - began, 3),
            "baselines": {
                rule: self._short(self.task.ask(self.rule(rule), self.questions))
                for rule in self.task.rules
                if rule != name
            },
        }
        _write(path, result)
        if isinstance(questions, Resumable):
            questions.forget()
        if isinstance(self.questions, Leaves):
            self.questions.leave(path.parent)
        self._print({name: metrics, **result["baselines"]}, path)
        return result

    def _path(self, folder: Path) -> Path:
        setting = self.questions.protocol.get("setting", "transductive")
        asked = self.split if setting == "transductive" else f"{setting}-{self.split}"
        if told := self.questions.protocol.get("variant"):
            asked = f"{asked}-{re.sub('[^A-Za-z0-9=._,-]', '-', told)}"
        return folder / "results" / f"{self.name}-{asked}-{self.dataset.digest[:8]}.json"

    def _short(self, metrics: dict[str, Any]) -> dict[str, Any]:
        return {part: metrics[part] for part in self.task.rows if part in metrics}

    def _print(self, systems: dict[str, dict[str, Any]], path: Path) -> None:
        from rich.console import Console
        from rich.table import Table

        columns = next(iter(self.task.rows.values()))
        table = Table("system", "", *(_title(column) for column in columns), title=f"{self.name}, {self.split}")
        for column in table.columns[2:]:
            column.justify = "right"
        for system, metrics in systems.items():
            for index, part in enumerate(part for part in self.task.rows if part in metrics):
                table.add_row(system if not index else "", part, *(_cell(metrics[part].get(key)) for key in columns))
            table.add_section()
        Console().print(table)
        Console(soft_wrap=True).print(f"{path}", highlight=False, markup=False)


def open_examination(
    name: str, dataset: Dataset, split: str, settings: dict[str, str], tokens: Dataset | None = None
) -> Examination:
    """Prepare a task; UsageError for an unknown task, split or setting, DataError where there is nothing to ask."""
    task = find_task(name)
    chosen = read_settings(task.settings, settings, f"task {name}")
    questions = task.prepare(dataset, split, chosen, tokens)
    return Examination(name, questions.examples if task.on_examples else dataset, split, questions)


def _title(column: str) -> str:
    return column.upper() if column in ("mr", "mrr") else column


def _cell(value: float | int | None) -> str:
    if value is None:
        return "-"
    return str(value) if isinstance(value, int) else f"{value:.3f}" if value < 100 else f"{value:.0f}"


def _write(path: Path, result: dict[str, Any]) -> None:
    """At once: a reader sees the whole result or none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_text(json.dumps(result, indent=1, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")
    os.replace(temporary, path)
