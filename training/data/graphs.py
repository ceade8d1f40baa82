"""Word-knowledge graphs for CoLAKE: reading them, and batches of them with everything that is drawn."""

import dataclasses
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float, Int32, Int64, Integer, UInt64
from torch import Tensor

from schemas.dataset import Dataset
from schemas.hashing import below, joined, random_u64, random_words
from training.config import ColakeConfig
from training.data.batch import Ragged, columns, offsets, ragged, tensor
from training.data.collate import COLUMNS, ENTITY, RELATION, WORD, Graphs, RawGraphs, build_graphs, raw_graphs
from training.data.masking import budget, choose, code_budget, corrupted, draw
from training.data.negatives import AliasTable
from training.data.special import SpecialTokens
from training.data.stream import Part

IGNORE = -1
"""Label of a node that is not predicted."""


@dataclasses.dataclass(frozen=True)
class Graph:
    """One word-knowledge graph as the dataset has it. U units, A anchors, T triples."""

    units: Int32[np.ndarray, " U"]
    """Token ids in text order, or -1 - k where anchor k stands."""
    anchors: Int32[np.ndarray, " A"]
    """entity_index of anchor k."""
    triples: Int32[np.ndarray, "T 3"]
    """Columns anchor, relation_index, tail_index."""
    surfaces: Sequence[Int32[np.ndarray, " _"]] = ()
    """Token ids of each anchor's own words, where the graph has them."""


@dataclasses.dataclass(frozen=True)
class TableSizes:
    """Rows of the three embedding tables, the mask symbols of entities and relations (their last row) left out."""

    words: int
    entities: int
    relations: int


@dataclasses.dataclass(frozen=True)
class GraphPiece:
    """Padded graphs of like size. B graphs, S nodes of the largest, M edges; labels are IGNORE or an id."""

    ids: Int64[Tensor, "B S"]
    types: Int64[Tensor, "B S"]
    positions: Int64[Tensor, "B S"]
    inline: Int64[Tensor, " B"]
    edges: Int64[Tensor, "M 3"]
    labels: Int64[Tensor, "B S"]
    nodes: list[Int64[Tensor, " _"]]
    """Where in the flattened piece its words, its entities and its relations are. A device that is asked for them has
    to be waited for, so they are looked up before."""
    order: Int64[Tensor, " N"]
    """Of each node of the flattened piece: its place in `nodes`, put end to end."""
    asked: list[Int64[Tensor, " _"]]
    """Where the words, entities and relations are that have a label."""


@dataclasses.dataclass(frozen=True)
class ColakeBatch:
    """A micro-batch, the smallest graphs first. C candidate entities."""

    pieces: list[GraphPiece]
    candidates: Int64[Tensor, " C"]
    """Entities that the labelled ones are told from: the gold ones, ascending, then the negatives."""
    gold: int
    """How many of them are gold."""
    log_chance: Float[Tensor, " C"] | None
    """Of each candidate to be one, 0 for the gold ones; None without colake.logq."""
    cut_units: int
    """Words and anchors left out for the limit of nodes: the ends of longer texts."""
    cut_facts: int
    """Triples left out for that limit, or with their anchor."""
    lengths: Int64[Tensor, " B"]
    """Nodes of each graph."""

    @property
    def counts(self) -> dict[str, int]:
        """Labels of each loss term."""
        kinds = (("word", WORD), ("entity", ENTITY), ("relation", RELATION))
        return {name: sum(len(piece.asked[kind]) for piece in self.pieces) for name, kind in kinds}

    @property
    def sizes(self) -> dict[str, int]:
        """Padded nodes, and what was left out for the limit of nodes."""
        padded = sum(piece.ids.numel() for piece in self.pieces)
        return {"padded_nodes": padded, "cut_units": self.cut_units, "cut_facts": self.cut_facts}


def read_graphs(tokens: Dataset, split: str) -> list[Graph]:
    """All graphs of a split, in sort order: for evaluation; training streams them."""
    raw = raw_graphs(columns(tokens.read("wk_graphs", split, COLUMNS)))
    triples = np.stack([raw.anchor_of.values, raw.relations.values, raw.tails.values], axis=-1).astype(np.int32)
    cuts = [column.cu_seqlens[1:-1] for column in (raw.units, raw.anchors, raw.tails)]
    pieces = zip(
        np.split(raw.units.values, cuts[0]),
        np.split(raw.anchors.values, cuts[1]),
        np.split(triples, cuts[2]),
        strict=True,
    )
    words = tokens.read("wk_graphs", split, ["spans", "mention_ids"])
    spans, ids = ragged(words["spans"]), ragged(words["mention_ids"]).values
    surfaces = np.split(ids, np.cumsum(spans.values["end"] - spans.values["start"])[:-1])
    first = spans.cu_seqlens
    return [
        Graph(units, anchors, facts, surfaces[first[row] : first[row + 1]])
        for row, (units, anchors, facts) in zip(range(len(raw.graph_ids)), pieces, strict=False)
    ]


def raw_from_graphs(graphs: Sequence[Graph]) -> RawGraphs:
    """The same graphs as flat columns, numbered from 0."""
    triples = np.concatenate([graph.triples for graph in graphs])
    lengths = offsets(np.array([len(graph.triples) for graph in graphs]))
    return RawGraphs(
        graph_ids=np.arange(len(graphs)),
        units=Ragged(np.concatenate([g.units for g in graphs]), offsets(np.array([len(g.units) for g in graphs]))),
        anchors=Ragged(
            np.concatenate([g.anchors for g in graphs]), offsets(np.array([len(g.anchors) for g in graphs]))
        ),
        anchor_of=Ragged(triples[:, 0], lengths),
        relations=Ragged(triples[:, 1], lengths),
        tails=Ragged(triples[:, 2], lengths),
    )


def pad_graphs(
    graphs: Graphs,
    ids: Int64[np.ndarray, " N"],
    labels: Int64[np.ndarray, " N"],
    rows: Int64[np.ndarray, " B"],
    pad: int,
) -> GraphPiece:
    """These graphs as rectangles; pads are words at position 0, and see themselves only."""
    sizes = np.diff(graphs.cu_seqlens)
    row = np.full(len(sizes), -1)
    row[rows] = np.arange(len(rows))
    nodes = np.flatnonzero(row[graphs.graph] >= 0)

    def padded(values: np.ndarray, fill: int) -> Tensor:
        out = np.full((len(rows), int(sizes[rows].max())), fill, dtype=np.int64)
        out[row[graphs.graph[nodes]], graphs.local[nodes]] = values[nodes]
        return tensor(out)

    edges = graphs.edges[row[graphs.edges[:, 0]] >= 0]
    types, answers = padded(graphs.types, WORD), padded(labels, IGNORE)
    places = places_by_type(types, torch.ones_like(types, dtype=torch.bool))
    return GraphPiece(
        ids=padded(ids, pad),
        types=types,
        positions=padded(graphs.positions, 0),
        inline=tensor(graphs.inline[rows]),
        edges=tensor(np.concatenate([row[edges[:, :1]], edges[:, 1:]], axis=1)),
        labels=answers,
        nodes=places,
        order=torch.argsort(torch.cat(places)),
        asked=places_by_type(types, answers != IGNORE),
    )


def places_by_type(types: Int64[Tensor, "B S"], chosen: Bool[Tensor, "B S"]) -> list[Int64[Tensor, " _"]]:
    """Where in the flattened piece the chosen words, entities and relations are."""
    return [torch.nonzero(((types == kind) & chosen).flatten()).squeeze(1) for kind in (WORD, ENTITY, RELATION)]


@dataclasses.dataclass(frozen=True)
class GraphFeed:
    """Graphs -> micro-batches, masked and with negatives; what is drawn depends on seed, epoch and graph."""

    config: ColakeConfig
    special: SpecialTokens
    sizes: TableSizes
    negatives: AliasTable
    seed: int
    stream: str
    max_units: int

    def batch(self, rows: Part, step: int) -> ColakeBatch:
        """One micro-batch of a step."""
        raw = raw_graphs(rows.columns)
        dropped = _drawn(self._keys("neighbours", raw, rows.epochs), raw.tails.rows, raw.anchor_of.values)
        kept = raw.keep_triples(dropped >= below(self.config.drop_neighbours))
        graphs = build_graphs(
            kept,
            bos=self.special.bos,
            eos=self.special.eos,
            max_units=self.max_units,
            max_nodes=self.config.max_nodes,
            priority=_drawn(self._keys("fit", kept, rows.epochs), kept.tails.rows, kept.tails.within),
        )
        ids, labels = self._mask(graphs, kept, rows.epochs)
        gold = np.unique(labels[(graphs.types == ENTITY) & (labels != IGNORE)])
        candidates = np.concatenate([gold, self._negatives(gold, step)])
        order = np.argsort(np.diff(graphs.cu_seqlens), kind="stable")
        starts = range(0, len(order), self.config.encode_graphs)
        shares = [order[start : start + self.config.encode_graphs] for start in starts]
        return ColakeBatch(
            pieces=[pad_graphs(graphs, ids, labels, share, self.special.pad) for share in shares],
            candidates=tensor(candidates),
            gold=len(gold),
            log_chance=self._log_chance(candidates, len(gold)) if self.config.logq else None,
            cut_units=int((graphs.unit_nodes < 0).sum()),
            cut_facts=int((graphs.triple_nodes < 0).sum()),
            lengths=tensor(np.diff(graphs.cu_seqlens)),
        )

    def _keys(self, purpose: str, raw: RawGraphs, epochs: Int64[np.ndarray, " B"]) -> UInt64[np.ndarray, " B"]:
        """A key of each graph, under which its places are hashed."""
        return random_u64(self.seed, f"{self.stream}/{purpose}", epochs, raw.graph_ids)

    def _mask(
        self, graphs: Graphs, raw: RawGraphs, epochs: Int64[np.ndarray, " B"]
    ) -> tuple[Int64[np.ndarray, " N"], Int64[np.ndarray, " N"]]:
        """(ids as the model sees them, labels)."""
        segments = graphs.graph * 3 + graphs.types
        budgets = self._budgets(np.bincount(segments, minlength=3 * len(graphs.inline)), raw, epochs)
        candidates = (graphs.types != WORD) | ~np.isin(graphs.ids, self.special.never_masked)
        draws = draw(self._keys("mask", raw, epochs)[graphs.graph], graphs.local)
        chosen = choose(segments, budgets, candidates, draws.select)
        tables = np.array([self.sizes.words, self.sizes.entities, self.sizes.relations])[graphs.types]
        masks = np.array([self.special.mask, self.sizes.entities, self.sizes.relations])[graphs.types]
        shown = np.where(chosen, corrupted(graphs.ids, masks, tables, draws), graphs.ids)
        if self.config.masking == "code":
            rest = graphs.is_anchor & ~chosen
            lightly = corrupted(graphs.ids, masks, tables, draws, masked=0.1, random=0.1)
            shown, chosen = np.where(rest, lightly, shown), chosen | rest
        return shown, np.where(chosen, graphs.ids, IGNORE)

    def _budgets(
        self, sizes: Int64[np.ndarray, " G"], raw: RawGraphs, epochs: Int64[np.ndarray, " B"]
    ) -> Int64[np.ndarray, " G"]:
        """How many words, entities and relations of each graph are predicted."""
        if self.config.masking == "code":
            return code_budget(sizes, self.config.mask_share)
        graph, kind = np.divmod(np.arange(len(sizes)), 3)
        return budget(sizes, self.config.mask_share, _drawn(self._keys("budget", raw, epochs), graph, kind))

    def _log_chance(self, candidates: Int64[np.ndarray, " C"], gold: int) -> Float[Tensor, " C"]:
        """Of each candidate to be one: of the negatives, to be drawn at least once."""
        draws, chance = self.config.negatives * gold, self.negatives.chance[candidates[gold:]]
        with np.errstate(divide="ignore"):  # an entity that is drawn each time
            drawn = np.log(-np.expm1(draws * np.log1p(-chance)))
        return tensor(np.concatenate([np.zeros(gold), drawn]).astype(np.float32))

    def _negatives(self, gold: Int64[np.ndarray, " G"], step: int) -> Int64[np.ndarray, " K"]:
        """Distinct entities by graph_count^0.75, none of them gold; k draws per gold."""
        draws = np.arange(self.config.negatives)
        words = random_u64(self.seed, f"{self.stream}/negatives", step, gold[:, None], draws)
        # torch finds distinct integers several times as fast as numpy does.
        drawn = torch.unique(tensor(self.negatives.sample(words.ravel()))).numpy()
        return drawn[~_is_in(drawn, gold)]


def _is_in(values: Int64[np.ndarray, " K"], ascending: Int64[np.ndarray, " G"]) -> Bool[np.ndarray, " K"]:
    if not len(ascending):
        return np.zeros(len(values), dtype=bool)
    return ascending[np.minimum(np.searchsorted(ascending, values), len(ascending) - 1)] == values


def _drawn(
    keys: UInt64[np.ndarray, " B"], rows: Int64[np.ndarray, " N"], places: Integer[np.ndarray, " N"]
) -> UInt64[np.ndarray, " N"]:
    """64 random bits for each place of a graph, under the graph's key."""
    low, high, _, _ = random_words(keys[rows], places)
    return joined(low, high)


def visibility(piece: GraphPiece) -> Bool[Tensor, "B 1 S S"]:
    """Who sees whom: the words and anchors of a graph each other, the ends of an edge each other, every node itself."""
    size = piece.ids.shape[1]
    place = torch.arange(size, device=piece.ids.device)
    inline = place < piece.inline[:, None]
    visible = inline[:, :, None] & inline[:, None, :] | torch.eye(size, dtype=torch.bool, device=piece.ids.device)
    graph, left, right = piece.edges.unbind(dim=1)
    visible[graph, left, right] = True
    visible[graph, right, left] = True
    return visible[:, None]
