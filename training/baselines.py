"""Baselines: embeddings, DKRL, a frozen encoder and plain rules, ranked by the same code as our own models."""

import dataclasses
import json
import os
import re
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from pydantic import TypeAdapter
from torch import nn

from schemas.dataset import Dataset
from schemas.errors import DataError, UsageError, first_line, nearest
from training.checkpoint import refuse_pickles
from training.data.batch import ragged
from training.data.setting import Setting
from training.data.special import load_tokenizer, special_tokens
from training.data.triples import Descriptions, descriptions
from training.embeddings import EMBEDDINGS, EmbeddingSettings, new_embedding, train_embedding
from training.evaluation.facts import Facts, read_facts
from training.evaluation.link_prediction import TRAINED_ON
from training.evaluation.tasks import TASKS, find_task, open_examination
from training.graphvite import with_preset
from training.models.cosine import Cosine, CosineScorer, encoded
from training.models.dkrl import Dkrl, DkrlScorer, DkrlSettings, train_dkrl
from training.models.frozen_encoder import (
    FrozenEncoder,
    FrozenEncoderScorer,
    FrozenEncoderSettings,
    TextVectorSettings,
    train_frozen_encoder,
)
from training.pykeen_scorer import PykeenScorer

WEIGHTS = "model.safetensors"
LEARNED_TASKS = ("link-prediction", "relation-prediction", "triple-classification", "graph-completion")
"""What is answered by scores of entities, relations and triples."""
TEXTS_AT_ONCE = 8_192
"""Padded tokens of descriptions that are encoded together."""


@dataclasses.dataclass(frozen=True)
class Learned:
    """A baseline with weights."""

    settings: type
    resolve: Callable[[Any, Facts], Any]
    """The settings, with what is left to the data filled in."""
    train: Callable[[Any, Dataset, Facts], nn.Module]
    new: Callable[[Any, Dataset, Facts], nn.Module]
    """The same model untrained."""
    scorer: Callable[[Any, Any, Dataset, Facts], Any]
    """(model, settings, dataset, facts) -> training.scoring's Scorer and RelationScorer."""
    inductive: bool = True
    """Whether it has an answer among entities that train lacks."""
    tasks: tuple[str, ...] = LEARNED_TASKS
    """What it has an answer for."""


def _embedding(name: str) -> Learned:
    return Learned(
        EmbeddingSettings,
        resolve=lambda settings, facts: settings.resolved(name, len(facts.splits["train"])),
        train=lambda settings, dataset, facts: train_embedding(name, settings, facts),
        new=lambda settings, dataset, facts: new_embedding(name, settings, facts),
        scorer=lambda model, settings, dataset, facts: PykeenScorer(model, facts),
        inductive=False,
    )


def _described(dataset: Dataset, settings: DkrlSettings | TextVectorSettings) -> tuple[Descriptions, int]:
    """(the entities' texts, words of the vocabulary) of the dataset's tokens."""
    tokens = dataset.tokens(settings.tokens)
    tokenizer, table = load_tokenizer(tokens), tokens.read("entities", None, ["ids", "name_ids"])
    texts = descriptions(
        ragged(table["ids"]),
        ragged(table["name_ids"]),
        special_tokens(tokenizer),
        max_length=settings.max_length,
        encode_tokens=TEXTS_AT_ONCE,
    )
    return texts, max(tokenizer.get_vocab().values()) + 1


LEARNED = {
    **{name: _embedding(name) for name in EMBEDDINGS},
    "frozen-encoder": Learned(
        FrozenEncoderSettings,
        resolve=lambda settings, facts: settings.resolved(),
        train=lambda settings, dataset, facts: train_frozen_encoder(settings, facts, *_described(dataset, settings)),
        new=lambda settings, dataset, facts: FrozenEncoder(
            settings, torch.empty(facts.entities, settings.dim), facts.relations
        ),
        scorer=lambda model, settings, dataset, facts: FrozenEncoderScorer(model),
    ),
    "cosine": Learned(
        TextVectorSettings,
        resolve=lambda settings, facts: settings.resolved(),
        train=lambda settings, dataset, facts: encoded(settings, *_described(dataset, settings)),
        new=lambda settings, dataset, facts: Cosine(torch.empty(facts.entities, settings.dim)),
        scorer=lambda model, settings, dataset, facts: CosineScorer(model),
        tasks=("link-prediction", "triple-classification"),
    ),
    "dkrl": Learned(
        DkrlSettings,
        resolve=lambda settings, facts: settings,
        train=lambda settings, dataset, facts: train_dkrl(settings, facts, *_described(dataset, settings)),
        new=lambda settings, dataset, facts: Dkrl(
            settings, _described(dataset, settings)[1], facts.entities, facts.relations
        ),
        scorer=lambda model, settings, dataset, facts: DkrlScorer(model, _described(dataset, settings)[0], facts),
    ),
}
RULES = {rule: [task for task in TASKS if rule in TASKS[task].rules] for name in TASKS for rule in TASKS[name].rules}
"""Plain rules, and the tasks that each has an answer for."""

NAMES = (*LEARNED, *RULES)


@dataclasses.dataclass(frozen=True)
class NoSettings:
    """A plain rule has nothing to set."""


@dataclasses.dataclass(frozen=True)
class BaselineRun:
    """A baseline's run folder: RUN/config.toml, and the weights where it was trained."""

    folder: Path
    name: str
    dataset: Dataset
    split: Setting
    """Which triples were train to it."""
    settings: dict[str, Any]

    def tasks(self) -> list[str]:
        """The tasks that it has an answer for."""
        return tasks_of(self.name)

    def scorer(self) -> Any:
        """The trained baseline behind training.scoring's Scorer and RelationScorer."""
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        kind, facts = LEARNED[self.name], read_facts(self.dataset, self.split)
        settings = kind.settings(**self.settings)
        model = kind.new(settings, self.dataset, facts)
        try:
            model.load_state_dict(load_file(self.folder / WEIGHTS))
        except (SafetensorError, OSError, RuntimeError) as error:
            reason = first_line(error)
            raise DataError(
                f"{self.folder / WEIGHTS} does not hold this run's weights ({reason}). Run it again."
            ) from error
        return kind.scorer(model.eval(), settings, self.dataset, facts)


def run_baseline(name: str, data: Path, task: str | None, out: Path | None, settings: dict[str, str]) -> Path:
    """Train a baseline (or take a plain rule), evaluate it, and leave a run folder; returns the folder.

    `settings` are those of the baseline and of the task together, and `split` (test). Raises UsageError for an unknown
    name, task or setting, and for a task that the baseline has no answer for.
    """
    key = find_baseline(name)
    tasks = tasks_of(key)
    task = task or tasks[0]
    find_task(task)
    if task not in tasks:
        raise UsageError(f"Baseline {key} has no answer for {task}, only for {' and '.join(tasks)}.")
    own, others, split = _divide(key, task, settings)
    require_answer(key, others)
    dataset = Dataset(data)
    examination = open_examination(task, dataset, split, others)
    folder = out or _next_folder(key)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{folder} is not empty. Choose another --out.")
    if key in RULES:
        _write_config(folder, key, dataset, TRAINED_ON[others.get("setting", "transductive")], {})
        examination.examine(folder, key, examination.rule(key))
        return folder
    kind, facts = LEARNED[key], examination.questions.facts
    chosen = kind.resolve(own, facts)
    model = kind.train(chosen, dataset, facts)
    _write_config(folder, key, dataset, facts.setting, dataclasses.asdict(chosen))
    _save(model, folder / WEIGHTS)
    examination.examine(folder, key, kind.scorer(model, chosen, dataset, facts))
    return folder


def tasks_of(name: str) -> list[str]:
    """The tasks that a baseline has an answer for."""
    return list(LEARNED[name].tasks) if name in LEARNED else RULES[name]


def find_baseline(name: str) -> str:
    """The name as in NAMES, whatever its case; UsageError with the nearest one."""
    key = name.lower()
    if key not in NAMES:
        raise UsageError(f"There is no baseline {name!r}.{nearest(key, list(NAMES))} They are: {', '.join(NAMES)}.")
    return key


def require_answer(name: str, settings: dict[str, str]) -> None:
    """UsageError where a baseline can't answer in the setting of a task's settings, or as they say."""
    if settings.get("shortlist", "0") != "0" or settings.get("shortlist_by"):
        raise UsageError(
            f"Baseline {name} ranks all entities itself: shortlist is for a run of wikiloom train that reads facts one "
            "by one. Ask that run, with shortlist_by= this one's folder."
        )
    if settings.get("setting") == "inductive" and name in LEARNED and not LEARNED[name].inductive:
        able = ", ".join(key for key in LEARNED if LEARNED[key].inductive)
        raise UsageError(
            f"Baseline {name} has vectors of train's entities alone, so no answer in setting=inductive. "
            f"Take one that reads texts ({able}), or a plain rule."
        )


def is_baseline(folder: Path) -> bool:
    """Whether a run folder is a baseline's."""
    try:
        return "baseline" in tomllib.loads((folder / "config.toml").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False


def load_baseline(folder: Path, data: Path | None = None) -> BaselineRun:
    """Open a baseline's run folder on its dataset (`data`, where it has moved since).

    Raises DataError where the folder holds a pickle, its config is damaged, or the dataset is another.
    """
    refuse_pickles(folder)
    document = tomllib.loads((folder / "config.toml").read_text(encoding="utf-8"))
    try:
        name, digest = find_baseline(document["baseline"]), str(document["data"]["digest"])
        folder_of_data = Path(data or document["data"]["folder"])
        split = TypeAdapter(Setting).validate_python(document["data"].get("split", "transductive"))
        told = TypeAdapter(_settings_of(name)).validate_python(document.get("settings", {}))
    except (KeyError, TypeError, AttributeError, ValueError, UsageError) as error:
        raise DataError(
            f"{folder}/config.toml is not a baseline's ({first_line(error)}). Run the baseline again."
        ) from error
    dataset = Dataset(folder_of_data)
    if dataset.digest != digest:
        raise DataError(
            f"{folder} was made on dataset {digest[:8]}, but {dataset.folder} is {dataset.digest[:8]}. "
            "Give the dataset it was made on with --data, or run the baseline again."
        )
    return BaselineRun(folder, name, dataset, split, dataclasses.asdict(told))


def _divide(name: str, task: str, settings: dict[str, str]) -> tuple[Any, dict[str, str], str]:
    """(the baseline's own settings, the task's, the split)."""
    from training.evaluation.settings import read_settings

    kind = _settings_of(name)
    mine = {field.name for field in dataclasses.fields(kind)}
    others = {field.name for field in dataclasses.fields(TASKS[task].settings)}
    for key in settings:
        if key not in {"split"} | mine | others:
            known = sorted({"split"} | mine | others)
            raise UsageError(f"Baseline {name} has no setting {key!r}, only {', '.join(known)}.{nearest(key, known)}")
    told = with_preset(name, {key: value for key, value in settings.items() if key in mine})
    own = read_settings(kind, told, f"baseline {name}")
    rest = {key: value for key, value in settings.items() if key in others - mine}
    return own, rest, settings.get("split", "test")


def _settings_of(name: str) -> type:
    return LEARNED[name].settings if name in LEARNED else NoSettings


def _next_folder(name: str) -> Path:
    found = [re.fullmatch(rf"{name}-(\d+)", path.name) for path in Path("runs").glob(f"{name}-*")]
    return Path("runs") / f"{name}-{max((int(match[1]) for match in found if match), default=0) + 1}"


def _write_config(folder: Path, name: str, dataset: Dataset, split: Setting, settings: dict[str, Any]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    data = {"folder": str(dataset.folder.resolve()), "digest": dataset.digest, "split": split}
    sections = {"data": data, "settings": settings}
    # JSON's strings and numbers are TOML's as well, but for the DEL character.
    lines = [f'baseline = "{name}"']
    for section, values in sections.items():
        pairs = (f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in values.items())
        lines += ["", f"[{section}]", *(pair.replace("\x7f", "\\u007f") for pair in pairs)]
    (folder / "config.toml").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _save(model: nn.Module, path: Path) -> None:
    from safetensors.torch import save_file

    temporary = path.with_name(f".{path.name}.tmp")
    save_file({name: value.contiguous() for name, value in model.state_dict().items()}, temporary)
    os.replace(temporary, path)
