"""Word-knowledge graphs: the paper's example, and an obvious builder on any graphs."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training.data.collate import ENTITY, RELATION, WORD, build_graphs
from training.data.graphs import IGNORE, Graph, pad_graphs, raw_from_graphs, visibility

BOS, EOS, PAD = 0, 2, 1
UNLIMITED = np.iinfo(np.int64).max


def graph(units, anchors, triples):
    return Graph(
        np.array(units, np.int32), np.array(anchors, np.int32), np.array(triples, np.int32).reshape(len(triples), 3)
    )


def build(graphs, max_units=UNLIMITED, max_nodes=UNLIMITED, priority=None):
    raw = raw_from_graphs(graphs)
    if priority is None:
        priority = np.arange(len(raw.tails.values))
    return build_graphs(
        raw, bos=BOS, eos=EOS, max_units=max_units, max_nodes=max_nodes, priority=np.asarray(priority, np.uint64)
    )


def visible(built, rows):
    labels = np.full(len(built.ids), IGNORE)
    return visibility(pad_graphs(built, built.ids, labels, np.asarray(rows), PAD))[:, 0].numpy()


# "Harry Potter points his wand at Lord Voldemort ." The paper's figure 2 has no full stop.
HARRY, VOLDEMORT, WIZARD, HOGWARTS, TOM = 0, 1, 2, 3, 4
POINTS, HIS, WAND, AT = 10, 11, 12, 13
SPECIES, SCHOOL, FORMER_NAME = 0, 1, 2
HARRY_POTTER = graph(
    [-1, POINTS, HIS, WAND, AT, -2],
    [HARRY, VOLDEMORT],
    [(0, SPECIES, WIZARD), (0, SCHOOL, HOGWARTS), (1, SPECIES, WIZARD), (1, FORMER_NAME, TOM)],
)


def test_the_papers_example_has_its_order_positions_and_types():
    built = build([HARRY_POTTER])
    words, entities, relations = (
        [BOS, POINTS, HIS, WAND, AT, EOS],
        [HARRY, VOLDEMORT, WIZARD, HOGWARTS, TOM],
        [0, 1, 0, 2],
    )
    assert built.ids.tolist() == words + entities + relations
    assert built.types.tolist() == [WORD] * 6 + [ENTITY] * 5 + [RELATION] * 4
    # <s> 0, points 2 ... at 5, </s> 7; Harry 1, Voldemort 6, and their tails 3 and 8; relations 2 and 7.
    # Both have the species wizard: the node keeps the place of the first.
    assert built.positions.tolist() == [0, 2, 3, 4, 5, 7, 1, 6, 3, 3, 8, 2, 2, 7, 7]
    assert built.inline.tolist() == [8]
    assert built.is_anchor.nonzero()[0].tolist() == [6, 7]
    assert built.unit_nodes.tolist() == [6, 1, 2, 3, 4, 7]
    assert built.triple_nodes.tolist() == [11, 12, 13, 14]


def test_the_papers_example_has_its_full_adjacency():
    expected = np.eye(15, dtype=bool)
    expected[:8, :8] = True
    for left, right in [(6, 11), (11, 8), (6, 12), (12, 9), (7, 13), (13, 8), (7, 14), (14, 10)]:
        expected[left, right] = expected[right, left] = True
    found = visible(build([HARRY_POTTER]), [0])[0]
    assert np.array_equal(found, expected)
    assert not found[:6, 8:11].any()  # no word sees a tail


def obvious(item, max_units, max_nodes, priority):
    """The same graph by plain loops: (ids, types, positions, edges)."""
    units = item.units.tolist()[:max_units]
    marks = [-1 - unit for unit in units if unit < 0]
    words = [BOS, *(unit for unit in units if unit >= 0), EOS]
    word_positions = [0, *(i + 1 for i, unit in enumerate(units) if unit >= 0), len(units) + 1]
    entities = [int(item.anchors[k]) for k in marks]
    positions = [i + 1 for i, unit in enumerate(units) if unit < 0]
    triples = [tuple(map(int, triple)) for triple in item.triples]
    possible = [i for i, triple in enumerate(triples) if triple[0] in marks]
    kept, used, seen = [], len(words) + len(entities), set(entities)
    for i in sorted(possible, key=lambda i: priority[i]):
        used += 1 + (triples[i][2] not in seen)
        seen.add(triples[i][2])
        if used <= max_nodes:
            kept.append(i)
    kept.sort(key=lambda i: (triples[i][0], i))
    relations, edges = [], []
    for i in kept:
        anchor, relation, tail = triples[i]
        if tail not in entities:
            entities.append(tail)
            positions.append(positions[anchor] + 2)
        relations.append((relation, positions[anchor] + 1, anchor, entities.index(tail)))
    first, relation_first = len(words), len(words) + len(entities)
    for number, (_, _, head, tail) in enumerate(relations):
        edges += [(relation_first + number, first + head), (relation_first + number, first + tail)]
    return (
        words + entities + [relation[0] for relation in relations],
        [WORD] * len(words) + [ENTITY] * len(entities) + [RELATION] * len(relations),
        word_positions + positions + [relation[1] for relation in relations],
        sorted(edges),
    )


@st.composite
def random_graph(draw):
    anchors = draw(st.lists(st.integers(0, 12), unique=True, max_size=5))
    units = draw(st.lists(st.integers(5, 9), max_size=8))
    places = sorted(draw(st.lists(st.integers(0, len(units)), min_size=len(anchors), max_size=len(anchors))))
    for k, place in reversed(list(enumerate(places))):
        units.insert(place, -1 - k)
    triple = st.tuples(st.integers(0, max(0, len(anchors) - 1)), st.integers(0, 3), st.integers(0, 12))
    triples = draw(st.lists(triple, unique=True, max_size=10)) if anchors else []
    return graph(units, anchors, sorted(triples, key=lambda row: row[0]))


@settings(max_examples=300, deadline=None)
@given(
    st.lists(random_graph(), min_size=1, max_size=4),
    st.sampled_from([3, 6, UNLIMITED]),
    st.sampled_from([8, 12, UNLIMITED]),
    st.randoms(use_true_random=False),
)
def test_any_batch_equals_the_obvious_builder(graphs, max_units, max_nodes, random):
    counts = [len(item.triples) for item in graphs]
    priority = random.sample(range(1000), sum(counts))
    built = build(graphs, max_units, max_nodes, priority)
    starts = np.cumsum([0, *counts])
    for i, item in enumerate(graphs):
        nodes = slice(built.cu_seqlens[i], built.cu_seqlens[i + 1])
        found = (
            built.ids[nodes].tolist(),
            built.types[nodes].tolist(),
            built.positions[nodes].tolist(),
            sorted(map(tuple, built.edges[built.edges[:, 0] == i, 1:].tolist())),
        )
        assert found == obvious(item, max_units, max_nodes, priority[starts[i] : starts[i + 1]])
        for place, (_, _, tail) in zip(range(starts[i], starts[i + 1]), item.triples, strict=True):
            relation, node = built.triple_nodes[place], built.tail_nodes[place]
            assert (node < 0) == (relation < 0)
            assert node < 0 or (built.ids[nodes][node], built.types[nodes][node]) == (tail, ENTITY)
            assert node < 0 or (built.edges == (i, relation, node)).all(axis=1).any()


def test_padding_in_any_order_keeps_each_graph_and_lets_pads_see_themselves_only():
    small = graph([5, -1], [3], [])
    built = build([HARRY_POTTER, small])
    alone = visible(build([small]), [0])[0]
    both = visible(built, [1, 0])
    assert np.array_equal(both[0, :4, :4], alone) and both.shape == (2, 15, 15)
    assert np.array_equal(both[0, 4:], np.eye(15, dtype=bool)[4:])
    assert np.array_equal(both[1], visible(build([HARRY_POTTER]), [0])[0])


def test_triples_beyond_the_limit_go_by_priority_and_are_counted():
    built = build([HARRY_POTTER], max_nodes=12, priority=[3, 2, 1, 0])
    assert built.triple_nodes.tolist() == [-1, -1, 10, 11]
    assert len(built.ids) == 12


@pytest.mark.parametrize("facts", [[], [(0, 2, HARRY)]], ids=["no-facts", "fact-about-itself"])
def test_graphs_without_facts_or_with_a_loop_are_built(facts):
    built = build([graph([-1, 5], [HARRY], facts)])
    assert len(built.ids) == 4 + len(facts)
    assert {tuple(edge) for edge in built.edges.tolist()} == ({(0, 4, 3)} if facts else set())
