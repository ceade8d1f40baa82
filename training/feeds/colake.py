"""CoLAKE's batches: word-knowledge graphs."""

from typing import Any

import numpy as np

from training.config import Config
from training.data.collate import COLUMNS
from training.data.graphs import GraphFeed
from training.data.groups import ParquetGroups
from training.data.loader import Parts
from training.data.negatives import alias_table
from training.feeds import Feeds, sides_of
from training.sources import Source


def colake_feeds(config: Config, source: Source) -> Feeds:
    """The batches of CoLAKE."""
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

    return {"wk_graphs": sides_of(config, source, "wk_graphs", groups)}, build, {"wk_graphs": config.train.batch_size}
