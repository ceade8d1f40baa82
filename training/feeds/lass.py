"""LASS's batches: facts as texts, true ones and false ones."""

from typing import Any

import numpy as np

from training.config import Config
from training.data.batch import Ragged
from training.data.false_facts import FactFeed
from training.data.links import FactTexts
from training.data.loader import Parts
from training.data.negatives import known_facts
from training.data.sequences import Layout, filled
from training.data.setting import as_array, known_entities
from training.feeds import Feeds, sides_of, triple_rows
from training.feeds.lmke import read_texts
from training.sources import Source


def lass_feeds(config: Config, source: Source) -> Feeds:
    """The batches of LASS."""
    facts = {split: triple_rows(source.dataset, split, config.data.split) for split in ("train", "valid")}
    triples = as_array(facts["train"].rows)
    drawn_from = known_entities(triples) if config.data.split == "inductive" else None
    known = known_facts(triples, source.sizes.entities, source.sizes.relations, drawn_from)
    texts = lass_texts(config, source)
    own, every_part = config.lass, config.lass.corrupted == "all"
    feeds = {
        split: FactFeed(texts, known, config.seed, f"triples/{split}", own.negatives, every_part) for split in facts
    }

    def build(split: str, step: int, pieces: list[Parts]) -> list[Any]:
        return [feeds[split].batch(rows["triples"]) for rows in pieces]

    return {"triples": sides_of(config, source, "triples", facts)}, build, {"triples": config.train.batch_size}


def lass_texts(config: Config, source: Source) -> FactTexts:
    """What facts are made of: descriptions or names; one <unk> for what has neither."""
    own = config.lass
    length = min(own.max_length, config.encoder.max_positions)

    def known(texts: Ragged) -> Ragged:
        count = len(texts.lengths)
        return filled(texts, Ragged(np.full(count, source.special.unk), np.arange(count + 1)), length)

    entities, relations = map(known, read_texts(source, own.texts))
    layout = Layout(source.special, length, separated=own.separators)
    return FactTexts(entities, relations, layout, None, own.encode_tokens)
