"""The leakage report against slow, obvious oracles, and on real benchmarks."""

import json
import re
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.audit import audit, pairs
from pipelines.audit.labels import LabelFinder
from pipelines.audit.texts import Meetings
from pipelines.facts import Facts, pair_codes
from tests.pipelines.planting import Copy, new_graph
from wikiloom import main

INDEX = st.one_of(st.integers(0, 3), st.sampled_from([2**31 - 2, 2**31 - 1]))
FACTS = st.lists(st.tuples(INDEX, INDEX, INDEX), max_size=12)


@given(FACTS, FACTS)
def test_facts_are_found_exactly_up_to_the_largest_index(facts, wanted):
    known = Facts.of(*np.array(facts, np.int64).reshape(-1, 3).T)
    rows = known.find(*np.array(wanted, np.int64).reshape(-1, 3).T)
    for fact, row in zip(wanted, rows.tolist(), strict=True):
        assert (row >= 0) == (fact in facts)
        if row >= 0:
            assert (known.heads[row], known.relations[row], known.tails[row]) == fact


@given(FACTS)
def test_pairs_have_codes_of_their_own(facts):
    ends = {(head, tail) for head, _, tail in facts}
    columns = np.array(sorted(ends), np.int64).reshape(-1, 2)
    assert len(set(pair_codes(columns[:, 0], columns[:, 1]).tolist())) == len(ends)


SPLITS = st.sampled_from(["train", "train", "valid", "test"])
SMALL = st.dictionaries(st.tuples(st.integers(0, 4), st.integers(0, 2), st.integers(0, 4)), SPLITS, max_size=25)


def overlap(facts, one, other, *, reverse):
    """(common pairs, share of one's, share of other's)."""
    first = {(h, t) for h, r, t in facts if r == one and h != t}
    second = {(t, h) if reverse else (h, t) for h, r, t in facts if r == other and h != t}
    common = len(first & second)
    return common, common / len(first) if first else 0, common / len(second) if second else 0


@settings(max_examples=40, deadline=None)
@given(SMALL, st.integers(1, 9))
def test_leaks_are_those_of_a_comparison_of_all_with_all(facts, part_facts):
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(pairs, "PART_FACTS", part_facts)
        new_graph(Path(folder), [(*fact, split) for fact, split in facts.items()])
        report = audit(Path(folder)).document
    near = {(pair["kind"], *pair["relations"]): pair for pair in report["near_relations"]}
    expected = {}
    for one in range(3):
        for other in range(one, 3):
            for kind, reverse in (("duplicate", False), ("symmetric" if one == other else "inverse", True)):
                common, *shares = overlap(facts, one, other, reverse=reverse)
                if min(shares) >= 0.8 and not (kind == "duplicate" and one == other):
                    expected[kind, f"P{one}", f"P{other}"] = {"common": common, "shares": shares}
    assert {key: {"common": pair["common"], "shares": pair["shares"]} for key, pair in near.items()} == expected
    train = {fact for fact, split in facts.items() if split == "train"}
    for split in ("valid", "test"):
        held = [fact for fact, of in facts.items() if of == split]
        counts = report["splits"][split]
        assert counts["facts"] == len(held)
        linked = [any({h, t} == {x, y} for x, _, y in train) for h, _, t in held]
        assert counts["linked"] == sum(linked)
        assert counts["symmetric"] == sum((t, r, h) in train and h != t for h, r, t in held)
        for kind, reverse in (("inverse", True), ("duplicate", False)):
            known = {frozenset(key[1:]) for key in expected if key[0] == kind}
            ends = [(t, h) if reverse else (h, t) for h, _, t in held]
            others = [{f"P{r}" for x, r, y in train if (x, y) == pair and x != y} for pair in ends]
            found = [
                any(frozenset((f"P{r}", other)) in known for other in of)
                for (_, r, _), of in zip(held, others, strict=True)
            ]
            assert counts[kind] == sum(found)
        seen = {end for x, _, y in train for end in (x, y)}
        assert counts["facts_with_unseen_entity"] == sum(not {h, t} <= seen for h, _, t in held)
        assert counts["unseen_relations"] == len({r for _, r, _ in held} - {r for _, r, _ in train})


WORDS = st.text(alphabet="aB ,é1", min_size=1, max_size=6)


@given(st.lists(WORDS, max_size=6), st.text(alphabet="aB ,é1", max_size=30))
def test_labels_are_found_as_whole_words(labels, text):
    found = LabelFinder(enumerate(labels)).find(text)
    for entity, label in enumerate(labels):
        core = label.strip(" ,")
        assert (entity in found) == bool(core and re.search(rf"(?<!\w){re.escape(core)}(?!\w)", text))


@pytest.mark.parametrize(
    ("label", "text", "there"),
    [
        ("東京", "彼は東京に住む。", True),
        ("東京", "東の京", False),
        ("Paris", "Parisian", False),
        ("Paris", "in Paris.", True),
        ("paris", "in Paris.", False),
        ("(500) Days", "see (500) Days of", True),
        ("A.B.", "the A.B. of", True),
        ("?!", "what?!", False),
        ("", "what", False),
    ],
)
def test_a_letter_is_a_word_where_no_spaces_are(label, text, there):
    assert (LabelFinder([(0, label)]).find(text) == {0}) == there


@given(
    st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=8),
    st.lists(st.lists(st.integers(0, 6), max_size=5), max_size=5),
)
def test_pairs_meet_where_one_passage_has_both(wanted, passages):
    met = Meetings(*np.array(wanted, np.int64).T)
    rows = [(number, entity) for number, entities in enumerate(passages) for entity in entities]
    columns = np.array(rows, np.int64).reshape(-1, 2)
    met.add(columns[:, 0], columns[:, 1], np.arange(len(passages)) + 100)
    for (one, other), place in zip(wanted, met.places().tolist(), strict=True):
        where = [number for number, entities in enumerate(passages) if {one, other} <= set(entities)]
        assert (place >= 0) == bool(where)
        assert place < 0 or place - 100 in where


def test_texts_that_name_both_ends_are_counted(tmp_path):
    facts = [(0, 0, 1, "train"), (2, 0, 3, "train"), (0, 0, 2, "test"), (1, 0, 3, "test"), (3, 0, 0, "valid")]
    labels = {0: "Rome", 1: "Tiber", 2: "Italy", 3: "Po"}
    mention = {"start": 0, "end": 4}
    graph = {"split": "train", "text": "Rome is in Italy.", "start": 0, "end": 17, "page_id": 1, "graph_id": 2**27}
    mentions = [mention | {"entity_index": 1}, mention | {"entity_index": 3, "start": 5, "end": 6}]
    hidden = graph | {"split": "test", "page_id": 2, "graph_id": 2**28, "text": "Po, Rome.", "end": 9}
    new_graph(
        tmp_path,
        facts,
        labels,
        texts={3: "The Po. Rome is far.", 2: "Italy"},
        wk_graphs=[graph | {"mentions": mentions}, hidden | {"mentions": mentions[:1]}],
        pages=[{"page_id": 1, "split": "train", "title": "T", "text": "Tiber.\nThe Po, the Tiber"}],
    )
    splits = audit(tmp_path).document["splits"]
    ways = ("graph_mentions", "graph_labels", "page_labels", "head_text", "tail_text")
    assert [splits["test"][way] for way in ways] == [1, 1, 1, 0, 0]
    assert [splits["valid"][way] for way in ways] == [0, 0, 0, 1, 0]
    assert splits["test"]["examples"]["page_labels"] == ["(Q1, P0, Q3): page 1"]


def test_graphs_that_follow_the_inductive_split_are_held_to_it(tmp_path):
    columns = ("head_index", "relation_index", "tail_index")
    fact = dict(zip(columns, (0, 0, 1), strict=True))
    graph = {"graph_id": 2**27, "page_id": 1, "split": "train", "text": "x", "end": 1}
    graph["mentions"] = [{"start": 0, "end": 1, "entity_index": 0}]
    graph["triples"] = [fact | {"anchor": 0}]
    dataset = new_graph(tmp_path / "d", [(0, 0, 1, "train"), (2, 0, 3, "test")], wk_graphs=[graph])
    copy = Copy(dataset.folder, tmp_path / "copy")
    copy.edit("triples", "train", lambda rows: rows[0].update(inductive_split="test"))
    assert audit(copy.folder).violations == []
    copy.document(lambda d: d.update(graph={"wk_graphs": {"split_column": "inductive_split"}}))
    (line,) = audit(copy.folder).violations
    assert "row 0 (graph 134217728): (Q0, P0, Q1) is test" in line


def test_the_report_is_json_too(demo_dataset, capsys):
    assert main(["audit", str(demo_dataset), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["graphs"][0]["found"] == {"valid": 0, "test": 0}
    assert document["violations"] == []
    assert document["splits"]["test"]["facts"] == sum(
        row["facts"] for row in document["relations"] if row["split"] == "test"
    )


def test_wn18rr_s_known_leak_is_counted(real_data, tmp_path):
    """A third of WN18RR's test facts stand reversed in train: its symmetric relations were left in."""
    names, kinds, facts = {}, {}, []
    for split, file in (("train", "train.tsv"), ("valid", "dev.tsv"), ("test", "test.tsv")):
        for line in (real_data / "kg/wn18rr" / file).read_text().splitlines():
            head, relation, tail = line.split("\t")
            index = [names.setdefault(head, len(names)), kinds.setdefault(relation, len(kinds))]
            facts.append((*index, names.setdefault(tail, len(names)), split))
    new_graph(tmp_path, facts)
    document = audit(tmp_path).document
    train = {fact[:3] for fact in facts if fact[3] == "train"}
    test = [fact[:3] for fact in facts if fact[3] == "test"]
    assert document["splits"]["test"]["symmetric"] == sum((t, r, h) in train for h, r, t in test) > 1_000
    seen = {end for h, _, t in train for end in (h, t)}
    assert document["splits"]["test"]["facts_with_unseen_entity"] == sum(not {h, t} <= seen for h, _, t in test) == 210
    assert {pair["kind"] for pair in document["near_relations"]} == {"symmetric"}


def test_an_excluded_fact_is_proved_to_be_away_or_found(demo_dataset, tmp_path, capsys):
    rows = Copy(demo_dataset, tmp_path / "d").rows("triples", "train")
    away = tmp_path / "away.tsv"
    away.write_text("Q42\tP31\tQ5\n" + "\t".join((rows[0]["tail"], rows[0]["relation"], rows[0]["head"])) + "\n")
    report = audit(demo_dataset, exclude_triples=away)
    assert report.violations == []
    assert report.document["excluded"]["listed"] == 2
    inside = tmp_path / "inside.tsv"
    inside.write_text("\t".join(rows[0][name] for name in ("head", "relation", "tail")) + "\n")
    assert main(["audit", str(demo_dataset), "--exclude-triples", str(inside)]) == 1
    assert "triples/train-00000-of-00001.parquet, row 0" in capsys.readouterr().out
    assert main(["audit", str(demo_dataset)]) == 0
    assert "excluded facts: not checked" in capsys.readouterr().out
