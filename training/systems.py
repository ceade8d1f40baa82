"""What each system is made of: its model, and its batches by step."""

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor, nn

from schemas.dataset import Dataset
from schemas.errors import DataError, UsageError
from training.config import Config
from training.data.batch import pinned, ragged
from training.data.collate import COLUMNS
from training.data.faults import Agree, alone
from training.data.graphs import GraphFeed, TableSizes
from training.data.groups import MemoryGroups, ParquetGroups, RowGroups, SomeRows
from training.data.loader import Loader, Parts
from training.data.names import NamedRows, named_rows, unnamed_rows
from training.data.negatives import alias_table, known_facts
from training.data.setting import Setting, as_array, known_entities, read_triples
from training.data.special import SpecialTokens, load_tokenizer, special_tokens
from training.data.splits import Sides, train_and_valid
from training.data.stream import SOLE, Rank
from training.data.text import MlmFeed, Passages, TextBlocks, TextFeed, corpora
from training.data.triples import Descriptions, KeplerBatch, TripleFeed, descriptions
from training.entity_memory import CPU, EntityMemory
from training.models.colake import Colake
from training.models.kepler import Kepler
from training.models.mlm_only import MlmOnly


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
    memory: EntityMemory | None
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
class Source:
    """A dataset, its tokens, and what they imply."""

    dataset: Dataset
    tokens: Dataset
    special: SpecialTokens
    sizes: TableSizes
    more: Sequence["Source"] = ()
    """Further datasets, of the same tokenizer."""


def open_source(dataset: Dataset, tokens: Dataset, *, graph: bool = True) -> Source:
    """DataError where the tokenizer lacks a special token, or the dataset, as a `graph`, entities or relations."""
    tokenizer = load_tokenizer(tokens)
    words = max(tokenizer.get_vocab().values()) + 1  # there may be ids that no token has
    sizes = TableSizes(words, dataset.rows("entities"), dataset.rows("relations"))
    for name, rows in (("entities", sizes.entities), ("relations", sizes.relations)):
        if graph and not rows:
            raise DataError(f"{dataset.folder} has no {name}, which training needs. Build it with a larger --keep.")
    return Source(dataset, tokens, special_tokens(tokenizer), sizes)


def open_sources(config: Config, datasets: Sequence[Dataset], tokens: Sequence[Dataset]) -> Source:
    """The first of a run's datasets, with the further ones; DataError where one lacks what it is for."""
    graphs = 0 if config.system == "mlm-only" else graph_count(config)
    sources = [
        open_source(*pair, graph=number < graphs) for number, pair in enumerate(zip(datasets, tokens, strict=True))
    ]
    for source in sources[max(1, graphs) :]:
        if not source.tokens.rows("pages"):
            raise DataError(f"{source.dataset.folder} has no pages for masked language modelling. Leave it out.")
    return dataclasses.replace(sources[0], more=sources[1:])


def graph_count(config: Config) -> int:
    """Of how many of its datasets a run learns the graph: of the first, and of the second by kepler.second_batch. The
    others give their pages alone."""
    return 2 if config.system == "kepler" and config.kepler.second_batch else 1


def _graphs(config: Config, source: Source) -> list[Source]:
    return [source, *source.more][: graph_count(config)]


def build_model(
    config: Config, source: Source, device: torch.device = CPU, rank: Rank = SOLE, *, training: bool = True
) -> Any:
    """The model; the caller sets torch's seed. Its entity memory is on `device` from the beginning. Rows of entities
    and relations are given their first values for training alone: else all weights come from a checkpoint."""
    if config.system == "kepler":
        return Kepler(config, source.sizes.words, *(graph.sizes.relations for graph in _graphs(config, source)))
    if config.system == "mlm-only":
        return MlmOnly(config, source.sizes.words)
    model = Colake(config, source.sizes, device, rank, training=training)
    if training:
        model.initialise(*_initial_rows(config, source))
    return model


def _initial_rows(config: Config, source: Source) -> list[Iterator[NamedRows]]:
    """What the rows of entities and of relations begin as."""
    if config.colake.initial_rows == "random":
        return [unnamed_rows(count + 1) for count in (source.sizes.entities, source.sizes.relations)]
    tokenizer = load_tokenizer(source.tokens)
    return [named_rows(source.dataset, table, tokenizer) for table in ("entities", "relations")]


def build_system(
    config: Config, source: Source, rank: Rank = SOLE, agree: Agree = alone, device: torch.device = CPU
) -> System:
    """The model and its batches; DataError where the dataset lacks what the system learns from."""
    if config.system == "kepler" and config.kepler.pre_batch and rank.world > 1:
        raise UsageError(
            f"kepler.pre_batch needs one rank, not {rank.world}: each would keep the entities of its own micro-batches."
        )
    feeds = {"colake": _colake_feeds, "kepler": _kepler_feeds, "mlm-only": _mlm_feeds}
    streams, build, sizes = feeds[config.system](config, source)
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


DESCRIBED = ("ids", "name_ids")
"""What a description is made from: an entity's text, else its name."""

Build = Callable[[str, int, list[Parts]], list[Any]]
"""(train or valid, step, rows of each micro-batch) -> micro-batches."""
Feeds = tuple[dict[str, Sides], Build, dict[str, int]]
"""The streams, the first one leading; what is made of them; their rows in a batch."""


def _colake_feeds(config: Config, source: Source) -> Feeds:
    groups = {s: ParquetGroups(source.tokens, "wk_graphs", s, COLUMNS) for s in ("train", "valid")}
    counts = source.dataset.read("entities", None, ["graph_count"])["graph_count"].to_numpy()
    negatives = alias_table(counts.astype(np.float64) ** 0.75)
    units = min(config.colake.max_nodes, config.encoder.max_positions) - 2
    feeds = {
        s: GraphFeed(config.colake, source.special, source.sizes, negatives, config.seed, f"wk_graphs/{s}", units)
        for s in ("train", "valid")
    }

    def build(split: str, step: int, pieces: list[Parts]) -> list[Any]:
        return [feeds[split].batch(rows["wk_graphs"], step) for rows in pieces]

    return {"wk_graphs": _sides(config, source, "wk_graphs", groups)}, build, {"wk_graphs": config.train.batch_size}


def _kepler_feeds(config: Config, source: Source) -> Feeds:
    streams, graphs, sizes = {}, {}, (config.train.batch_size, config.kepler.second_batch)
    for name, graph in zip(("triples", "triples2"), _graphs(config, source), strict=False):
        facts = {split: _triples(graph.dataset, split, config.data.split) for split in ("train", "valid")}
        streams[name] = _sides(config, graph, name, facts)
        graphs[name] = _triple_feeds(config, graph, name, facts["train"])
    batch = dict(zip(streams, sizes, strict=False))
    text: dict[str, TextFeed] = {}
    if config.kepler.blocks:
        streams["text"], batch["text"] = _blocks(config, source, config.kepler.block_length), config.kepler.blocks
        text = _text_feeds(config, source, config.kepler.mask_share, "triples/{}/mlm")

    def build(split: str, step: int, pieces: list[Parts]) -> list[Any]:
        return [
            KeplerBatch(
                graphs["triples"][split].batch(rows["triples"]),
                graphs["triples2"][split].batch(rows["triples2"]) if "triples2" in rows else None,
                text[split].batch(rows["text"]) if "text" in rows else None,
            )
            for rows in pieces
        ]

    return streams, build, batch


def _triple_feeds(config: Config, source: Source, name: str, train: MemoryGroups) -> dict[str, TripleFeed]:
    triples = as_array(train.rows)
    drawn_from = known_entities(triples) if config.data.split == "inductive" else None
    known = known_facts(triples, source.sizes.entities, source.sizes.relations, drawn_from)
    texts = entity_descriptions(config, source), relation_descriptions(config, source)
    return {
        split: TripleFeed(*texts, known, config.kepler, config.seed, f"{name}/{split}") for split in ("train", "valid")
    }


def _text_feeds(config: Config, source: Source, share: float, name: str) -> dict[str, TextFeed]:
    return {
        split: TextFeed(source.special, source.sizes.words, share, config.seed, name.format(split))
        for split in ("train", "valid")
    }


def _mlm_feeds(config: Config, source: Source) -> Feeds:
    texts = _text_feeds(config, source, config.mlm.mask_share, "text/{}")
    feeds = {split: MlmFeed(text, config.mlm.encode_tokens) for split, text in texts.items()}

    def build(split: str, step: int, pieces: list[Parts]) -> list[Any]:
        return [feeds[split].batch(rows["text"]) for rows in pieces]

    return {"text": _blocks(config, source, config.mlm.block_length)}, build, {"text": config.train.batch_size}


def _blocks(config: Config, source: Source, length: int) -> Sides:
    """Blocks of the text that masked language modelling reads."""
    texts, key, note = _texts(config, source)
    length = min(length, config.encoder.max_positions)
    blocks = {split: TextBlocks(groups, key, length) for split, groups in texts.items()}
    sides = _sides(config, source, "text", blocks)
    return dataclasses.replace(sides, note=" ".join(filter(None, (note, sides.note))) or None)


def entity_descriptions(config: Config, source: Source) -> Descriptions:
    """Every entity's text, cut as the recipe says."""
    return described(config, source, source.tokens.read("entities", None, list(DESCRIBED)))


def described(config: Config, source: Source, rows: pa.Table) -> Descriptions:
    """The same for some rows of tokens/NAME/entities, of which the columns DESCRIBED are enough."""
    return descriptions(
        *(ragged(rows[name]) for name in DESCRIBED),
        source.special,
        max_length=min(config.kepler.max_length, config.encoder.max_positions),
        encode_tokens=config.kepler.encode_tokens,
    )


def relation_descriptions(config: Config, source: Source) -> Descriptions | None:
    """Every relation's text, cut as the recipe says; None where the model reads none."""
    if config.kepler.relations == "table" and not config.kepler.conditioned:
        return None
    rows = source.tokens.read("relations", None, list(DESCRIBED))
    return descriptions(
        *(ragged(rows[name]) for name in DESCRIBED),
        source.special,
        max_length=min(config.kepler.relation_length, config.encoder.max_positions),
        encode_tokens=config.kepler.encode_tokens,
    )


def _triples(dataset: Dataset, split: str, setting: Setting) -> MemoryGroups:
    """The split's triples, each with its number in the split."""
    table = read_triples(dataset, split, setting)
    rows = pa.array(np.arange(table.num_rows))
    return MemoryGroups(table.append_column("row", rows).combine_chunks(), f"{dataset.folder}/triples/{split}")


def _texts(config: Config, source: Source) -> tuple[dict[str, RowGroups], str, str | None]:
    """(what masked language modelling reads by split, its column of ids, a note)."""
    if config.system == "mlm-only" and config.mlm.corpus == "passages":
        graphs = {s: ParquetGroups(source.tokens, "wk_graphs", s, Passages.columns) for s in ("train", "valid")}
        return {split: Passages(groups) for split, groups in graphs.items()}, "graph_id", None
    graphs = _graphs(config, source)
    if config.system == "kepler" and config.kepler.corpus == "descriptions":
        return _described_texts(config, graphs), "entity_index", None
    pages = {split: _pages([source, *source.more[len(graphs) - 1 :]], split) for split in ("train", "valid")}
    if len(pages["train"].sizes):
        return pages, "page_id", None
    note = f"{source.dataset.folder} has no pages: masked language modelling reads the entities' descriptions."
    return _described_texts(config, graphs), "entity_index", note


def _pages(sources: Sequence[Source], split: str) -> RowGroups:
    return corpora([ParquetGroups(source.tokens, "pages", split, ["page_id", "ids"]) for source in sources], "page_id")


def _described_texts(config: Config, sources: Sequence[Source]) -> dict[str, RowGroups]:
    parts: list[RowGroups] = []
    for source in sources:
        parts.append(ParquetGroups(source.tokens, "entities", None, ["entity_index", "ids"]))
        if config.data.split == "inductive":
            train = as_array(read_triples(source.dataset, "train", "inductive"))
            parts[-1] = SomeRows(parts[-1], known_entities(train))
    entities = corpora(parts, "entity_index")
    return {"train": entities, "valid": MemoryGroups(entities.schema.empty_table(), "no valid texts")}


def _micro_batches(config: Config, world: int) -> int:
    """How many a step has on each of `world` ranks."""
    size = config.train.micro_batch or config.train.batch_size
    return -(-config.train.batch_size // (size * world))


def _cut(rows: Parts, pieces: int) -> list[Parts]:
    cut = {name: part.cut(pieces) for name, part in rows.items()}
    return [{name: parts[piece] for name, parts in cut.items()} for piece in range(pieces)]


def _sides(config: Config, source: Source, name: str, groups: Mapping[str, RowGroups]) -> Sides:
    if not groups["train"].sizes.sum():
        raise DataError(
            f"{source.dataset.folder} has no {name.rstrip('2')} in its train split, which {config.system} learns from. "
            "See wikiloom describe for what it holds."
        )
    least, digest = config.train.valid_rows, source.dataset.digest
    return train_and_valid(name, groups["train"], groups["valid"], least=least, seed=config.seed, digest=digest)


def _require_a_batch(loader: Loader) -> None:
    name, plan = next(iter(loader.plans.items()))
    if plan.rows < loader.mix.weights[name]:
        raise DataError(
            f"{name} has {plan.rows} rows, fewer than one batch of {loader.mix.weights[name]}. "
            "Take a smaller batch (--set train.batch_size) or a larger dataset."
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
