"""What each system is made of: its model, and its batches by step."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
from jaxtyping import Int64
from torch import Tensor, nn

from schemas.dataset import Dataset
from schemas.errors import DataError
from training.config import Config
from training.data.batch import ragged
from training.data.collate import COLUMNS
from training.data.graphs import GraphFeed, TableSizes
from training.data.negatives import alias_table, known_facts
from training.data.plan import Plan
from training.data.special import SpecialTokens, load_tokenizer, special_tokens
from training.data.splits import Parts, Rows, Stream, train_and_valid
from training.data.stream import RowReader
from training.data.text import TextBlocks
from training.data.triples import Descriptions, TripleFeed, descriptions
from training.models.colake import Colake
from training.models.kepler import Kepler


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


class Model(Protocol):
    """What the loop asks of a model, beside being an nn.Module."""

    weights: dict[str, float]
    """Weight of each loss term."""

    def losses(self, batch: Any) -> dict[str, Tensor]:
        """The sum over labels of each term that has any."""
        ...


@dataclasses.dataclass(frozen=True)
class System:
    """A model with its data."""

    model: nn.Module
    train: Callable[[int], list[Any]]
    """Step -> micro-batches."""
    valid: list[Any]
    """The same batches at every validation."""
    notes: Sequence[str]
    """What the user should be told before it starts."""
    epoch_steps: int


@dataclasses.dataclass(frozen=True)
class Source:
    """A dataset, its tokens, and what they imply."""

    dataset: Dataset
    tokens: Dataset
    special: SpecialTokens
    sizes: TableSizes


def open_source(dataset: Dataset, tokens: Dataset) -> Source:
    """DataError where the dataset has no entities or relations, or the tokenizer lacks a special token."""
    tokenizer = load_tokenizer(tokens)
    words = max(tokenizer.get_vocab().values()) + 1  # there may be ids that no token has
    sizes = TableSizes(words, dataset.rows("entities"), dataset.rows("relations"))
    for name, rows in (("entities", sizes.entities), ("relations", sizes.relations)):
        if not rows:
            raise DataError(f"{dataset.folder} has no {name}, which training needs. Build it with a larger --keep.")
    return Source(dataset, tokens, special_tokens(tokenizer), sizes)


def build_model(config: Config, source: Source) -> nn.Module:
    """The model, initialised; the caller sets torch's seed."""
    if config.system == "kepler":
        return Kepler(config, source.sizes.words, source.sizes.relations)
    model = Colake(config, source.sizes)
    entities, relations = (
        source.tokens.read(name, None, ["name_ids"])["name_ids"] for name in ("entities", "relations")
    )
    model.initialise_from_names(ragged(entities), ragged(relations))
    return model


def build_system(config: Config, source: Source) -> System:
    """The model and its batches; DataError where the dataset lacks what the system learns from."""
    feeds = _colake_feeds(config, source) if config.system == "colake" else _kepler_feeds(config, source)
    train, valid, notes, epoch_steps = feeds
    return System(build_model(config, source), train, valid, notes, epoch_steps)


Feeds = tuple[Callable[[int], list[Any]], list[Any], list[str], int]


def _colake_feeds(config: Config, source: Source) -> Feeds:
    parts = _parts(
        config, source, "wk_graphs", source.tokens.rows("wk_graphs", "train"), source.tokens.rows("wk_graphs", "valid")
    )
    counts = source.dataset.read("entities", None, ["graph_count"])["graph_count"].to_numpy()
    negatives = alias_table(counts.astype(np.float64) ** 0.75)

    def feed(stream: str, split: str) -> GraphFeed:
        reader = RowReader(source.tokens, "wk_graphs", split, COLUMNS)
        units = min(config.colake.max_nodes, config.encoder.max_positions) - 2
        return GraphFeed(
            reader, config.colake, source.special, source.sizes, negatives, config.seed, f"wk_graphs/{stream}", units
        )

    stream = _stream(config, source, "wk_graphs", parts.train, config.train.batch_size)
    train_feed, valid_feed = feed("train", parts.train.split), feed("valid", parts.valid.split)

    def train(step: int) -> list[Any]:
        epoch, rows = stream.batch(step)
        pieces = np.split(rows, _micro_batches(config))
        return [train_feed.batch(piece, epoch, step, index) for index, piece in enumerate(pieces)]

    size = config.train.micro_batch or config.train.batch_size
    fixed = _fixed_batches(config, source, "wk_graphs", parts.valid, size)
    valid = [valid_feed.batch(rows, epoch, step) for step, (epoch, rows) in enumerate(fixed)]
    return train, valid, _notes(parts), stream.plan.steps_per_epoch


def _kepler_feeds(config: Config, source: Source) -> Feeds:
    triples = {split: _triples(source.dataset, split) for split in ("train", "valid")}
    known = known_facts(triples["train"], source.sizes.entities, source.sizes.relations)
    facts = _parts(config, source, "triples", len(triples["train"]), len(triples["valid"]))
    readers, key, notes = _text_readers(source)
    blocks = {split: _blocks(config, source, reader, key) for split, reader in readers.items()}
    text = _parts(config, source, "text", blocks["train"].rows, blocks["valid"].rows)
    described = entity_descriptions(config, source)

    def feed(stream: str, fact_split: str, text_split: str) -> TripleFeed:
        return TripleFeed(
            triples[fact_split], described, known, blocks[text_split], config.kepler, config.seed, f"triples/{stream}"
        )

    train_feed = feed("train", facts.train.split, text.train.split)
    valid_feed = feed("valid", facts.valid.split, text.valid.split)
    fact_stream = _stream(config, source, "triples", facts.train, config.train.batch_size)
    text_stream = _stream(config, source, "text", text.train, config.kepler.blocks)

    def train(step: int) -> list[Any]:
        (epoch, rows), (text_epoch, places) = fact_stream.batch(step), text_stream.batch(step)
        pieces = np.split(rows, _micro_batches(config))
        shares = np.array_split(places, len(pieces))
        return [train_feed.batch(piece, epoch, share, text_epoch) for piece, share in zip(pieces, shares, strict=True)]

    count = len(_micro_batches(config)) + 1
    fixed_facts = _fixed_batches(config, source, "triples", facts.valid, config.train.batch_size // count)
    fixed_text = _fixed_batches(config, source, "text", text.valid, max(1, config.kepler.blocks // count))
    valid = [
        valid_feed.batch(rows, epoch, places, text_epoch)
        for (epoch, rows), (text_epoch, places) in zip(fixed_facts, fixed_text, strict=True)
    ]
    return train, valid, notes + _notes(facts) + _notes(text), fact_stream.plan.steps_per_epoch


def entity_descriptions(config: Config, source: Source) -> Descriptions:
    """Every entity's text, cut as the recipe says."""
    table = source.tokens.read("entities", None, ["ids", "name_ids"])
    return descriptions(
        ragged(table["ids"]),
        ragged(table["name_ids"]),
        source.special,
        max_length=min(config.kepler.max_length, config.encoder.max_positions),
        encode_tokens=config.kepler.encode_tokens,
    )


def _triples(dataset: Dataset, split: str) -> Int64[np.ndarray, "T 3"]:
    columns = ["head_index", "relation_index", "tail_index"]
    table = dataset.read("triples", split, columns)
    return np.stack([table[column].to_numpy().astype(np.int64) for column in columns], axis=-1)


def _text_readers(source: Source) -> tuple[dict[str, RowReader], str, list[str]]:
    """Pages by split; a dataset without pages (a benchmark's graph) has its descriptions instead."""
    if source.tokens.rows("pages", "train"):
        return {s: RowReader(source.tokens, "pages", s, ["page_id", "ids"]) for s in ("train", "valid")}, "page_id", []
    reader = RowReader(source.tokens, "entities", None, ["entity_index", "ids"])
    note = f"{source.dataset.folder} has no pages: masked language modelling reads the entities' descriptions"
    nothing = RowReader(source.tokens, "pages", "valid", ["page_id", "ids"])
    return {"train": reader, "valid": nothing}, "entity_index", [note]


def _blocks(config: Config, source: Source, reader: RowReader, key: str) -> TextBlocks:
    length = min(config.kepler.block_length, config.encoder.max_positions)
    return TextBlocks(reader, key, length, source.special, source.sizes.words)


def _micro_batches(config: Config) -> list[int]:
    """Where a batch is cut into micro-batches."""
    size = config.train.micro_batch or config.train.batch_size
    return list(range(size, config.train.batch_size, size))


def _parts(config: Config, source: Source, name: str, train: int, valid: int) -> Parts:
    if not train:
        raise DataError(
            f"{source.dataset.folder} has no {name} in its train split, which {config.system} learns from. "
            "See wikiloom describe for what it holds."
        )
    least, digest = config.train.valid_rows, source.dataset.digest
    return train_and_valid(name, train, valid, least=least, seed=config.seed, digest=digest)


def _notes(parts: Parts) -> list[str]:
    return [parts.note] if parts.note else []


def _stream(config: Config, source: Source, name: str, rows: Rows, batch_size: int) -> Stream:
    data = config.data
    plan = Plan(name, source.dataset.digest, config.seed, rows.count, batch_size, data.lanes, data.window)
    return Stream(plan, rows)


def _fixed_batches(
    config: Config, source: Source, name: str, rows: Rows, batch_size: int
) -> list[tuple[int, Int64[np.ndarray, " N"]]]:
    """`valid_batches` batches; where the rows are fewer, they come again with other masks."""
    size = min(batch_size, rows.count)
    plan = Plan(f"{name}/valid", source.dataset.digest, config.seed, rows.count, size, 1, rows.count)
    return [Stream(plan, rows).batch(step) for step in range(config.train.valid_batches)]
