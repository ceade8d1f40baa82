"""Rows to show, chosen by hash: the same for the same dataset, and nobody's choice."""

from collections import Counter
from collections.abc import Sequence

import numpy as np

from pipelines.report.summary import SAMPLED_GROUPS
from pipelines.scan import groups, read_group, scan
from schemas.dataset import Dataset
from schemas.hashing import random_u64


def sample_rows(dataset: Dataset, name: str, count: int, columns: Sequence[str] | None = None) -> list[dict]:
    """`count` rows of a table (all of a smaller one) in their order, chosen by hash; reads their row groups only."""
    rows = dataset.rows(name)
    if not rows:
        return []
    if rows <= 10_000:
        chosen = np.argsort(random_u64(0, f"report/{name}", np.arange(rows)), kind="stable")[:count].tolist()
    else:
        draws = random_u64(0, f"report/{name}", np.arange(2 * count)) % np.uint64(rows)
        chosen = list(dict.fromkeys(draws.tolist()))[:count]
    found, seen = [], 0
    for path, group, size in groups(dataset, name):
        own = [place - seen for place in sorted(chosen) if seen <= place < seen + size]
        seen += size
        if own:
            found += read_group(path, group, columns).take(own).to_pylist()
    return found


def good_graphs(dataset: Dataset, count: int) -> list[dict]:
    """Train graphs that are pleasant to look at: a sentence or two, some anchors, some facts.

    The table is in hash order, so the first that fit are a random sample of those that do.
    """
    found: list[dict] = []
    small: list[dict] = []
    for batch in scan(dataset, "wk_graphs", None, split="train", limit=SAMPLED_GROUPS):
        for row in batch.to_pylist():
            if _is_good(row):
                found.append(row)
            elif 0 < len(row["triples"]) <= 40 and len(row["text"]) <= 1_200:
                small.append(row)
        small = small[:count]
        if len(found) >= count:
            break
    # The one with the most facts is drawn first.
    return sorted([*found, *small][:count], key=lambda row: -len(row["triples"]))


def _is_good(row: dict) -> bool:
    """A sentence or two, no list; several anchors, two of them with facts, and those neither many nor all alike."""
    facts = Counter(triple["anchor"] for triple in row["triples"])
    relations = {triple["relation_index"] for triple in row["triples"]}
    return (
        80 <= len(row["text"]) <= 420
        and "\n" not in row["text"]
        and 3 <= len(row["mentions"]) <= 7
        and len(facts) >= 2
        and max(facts.values()) <= 8
        and facts.total() <= 18
        and len(relations) >= 3
    )
