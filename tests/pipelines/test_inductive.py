"""The inductive split: disjoint, connected, covered, and never more dropped than allowed."""

import gzip

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.transforms import split
from pipelines.transforms.inductive import MIN_ENTITIES, NONE, SIDES, Sizes, inductive
from schemas.hashing import random_u64

ENTITIES = 40
# Most entities hang on a few others, some on a hub: as in a real graph, some parts can be cut off and some can not.
TRIPLES = st.lists(
    st.tuples(st.integers(0, ENTITIES - 1), st.integers(0, 3), st.integers(-4, 4), st.booleans()).map(
        lambda row: (row[0], row[1], row[0] % 5 if row[3] else (row[0] + row[2]) % ENTITIES)
    ),
    min_size=1,
    max_size=120,
    unique=True,
)
SIZES = st.builds(
    Sizes,
    st.none() | st.integers(0, 9),
    st.none() | st.integers(0, 9),
    st.sampled_from([0.0, 0.05, 0.2, 0.5]),
)
HASHES = random_u64(0, "inductive", np.arange(ENTITIES))


def columns(triples):
    return [np.array(column, np.int64) for column in zip(*triples, strict=True)]


def connected(members, triples):
    """Whether a walk along the triples between members reaches all of them."""
    around = {member: set() for member in members}
    for head, _, tail in triples:
        if head in around and tail in around:
            around[head].add(tail)
            around[tail].add(head)
    reached, frontier = set(), list(members)[:1]
    while frontier:
        entity = frontier.pop()
        reached.add(entity)
        frontier += around[entity] - reached
    return reached == members


@given(TRIPLES, SIZES)
def test_triples_go_where_both_their_ends_are_and_the_rest_is_dropped(triples, sizes):
    found = inductive(*columns(triples), HASHES, sizes)
    used = set()
    for (head, _, tail), code in zip(triples, found.triples.tolist(), strict=True):
        if code != split.DROPPED:
            assert {SIDES[found.entities[head]], SIDES[found.entities[tail]]} == {split.NAMES[code]}
            used |= {head, tail}
        else:
            assert head != tail
    # An entity is in no split exactly where none of its triples is.
    assert {e for e in range(ENTITIES) if found.entities[e] == NONE} == set(range(ENTITIES)) - used


@given(TRIPLES, SIZES)
def test_sub_graphs_are_connected_as_large_as_asked_and_covered_by_train(triples, sizes):
    heads, relations, tails = columns(triples)
    found = inductive(heads, relations, tails, HASHES, sizes)
    train = set(relations[found.triples == split.TRAIN])
    for code, asked in ((split.VALID, sizes.valid), (split.TEST, sizes.test)):
        members = set(np.flatnonzero(found.entities == code).tolist())
        inside = found.triples == code
        assert set(relations[inside]) <= train
        assert connected(members, [t for t, chosen in zip(triples, inside, strict=True) if chosen])
        if found.refused:
            assert not members
        elif asked is None:
            assert len(members) >= MIN_ENTITIES
        elif asked > 1:
            assert len(members) == asked


@given(TRIPLES, SIZES)
def test_no_more_is_dropped_than_allowed_and_a_refusal_drops_nothing(triples, sizes):
    found = inductive(*columns(triples), HASHES, sizes)
    assert (found.triples == split.DROPPED).sum() <= sizes.max_dropped * len(triples)
    if found.refused:
        assert not found.triples.any()
        assert set(found.entities) <= {split.TRAIN, NONE}


@given(TRIPLES, SIZES, st.randoms(use_true_random=False))
def test_inductive_split_does_not_depend_on_the_order_of_triples_or_entities(triples, sizes, random):
    found = inductive(*columns(triples), HASHES, sizes)
    expected = dict(zip(triples, found.triples.tolist(), strict=True))
    number = random.sample(range(ENTITIES), ENTITIES)
    hashes = np.empty_like(HASHES)
    hashes[number] = HASHES
    shuffled = random.sample(triples, len(triples))
    renamed = [(number[head], relation, number[tail]) for head, relation, tail in shuffled]
    again = inductive(*columns(renamed), hashes, sizes)
    assert dict(zip(shuffled, again.triples.tolist(), strict=True)) == expected
    assert np.array_equal(again.entities[number], found.entities)


def chain(entities, relation=0):
    return [(e, relation, e + 1) for e in range(entities - 1)]


def test_what_hangs_on_by_one_triple_is_cut_off_there():
    # Two cliques of 12 hang on a third of 30 by one triple each; relation 1 is of the third only.
    cliques = [range(0, 12), range(12, 24), range(24, 54)]
    triples = [(a, 0, b) for clique in cliques for a in clique for b in clique if a < b]
    triples += [(0, 0, 24), (12, 0, 25), (30, 1, 31), (32, 0, 33)]
    triples = sorted(set(triples))
    hashes = random_u64(0, "inductive", np.arange(54))
    found = inductive(*columns(triples), hashes, Sizes(12, 12, 0.01))
    assert not found.refused
    parts = {tuple(np.flatnonzero(found.entities == code).tolist()) for code in (split.VALID, split.TEST)}
    assert parts == {tuple(cliques[0]), tuple(cliques[1])}
    assert (found.triples == split.DROPPED).sum() == 2


def test_a_refusal_says_which_split_how_large_it_could_be_and_what_was_needed():
    triples = columns(chain(30))
    hashes = random_u64(0, "inductive", np.arange(30))
    found = inductive(*triples, hashes, Sizes(None, 20, 0.0))
    assert "test: the largest connected sub-graph found that cuts at most 0 triples has" in found.refused
    assert "20 are needed" in found.refused
    star = columns([(0, 0, e) for e in range(1, 60)])
    assert "10 are needed" in inductive(*star, random_u64(0, "i", np.arange(60)), Sizes(None, None, 0.05)).refused
    empty = [np.empty(0, np.int64)] * 3
    assert inductive(*empty, np.empty(0, np.uint64), Sizes(None, None, 0.05)).refused == "the graph has no triple"


@pytest.mark.parametrize(
    ("files", "entities", "share"),
    [
        (["fb15k-237/train.txt.gz", "fb15k-237/valid.txt", "fb15k-237/test.txt"], 727, 0.03),
        (["wn18rr/train.tsv", "wn18rr/dev.tsv", "wn18rr/test.tsv"], 2_047, 0.04),
        (["codex-m/train.txt", "codex-m/valid.txt", "codex-m/test.txt"], 500, 0.05),
    ],
    ids=["fb15k-237", "wn18rr", "codex-m"],
)
def test_published_graphs_have_an_inductive_split(real_data, files, entities, share):
    names: dict[str, int] = {}
    relations: dict[str, int] = {}
    triples = set()
    for name in files:
        path = real_data / "kg" / name
        with gzip.open(path, "rt") if path.suffix == ".gz" else path.open() as lines:
            for line in lines:
                head, relation, tail = line.rstrip("\n").split("\t")
                ends = (names.setdefault(end, len(names)) for end in (head, tail))
                triples.add((next(ends), relations.setdefault(relation, len(relations)), next(ends)))
    hashes = random_u64(0, "inductive", np.arange(len(names)))
    found = inductive(*columns(sorted(triples)), hashes, Sizes(None, None, 0.05))
    assert not found.refused
    assert (found.triples == split.DROPPED).mean() <= share
    for code in (split.VALID, split.TEST):
        assert (found.entities == code).sum() >= entities
        assert (found.triples == code).sum() >= (found.entities == code).sum() - 1
