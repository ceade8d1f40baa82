"""The nodes of a word-knowledge graph as CoLAKE reads them: their order, types and soft positions, and who sees whom.

Before a recipe's limits: it cuts long texts, leaves facts out of graphs with too many nodes and, in training, drops
neighbours. Written out one node at a time; training/data/collate.py does it for whole batches, and a test compares.
"""

import dataclasses
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

WORD, ANCHOR, TAIL, RELATION = "word", "entity, anchor", "entity, tail", "relation"


@dataclasses.dataclass(frozen=True)
class Node:
    """One node; `id` is a token id, an entity_index or a relation_index."""

    kind: str
    id: int
    position: int
    sees: frozenset[int]
    """Numbers of nodes, its own among them."""


def graph_nodes(row: Mapping[str, Any], bos: int, eos: int) -> list[Node]:
    """The nodes of one row of tokens/NAME/wk_graphs: words with <s> and </s>, anchors, other tails, relations.

    A word or anchor has the position of its unit, a relation the one after its anchor's, a tail the next. Words and
    anchors see each other, a relation sees its anchor and its tail, and they see it.
    """
    units = list(enumerate(row["units"], start=1))
    words = [(bos, 0), *((unit, place) for place, unit in units if unit >= 0), (eos, len(units) + 1)]
    place_of = {-1 - unit: place for place, unit in units if unit < 0}
    anchors = [(entity, place_of[number]) for number, entity in enumerate(row["anchors"])]
    facts = sorted(row["triples"], key=lambda fact: fact["anchor"])
    tails: dict[int, int] = {}
    for fact in facts:
        if fact["tail_index"] not in row["anchors"]:
            tails.setdefault(fact["tail_index"], place_of[fact["anchor"]] + 2)
    relations = [(fact["relation_index"], place_of[fact["anchor"]] + 1) for fact in facts]
    parts = ((WORD, words), (ANCHOR, anchors), (TAIL, tails.items()), (RELATION, relations))
    nodes = [(kind, *node) for kind, some in parts for node in some]
    sees = _sees(len(nodes), len(words), list(row["anchors"]), list(tails), facts)
    return [Node(*node, frozenset(seen)) for node, seen in zip(nodes, sees, strict=True)]


def _sees(
    count: int, words: int, anchors: Sequence[int], tails: Sequence[int], facts: Sequence[Mapping[str, int]]
) -> list[set[int]]:
    inline = words + len(anchors)
    sees = [set(range(inline)) if number < inline else {number} for number in range(count)]
    node_of = {entity: words + place for place, entity in enumerate([*anchors, *tails])}
    for relation, fact in enumerate(facts, start=inline + len(tails)):
        for end in (words + fact["anchor"], node_of[fact["tail_index"]]):
            sees[relation].add(end)
            sees[end].add(relation)
    return sees


def ranges(numbers: Iterable[int]) -> str:
    """The numbers in order, neighbours together: "0-7, 9"."""
    return ", ".join(f"{first}-{last}" if first < last else f"{first}" for first, last in _runs(sorted(numbers)))


def _runs(numbers: Sequence[int]) -> Iterator[tuple[int, int]]:
    for _, run in itertools.groupby(enumerate(numbers), key=lambda pair: pair[1] - pair[0]):
        same = [number for _, number in run]
        yield same[0], same[-1]
