"""LMKE's and C-LMKE's batches: facts, and queries, as sequences of texts and of tokens of their own."""

from typing import Any, Literal

from training.config import Config
from training.data.batch import Ragged, ragged
from training.data.false_facts import FactFeed
from training.data.links import FactTexts, LinkFeed
from training.data.loader import Parts
from training.data.negatives import known_facts
from training.data.sequences import Layout, filled, named
from training.data.setting import as_array, known_entities
from training.feeds import Feeds, all_triples, sides_of, triple_rows
from training.sources import Source


def lmke_feeds(config: Config, source: Source) -> Feeds:
    """The batches of either."""
    facts = {split: triple_rows(source.dataset, split, config.data.split) for split in ("train", "valid")}
    sides, texts = sides_of(config, source, "triples", facts), fact_texts(config, source)
    sizes = source.sizes.entities, source.sizes.relations
    feeds: dict[str, Any] = {}
    if config.system == "lmke":
        train, count = as_array(facts["train"].rows), config.lmke.negatives
        known = known_facts(train, *sizes, known_entities(train))
        feeds = {s: FactFeed(texts, known, config.seed, f"triples/{s}", count) for s in facts}
    else:
        # What is held out of train is no answer that the labels may tell.
        feeds = dict.fromkeys(facts, LinkFeed(texts, known_facts(all_triples(sides.train), *sizes), config.lmke))

    def build(split: str, step: int, pieces: list[Parts]) -> list[Any]:
        return [feeds[split].batch(rows["triples"]) for rows in pieces]

    return {"triples": sides}, build, {"triples": config.train.batch_size}


def fact_texts(config: Config, source: Source) -> FactTexts:
    """The texts of all entities and relations, cut as the recipe says."""
    own, longest = config.lmke, config.encoder.max_positions
    budgets = (own.entity_length, own.relation_length, own.entity_length)
    return FactTexts(
        *read_texts(source, own.texts),
        fact=Layout(source.special, longest, budgets, holders=True),
        entity=Layout(source.special, longest, (own.key_length,), holders=True),
        encode_tokens=own.encode_tokens,
    )


def read_texts(source: Source, kind: Literal["descriptions", "names", "both"]) -> tuple[Ragged, Ragged]:
    """(of every entity, of every relation): its tokens, of which there may be none."""
    # A relation's text begins with its name in the tokens, as many an entity's does in its source.
    read = {
        "descriptions": lambda described, names: filled(described, names),
        "names": lambda _, names: filled(names, names),
        "both": lambda described, names: named(described, names),
    }[kind]
    tables = (source.tokens.read(name, None, ["ids", "name_ids"]) for name in ("entities", "relations"))
    entities, relations = (read(ragged(rows["ids"]), ragged(rows["name_ids"])) for rows in tables)
    return entities, relations
