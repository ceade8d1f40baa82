"""Fifths by how frequent entities are, against counting by hand."""

import itertools
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.dataset import Dataset
from training.evaluation.entity_frequency import Frequencies, ends, fifths, fifths_of_entities, frequencies
from training.evaluation.probes import one_fifth, probe


def row(number, head, tail, linked=True):
    text, at = f"{head} met {tail}", len(head) + 5
    names = ((0, len(head), head, "head"), (at, at + len(tail), tail, "tail"))
    mentions = [{"start": a, "end": b, "entity": name if linked else None, "role": role} for a, b, name, role in names]
    return {"example_id": f"e{number}", "text": text, "mentions": mentions}


PAIRS = st.lists(st.tuples(st.sampled_from("abcdefgh"), st.sampled_from("abcdefgh")), min_size=5, max_size=40)


@given(PAIRS)
def test_examples_are_in_fifths_alike_in_size_by_their_rarer_end(pairs):
    rows = [row(number, *pair) for number, pair in enumerate(pairs)]
    found = Frequencies("", True, Counter("aaaabbbccddef"))
    parts = fifths(rows, found)
    counts = [[min(Counter("aaaabbbccddef")[name] for name in pairs[i]) for i in part] for part in parts]
    assert sorted(i for part in parts for i in part) == list(range(len(rows)))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1
    edges = [(min(part), max(part)) for part in counts]
    assert all(before[1] <= after[0] for before, after in itertools.pairwise(edges))


@given(PAIRS)
def test_an_entitys_mentions_are_in_one_fifth_and_a_rarer_entity_is_in_no_later_one(pairs):
    rows = [row(number, *pair) for number, pair in enumerate(pairs)]
    counts = Counter("aaaabbbccddef")
    of = fifths_of_entities(rows, Frequencies("", True, counts))
    assert of.keys() == {name for pair in pairs for name in pair} and set(of.values()) <= {1, 2, 3, 4, 5}
    assert all(of[a] <= of[b] for a in of for b in of if counts[a] < counts[b])


def test_with_as_many_mentions_of_each_entity_as_a_fifth_holds_the_parts_are_exact():
    rows = [row(number, "abcde"[number % 5], "abcde"[number % 5]) for number in range(25)]
    counts = {"a": 9, "b": 1, "c": 5, "d": 3, "e": 7}
    assert fifths_of_entities(rows, Frequencies("", True, counts)) == {"b": 1, "d": 2, "c": 3, "e": 4, "a": 5}


def test_unlinked_examples_are_counted_by_their_surfaces_in_train(made_up):
    rows = {
        "train": [row(0, "Ann", "bob", False), row(1, "ann", "cy", False)],
        "reported": [row(2, "ANN", "Bob", False)],
    }
    found = frequencies(Dataset(made_up), rows)
    assert not found.linked and found.counts == {"ann": 2, "bob": 1, "cy": 1}
    assert found.of_example(rows["reported"][0]) == 1 and found.of_example(row(3, "new", "ann", False)) == 0


def test_linked_examples_are_counted_by_the_datasets_frequencies(made_up):
    table = Dataset(made_up).read("entities", columns=["entity", "frequency"]).to_pylist()
    of = {one["entity"]: one["frequency"] for one in table}
    example = row(0, "Q7", "Q1")
    found = frequencies(Dataset(made_up), {"train": [], "reported": [example, row(1, "Q7", "Q1", False)]})
    assert found.linked and found.of_example(example) == min(of["Q7"], of["Q1"]) > 0


def test_the_first_mention_of_each_end_counts():
    example = row(0, "a", "b")
    again = {**example["mentions"][1], "entity": "c"}
    example["mentions"] += [again, {**again, "role": "context"}]
    assert [mention["entity"] for mention in ends(example)] == ["a", "b"]
    (only,) = probe([example], "only-entity")
    assert only["only_mentions"] and [mention["entity"] for mention in only["mentions"]] == ["a", "b"]
    (masked,) = probe([example], "masked-entity")
    assert all(mention["masked"] for mention in masked["mentions"])
    assert not any("masked" in mention for mention in example["mentions"]), "the rows themselves stay as they are"


@pytest.mark.parametrize("fifth", [1, 5])
def test_the_mentions_of_one_fifth_stay(fifth):
    rows = [row(0, "a", "b"), row(1, "c", "a")]
    of = {"a": 5, "b": 1, "c": 3}
    shown = one_fifth(rows, Frequencies("", True, {}), of, fifth)
    kept = [mention["entity"] for one in shown for mention in one["mentions"] if not mention["masked"]]
    assert kept == (["b"] if fifth == 1 else ["a", "a"])
