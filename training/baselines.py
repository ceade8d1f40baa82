"""Baselines: knowledge-graph embeddings by PyKEEN, and plain rules, ranked by the same code as our own models.

PyKEEN is given our indices as they are, so no entity is dropped and no triple that its evaluator would leave out. The
weights are kept as safetensors. Trained with uniform corruption of heads and tails (sLCWA), InfoNCE, Adam and weight
decay: InfoNCE was the best or near the best for each of the four models on UMLS and Kinships, at equal steps.
"""

import contextlib
import dataclasses
import gc
import importlib
import json
import math
import os
import re
import tempfile
import tomllib
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

import torch
from jaxtyping import Float, Int64
from pydantic import Field, TypeAdapter
from torch import Tensor, nn

from schemas.dataset import Dataset
from schemas.errors import DataError, UsageError, nearest
from training.checkpoint import refuse_pickles
from training.evaluation.facts import Facts, read_facts
from training.evaluation.tasks import TASKS, find_task, open_examination
from training.metrics import progress

WEIGHTS = "model.safetensors"
SCORES_AT_ONCE = 2**24
"""Numbers that one call of a PyKEEN model may hold: it broadcasts queries x entities x dimensions."""


@dataclasses.dataclass(frozen=True)
class Embedding:
    """One of PyKEEN's models, and how we train it unless told otherwise."""

    model: str
    dim: int
    """Complex dimensions count once."""
    lr: float
    arguments: dict[str, Any]


XAVIER = {"entity_initializer": "xavier_uniform", "relation_initializer": "xavier_uniform"}
"""PyKEEN's own start for ComplEx, N(0, 1), is never forgotten by entities with few triples."""

EMBEDDINGS = {
    "transe": Embedding("TransE", 64, 0.005, {"scoring_fct_norm": 1}),
    "distmult": Embedding("DistMult", 64, 0.02, {"regularizer": None}),
    "complex": Embedding("ComplEx", 32, 0.02, {"regularizer": None, **XAVIER}),
    "rotate": Embedding("RotatE", 32, 0.02, {}),
}
RULES = {rule: [task for task in TASKS if rule in TASKS[task].rules] for name in TASKS for rule in TASKS[name].rules}
"""Plain rules, and the tasks that each has an answer for."""

NAMES = (*EMBEDDINGS, *RULES)


@dataclasses.dataclass(frozen=True)
class EmbeddingSettings:
    """What `--set` can change for the embeddings; 0 stands for a default that fits the model and the data."""

    dim: Annotated[int, Field(ge=0)] = 0
    epochs: Annotated[int, Field(ge=0)] = 0
    """By default 100, or as many as make 1,000 steps."""
    batch: Annotated[int, Field(ge=0)] = 0
    """By default 1/128 of the train triples, at least 128 and at most 4,096."""
    lr: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    decay: Annotated[float, Field(ge=0, lt=1)] = 0.03
    """Weight decay: the share of itself that a weight loses in an epoch."""
    negatives: Annotated[int, Field(ge=1)] = 16
    """Corrupted triples for each true one."""
    seed: int = 0

    def resolved(self, kind: Embedding, triples: int) -> "EmbeddingSettings":
        """The settings with every 0 replaced."""
        batch = self.batch or min(max(128, triples // 128), 4_096)
        steps = math.ceil(triples / batch)
        epochs = self.epochs or max(100, math.ceil(1_000 / steps))
        return dataclasses.replace(self, dim=self.dim or kind.dim, lr=self.lr or kind.lr, batch=batch, epochs=epochs)


@dataclasses.dataclass(frozen=True)
class NoSettings:
    """A plain rule has nothing to set."""


class PykeenScorer:
    """A PyKEEN model behind training.scoring.Scorer."""

    def __init__(self, model: nn.Module) -> None:
        self._model: Any = model.eval()
        size = sum(parameter.numel() for parameter in model.parameters())
        self._rows = max(1, SCORES_AT_ONCE // max(1, size))

    def tails(self, heads: Int64[Tensor, " B"], relations: Int64[Tensor, " B"]) -> Float[Tensor, "B E"]:
        """Scores of every entity as the tail of (head, relation)."""
        return self._scores(self._model.score_t, torch.stack([heads, relations], dim=1))

    def heads(self, relations: Int64[Tensor, " B"], tails: Int64[Tensor, " B"]) -> Float[Tensor, "B E"]:
        """Scores of every entity as the head of (relation, tail)."""
        return self._scores(self._model.score_h, torch.stack([relations, tails], dim=1))

    @torch.no_grad()
    def _scores(self, score: Any, pairs: Int64[Tensor, "B 2"]) -> Float[Tensor, "B E"]:
        return torch.cat([score(part.to(self._model.device)) for part in pairs.split(self._rows)])


@dataclasses.dataclass(frozen=True)
class BaselineRun:
    """A baseline's run folder: RUN/config.toml, and the weights where it was trained."""

    folder: Path
    name: str
    dataset: Dataset
    settings: dict[str, Any]

    def tasks(self) -> list[str]:
        """The tasks that it has an answer for."""
        return ["link-prediction"] if self.name in EMBEDDINGS else RULES[self.name]

    def scorer(self) -> PykeenScorer:
        """The trained embedding."""
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        settings = EmbeddingSettings(**self.settings)
        model = _new_model(EMBEDDINGS[self.name], settings, read_facts(self.dataset))
        try:
            model.load_state_dict(load_file(self.folder / WEIGHTS))
        except (SafetensorError, OSError, RuntimeError) as error:
            reason = str(error).splitlines()[0][:200]
            raise DataError(
                f"{self.folder / WEIGHTS} does not hold this run's weights ({reason}). Run it again."
            ) from error
        return PykeenScorer(model)


def run_baseline(name: str, data: Path, task: str | None, out: Path | None, settings: dict[str, str]) -> Path:
    """Train a baseline (or take a plain rule), evaluate it, and leave a run folder; returns the folder.

    `settings` are those of the baseline and of the task together, and `split` (test). Raises UsageError for an unknown
    name, task or setting, and for a task that the baseline has no answer for.
    """
    key = find_baseline(name)
    tasks = ["link-prediction"] if key in EMBEDDINGS else RULES[key]
    task = task or tasks[0]
    find_task(task)
    if task not in tasks:
        raise UsageError(f"Baseline {key} has no answer for {task}, only for {' and '.join(tasks)}.")
    own, others, split = _divide(key, task, settings)
    dataset = Dataset(data)
    examination = open_examination(task, dataset, split, others)
    folder = out or _next_folder(key)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{folder} is not empty. Choose another --out.")
    if key in RULES:
        _write_config(folder, key, dataset, {})
        examination.examine(folder, key, examination.rule(key))
        return folder
    facts = examination.questions.facts
    chosen = own.resolved(EMBEDDINGS[key], len(facts.splits["train"]))
    model = train_embedding(key, chosen, facts)
    _write_config(folder, key, dataset, dataclasses.asdict(chosen))
    _save(model, folder / WEIGHTS)
    examination.examine(folder, key, PykeenScorer(model))
    return folder


def train_embedding(name: str, settings: EmbeddingSettings, facts: Facts) -> nn.Module:
    """One of the EMBEDDINGS, trained on the train triples; the same weights for equal settings and threads."""
    kind = EMBEDDINGS[name]
    if not len(facts.splits["train"]):
        raise DataError("The dataset has no train triples to learn from. Build it with a larger --keep.")
    with _pykeen() as scratch, torch.random.fork_rng():
        from pykeen.training import SLCWATrainingLoop

        # PyKEEN draws from torch's global generator: seeded here, and given back as it was.
        torch.manual_seed(settings.seed)
        model: Any = _new_model(kind, settings, facts)
        factory = _factory(facts)
        loop = SLCWATrainingLoop(
            model=model,
            triples_factory=factory,
            optimizer=_optimizer(model, settings, len(facts.splits["train"])),
            negative_sampler="basic",
            negative_sampler_kwargs={"num_negs_per_pos": settings.negatives},
            automatic_memory_optimization=False,
        )
        # PyKEEN's loop warns of its own arguments, and collects garbage after every epoch.
        with (
            warnings.catch_warnings(),
            _little_garbage(),
            progress(settings.epochs, 0, len(facts.splits["train"])) as report,
        ):
            warnings.simplefilter("ignore", DeprecationWarning)
            loop.train(
                factory,
                num_epochs=settings.epochs,
                batch_size=settings.batch,
                use_tqdm=False,
                checkpoint_directory=scratch,
                pin_memory=False,
                callbacks=_callback(report),
            )
    return model.eval()


def find_baseline(name: str) -> str:
    """The name as in NAMES, whatever its case; UsageError with the nearest one."""
    key = name.lower()
    if key not in NAMES:
        raise UsageError(f"There is no baseline {name!r}.{nearest(key, list(NAMES))} They are: {', '.join(NAMES)}.")
    return key


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
        settings = dataclasses.asdict(TypeAdapter(EmbeddingSettings).validate_python(document.get("settings", {})))
    except (KeyError, TypeError, AttributeError, ValueError, UsageError) as error:
        raise DataError(
            f"{folder}/config.toml is not a baseline's ({str(error).splitlines()[0]}). Run the baseline again."
        ) from error
    dataset = Dataset(folder_of_data)
    if dataset.digest != digest:
        raise DataError(
            f"{folder} was made on dataset {digest[:8]}, but {dataset.folder} is {dataset.digest[:8]}. "
            "Give the dataset it was made on with --data, or run the baseline again."
        )
    return BaselineRun(folder, name, dataset, settings)


def _divide(name: str, task: str, settings: dict[str, str]) -> tuple[Any, dict[str, str], str]:
    """(the baseline's own settings, the task's, the split)."""
    from training.evaluation.settings import read_settings

    kind = EmbeddingSettings if name in EMBEDDINGS else NoSettings
    mine = {field.name for field in dataclasses.fields(kind)}
    others = {field.name for field in dataclasses.fields(TASKS[task].settings)}
    for key in settings:
        if key not in {"split"} | mine | others:
            known = sorted({"split"} | mine | others)
            raise UsageError(f"Baseline {name} has no setting {key!r}, only {', '.join(known)}.{nearest(key, known)}")
    own = read_settings(kind, {key: value for key, value in settings.items() if key in mine}, f"baseline {name}")
    rest = {key: value for key, value in settings.items() if key in others - mine}
    return own, rest, settings.get("split", "test")


@contextlib.contextmanager
def _pykeen() -> Iterator[Path]:
    """Import PyKEEN and keep it out of the user's home: at import it makes a folder there. Yields a scratch folder."""
    with tempfile.TemporaryDirectory() as scratch:
        before = {name: os.environ.get(name) for name in ("PYSTOW_HOME", "PYKEEN_HOME")}
        os.environ.update(PYSTOW_HOME=scratch, PYKEEN_HOME=str(Path(scratch) / "pykeen"))
        try:
            importlib.import_module("pykeen.models")
        except ModuleNotFoundError as error:
            raise UsageError(
                "This baseline is trained with PyKEEN, which is not installed: pip install 'wikiloom[baselines]'"
            ) from error
        finally:
            for name, value in before.items():
                os.environ.pop(name)
                if value is not None:
                    os.environ[name] = value
        yield Path(scratch)


@contextlib.contextmanager
def _little_garbage() -> Iterator[None]:
    """Hide what is in memory already from the collector: a collection then takes no time (else 0.3 s an epoch)."""
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def _new_model(kind: Embedding, settings: EmbeddingSettings, facts: Facts) -> nn.Module:
    with _pykeen():
        from pykeen import models
        from pykeen.losses import InfoNCELoss
        from pykeen.utils import NoRandomSeedNecessary

        return getattr(models, kind.model)(
            triples_factory=_factory(facts),
            embedding_dim=settings.dim,
            loss=InfoNCELoss(margin=0.0, log_adversarial_temperature=0.0),
            random_seed=NoRandomSeedNecessary,
            **kind.arguments,
        ).to("cuda" if torch.cuda.is_available() else "cpu")


def _callback(report: Callable[[int, float], None]) -> Any:
    """Report each epoch and its loss."""
    from pykeen.training.callbacks import TrainingCallback

    class Report(TrainingCallback):
        def post_epoch(self, epoch: int, epoch_loss: float, **kwargs: Any) -> None:
            report(epoch, epoch_loss)

    return Report()


def _optimizer(model: nn.Module, settings: EmbeddingSettings, triples: int) -> torch.optim.Optimizer:
    # Adam with AdamW's decay: PyKEEN makes the optimizer anew from its settings, which AdamW's constructor refuses.
    decay = settings.decay / (settings.lr * math.ceil(triples / settings.batch))
    return torch.optim.Adam(model.parameters(), lr=settings.lr, weight_decay=decay, decoupled_weight_decay=True)


def _factory(facts: Facts) -> Any:
    from pykeen.triples import CoreTriplesFactory

    triples = torch.from_numpy(facts.splits["train"])
    return CoreTriplesFactory(triples, num_entities=facts.entities, num_relations=facts.relations)


def _next_folder(name: str) -> Path:
    found = [re.fullmatch(rf"{name}-(\d+)", path.name) for path in Path("runs").glob(f"{name}-*")]
    return Path("runs") / f"{name}-{max((int(match[1]) for match in found if match), default=0) + 1}"


def _write_config(folder: Path, name: str, dataset: Dataset, settings: dict[str, Any]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    data = {"folder": str(dataset.folder.resolve()), "digest": dataset.digest}
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
