"""Word-knowledge graphs: anchors, neighbours and counts, against the rule said slowly."""

import dataclasses
import itertools
from collections import Counter
from unittest import mock

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.transforms import neighbourhood as neighbourhood_module
from pipelines.transforms import split
from pipelines.transforms.graph import Graph
from pipelines.transforms.neighbourhood import Neighbourhood
from pipelines.transforms.passages import Cutter
from pipelines.transforms.sentences import make_splitter
from pipelines.transforms.wk_graphs import Counts, GraphRules, Tally, batch_graphs
from schemas.hashing import hash_string, random_u64
from schemas.pages import PAGES

RULES = GraphRules(passage_chars=60, neighbors=2, seed=0, sentences="rules", language="en")
ITEMS = [50, 10, 40, 20, 30, 60]


def graph(triples, codes=None, items=ITEMS, relations=2):
    """A graph of the items in this order; `triples` by index, `codes` in their sorted order."""
    heads, rels, tails = (np.array(c, np.int64) for c in np.array(sorted(triples), np.int64).reshape(-1, 3).T)
    zeros = np.zeros(len(items), np.int64)
    return Graph(
        items=np.array(items, np.int64),
        properties=np.arange(1, relations + 1, dtype=np.int64),
        mention_count=zeros,
        in_degree=zeros,
        out_degree=zeros,
        inductive=zeros.astype(np.int8),
        relation_frequency=np.zeros(relations, np.int64),
        heads=heads,
        relations=rels,
        tails=tails,
        codes=np.array(codes or [0] * len(heads), np.int8),
        inductive_codes=np.zeros(len(heads), np.int8),
    )


def link(text, words, entity, after=0):
    start = text.index(words, after)
    return {"start": start, "end": start + len(words), "target": words, "entity": entity, "source": "link"}


def page(text, links, page_id=7, side="train"):
    row = {"page_id": page_id, "revision_id": 1, "title": "T", "split": side, "text": text, "lead_end": 0}
    return {**row, "sections": [], "links": links, "timestamp": None, "entity": None}


def graphs_of(pages, source, rules=RULES):
    """(rows, what was counted) of some pages."""
    batch = pa.RecordBatch.from_pylist(pages, schema=PAGES.schema)
    tally = Tally()
    cutter = Cutter(make_splitter(rules.sentences, rules.language), rules.passage_chars)
    return batch_graphs(batch, Neighbourhood.of(source), cutter, rules, tally).to_pylist(), tally


TEXT = "Ada lived in London. London is large. Ada wrote notes about the machine of Babbage.\nNothing else here."


def test_first_mention_is_the_anchor_and_offsets_are_the_passages_own():
    links = [link(TEXT, "Ada", "Q10"), link(TEXT, "London", "Q20"), link(TEXT, "London", "Q20", 21)]
    links += [link(TEXT, "notes", None), link(TEXT, "Babbage", "Q30")]
    rows, tally = graphs_of([page(TEXT, links)], graph([(1, 0, 3)]))
    assert [row["text"][m["start"] : m["end"]] for row in rows for m in row["mentions"]] == ["Ada", "London", "Babbage"]
    assert [m["entity_index"] for m in rows[0]["mentions"]] == [1, 3]
    assert rows[0]["triples"] == [{"anchor": 0, "head_index": 1, "relation_index": 0, "tail_index": 3}]
    assert all(TEXT[row["start"] : row["end"]] == row["text"] for row in rows)
    assert (len(rows), tally.passages, tally.drops) == (2, 3, {"no_linked_entity": 1})


def test_no_valid_or_test_triple_is_a_neighbour():
    triples = [(1, r, t) for r in range(2) for t in range(6)]
    codes = [split.TRAIN] * 12
    codes[3], codes[8] = split.VALID, split.TEST
    hidden = {sorted(triples)[3], sorted(triples)[8]}
    pages = [page("Ada.", [link("Ada.", "Ada", "Q10")], page_id) for page_id in range(200)]
    rows, _ = graphs_of(pages, graph(triples, codes))
    facts = [[(t["head_index"], t["relation_index"], t["tail_index"]) for t in row["triples"]] for row in rows]
    assert {len(own) for own in facts} == {RULES.neighbors}
    assert {fact for own in facts for fact in own} == set(triples) - hidden


def slow_graphs(pages, source, rules):
    """(rows, entity counts, relation counts), passage by passage."""
    rows, nodes, edges = [], Counter(), Counter()
    index = {f"Q{item}": number for number, item in enumerate(source.items.tolist())}
    names = {number: name for name, number in index.items()}
    train = [
        triple
        for *triple, code in zip(
            *(getattr(source, name).tolist() for name in ("heads", "relations", "tails", "codes")), strict=True
        )
        if code == split.TRAIN
    ]
    cutter = Cutter(make_splitter(rules.sentences, rules.language), rules.passage_chars)
    for row in pages:
        spans = [(one["start"], one["end"]) for one in row["links"]]
        for start, end in cutter.passages(row["text"], [s["start"] for s in row["sections"]], spans):
            mentions, triples = {}, []
            for one in row["links"]:
                first, last = max(one["start"], start), min(one["end"], end)
                if first < last and one["entity"] is not None:
                    mentions.setdefault(index[one["entity"]], (first - start, last - start))
            for anchor, entity in enumerate(mentions):

                def draw(fact, page_id=row["page_id"]):
                    ids = [names[fact[0]], f"P{source.properties[fact[1]]}", names[fact[2]]]
                    return int(random_u64(rules.seed, "neighbours", page_id, *map(np.uint64, map(hash_string, ids))))

                facts = sorted(sorted((f for f in train if f[0] == entity), key=draw)[: rules.neighbors])
                keys = ("anchor", "head_index", "relation_index", "tail_index")
                triples += [dict(zip(keys, (anchor, *fact), strict=True)) for fact in facts]
            if mentions:
                spans_of = [{"start": s, "end": e, "entity_index": entity} for entity, (s, e) in mentions.items()]
                place = {"graph_id": row["page_id"] * 2**27 + start, "page_id": row["page_id"], "split": row["split"]}
                text = {"start": start, "end": end, "text": row["text"][start:end]}
                rows.append({**place, **text, "mentions": spans_of, "triples": triples})
                if row["split"] == "train":
                    nodes.update({*mentions, *(t["tail_index"] for t in triples)})
                    edges.update(t["relation_index"] for t in triples)
    return rows, nodes, edges


TRIPLES = st.lists(
    st.tuples(st.integers(0, 5), st.integers(0, 1), st.integers(0, 5), st.sampled_from([0, 0, 0, 1, 2])),
    max_size=30,
    unique_by=lambda row: row[:3],
)


@st.composite
def made_pages(draw):
    pages = []
    for page_id in sorted(draw(st.sets(st.integers(1, 2**28), max_size=3))):
        text = draw(st.text(alphabet="aB. \n", max_size=120))
        edges = sorted(draw(st.lists(st.integers(0, len(text)), max_size=12, unique=True)))
        entities = st.sampled_from([None, *(f"Q{item}" for item in ITEMS)])
        links = [
            {"start": s, "end": e, "target": "x", "entity": draw(entities), "source": "link"}
            for s, e in zip(edges[::2], edges[1::2], strict=False)
        ]
        made = page(text, links, page_id, draw(st.sampled_from(["train", "valid", "test"])))
        at = draw(st.integers(0, len(text)))
        section = {"title": "S", "level": 2, "start": at, "end": len(text)}
        pages.append({**made, "sections": [section] if draw(st.booleans()) else []})
    return pages


@settings(max_examples=60)
@given(made_pages(), TRIPLES, st.integers(0, 3), st.integers(5, 40))
def test_graphs_are_those_of_the_rule_passage_by_passage(pages, triples, neighbors, limit):
    triples = sorted(triples)
    source = graph([row[:3] for row in triples], [row[3] for row in triples])
    rules = dataclasses.replace(RULES, neighbors=neighbors, passage_chars=limit)
    rows, tally = graphs_of(pages, source, rules)
    expected, nodes, edges = slow_graphs(pages, source, rules)
    assert rows == expected
    assert dict(tally.entities.pairs().tolist()) == nodes
    assert dict(tally.relations.pairs().tolist()) == edges
    assert tally.passages == len(rows) + tally.drops.total()


def test_sampled_neighbours_are_the_same_facts_whatever_the_entity_order():
    triples = [(50, 0, 10), (50, 0, 20), (50, 0, 30), (50, 0, 40)]
    found = []
    for items in (ITEMS, ITEMS[::-1]):
        source = graph([(items.index(h), r, items.index(t)) for h, r, t in triples], items=items)
        rows, _ = graphs_of([page("Ada.", [link("Ada.", "Ada", "Q50")])], source)
        found.append({items[triple["tail_index"]] for triple in rows[0]["triples"]})
    assert found[0] == found[1]
    assert len(found[0]) == 2


def test_samples_do_not_depend_on_how_many_are_drawn_at_a_time(monkeypatch):
    source = Neighbourhood.of(graph([(h, r, t) for h in range(5) for r in range(2) for t in range(6)]))
    pages, anchors = np.repeat(np.arange(7), 6), np.tile(np.arange(6), 7)
    whole = source.sample(pages, anchors, 0, 3)
    monkeypatch.setattr(neighbourhood_module, "CANDIDATES", 10)
    again = source.sample(pages, anchors, 0, 3)
    assert all(np.array_equal(one, other) for one, other in zip(whole, again, strict=True))
    assert whole[0].tolist() == [3, 3, 3, 3, 3, 0] * 7


def test_no_page_gives_no_graph():
    assert graphs_of([], graph([(0, 0, 1)]))[0] == []


@given(st.lists(st.lists(st.integers(0, 5), max_size=6), max_size=6), st.integers(1, 8))
def test_counts_are_those_of_all_numbers_however_they_come(pieces, at_once):
    counts = Counts()
    with mock.patch("pipelines.transforms.wk_graphs.COUNTED_AT_ONCE", at_once):
        for piece in pieces:
            counts.add(np.array(piece, np.int64))
    assert [tuple(pair) for pair in counts.pairs().tolist()] == sorted(Counter(itertools.chain(*pieces)).items())
