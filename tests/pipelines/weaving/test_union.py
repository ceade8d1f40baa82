"""The union of several graphs, against one that is made row by row with dictionaries."""

import dataclasses
import re
from collections import Counter

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.importing.tables import write_triples
from pipelines.transforms.inductive import SIDES
from pipelines.weaving.entities import Told, entity_rows, relation_rows, set_articles, spool_entities
from pipelines.weaving.texts import ARTICLES
from pipelines.weaving.union import Vocabulary, unite
from schemas.triples import TRIPLES
from tests.pipelines.planting import new_dataset

HELD_FURTHER = {"train": 0, "valid": 1, "test": 2, "valid_negatives": 0, "test_negatives": 1}
ENTITIES = ("Q10", "Q9", "q", "é", "a", "b")
RELATIONS = ("P2", "P10", "r")
SAID = ("label", "aliases", "description", "categories")


@dataclasses.dataclass(frozen=True)
class Graph:
    """A dataset: id -> what it says of an entity; id -> a relation's label; triples (head, relation, tail, split)."""

    entities: dict
    relations: dict
    triples: list

    def write(self, folder):
        places = [{name: i for i, name in enumerate(own)} for own in (self.entities, self.relations, self.entities)]
        rows = []
        for triple in self.triples:
            row = dict(zip(("head", "relation", "tail", "split"), triple, strict=True))
            indices = {f"{n}_index": p[v] for n, p, v in zip(row, places, triple, strict=False)}
            rows.append({**row, **indices, "label": "negatives" not in triple[3]})
        rows.sort(
            key=lambda r: (TRIPLES.splits.index(r["split"]), r["head_index"], r["relation_index"], r["tail_index"])
        )
        blank = {"inductive_split": "none"}
        entities = [
            blank | said | {"entity": n, "entity_index": i} for i, (n, said) in enumerate(self.entities.items())
        ]
        relations = [
            {"relation": name, "relation_index": i, "label": label}
            for i, (name, label) in enumerate(self.relations.items())
        ]
        return new_dataset(folder, {"entities": entities, "relations": relations, "triples": rows})


@st.composite
def said(draw):
    description = draw(st.none() | st.sampled_from(["d1", "d2"]))
    lead = draw(st.booleans())
    label = draw(st.none() | st.sampled_from(["x", "yy"]))
    text, source = next(
        (text, source)
        for text, source in (
            ("lead" if lead else None, "lead"),
            (description, "description"),
            (label, "label"),
            ("", "none"),
        )
        if text is not None
    )
    return {
        "label": label,
        "aliases": draw(st.lists(st.sampled_from("kl"), max_size=1)),
        "description": description,
        "categories": draw(st.lists(st.sampled_from(["Q1", "Q2"]), max_size=1)),
        "text": text,
        "text_source": source,
        "text_mention": {"start": 0, "end": len(text)} if source == "label" else None,
        "kind": draw(st.sampled_from(["item", "node"])),
        "inductive_split": draw(st.sampled_from(SIDES)),
    }


@st.composite
def graphs(draw):
    entities = draw(st.dictionaries(st.sampled_from(ENTITIES), said(), min_size=1))
    relations = draw(st.dictionaries(st.sampled_from(RELATIONS), st.none() | st.just("named"), min_size=1))
    ends = st.sampled_from(sorted(entities))
    triple = st.tuples(ends, st.sampled_from(sorted(relations)), ends, st.sampled_from(list(TRIPLES.splits)))
    return Graph(entities, relations, draw(st.lists(triple, max_size=8)))


def slow_union(of, excluded, links):
    """(distinct triples with their splits, entity rows in order, relation rows in order)."""
    splits = {}
    for graph in of:
        for head, relation, tail, split in graph.triples:
            fact = (head, relation, tail, "negatives" in split)
            if fact[:3] not in excluded:
                splits[fact] = max(splits.get(fact, split), split, key=HELD_FURTHER.get)
    train = [fact for fact, split in splits.items() if split == "train"]
    counts = Counter(head for head, *_ in train) + Counter(tail for _, _, tail, _ in train)
    counts.update({entity: links.get(entity, 0) for graph in of for entity in graph.entities})
    entities = {}
    for graph in of:
        for entity, row in graph.entities.items():
            known = entities.setdefault(entity, {"kind": row["kind"], "text_source": "none", **dict.fromkeys(SAID)})
            for name in SAID:
                known[name] = known[name] or row[name]
            if known["text_source"] == "none" and row["text_source"] in ("lead", "description"):
                known.update({name: row[name] for name in ("text", "text_source", "text_mention")})
    for row in entities.values():
        if row["text_source"] == "none":
            label = row["label"]
            row.update(text=label or "", text_source="label" if label else "none")
            row["text_mention"] = {"start": 0, "end": len(label)} if label else None
        row.update({name: row[name] or [] for name in ("aliases", "categories")})
    used = Counter(relation for _, relation, _, _ in train)
    labels = {}
    for graph in of:
        for relation, label in graph.relations.items():
            labels[relation] = labels.get(relation) or label

    def order(names, count):
        item = re.compile("[QP][1-9][0-9]*")
        return sorted(
            names, key=lambda n: (-count[n], not item.fullmatch(n), int(n[1:]) if item.fullmatch(n) else 0, n.encode())
        )

    return splits, {e: entities[e] for e in order(entities, counts)}, {r: labels[r] for r in order(labels, used)}


def united(of, excluded, links, folder):
    """The same from the code under test: (made, triples, entity rows, relation rows)."""
    datasets = [graph.write(folder / f"g{number}") for number, graph in enumerate(of)]
    entities = Vocabulary.of([dataset.read("entities")["entity"] for dataset in datasets])
    relations = Vocabulary.of([dataset.read("relations")["relation"] for dataset in datasets])
    anchors = pa.array(list(links), pa.string()), np.array(list(links.values()), np.int64)
    made = unite(datasets, (entities, relations), sorted(excluded), anchors)
    spool_entities(datasets, entities.places, len(entities.names), folder / "told")
    set_articles(ARTICLES.empty_table(), folder / "told")
    count = len(made.graph.items)
    rows = entity_rows(Told(folder / "told"), made.graph, np.zeros(count, np.int64), 0, count).to_pylist()
    named = relation_rows(datasets, relations.places, made.graph, np.zeros(len(made.graph.properties), np.int64))
    triples = []
    for shard in write_triples(made, folder):
        triples += pa.parquet.read_table(folder / shard.path, partitioning=None).to_pylist()
    return made, triples, rows, named.to_pylist()


@settings(max_examples=25)
@given(of=st.lists(graphs(), min_size=1, max_size=3), data=st.data())
def test_the_union_is_the_slow_one(of, data, tmp_path_factory):
    facts = sorted({triple[:3] for graph in of for triple in graph.triples})
    excluded = set(data.draw(st.lists(st.sampled_from(facts), max_size=2))) if facts else set()
    links = data.draw(st.dictionaries(st.sampled_from(ENTITIES), st.integers(1, 3), max_size=2))
    splits, entities, relations = slow_union(of, excluded, links)
    made, triples, rows, named = united(of, excluded, links, tmp_path_factory.mktemp("u"))
    found = {(t["head"], t["relation"], t["tail"], not t["label"]): t["split"] for t in triples}
    assert (found, len(triples)) == (splits, len(splits))
    assert [row["entity"] for row in rows] == list(entities)
    assert [row["relation"] for row in named] == list(relations)
    assert [row["label"] for row in named] == list(relations.values())
    for row, expected in zip(rows, entities.values(), strict=True):
        assert {name: row[name] for name in expected} == expected
        own = [fact for fact, split in splits.items() if split == "train"]
        degrees = sum(f[0] == row["entity"] for f in own), sum(f[2] == row["entity"] for f in own)
        assert (row["out_degree"], row["in_degree"], row["mention_count"]) == (*degrees, links.get(row["entity"], 0))
    taken = sum(len(graph.triples) for graph in of)
    assert made.stage == {"in": taken, "out": {"triples": len(splits)}}
    assert taken == len(splits) + sum(made.drops.values()), "in = out + drops"
    for triple in triples:
        assert (rows[triple["head_index"]]["entity"], rows[triple["tail_index"]]["entity"]) == (
            triple["head"],
            triple["tail"],
        )
    check_sides(of, triples, rows)


def check_sides(of, triples, rows):
    """A fact is on the side of both its ends, each the one held out furthest, if train has its relation too."""
    told = {row["entity"]: set() for row in rows}
    for graph in of:
        for entity, own in graph.entities.items():
            told[entity].add(own["inductive_split"])
    strongest = {e: next(side for side in ("test", "valid", "train", "none") if side in own) for e, own in told.items()}
    true = [triple for triple in triples if triple["label"]]
    both = [strongest[t["head"]] if strongest[t["head"]] == strongest[t["tail"]] else "none" for t in true]
    of_train = {t["relation"] for t, side in zip(true, both, strict=True) if side == "train"}
    expected = [
        side if side != "none" and t["relation"] in of_train else "dropped" for t, side in zip(true, both, strict=True)
    ]
    assert [t["inductive_split"] for t in true] == expected
    left = {t[end] for t in true if t["inductive_split"] != "dropped" for end in ("head", "tail")}
    assert {row["entity"]: row["inductive_split"] for row in rows} == {
        e: side if e in left else "none" for e, side in strongest.items()
    }


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_the_order_of_the_graphs_decides_what_is_said_never_what_is_true(order, tmp_path):
    one = Graph({"a": {"label": "one"}, "b": {}}, {"r": None}, [("a", "r", "b", "test")])
    two = Graph({"b": {"label": "B"}, "a": {"label": "two"}}, {"r": "R"}, [("a", "r", "b", "train")])
    made, triples, rows, named = united([(one, two)[i] for i in order], set(), {}, tmp_path)
    assert [(t["head"], t["relation"], t["tail"], t["split"]) for t in triples] == [("a", "r", "b", "test")]
    assert made.drops["held_out_elsewhere"] == 1
    assert {row["entity"]: row["label"] for row in rows} == {"a": ("one", "two")[order[0]], "b": "B"}
    assert named[0]["label"] == "R"
