"""Word-knowledge graphs: passages, anchors and neighbours keep their promises."""

import itertools
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.transforms import split
from pipelines.transforms.graph import Graph
from pipelines.transforms.wk_graphs import GraphRules, Neighbourhood, page_graphs, passages, sentences

RULES = GraphRules(passage_chars=60, neighbors=2, seed=0)


def graph(triples, codes=None, entities=6, relations=2):
    heads, rels, tails = (np.array(c, np.int64) for c in zip(*sorted(triples), strict=True))
    zeros = np.zeros(entities, np.int64)
    return Graph(
        items=np.array([50, 10, 40, 20, 30, 60][:entities], np.int64),
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


def page(text, links, page_id=7):
    return {"page_id": page_id, "split": "train", "text": text, "sections": [], "links": links}


TEXT = "Ada lived in London. London is large. Ada wrote notes about the machine of Babbage.\nNothing else here."


def test_first_mention_is_the_anchor_and_offsets_are_the_passages_own():
    links = [link(TEXT, "Ada", "Q10"), link(TEXT, "London", "Q20"), link(TEXT, "London", "Q20", 21)]
    links += [link(TEXT, "Babbage", "Q30")]
    drops = Counter()
    rows = list(page_graphs(page(TEXT, links), Neighbourhood(graph([(1, 0, 3)])), RULES, drops))
    assert [row["text"][m["start"] : m["end"]] for row in rows for m in row["mentions"]] == ["Ada", "London", "Babbage"]
    assert [m["entity_index"] for m in rows[0]["mentions"]] == [1, 3]
    assert rows[0]["triples"] == [{"anchor": 0, "head_index": 1, "relation_index": 0, "tail_index": 3}]
    assert all(TEXT[row["start"] : row["end"]] == row["text"] for row in rows)
    assert (len(rows), drops) == (2, {"no_linked_entity": 1})


def test_at_most_n_neighbours_and_no_valid_or_test_triple():
    triples = [(1, 0, t) for t in range(6)] + [(1, 1, t) for t in range(6)]
    codes = [0] * 12
    codes[3], codes[8] = split.VALID, split.TEST
    hidden = {sorted(triples)[3], sorted(triples)[8]}
    for page_id in range(200):
        text = "Ada."
        rows = page_graphs(
            page(text, [link(text, "Ada", "Q10")], page_id), Neighbourhood(graph(triples, codes)), RULES, Counter()
        )
        found = {(t["head_index"], t["relation_index"], t["tail_index"]) for row in rows for t in row["triples"]}
        assert len(found) == 2
        assert not found & hidden


def test_sampled_neighbours_are_the_smallest_hashes_whatever_the_entity_order():
    # The same facts under another numbering of the entities give the same neighbours.
    triples = [(1, 0, 0), (1, 0, 2), (1, 0, 3), (1, 0, 4)]
    one = graph(triples)
    order = [3, 1, 5, 0, 2, 4]
    other = Graph(**{**vars(one), "items": one.items[order]})
    index = {int(item): place for place, item in enumerate(other.items)}
    moved = sorted((index[int(one.items[h])], r, index[int(one.items[t])]) for h, r, t in triples)
    other = Graph(
        **{
            **vars(other),
            **dict(zip(("heads", "relations", "tails"), map(np.array, zip(*moved, strict=True)), strict=True)),
        }
    )
    names = []
    for g in (one, other):
        _, tails = Neighbourhood(g).sample(7, int(Neighbourhood(g).index(np.array([10]))[0]), RULES)
        names.append({int(g.items[t]) for t in tails})
    assert names[0] == names[1]
    assert len(names[0]) == 2


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("One. Two! Three?", ["One.", "Two!", "Three?"]),
        ("Dr. Who met J. S. Bach. He left.", ["Dr. Who met J. S. Bach.", "He left."]),
        ('He said "Stop." Then he went.', ['He said "Stop."', "Then he went."]),
        ("It is 3.5 m long. It fell.", ["It is 3.5 m long.", "It fell."]),
        ("東京は首都です。人口は多い。", ["東京は首都です。", "人口は多い。"]),
        ("A list:\nfirst item\nsecond item", ["A list:", "first item", "second item"]),
        ("Era e.g. this one. Ça va.", ["Era e.g. this one.", "Ça va."]),
        ("Москва е град. София също.", ["Москва е град.", "София също."]),
    ],
)
def test_sentences(text, expected):
    assert [text[start:end].strip() for start, end in sentences(text, set(), [])] == expected


@given(st.text(alphabet="ab. \nÄ!。", max_size=120), st.integers(5, 40), st.data())
def test_passages_cover_every_word_once_and_cut_no_link(text, limit, data):
    edges = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=6, unique=True)))
    links = [{"start": s, "end": e} for s, e in zip(edges[::2], edges[1::2], strict=False)]
    found = list(passages(text, [], links, limit))
    assert "".join("".join(text[s:e].split()) for s, e in found) == "".join(text.split())
    assert all(a[1] <= b[0] for a, b in itertools.pairwise(found))
    for s, _ in found:
        assert not any(lk["start"] < s < lk["end"] and text[lk["start"] : s].strip() for lk in links)


def test_a_passage_stays_in_its_section():
    text = "Lead here.\nBody there."
    found = list(passages(text, [{"start": 11}], [], 100))
    assert [text[s:e] for s, e in found] == ["Lead here.", "Body there."]
