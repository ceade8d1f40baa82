"""The nodes that `wikiloom show --tokens` prints are those that the trainer builds."""

import numpy as np

from pipelines.report.nodes import ANCHOR, RELATION, TAIL, WORD, graph_nodes, ranges
from schemas.dataset import Dataset
from training.data import collate
from training.data.graphs import Graph, pad_graphs, raw_from_graphs, visibility

BOS, EOS = 0, 2
TYPES = {WORD: collate.WORD, ANCHOR: collate.ENTITY, TAIL: collate.ENTITY, RELATION: collate.RELATION}


def built(row):
    """ids, types, positions and visibility of one graph, as a model is given them."""
    triples = [(fact["anchor"], fact["relation_index"], fact["tail_index"]) for fact in row["triples"]]
    units, anchors = (np.array(row[name], dtype=np.int32) for name in ("units", "anchors"))
    raw = raw_from_graphs([Graph(units, anchors, np.array(triples, dtype=np.int32).reshape(-1, 3))])
    none = np.zeros(len(triples), dtype=np.uint64)
    graphs = collate.build_graphs(raw, bos=BOS, eos=EOS, max_units=10_000, max_nodes=10_000, priority=none)
    piece = pad_graphs(graphs, graphs.ids, graphs.ids, np.arange(1), 1)
    return piece.ids[0].tolist(), piece.types[0].tolist(), piece.positions[0].tolist(), visibility(piece)[0, 0]


def shown(row):
    nodes = graph_nodes(row, BOS, EOS)
    seen = np.zeros((len(nodes), len(nodes)), dtype=bool)
    for number, node in enumerate(nodes):
        seen[number, list(node.sees)] = True
    return [n.id for n in nodes], [TYPES[n.kind] for n in nodes], [n.position for n in nodes], seen


def test_every_graph_of_the_dataset_is_shown_as_it_is_built(made_up):
    rows = Dataset(made_up).tokens("tiny").read("wk_graphs").to_pylist()
    assert any(row["triples"] for row in rows)
    for row in rows:
        *parts, seen = shown(row)
        *expected, visible = built(row)
        assert parts == expected
        assert (seen == visible.numpy()).all()


def test_a_tail_that_is_an_anchor_or_comes_twice_is_one_node():
    facts = [(1, 0, 7), (0, 0, 9), (0, 1, 8), (1, 2, 9), (1, 1, 7)]
    triples = [dict(zip(("anchor", "relation_index", "tail_index"), fact, strict=True)) for fact in facts]
    row = {"units": [5, -1, 6, -2], "anchors": [7, 8], "triples": triples}
    *parts, seen = shown(row)
    *expected, visible = built(row)
    assert parts == expected
    assert (seen == visible.numpy()).all()
    assert [node.kind for node in graph_nodes(row, BOS, EOS)].count(TAIL) == 1


def test_ranges_join_neighbours():
    assert ranges([]) == ""
    assert ranges([9, 0, 1, 2, 5, 6]) == "0-2, 5-6, 9"
