"""The knowledge graph as lists of out-edges: neighbours, random walks, and the blocks that a graph network reads.

Nothing here loops over nodes, and all that is drawn comes from words that the caller makes of counter-based hashes.
E entities, R relations, T triples, N nodes, M edges, L layers.
"""

import dataclasses
from collections.abc import Callable

import numpy as np
from jaxtyping import Int64, Integer, UInt64

Draw = Callable[[Int64[np.ndarray, " N"], int], UInt64[np.ndarray, " N"]]
"""(entities, layer) -> a random word for each."""


@dataclasses.dataclass(frozen=True)
class Sampled:
    """Some edges of some nodes."""

    which: Int64[np.ndarray, " M"]
    """Which of the nodes each edge leaves, ascending."""
    edges: Int64[np.ndarray, " M"]
    """Its number in the graph's lists."""


@dataclasses.dataclass(frozen=True)
class Blocks:
    """What L layers read for some entities: layer l makes the vectors of the first `sizes[l]` nodes out of those of all
    the nodes that the layer before has made (the first one: of all)."""

    nodes: Int64[np.ndarray, " N"]
    """Distinct entities; those that are asked for come first, in the order in which they were given."""
    sizes: tuple[int, ...]
    edges: tuple[Int64[np.ndarray, "_ 3"], ...]
    """Of each layer: columns node that is made, neighbour that it reads (both as places in `nodes`), relation."""


@dataclasses.dataclass(frozen=True)
class Neighbours:
    """Edges by the entity that they leave; relation r of a triple walked backwards is R + r."""

    starts: Int64[np.ndarray, " E1"]
    """Where each entity's edges begin, and where the last one's end."""
    relations: Int64[np.ndarray, " M"]
    others: Int64[np.ndarray, " M"]
    triples: Int64[np.ndarray, " M"]
    """Which triple each edge is."""

    @property
    def degrees(self) -> Int64[np.ndarray, " E"]:
        """Edges of each entity."""
        return np.diff(self.starts)

    def sample(
        self,
        nodes: Int64[np.ndarray, " N"],
        limit: int,
        words: UInt64[np.ndarray, " N"],
        hidden: Int64[np.ndarray, " H"] | None = None,
    ) -> Sampled:
        """At most `limit` edges of each node, all of them where it has no more; those of `hidden` triples (ascending)
        are then left out.

        Sampling is systematic (Madow, 1949): one word a node, each of d edges comes with the chance limit / d, and as
        the edges lie in order of their relations, so do those that are drawn.
        """
        degrees = self.starts[nodes + 1] - self.starts[nodes]
        counts = np.minimum(degrees, limit)
        which = np.repeat(np.arange(len(nodes)), counts)
        number = np.arange(len(which)) - np.repeat(np.cumsum(counts) - counts, counts)
        first = (words % np.maximum(degrees, 1).astype(np.uint64)).astype(np.int64)
        places = (number * degrees[which] + first[which]) // counts[which]
        edges = self.starts[nodes[which]] + places
        if hidden is not None and len(hidden):
            triples = self.triples[edges]
            shown = hidden[np.minimum(np.searchsorted(hidden, triples), len(hidden) - 1)] != triples
            which, edges = which[shown], edges[shown]
        return Sampled(which, edges)

    def walk(self, roots: Int64[np.ndarray, " N"], words: UInt64[np.ndarray, "N L"]) -> Int64[np.ndarray, "N L"]:
        """The edges of one random walk from each root, a step for each of its words; -1 from where it can't go on."""
        edges, here = np.full(words.shape, -1, dtype=np.int64), roots.copy()
        for step in range(words.shape[1]):
            going = np.flatnonzero(here >= 0)
            degrees = self.starts[here[going] + 1] - self.starts[here[going]]
            going, degrees = going[degrees > 0], degrees[degrees > 0]
            chosen = self.starts[here[going]] + (words[going, step] % degrees.astype(np.uint64)).astype(np.int64)
            edges[going, step] = chosen
            here = np.full_like(here, -1)
            here[going] = self.others[chosen]
        return edges

    def blocks(
        self, targets: Int64[np.ndarray, " N"], layers: int, limit: int, draw: Draw, hidden: Int64[np.ndarray, " H"]
    ) -> Blocks:
        """What a network of so many layers reads for these distinct entities: at most `limit` sampled edges of each
        node in each layer, none of `hidden` triples."""
        nodes, sizes, edges = targets, [], []
        for layer in reversed(range(layers)):
            sampled = self.sample(nodes, limit, draw(nodes, layer), hidden)
            others = self.others[sampled.edges]
            sizes.append(len(nodes))
            nodes = np.concatenate([nodes, np.setdiff1d(others, nodes)])
            edges.append(np.stack([sampled.which, _places(nodes, others), self.relations[sampled.edges]], axis=-1))
        return Blocks(nodes, tuple(reversed(sizes)), tuple(reversed(edges)))


def neighbours_of(
    triples: Int64[np.ndarray, "T 3"], entities: int, relations: int, *, inverse: bool = False
) -> Neighbours:
    """The lists of these (head, relation, tail) rows; with `inverse`, each is an edge of its tail as well."""
    numbers = np.arange(len(triples))
    if inverse:
        back = triples[:, ::-1] + np.array([0, relations, 0])
        triples, numbers = np.concatenate([triples, back]), np.concatenate([numbers, numbers])
    order = np.lexsort((triples[:, 2], triples[:, 1], triples[:, 0]))
    heads, kinds, tails = triples[order].T
    starts = np.searchsorted(heads, np.arange(entities + 1))
    return Neighbours(starts, kinds.copy(), tails.copy(), numbers[order])


def _places(nodes: Int64[np.ndarray, " N"], wanted: Integer[np.ndarray, " M"]) -> Int64[np.ndarray, " M"]:
    """Where each of `wanted` is among distinct nodes."""
    order = np.argsort(nodes)
    return order[np.searchsorted(nodes, wanted, sorter=order)] if len(wanted) else np.empty(0, dtype=np.int64)
