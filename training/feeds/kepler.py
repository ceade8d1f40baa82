"""KEPLER's batches: triples with negatives, and blocks of text beside them."""

from typing import Any

import pyarrow as pa

from training.config import Config
from training.data.batch import ragged
from training.data.groups import MemoryGroups
from training.data.loader import Parts
from training.data.negatives import known_facts
from training.data.setting import as_array, known_entities
from training.data.text import TextFeed
from training.data.triples import Descriptions, KeplerBatch, TripleFeed, descriptions
from training.feeds import Feeds, sides_of, triple_rows
from training.feeds.texts import text_blocks, text_feeds
from training.sources import Source, graphs_of

DESCRIBED = ("ids", "name_ids")
"""What a description is made from: an entity's text, else its name."""


def kepler_feeds(config: Config, source: Source) -> Feeds:
    """The batches of KEPLER and of its variants."""
    streams, graphs, sizes = {}, {}, (config.train.batch_size, config.kepler.second_batch)
    for name, graph in zip(("triples", "triples2"), graphs_of(config, source), strict=False):
        facts = {split: triple_rows(graph.dataset, split, config.data.split) for split in ("train", "valid")}
        streams[name] = sides_of(config, graph, name, facts)
        graphs[name] = _triple_feeds(config, graph, name, facts["train"])
    batch = dict(zip(streams, sizes, strict=False))
    text: dict[str, TextFeed] = {}
    if config.kepler.blocks:
        streams["text"], batch["text"] = text_blocks(config, source, config.kepler.block_length), config.kepler.blocks
        text = text_feeds(config, source, config.kepler.mask_share, "triples/{}/mlm")

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
