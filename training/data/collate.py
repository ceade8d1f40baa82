"""Word-knowledge graphs from flat columns, without Python per sample (CoLAKE, section 3.1).

Nodes of a graph stand in the order words | anchors | other tails | relations; <s> and </s> are words. Words and anchors
see each other fully; an anchor is joined to its relation nodes, a relation node to its tail. B graphs, N nodes,
U units, A anchors, T triples, M edges, each of all graphs together.
"""

import dataclasses

import numpy as np
from jaxtyping import Bool, Int64, UInt64

from training.data.batch import Columns, Ragged, offsets

WORD, ENTITY, RELATION = 0, 1, 2
"""Node types, which are also the encoder's token types."""

COLUMNS = ["graph_id", "units", "anchors", "triples"]


@dataclasses.dataclass(frozen=True)
class RawGraphs:
    """Rows of tokens/NAME/wk_graphs as flat columns."""

    graph_ids: Int64[np.ndarray, " B"]
    units: Ragged
    """Token ids in text order, or -1 - k where anchor k stands."""
    anchors: Ragged
    """entity_index."""
    anchor_of: Ragged
    """Of each triple: which anchor is its head."""
    relations: Ragged
    tails: Ragged

    def keep_triples(self, keep: Bool[np.ndarray, " T"]) -> "RawGraphs":
        """The graphs with only these triples."""
        lengths = np.bincount(self.tails.rows[keep], minlength=len(self.graph_ids))
        kept = {
            name: Ragged(getattr(self, name).values[keep], offsets(lengths))
            for name in ("anchor_of", "relations", "tails")
        }
        return dataclasses.replace(self, **kept)


@dataclasses.dataclass(frozen=True)
class Graphs:
    """The nodes and edges of a batch, before padding."""

    ids: Int64[np.ndarray, " N"]
    """Index in the node's own table: token id, entity_index or relation_index."""
    types: Int64[np.ndarray, " N"]
    positions: Int64[np.ndarray, " N"]
    """Soft positions, from 0 for <s>."""
    graph: Int64[np.ndarray, " N"]
    local: Int64[np.ndarray, " N"]
    """Place of the node in its graph."""
    is_anchor: Bool[np.ndarray, " N"]
    cu_seqlens: Int64[np.ndarray, " B1"]
    inline: Int64[np.ndarray, " B"]
    """Words and anchors of each graph: its first nodes, which form a clique."""
    edges: Int64[np.ndarray, "M 3"]
    """(graph, node, node), one direction; nodes by their place in the graph."""
    unit_nodes: Int64[np.ndarray, " U"]
    """Place of each unit's node, -1 where the text was cut before it."""
    triple_nodes: Int64[np.ndarray, " T"]
    """Place of each triple's relation node, -1 where it was left out."""
    tail_nodes: Int64[np.ndarray, " T"]
    """Place of its tail's node, likewise."""


def raw_graphs(rows: Columns) -> RawGraphs:
    """Rows of tokens/NAME/wk_graphs."""
    triples = rows.lists["triples"]
    return RawGraphs(
        graph_ids=rows.numbers["graph_id"].astype(np.int64),
        units=rows.lists["units"],
        anchors=rows.lists["anchors"],
        anchor_of=triples.field("anchor"),
        relations=triples.field("relation_index"),
        tails=triples.field("tail_index"),
    )


def build_graphs(
    raw: RawGraphs, *, bos: int, eos: int, max_units: int, max_nodes: int, priority: UInt64[np.ndarray, " T"]
) -> Graphs:
    """Lay the nodes out.

    A text longer than `max_units` is cut there; where a graph would exceed `max_nodes`, triples with the largest
    `priority` are left out.
    """
    inline = _inline(raw, max_units)
    joined = _joined(raw, inline, max_nodes, priority)
    sizes = inline.words + inline.anchors + joined.new_tails + joined.triples
    cu_seqlens = offsets(sizes)
    graphs = Graphs(
        ids=np.empty(cu_seqlens[-1], dtype=np.int64),
        types=np.empty(cu_seqlens[-1], dtype=np.int64),
        positions=np.empty(cu_seqlens[-1], dtype=np.int64),
        graph=np.repeat(np.arange(len(sizes)), sizes),
        local=np.arange(cu_seqlens[-1]) - np.repeat(cu_seqlens[:-1], sizes),
        is_anchor=np.zeros(cu_seqlens[-1], dtype=bool),
        cu_seqlens=cu_seqlens,
        inline=inline.words + inline.anchors,
        edges=np.concatenate([joined.head_edges, joined.tail_edges]),
        unit_nodes=inline.unit_nodes,
        triple_nodes=joined.relation_nodes,
        tail_nodes=np.full_like(joined.relation_nodes, -1),
    )
    graphs.tail_nodes[joined.order] = joined.tail_nodes
    _write_inline(graphs, raw, inline, bos, eos)
    _write_joined(graphs, raw, inline, joined)
    return graphs


@dataclasses.dataclass(frozen=True)
class _Inline:
    """The text's own nodes: how many, and where."""

    words: Int64[np.ndarray, " B"]
    anchors: Int64[np.ndarray, " B"]
    unit_nodes: Int64[np.ndarray, " U"]
    anchor_positions: Int64[np.ndarray, " A"]
    """Soft position of each anchor, -1 where the text was cut before it."""


@dataclasses.dataclass(frozen=True)
class _Joined:
    """The knowledge nodes: how many, and where."""

    triples: Int64[np.ndarray, " B"]
    new_tails: Int64[np.ndarray, " B"]
    order: Int64[np.ndarray, " K"]
    """The triples that are kept, by graph and anchor."""
    relation_nodes: Int64[np.ndarray, " T"]
    tail_nodes: Int64[np.ndarray, " K"]
    is_new: Bool[np.ndarray, " K"]
    """Whether the triple is the first to bring its tail into the graph."""
    head_edges: Int64[np.ndarray, "K 3"]
    tail_edges: Int64[np.ndarray, "K 3"]


def _inline(raw: RawGraphs, max_units: int) -> _Inline:
    rows, within, batch = raw.units.rows, raw.units.within, len(raw.graph_ids)
    kept, is_anchor = within < max_units, raw.units.values < 0
    words = np.bincount(rows[kept & ~is_anchor], minlength=batch) + 2
    anchors = np.bincount(rows[kept & is_anchor], minlength=batch)
    number = -1 - raw.units.values.astype(np.int64)
    earlier_words = np.cumsum(~is_anchor) - ~is_anchor
    base = np.concatenate([earlier_words, [0]])[raw.units.cu_seqlens[:-1]] if batch else earlier_words
    nodes = np.where(is_anchor, words[rows] + number, 1 + earlier_words - base[rows])
    positions = np.full(len(raw.anchors.values), -1, dtype=np.int64)
    found = kept & is_anchor
    positions[raw.anchors.cu_seqlens[rows[found]] + number[found]] = within[found] + 1
    return _Inline(words, anchors, np.where(kept, nodes, -1), positions)


def _joined(raw: RawGraphs, inline: _Inline, max_nodes: int, priority: UInt64[np.ndarray, " T"]) -> _Joined:
    graph, batch = raw.tails.rows, len(raw.graph_ids)
    anchor = raw.anchors.cu_seqlens[graph] + raw.anchor_of.values
    order = np.flatnonzero(inline.anchor_positions[anchor] >= 0)
    order = order[np.lexsort((priority[order], graph[order]))]
    is_new, _ = _new_tails(raw, inline, order)
    used = _running(1 + is_new, graph[order], batch)
    order = order[(inline.words + inline.anchors)[graph[order]] + used <= max_nodes]
    order = order[np.lexsort((order, raw.anchor_of.values[order], graph[order]))]
    is_new, slot = _new_tails(raw, inline, order)
    triples, new_tails = (np.bincount(graph[order], weights=w, minlength=batch) for w in (None, is_new))
    triples, new_tails = triples.astype(np.int64), new_tails.astype(np.int64)
    first = inline.words + inline.anchors
    relation_nodes = np.full(len(graph), -1, dtype=np.int64)
    relation_nodes[order] = (first + new_tails - 1)[graph[order]] + _running(np.ones_like(order), graph[order], batch)
    tail_nodes = inline.words[graph[order]] + slot
    head_nodes = inline.words[graph[order]] + raw.anchor_of.values[order]
    links = (graph[order], relation_nodes[order])
    return _Joined(
        triples,
        new_tails,
        order,
        relation_nodes,
        tail_nodes,
        is_new.astype(bool),
        head_edges=np.stack([*links, head_nodes], axis=-1),
        tail_edges=np.stack([*links, tail_nodes], axis=-1),
    )


def _new_tails(
    raw: RawGraphs, inline: _Inline, order: Int64[np.ndarray, " K"]
) -> tuple[Int64[np.ndarray, " K"], Int64[np.ndarray, " K"]]:
    """Of each triple, in `order`: 1 where its tail is the first such node, and the tail's place among the entities."""
    present = inline.anchor_positions >= 0
    graph = np.concatenate([raw.anchors.rows[present], raw.tails.rows[order]])
    entity = np.concatenate([raw.anchors.values[present], raw.tails.values[order]]).astype(np.int64)
    stride = int(entity.max(initial=0)) + 1
    _, first, inverse = np.unique(graph * stride + entity, return_index=True, return_inverse=True)
    anchors = int(present.sum())
    is_first = np.zeros(len(graph), dtype=np.int64)
    is_first[first] = 1
    is_new = is_first[anchors:]
    slot = np.concatenate(
        [
            raw.anchors.within[present],
            inline.anchors[graph[anchors:]] + _running(is_new, graph[anchors:], len(raw.graph_ids)) - 1,
        ]
    )
    return is_new, slot[first][inverse][anchors:]


def _running(values: Int64[np.ndarray, " K"], rows: Int64[np.ndarray, " K"], count: int) -> Int64[np.ndarray, " K"]:
    """The cumulative sum within each row; rows ascend."""
    total = np.cumsum(values)
    starts = np.searchsorted(rows, np.arange(count))
    before = np.concatenate([[0], total])[starts]
    return total - before[rows]


def _write_inline(graphs: Graphs, raw: RawGraphs, inline: _Inline, bos: int, eos: int) -> None:
    starts = graphs.cu_seqlens[:-1]
    kept = inline.unit_nodes >= 0
    rows, values = raw.units.rows[kept], raw.units.values[kept].astype(np.int64)
    nodes, is_anchor = starts[rows] + inline.unit_nodes[kept], values < 0
    anchors = raw.anchors.cu_seqlens[rows[is_anchor]] - 1 - values[is_anchor]
    graphs.ids[nodes[~is_anchor]] = values[~is_anchor]
    graphs.ids[nodes[is_anchor]] = raw.anchors.values[anchors]
    graphs.types[nodes] = np.where(is_anchor, ENTITY, WORD)
    graphs.positions[nodes] = raw.units.within[kept] + 1
    graphs.is_anchor[nodes[is_anchor]] = True
    ends = starts + inline.words - 1
    for place, token, position in ((starts, bos, 0), (ends, eos, graphs.inline - 1)):
        graphs.ids[place], graphs.types[place], graphs.positions[place] = token, WORD, position


def _write_joined(graphs: Graphs, raw: RawGraphs, inline: _Inline, joined: _Joined) -> None:
    order = joined.order
    graph = raw.tails.rows[order]
    starts = graphs.cu_seqlens[:-1][graph]
    position = inline.anchor_positions[raw.anchors.cu_seqlens[graph] + raw.anchor_of.values[order]]
    relations = starts + joined.relation_nodes[order]
    graphs.ids[relations], graphs.types[relations] = raw.relations.values[order], RELATION
    graphs.positions[relations] = position + 1
    # A tail that is an anchor keeps its place; one that several triples share has the first one's.
    tails = (starts + joined.tail_nodes)[joined.is_new]
    graphs.ids[tails], graphs.types[tails] = raw.tails.values[order][joined.is_new], ENTITY
    graphs.positions[tails] = position[joined.is_new] + 2
