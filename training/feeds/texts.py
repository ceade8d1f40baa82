"""What masked language modelling reads, alone or beside KEPLER's facts."""

import dataclasses
from collections.abc import Sequence
from typing import Any

from training.config import Config
from training.data.groups import MemoryGroups, ParquetGroups, RowGroups, SomeRows
from training.data.loader import Parts
from training.data.setting import as_array, known_entities, read_triples
from training.data.splits import Sides
from training.data.text import MlmFeed, Passages, TextBlocks, TextFeed, corpora
from training.feeds import Feeds, sides_of
from training.sources import Source, graphs_of


def text_feeds(config: Config, source: Source, share: float, name: str) -> dict[str, TextFeed]:
    """What masks `share` of the blocks' tokens; `name` is the stream's, with a place for the split."""
    return {
        split: TextFeed(source.special, source.sizes.words, share, config.seed, name.format(split))
        for split in ("train", "valid")
    }


def mlm_feeds(config: Config, source: Source) -> Feeds:
    """The batches of masked language modelling alone."""
    texts = text_feeds(config, source, config.mlm.mask_share, "text/{}")
    feeds = {split: MlmFeed(text, config.mlm.encode_tokens) for split, text in texts.items()}

    def build(split: str, step: int, pieces: list[Parts]) -> list[Any]:
        return [feeds[split].batch(rows["text"]) for rows in pieces]

    return {"text": text_blocks(config, source, config.mlm.block_length)}, build, {"text": config.train.batch_size}


def text_blocks(config: Config, source: Source, length: int) -> Sides:
    """Blocks of the text that masked language modelling reads."""
    texts, key, note = _texts(config, source)
    length = min(length, config.encoder.max_positions)
    blocks = {split: TextBlocks(groups, key, length) for split, groups in texts.items()}
    sides = sides_of(config, source, "text", blocks)
    return dataclasses.replace(sides, note=" ".join(filter(None, (note, sides.note))) or None)


def _texts(config: Config, source: Source) -> tuple[dict[str, RowGroups], str, str | None]:
    """(what masked language modelling reads by split, its column of ids, a note)."""
    if config.system == "mlm-only" and config.mlm.corpus == "passages":
        graphs = {s: ParquetGroups(source.tokens, "wk_graphs", s, Passages.columns) for s in ("train", "valid")}
        return {split: Passages(groups) for split, groups in graphs.items()}, "graph_id", None
    graphs = graphs_of(config, source)
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
