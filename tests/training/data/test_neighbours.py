"""Neighbours, walks and blocks beside loops over a small graph."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.hashing import random_u64
from training.data.neighbours import neighbours_of

ENTITIES, RELATIONS = 7, 3
NOTHING = np.empty(0, dtype=np.int64)
graphs = st.lists(
    st.tuples(st.integers(0, ENTITIES - 1), st.integers(0, RELATIONS - 1), st.integers(0, ENTITIES - 1)), max_size=40
)


def array(triples):
    return np.array(triples, dtype=np.int64).reshape(-1, 3)


def edges_of(triples, node, inverse=False):
    """(relation, other, triple) of a node's edges, by a loop."""
    found = [(r, t, n) for n, (h, r, t) in enumerate(triples) if h == node]
    return sorted(found + [(r + RELATIONS, h, n) for n, (h, r, t) in enumerate(triples) if inverse and t == node])


@given(graphs, st.booleans())
def test_all_edges_of_a_node_are_its_triples(triples, inverse):
    graph = neighbours_of(array(triples), ENTITIES, RELATIONS, inverse=inverse)
    nodes = np.arange(ENTITIES)
    found = graph.sample(nodes, 100, random_u64(0, "x", nodes))
    for node in nodes:
        own = found.edges[found.which == node]
        rows = zip(graph.relations[own], graph.others[own], graph.triples[own], strict=True)
        assert sorted(tuple(map(int, row)) for row in rows) == edges_of(triples, node, inverse)


@given(st.integers(1, 40), st.integers(1, 12), st.integers(0, 2**64 - 1))
def test_sampled_edges_are_distinct_and_as_many_as_there_may_be(degree, limit, word):
    graph = neighbours_of(array([(0, 0, tail) for tail in range(degree)]), degree, 1)
    found = graph.sample(np.array([0]), limit, np.array([word], dtype=np.uint64))
    assert len(set(found.edges.tolist())) == len(found.edges) == min(degree, limit)


def test_every_edge_of_a_hub_comes_as_often():
    degree, limit = 23, 10
    graph = neighbours_of(array([(0, 0, tail) for tail in range(degree)]), degree, 1)
    # All words modulo the degree, once each.
    nodes, words = np.zeros(degree, dtype=np.int64), np.arange(degree, dtype=np.uint64)
    counts = np.bincount(graph.sample(nodes, limit, words).edges, minlength=degree)
    assert (counts == limit).all()


@settings(max_examples=50)
@given(graphs, st.integers(0, 9))
def test_walks_follow_edges_and_end_where_there_is_none(triples, seed):
    graph = neighbours_of(array(triples), ENTITIES, RELATIONS)
    roots = np.arange(ENTITIES)
    walks = graph.walk(roots, random_u64(seed, "walk", roots[:, None], np.arange(4)))
    for root, edges in zip(roots, walks, strict=True):
        here = int(root)
        for edge in edges:
            out = edges_of(triples, here) if here >= 0 else []
            if not out:
                assert edge == -1
                here = -1
                continue
            row = (int(graph.relations[edge]), int(graph.others[edge]), int(graph.triples[edge]))
            assert row in out
            here = row[1]


@settings(max_examples=50)
@given(graphs, st.sets(st.integers(0, ENTITIES - 1), min_size=1), st.integers(0, 3))
def test_blocks_hold_what_each_layer_reads_and_no_hidden_triple(triples, wanted, layers):
    graph, targets = neighbours_of(array(triples), ENTITIES, RELATIONS), np.array(sorted(wanted))
    hidden = np.arange(0, len(triples), 3)
    blocks = graph.blocks(targets, layers, 100, lambda nodes, layer: random_u64(layer, "x", nodes), hidden)
    assert blocks.nodes[: len(targets)].tolist() == targets.tolist()
    assert len(set(blocks.nodes.tolist())) == len(blocks.nodes)
    assert len(blocks.sizes) == len(blocks.edges) == layers
    shown = [triple for number, triple in enumerate(triples) if number not in hidden]
    made = len(targets)
    for size, edges in zip(reversed(blocks.sizes), reversed(blocks.edges), strict=True):
        assert size == made
        named = [(blocks.nodes[v], r, blocks.nodes[u]) for v, u, r in edges]
        reads = [triple for triple in shown if triple[0] in blocks.nodes[:made]]
        assert sorted(map(tuple, np.array(named, dtype=np.int64).reshape(-1, 3).tolist())) == sorted(reads)
        made = max([made, *(edges[:, 1] + 1)])


@pytest.mark.parametrize("inverse", [False, True])
def test_a_graph_without_triples_has_blocks_of_the_targets_alone(inverse):
    graph = neighbours_of(array([]), ENTITIES, RELATIONS, inverse=inverse)
    blocks = graph.blocks(np.array([2, 5]), 2, 10, lambda nodes, layer: random_u64(0, "x", nodes), NOTHING)
    assert (blocks.nodes.tolist(), blocks.sizes, [len(own) for own in blocks.edges]) == ([2, 5], (2, 2), [0, 0])
