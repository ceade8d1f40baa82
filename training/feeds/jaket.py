"""JAKET's batches: windows of pages with their links, and walks over the train triples."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
from jaxtyping import Bool, Int64

from schemas.dataset import Dataset
from schemas.errors import DataError
from training.config import Config
from training.data.categories import INSTANCE_OF, NONE, Categories, read_categories
from training.data.described import Described, described, described_relations
from training.data.groups import MemoryGroups, ParquetGroups, RowGroups, SomeRows
from training.data.jaket import JaketFeed, asked_rows, root_rows
from training.data.linked_text import COLUMNS, DescribedWindows, LinkedFeed, LinkedWindows
from training.data.loader import Parts
from training.data.neighbours import Neighbours, neighbours_of
from training.data.setting import as_array, known_entities, read_triples
from training.data.splits import Sides
from training.feeds import Feeds, sides_of
from training.feeds.texts import text_feeds
from training.sources import Source

SELF, REPEAT = 1, 2
DESCRIBED = ["ids", "name_ids", "mention_start", "mention_end"]


def jaket_feeds(config: Config, source: Source) -> Feeds:
    """The batches of JAKET."""
    own, weights = config.jaket, config.jaket.weights
    kept, streams, sizes = linked_entities(config, source.dataset), {}, {}
    if "word" in weights or "entity" in weights:
        streams["text"], sizes["text"] = _windows(config, source, kept), config.train.batch_size
    if "category" in weights or "relation" in weights:
        streams["roots"] = _roots(config, source, kept)
        sizes["roots"] = own.roots
    feeds = {split: _feed(config, source, kept, split) for split in ("train", "valid")}

    def build(split: str, step: int, pieces: list[Parts]) -> list[Any]:
        return [feeds[split].batch(rows.get("text"), rows.get("roots"), step) for rows in pieces]

    return streams, build, sizes


def _feed(config: Config, source: Source, kept: Bool[np.ndarray, " E"], split: str) -> JaketFeed:
    own = config.jaket
    text = text_feeds(config, source, own.mask_share if own.word_weight else 0.0, "text/{}")[split]
    asked = own.entity_share if "entity" in own.weights else 0.0
    return JaketFeed(
        text=LinkedFeed(text, asked, own.surface_share, config.seed, f"text/{split}"),
        graph=open_graph(config, source.dataset, kept),
        categories=categories_of(config, source.dataset).of(split),
        drawable=np.flatnonzero(kept),
        described=entity_texts(config, source) if own.knowledge == "none" else None,
        relations=source.sizes.relations,
        config=own,
        seed=config.seed,
        stream=f"roots/{split}",
    )


def linked_entities(config: Config, dataset: Dataset) -> Bool[np.ndarray, " E"]:
    """Which entities take part: those with enough triples, or enough links (jaket.least_neighbours, least_mentions); in
    the inductive setting none that its train lacks. DataError for a dataset without that setting."""
    rows = dataset.read("entities", columns=["in_degree", "out_degree", "mention_count"])
    degree, links = rows["in_degree"].to_numpy() + rows["out_degree"].to_numpy(), rows["mention_count"].to_numpy()
    kept = np.asarray((degree >= config.jaket.least_neighbours) | (links >= config.jaket.least_mentions))
    if config.data.split == "inductive":
        train = as_array(read_triples(dataset, "train", "inductive"))
        if not len(train):
            raise DataError(f"{dataset.folder} has no inductive split. Make it with one, or leave data.split out.")
        kept &= np.isin(np.arange(len(kept)), known_entities(train))
    return kept


def categories_of(config: Config, dataset: Dataset) -> Categories:
    """The classes of the dataset's entities, and who is held out."""
    return read_categories(dataset, config.jaket.least_members, config.jaket.held_out)


def open_graph(config: Config, dataset: Dataset, kept: Bool[np.ndarray, " E"]) -> Neighbours:
    """The train triples that take part, as edges."""
    sizes = dataset.rows("entities"), dataset.rows("relations")
    return neighbours_of(_facts(config, dataset, kept, "train"), *sizes, inverse=config.jaket.inverse)


def _facts(config: Config, dataset: Dataset, kept: Bool[np.ndarray, " E"], split: str) -> Int64[np.ndarray, "T 3"]:
    """The split's triples between entities that take part, without those that say an entity's category."""
    triples = as_array(read_triples(dataset, split, config.data.split))
    fine = kept[triples[:, 0]] & kept[triples[:, 2]]
    if not config.jaket.instance_of:
        names = dataset.read("relations", columns=["relation"])["relation"].to_numpy()
        fine &= names[triples[:, 1]] != INSTANCE_OF
    return triples[fine]


def entity_texts(config: Config, source: Source) -> Described:
    """Every entity's description, with its first mention of itself."""
    rows = source.tokens.read("entities", None, DESCRIBED)
    return described(rows, source.special, **_lengths(config), names=config.jaket.names)


def relation_texts(config: Config, source: Source) -> Described:
    """Every relation's text."""
    rows = source.tokens.read("relations", None, ["ids", "name_ids"])
    return described_relations(rows, source.special, **_lengths(config))


def _lengths(config: Config) -> dict[str, int]:
    longest = min(config.jaket.description_length, config.encoder.max_positions)
    return {"max_length": longest, "encode_tokens": config.jaket.encode_tokens}


def _windows(config: Config, source: Source, kept: Bool[np.ndarray, " E"]) -> Sides:
    own, sources = config.jaket, (0, SELF, REPEAT) if config.jaket.repeats else (0, SELF)
    length, note = min(own.block_length, config.encoder.max_positions), None
    pages: Mapping[str, RowGroups] = {
        split: ParquetGroups(source.tokens, "pages", split, COLUMNS) for split in ("train", "valid")
    }
    if not len(pages["train"].sizes):
        note = f"{source.dataset.folder} has no pages: jaket reads the entities' descriptions as its text."
        columns = ["entity_index", "ids", "mention_start", "mention_end"]
        rows: RowGroups = ParquetGroups(source.tokens, "entities", None, columns)
        if config.data.split == "inductive":
            rows = SomeRows(rows, np.flatnonzero(kept))
        texts = DescribedWindows(rows)
        pages = {"train": texts, "valid": MemoryGroups(texts.schema.empty_table(), "no valid texts")}
    windows = {split: LinkedWindows(groups, length, kept, sources, own.least_links) for split, groups in pages.items()}
    sides = sides_of(config, source, "text", windows)
    return Sides(sides.train, sides.valid, " ".join(filter(None, (note, sides.note))) or None)


def _roots(config: Config, source: Source, kept: Bool[np.ndarray, " E"]) -> Sides:
    """Train: walks from every entity that has an edge or a class; valid: the held-out classes, and valid triples."""
    classes, graph = categories_of(config, source.dataset), open_graph(config, source.dataset, kept)
    train = np.flatnonzero(((graph.degrees > 0) | (classes.of("train") != NONE)) & kept)
    labelled = np.flatnonzero((classes.of("valid") != NONE) & kept)
    triples = _facts(config, source.dataset, kept, "valid")
    if not len(train):
        raise DataError(f"{source.dataset.folder} has no triple and no category to walk from. Set jaket.roots = 0.")
    # With nothing held out, an entity of train: its class is not asked for.
    asked = asked_rows(labelled if len(labelled) or len(triples) else train[:1], triples)
    sides = [_rows(root_rows(train), "roots"), _rows(asked, "held-out roots")]
    count = int((classes.labels != NONE).sum())
    note = (
        f"{count:,} entities of {len(classes.names):,} categories with at least {config.jaket.least_members} members; "
        f"{len(labelled):,} are for validation, and {int((classes.of('test') != NONE).sum()):,} for the test"
    )
    return Sides(*sides, note if config.jaket.category_weight else None)


def _rows(columns: dict[str, Int64[np.ndarray, " N"]], label: str) -> MemoryGroups:
    return MemoryGroups(pa.table(columns).combine_chunks(), label)
