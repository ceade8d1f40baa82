"""Knowledge-graph embeddings by PyKEEN, ranked by the same code as our own models.

PyKEEN is given our indices as they are, so no entity is dropped and no triple that its evaluator would leave out. The
weights are kept as safetensors. Trained with uniform corruption of heads and tails (sLCWA), InfoNCE, Adam and weight
decay: InfoNCE was the best or near the best for each of the four models on UMLS and Kinships, at equal steps.
"""

import contextlib
import dataclasses
import gc
import importlib
import math
import os
import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from schemas.errors import DataError, UsageError
from training.evaluation.facts import Facts
from training.graphvite import FREE, add_l3, linear_rate, self_adversarial_loss, slow_relations, without_l3
from training.metrics import progress
from training.models.hake import MARGIN, hake_interaction, hake_tables
from training.pykeen_scorer import learnt_entities

TRAINED_AT_ONCE = 2**26
"""Numbers of the negatives' vectors of a forward pass: 256 MB in float32; a batch that has more is cut."""


@dataclasses.dataclass(frozen=True)
class Embedding:
    """One of PyKEEN's models, and how we train it unless told otherwise."""

    model: str
    dim: int
    """Complex dimensions count once."""
    lr: float
    arguments: dict[str, Any]
    inverse: bool = False
    """Whether it has a relation for each one's other direction, and answers about heads by it."""
    relation_dim: int = 0
    """Of relations, where it is not that of entities."""

    @property
    def directions(self) -> int:
        """How many times an epoch has each triple."""
        return 2 if self.inverse else 1


XAVIER = {"entity_initializer": "xavier_uniform", "relation_initializer": "xavier_uniform"}
"""PyKEEN's own start for ComplEx, N(0, 1), is never forgotten by entities with few triples."""

EMBEDDINGS = {
    "transe": Embedding("TransE", 64, 0.005, {"scoring_fct_norm": 1}),
    "distmult": Embedding("DistMult", 64, 0.02, {"regularizer": None}),
    "complex": Embedding("ComplEx", 32, 0.02, {"regularizer": None, **XAVIER}),
    "simple": Embedding("SimplE", 32, 0.02, {"regularizer": None, **XAVIER}),
    "rotate": Embedding("RotatE", 32, 0.02, {}),
    "transh": Embedding("TransH", 64, 0.005, {}),
    "transr": Embedding("TransR", 64, 0.005, {}, relation_dim=32),
    "transd": Embedding("TransD", 64, 0.005, {}),
    "tucker": Embedding("TuckER", 64, 0.005, {}),
    "conve": Embedding("ConvE", 64, 0.005, {}, inverse=True),
    "hake": Embedding("HAKE", 64, 0.005, {}),
}
"""HAKE is not PyKEEN's: training/models/hake.py."""


@dataclasses.dataclass(frozen=True)
class EmbeddingSettings:
    """What `--set` can change for the embeddings; 0 stands for a default that fits the model and the data."""

    dim: Annotated[int, Field(ge=0)] = 0
    relation_dim: Annotated[int, Field(ge=0)] = 0
    """Of TransR, whose relations have a space of their own; by default 32."""
    epochs: Annotated[int, Field(ge=0)] = 0
    """By default 100, or as many as make 1,000 steps."""
    batch: Annotated[int, Field(ge=0)] = 0
    """By default 1/128 of the train triples, at least 128 and at most 4,096."""
    lr: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    decay: Annotated[float, Field(ge=0, lt=1)] = 0.03
    """Weight decay: the share of itself that a weight loses in an epoch."""
    negatives: Annotated[int, Field(ge=1)] = 16
    """Corrupted triples for each true one: as many heads as tails over an epoch."""
    loss: Literal["infonce", "self-adversarial"] = "infonce"
    """self-adversarial: log sigmoid with `margin`, the harder negatives weighed more by `temperature`."""
    margin: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    temperature: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1.0
    """The larger, the more alike the negatives weigh."""
    l3: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    """Weight of the cubes of what a triple uses."""
    optimizer: Literal["adam", "sgd"] = "adam"
    """sgd: gradients of a batch add up, so that `lr` is a triple's, and falls to 0 over the epochs."""
    relation_lr: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1.0
    """sgd: the relations' learning rate, as a multiple of lr."""
    preset: Literal["none", "wikidata5m"] = "none"
    """wikidata5m: GraphVite's published settings; what is told beside it goes before them."""
    seed: int = 0

    def __post_init__(self) -> None:
        if self.optimizer == "adam" and self.relation_lr != 1:
            raise UsageError(f"relation_lr={self.relation_lr} is for optimizer=sgd: Adam divides it out again.")

    def resolved(self, name: str, triples: int) -> "EmbeddingSettings":
        """The settings with every 0 replaced."""
        kind = EMBEDDINGS[name]
        if self.relation_dim and not kind.relation_dim:
            raise UsageError(
                f"relation_dim={self.relation_dim}: relations of {name} are as large as entities: set dim."
            )
        triples *= kind.directions
        batch = self.batch or min(max(128, triples // 128), 4_096)
        steps = math.ceil(triples / batch)
        epochs = self.epochs or max(100, math.ceil(1_000 / steps))
        sizes = {"dim": self.dim or kind.dim, "relation_dim": self.relation_dim or kind.relation_dim}
        return dataclasses.replace(self, **sizes, lr=self.lr or kind.lr, batch=batch, epochs=epochs)


def train_embedding(name: str, settings: EmbeddingSettings, facts: Facts) -> nn.Module:
    """One of the EMBEDDINGS, trained on the train triples; the same weights for equal settings and threads."""
    if not len(facts.splits["train"]):
        raise DataError("The dataset has no train triples to learn from. Build it with a larger --keep.")
    with _pykeen() as scratch, torch.random.fork_rng():
        # PyKEEN draws from torch's global generator: seeded here, and given back as it was.
        torch.manual_seed(settings.seed)
        model: Any = new_embedding(name, settings, facts)
        triples = len(facts.splits["train"]) * EMBEDDINGS[name].directions
        rows, drop_last = _cut(model, settings, triples)
        if settings.l3:
            add_l3(model, settings.l3 * (rows if settings.optimizer == "sgd" else 1))
        if settings.relation_lr != 1:
            slow_relations(model, settings.relation_lr)
        _train(
            model,
            _factory(facts, EMBEDDINGS[name]),
            settings,
            optimizer=_optimizer(model, settings, triples),
            sub_batch_size=rows,
            drop_last=drop_last,
            checkpoint_directory=scratch,
        )
    without_l3(model)
    return model.eval()


def _cut(model: nn.Module, settings: EmbeddingSettings, triples: int) -> tuple[int, bool]:
    """(triples of a forward pass, whether an epoch's last batch is left out): no batch norm takes a single triple."""
    rows = min(settings.batch, max(1, TRAINED_AT_ONCE // ((1 + settings.negatives) * settings.dim)))
    if not any(isinstance(part, _BatchNorm) for part in model.modules()):
        return rows, False
    if min(settings.batch, triples) == 1:
        raise UsageError("This embedding has batch norm, which takes two triples at least: a larger batch, more facts.")
    last, rows = triples % settings.batch, max(2, rows)
    while settings.batch % rows == 1 or (last > 1 and last % rows == 1):
        rows += 1
    return rows, last == 1


def _train(model: Any, factory: Any, settings: EmbeddingSettings, *, optimizer: Any, **more: Any) -> None:
    from pykeen.training import SLCWATrainingLoop

    loop = SLCWATrainingLoop(
        model=model,
        triples_factory=factory,
        optimizer=optimizer,
        negative_sampler="basic",
        negative_sampler_kwargs={"num_negs_per_pos": settings.negatives},
        automatic_memory_optimization=False,
    )
    # PyKEEN's loop warns of its own arguments, and collects garbage after every epoch.
    with (
        warnings.catch_warnings(),
        _little_garbage(),
        progress(settings.epochs, 0, factory.num_triples) as report,
    ):
        warnings.simplefilter("ignore", DeprecationWarning)
        callbacks = _callback(report, settings)
        sizes = {"num_epochs": settings.epochs, "batch_size": settings.batch}
        loop.train(factory, use_tqdm=False, pin_memory=False, callbacks=callbacks, **sizes, **more)


def new_embedding(name: str, settings: EmbeddingSettings, facts: Facts) -> nn.Module:
    """One of the EMBEDDINGS, untrained."""
    kind = EMBEDDINGS[name]
    with _pykeen():
        from pykeen import models
        from pykeen.losses import InfoNCELoss
        from pykeen.utils import NoRandomSeedNecessary

        reduction = "sum" if settings.optimizer == "sgd" else "mean"
        loss: Any = InfoNCELoss(margin=0.0, log_adversarial_temperature=0.0, reduction=reduction)
        if settings.loss == "self-adversarial":
            loss = self_adversarial_loss(settings.margin, settings.temperature, reduction)
        common = {"triples_factory": _factory(facts, kind), "loss": loss, "random_seed": NoRandomSeedNecessary}
        if kind.model == "HAKE":
            margin = settings.margin or MARGIN
            interaction = hake_interaction(settings.dim, margin)
            model = models.ERModel(interaction=interaction, **hake_tables(settings.dim, margin), **common)
        else:
            free = FREE.get(name, {}) if settings.optimizer == "sgd" else {}
            # A run of before names none.
            sizes = {"relation_dim": settings.relation_dim or kind.relation_dim} if kind.relation_dim else {}
            own = {"embedding_dim": settings.dim, **sizes, **kind.arguments, **free}
            model = getattr(models, kind.model)(**common, **own)
        if kind.model == "SimplE":
            model.interaction = _simple_interaction()
        return model.to("cuda" if torch.cuda.is_available() else "cpu")


def _simple_interaction() -> Any:
    """SimplE's score (Kazemi and Poole, NeurIPS 2018): the mean of <h's first, r, t's second> and <t's first, r', h's
    second>.

    PyKEEN's own (1.11.1) takes the same vector of both ends, which makes it a sum of two DistMults: h and t can be
    exchanged.
    """
    from pykeen.nn.modules import SimplEInteraction

    class Crossed(SimplEInteraction):
        def forward(self, h: Sequence[Tensor], r: Sequence[Tensor], t: Sequence[Tensor]) -> Tensor:
            return super().forward(h, r, (t[1], t[0]))

    return Crossed()


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


def _callback(report: Callable[[int, float], None], settings: EmbeddingSettings) -> Any:
    """Report each epoch and its loss; lower SGD's learning rate."""
    from pykeen.training.callbacks import TrainingCallback

    class Report(TrainingCallback):
        def post_epoch(self, epoch: int, epoch_loss: float, **kwargs: Any) -> None:
            report(epoch, epoch_loss)
            if settings.optimizer == "sgd":
                linear_rate(self.optimizer, settings.lr, epoch / settings.epochs)

    return Report()


def _optimizer(model: nn.Module, settings: EmbeddingSettings, triples: int) -> torch.optim.Optimizer:
    if settings.optimizer == "sgd":
        return torch.optim.SGD(model.parameters(), lr=settings.lr)
    # Adam with AdamW's decay: PyKEEN makes the optimizer anew from its settings, which AdamW's constructor refuses.
    decay = settings.decay / (settings.lr * math.ceil(triples / settings.batch))
    return torch.optim.Adam(model.parameters(), lr=settings.lr, weight_decay=decay, decoupled_weight_decay=True)


def _factory(facts: Facts, kind: Embedding) -> Any:
    from pykeen.triples import CoreTriplesFactory

    triples, learnt = torch.from_numpy(facts.splits["train"]), learnt_entities(facts)
    entities = facts.entities if learnt is None else len(learnt)
    if learnt is not None:
        ends = torch.searchsorted(learnt, triples[:, [0, 2]])
        triples = torch.stack([ends[:, 0], triples[:, 1], ends[:, 1]], dim=1)
    return CoreTriplesFactory(
        triples, num_entities=entities, num_relations=facts.relations, create_inverse_triples=kind.inverse
    )
