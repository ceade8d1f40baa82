"""`wikiloom evaluate`: open a run, ask it one task, write the result beside it."""

from pathlib import Path
from typing import Any

from schemas.dataset import Dataset
from schemas.errors import DataError, UsageError
from training.baselines import LEARNED, LEARNED_TASKS, BaselineRun, is_baseline, load_baseline, require_answer
from training.config_file import read_config
from training.data.setting import Setting
from training.evaluation.kgqa import side_of
from training.evaluation.link_prediction import TRAINED_ON, LinkPredictionSettings
from training.evaluation.masked_words import WordPredictor, Words
from training.evaluation.shortlist import Shortlist
from training.evaluation.starts import open_start
from training.evaluation.tasks import TASKS, Examination, Task, find_task, open_examination
from training.kgqa import KgqaSettings
from training.labelled_encoder import Start
from training.linking.disambiguation import GraphContext
from training.models.jaket_predictor import JaketPredictor
from training.runs import Run, load_run
from training.scoring import Scorer

TASKS_OF = {
    "kepler": ["link-prediction", "relation-prediction", "triple-classification", "masked-words"],
    "colake": ["masked", "linking", "graph-completion", "masked-words"],
    "mlm-only": ["masked-words"],
    "jaket": ["masked", "masked-words", "entity-classification"],
    "lmke": ["triple-classification"],
    "c-lmke": ["link-prediction", "relation-prediction", "triple-classification"],
    "lass": ["link-prediction", "relation-prediction", "triple-classification"],
}
"""What each system can be asked as it is."""
SCORED = ("link-prediction", "relation-prediction", "triple-classification")
"""What is answered by scores of triples."""
OF_ENCODERS = [name for name, task in TASKS.items() if task.of_encoders]
"""What any system with a text encoder can be asked, or learn."""


def evaluate(
    run: Path, task: str, data: Path | None = None, split: str = "test", settings: dict[str, str] | None = None
) -> dict[str, Any]:
    """Evaluate a run (trained by us, or a baseline's) and return what RUN/results/TASK-SPLIT-DIGEST8.json holds.

    `data` is the run's dataset, where it is no longer the one that its config.toml names; for linking, graph-completion
    and a task of text encoders, the dataset of its examples. For the latter `run` may be a plain encoder's
    folder. Raises UsageError for an unknown task, split or setting, DataError for a run or a dataset that can't be
    read, and for a task that the run's system has no answer for.
    """
    settings, kind = dict(settings or {}), find_task(task)
    if kind.on_examples and data is not None:
        settings, data = {"examples": str(data), **settings}, None
    if is_baseline(run):
        return _evaluate_baseline(run, task, data, split, settings)
    if kind.of_encoders:
        if data is None:
            raise UsageError(f"{task} needs --data DIR, the dataset of its examples (wikiloom import makes it).")
        start = open_start(run)
        examination = open_examination(task, Dataset(data), split, _in_form(start, kind, settings))
        return examination.examine(run, start.name, start)
    config = read_config(run)
    system = config.system
    _require_task(run, system, [*TASKS_OF[system], *OF_ENCODERS], task)
    settings = _in_setting(run, config.data.split, task, settings)
    if task == "entity-classification":
        own = {"least_members": str(config.jaket.least_members), "held_out": str(config.jaket.held_out)}
        settings = {**settings, **own}
    opened = load_run(run, data)
    examination = open_examination(task, opened.dataset, split, settings, opened.tokens)
    return examination.examine(run, opened.config.recipe, _asked(opened, examination))


def _in_form(start: Start, kind: Task, settings: dict[str, str]) -> dict[str, str]:
    """The settings with what auto stands for, so that the protocol tells systems in different forms apart."""
    own = {"form": start.form, "answers": side_of(start, KgqaSettings())}
    usual = {name: value for name, value in own.items() if getattr(kind.settings, name, None) == "auto"}
    return {**settings, **{name: value for name, value in usual.items() if settings.get(name, "auto") == "auto"}}


def _asked(run: Run, examination: Examination) -> Any:
    """What of a run answers a task."""
    if examination.name == "linking":
        return examination.questions.linker(GraphContext(run))
    if run.config.system == "jaket" and examination.name != "masked-words":
        surface = examination.questions.protocol.get("surface", "shown")
        return JaketPredictor(run.model, run.config, run.source, surface)
    if examination.name == "masked-words":
        return _words(run, max(piece.ids.shape[1] for piece in examination.questions.pieces))
    if examination.name == "link-prediction" and examination.questions.settings.shortlist:
        return _shortlisted(run, examination.questions.settings)
    return run.scorer() if examination.name in SCORED else run.model


def _shortlisted(run: Run, settings: LinkPredictionSettings) -> Shortlist:
    """The run, asked about the best answers of another one on the same dataset."""
    return Shortlist(_first_scorer(settings, run.dataset.folder), run.scorer(), settings.shortlist)


def _first_scorer(settings: LinkPredictionSettings, data: Path) -> Scorer:
    """Of the run that names the shortlist; DataError where it can't, or has learned from what is asked."""
    folder = Path(settings.shortlist_by)
    first: Any = load_baseline(folder, data) if is_baseline(folder) else load_run(folder, data)
    if isinstance(first, BaselineRun) and first.name not in LEARNED:
        raise DataError(f"shortlist_by={folder} is the plain rule {first.name}. Take a run that was trained.")
    split = first.split if isinstance(first, BaselineRun) else first.config.data.split
    _in_setting(folder, split, "link-prediction", {"setting": settings.setting})
    scorer = first.scorer()
    if not isinstance(scorer, Scorer):
        raise DataError(f"shortlist_by={folder} scores triples one by one itself. Take a run that ranks all entities.")
    return scorer


def _words(run: Run, longest: int) -> WordPredictor:
    reads = run.config.encoder.max_positions
    if longest > reads:
        raise UsageError(f"block_length={longest}: {run.folder} reads {reads} tokens. Set it to {reads} or less.")
    if run.config.system == "jaket":
        return JaketPredictor(run.model, run.config, run.source)
    return Words(run.network.encoder, run.network.word_head)


def _evaluate_baseline(run: Path, task: str, data: Path | None, split: str, settings: dict[str, str]) -> dict[str, Any]:
    baseline = load_baseline(run, data)
    _require_task(run, baseline.name, baseline.tasks(), task)
    if baseline.name in LEARNED:
        settings = _in_setting(run, baseline.split, task, settings)
    require_answer(baseline.name, settings)
    examination = open_examination(task, baseline.dataset, split, settings)
    system = baseline.scorer() if baseline.name in LEARNED else examination.rule(baseline.name)
    return examination.examine(run, baseline.name, system)


def _in_setting(run: Path, split: Setting, task: str, settings: dict[str, str]) -> dict[str, str]:
    """The settings with the run's own setting, where a task has one and none is told.

    DataError where the run was trained on triples that the task asks about.
    """
    if task == "link-prediction":
        settings = {"setting": split, **settings}
    asked = TRAINED_ON.get(settings.get("setting", "transductive"), split)
    if task in LEARNED_TASKS and asked != split:
        raise DataError(
            f"{run} was trained on the {split} train triples, among which are answers of the {asked} setting. "
            f"Train one for it: wikiloom train with --set data.split={asked}, or wikiloom baseline with "
            f"--set setting={asked}."
        )
    return settings


def _require_task(run: Path, system: str, tasks: list[str], task: str) -> None:
    if task not in tasks:
        raise DataError(f"{run} is a {system} run, which has no answer for {task}. It takes {' or '.join(tasks)}.")
