"""What each system is made of: its model, and its batches by step."""

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from schemas.errors import DataError, UsageError
from training.config import Config
from training.data.batch import pinned
from training.data.faults import Agree, alone
from training.data.groups import RowGroups
from training.data.loader import Loader, Parts
from training.data.names import NamedRows, named_rows, unnamed_rows
from training.data.special import load_tokenizer
from training.data.stream import SOLE, Rank
from training.entity_memory import CPU, EntityMemory
from training.entity_memory.context import ContextMemory
from training.feeds import Build, Feeds, trained_triples
from training.feeds.colake import colake_feeds
from training.feeds.jaket import categories_of, entity_texts, jaket_feeds, relation_texts
from training.feeds.kepler import entity_descriptions, kepler_feeds, relation_descriptions
from training.feeds.lass import lass_feeds, lass_texts
from training.feeds.lmke import fact_texts, lmke_feeds, read_texts
from training.feeds.texts import mlm_feeds
from training.models.colake import Colake
from training.models.jaket import Jaket
from training.models.kepler import Kepler, KeplerScorer
from training.models.lass import Lass, LassScorer
from training.models.lmke import CLmke, CLmkeScorer, Lmke, LmkeScorer
from training.models.mlm_only import MlmOnly
from training.sources import Source, graphs_of


class Batch(Protocol):
    """One micro-batch: a frozen dataclass of tensors."""

    @property
    def counts(self) -> dict[str, int]:
        """Labels of each loss term."""
        ...

    @property
    def sizes(self) -> dict[str, int]:
        """What the log says about the batch."""
        ...

    @property
    def lengths(self) -> Tensor:
        """Tokens or nodes of each text or graph that is encoded."""
        ...


class Model(Protocol):
    """What the loop asks of a model, beside being an nn.Module."""

    weights: dict[str, float]
    """Weight of each loss term."""
    memory: EntityMemory | ContextMemory | None
    """The table of entities that the optimizer does not see."""

    def losses(self, batch: Any) -> dict[str, Tensor]:
        """The sum over labels of each term that has any."""
        ...

    def flops(self, batch: Any) -> int:
        """Floating-point operations of `losses` and its backward, padding left out."""
        ...


@dataclasses.dataclass(frozen=True)
class System:
    """A model with its data."""

    model: nn.Module
    loader: Loader
    build: Callable[[int, Parts], list[Any]]
    """A step's rows -> micro-batches, as many on every rank."""
    micro_batches: int
    """Of a step, over all ranks."""
    valid: list[Any]
    """The same batches at every validation."""
    notes: Sequence[str]
    """What the user should be told before it starts."""


@dataclasses.dataclass(frozen=True)
class Kind:
    """How a system is made."""

    model: Callable[[Config, Source, torch.device, Rank, bool], Any]
    """(config, source, device, rank, whether it is going to be trained) -> the model."""
    feeds: Callable[[Config, Source], Feeds]
    scorer: Callable[[Config, Source, Any, str], Any] | None = None
    """(config, source of the dataset that is asked about, trained model, which of the run's graphs that is) -> what
    scores triples, one of training.scoring's; None for a system that does not."""


def build_model(
    config: Config, source: Source, device: torch.device = CPU, rank: Rank = SOLE, *, training: bool = True
) -> Any:
    """The model; the caller sets torch's seed. Its entity memory is on `device` from the beginning. Rows of entities
    and relations are given their first values for training alone: else all weights come from a checkpoint."""
    return SYSTEMS[config.system].model(config, source, device, rank, training)


def _colake(config: Config, source: Source, device: torch.device, rank: Rank, training: bool) -> Colake:
    model = Colake(config, source.sizes, device, rank, training=training)
    if training:
        model.initialise(*_initial_rows(config, source))
    return model


def _kepler(config: Config, source: Source, *_: Any) -> Kepler:
    return Kepler(config, source.sizes.words, *(graph.sizes.relations for graph in graphs_of(config, source)))


def _kepler_scorer(config: Config, source: Source, model: Kepler, graph: str) -> KeplerScorer:
    return KeplerScorer(model, entity_descriptions(config, source), relation_descriptions(config, source), graph)


def _lmke_scorer(config: Config, source: Source, model: Lmke | CLmke, _: str) -> LmkeScorer | CLmkeScorer:
    return (CLmkeScorer if isinstance(model, CLmke) else LmkeScorer)(model, fact_texts(config, source))


def _lass(config: Config, source: Source, *_: Any) -> Lass:
    return Lass(config, source.sizes.words)


def _lass_scorer(config: Config, source: Source, model: Lass, _: str) -> LassScorer:
    return LassScorer(model, lass_texts(config, source))


def _mlm_only(config: Config, source: Source, *_: Any) -> MlmOnly:
    return MlmOnly(config, source.sizes.words)


def _lmke(config: Config, source: Source, _device: torch.device, _rank: Rank, training: bool) -> Lmke | CLmke:
    model = (Lmke if config.system == "lmke" else CLmke)(config, source.sizes)
    if training and config.lmke.initial_rows == "names":
        model.initialise(*read_texts(source, "names"))
        if isinstance(model, CLmke):
            model.begin_masks_as(source.special.eos)
    if training and isinstance(model, CLmke):
        model.count_degrees(trained_triples(config, source))
    return model


def _jaket(config: Config, source: Source, device: torch.device, rank: Rank, training: bool) -> Jaket:
    classes = len(categories_of(config, source.dataset).names)
    model = Jaket(config, source.sizes, max(1, classes), device, rank).to(device)
    if model.memory is not None:
        model.remember(entity_texts(config, source))
        if training:
            model.initialise(relation_texts(config, source) if config.jaket.relations == "described" else None)
    return model


def _initial_rows(config: Config, source: Source) -> list[Iterator[NamedRows]]:
    """What the rows of entities and of relations begin as."""
    if config.colake.initial_rows == "random":
        return [unnamed_rows(count + 1) for count in (source.sizes.entities, source.sizes.relations)]
    tokenizer = load_tokenizer(source.tokens)
    return [named_rows(source.dataset, table, tokenizer) for table in ("entities", "relations")]


SYSTEMS = {
    "colake": Kind(_colake, colake_feeds),
    "kepler": Kind(_kepler, kepler_feeds, _kepler_scorer),
    "mlm-only": Kind(_mlm_only, mlm_feeds),
    "lmke": Kind(_lmke, lmke_feeds, _lmke_scorer),
    "c-lmke": Kind(_lmke, lmke_feeds, _lmke_scorer),
    "lass": Kind(_lass, lass_feeds, _lass_scorer),
    "jaket": Kind(_jaket, jaket_feeds),
}
"""All systems by config.system."""


def build_system(
    config: Config, source: Source, rank: Rank = SOLE, agree: Agree = alone, device: torch.device = CPU
) -> System:
    """The model and its batches; DataError where the dataset lacks what the system learns from."""
    if config.system == "kepler" and config.kepler.pre_batch and rank.world > 1:
        raise UsageError(
            f"kepler.pre_batch needs one rank, not {rank.world}: each would keep the entities of its own micro-batches."
        )
    streams, build, sizes = SYSTEMS[config.system].feeds(config, source)
    train = {name: sides.train for name, sides in streams.items()}
    loader = Loader(train, sizes, config.data, seed=config.seed, rank=rank, agree=agree)
    _require_a_batch(loader)
    pieces = _micro_batches(config, rank.world)
    ready: Callable[[Any], Any] = pinned if device.type == "cuda" else lambda batch: batch
    notes = [sides.note for sides in streams.values() if sides.note]
    model = build_model(config, source, device, rank)
    if model.memory:
        notes.append(model.memory.describe())
    return System(
        model,
        loader,
        lambda step, rows: [ready(batch) for batch in build("train", step, _cut(rows, pieces))],
        pieces * rank.world,
        _valid_batches(config, {name: sides.valid for name, sides in streams.items()}, sizes, build, agree),
        notes,
    )


def _micro_batches(config: Config, world: int) -> int:
    """How many a step has on each of `world` ranks."""
    size = config.train.micro_batch or config.train.batch_size
    return -(-config.train.batch_size // (size * world))


def _cut(rows: Parts, pieces: int) -> list[Parts]:
    cut = {name: part.cut(pieces) for name, part in rows.items()}
    return [{name: parts[piece] for name, parts in cut.items()} for piece in range(pieces)]


def _require_a_batch(loader: Loader) -> None:
    name, plan = next(iter(loader.plans.items()))
    if plan.rows < loader.mix.weights[name]:
        setting = "jaket.roots" if name == "roots" else "train.batch_size"
        raise DataError(
            f"{name} has {plan.rows} rows, fewer than one batch of {loader.mix.weights[name]}. "
            f"Take a smaller batch (--set {setting}) or a larger dataset."
        )


def _valid_batches(
    config: Config, groups: dict[str, RowGroups], sizes: dict[str, int], build: Build, agree: Agree
) -> list[Any]:
    """`valid_batches` micro-batches, the same on every rank; where the rows are fewer, they come again with other
    masks."""
    pieces = _micro_batches(config, 1)
    named = {f"{name}/valid": source for name, source in groups.items()}
    few = {name: min(max(1, sizes[name] // pieces), int(source.sizes.sum())) for name, source in groups.items()}
    loader = Loader(
        named, {f"{name}/valid": size for name, size in few.items()}, config.data, seed=config.seed, agree=agree
    )
    batches = []
    for step in range(config.train.valid_batches):
        rows = {name.removesuffix("/valid"): part for name, part in loader.take(step).items()}
        batches += build("valid", step, [rows])
    return batches
