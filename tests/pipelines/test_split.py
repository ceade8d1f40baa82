"""Splits of pages and triples: the promises that systems rely on when they train on them."""

from collections import defaultdict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.transforms import split
from schemas.hashing import random_u64

TRIPLES = st.lists(
    st.tuples(st.integers(0, 12), st.integers(0, 3), st.integers(0, 12)), min_size=1, max_size=150, unique=True
)
SIZES = st.integers(0, 60)


def columns(triples):
    return [np.array(column, np.int64) for column in zip(*triples, strict=True)]


def sides(triples, **options):
    codes = split.transductive(*columns(triples), **options)
    return dict(zip(triples, (split.NAMES[code] for code in codes), strict=True))


@given(TRIPLES, SIZES, SIZES, st.integers(0, 3), st.booleans())
def test_entities_and_relations_of_valid_and_test_occur_in_train(triples, valid, test, seed, together):
    found = sides(triples, seed=seed, valid=valid, test=test, together=together)
    train = [triple for triple, side in found.items() if side == "train"]
    assert {h for h, _, t in triples} | {t for _, _, t in triples} <= {e for h, _, t in train for e in (h, t)}
    assert {r for _, r, _ in triples} == {r for _, r, _ in train}


@given(TRIPLES, SIZES, SIZES, st.integers(0, 3))
def test_triples_of_a_pair_stay_together_whatever_their_relation_and_direction(triples, valid, test, seed):
    pairs = defaultdict(set)
    for (head, _, tail), side in sides(triples, seed=seed, valid=valid, test=test).items():
        pairs[frozenset((head, tail))].add(side)
    assert all(len(found) == 1 for found in pairs.values())


def test_a_pair_is_split_where_that_is_asked_for():
    # Every fact of 1 and 2 has a twin in the other direction; entities and relations occur in train without them.
    twins = [(h, r, t) for h, t in ((1, 2), (2, 1)) for r in range(20)]
    rest = [(h, r, 100 + r) for h in (1, 2) for r in range(20)] + [(100 + r, r, t) for t in (1, 2) for r in range(20)]
    found = {together: sides(twins + rest, seed=0, valid=10, test=20, together=together) for together in (True, False)}
    assert len({found[True][twin] for twin in twins}) == 1
    assert len({found[False][twin] for twin in twins}) > 1


def slow_split(triples, seed, valid, test, together):
    """The rule, word by word: for each head, relation and tail its lowest-hash triple stays in train, the rest in
    hash order fills test and valid, a group at a time."""
    draw = {triple: int(random_u64(seed, "triple", *triple)) for triple in triples}
    stays = set()
    for part in range(3):
        for value in {triple[part] for triple in triples}:
            stays.add(min((triple for triple in triples if triple[part] == value), key=draw.get))
    groups = defaultdict(list)
    for head, relation, tail in triples:
        pair = (min(head, tail), max(head, tail))
        key = int(random_u64(seed, "triple_group", *pair)) if together else draw[head, relation, tail]
        groups[key].append((head, relation, tail))
    found = dict.fromkeys(triples, "train")
    free = [groups[key] for key in sorted(groups) if not stays & set(groups[key])]
    for side, room in (("test", test), ("valid", valid)):
        while True:
            fitting = [group for group in free if len(group) <= room]
            if not fitting:
                break
            for group in fitting:
                if len(group) > room:
                    break
                found.update(dict.fromkeys(group, side))
                free.remove(group)
                room -= len(group)
    return found


@given(TRIPLES, SIZES, SIZES, st.integers(0, 3), st.booleans())
def test_split_is_that_of_the_rule_word_by_word(triples, valid, test, seed, together):
    options = {"seed": seed, "valid": valid, "test": test, "together": together}
    assert sides(triples, **options) == slow_split(triples, **options)


@given(TRIPLES, st.randoms(use_true_random=False), st.booleans())
def test_transductive_split_does_not_depend_on_order(triples, random, together):
    shuffled = random.sample(triples, len(triples))
    options = {"seed": 1, "valid": 9, "test": 9, "together": together}
    assert sides(triples, **options) == sides(shuffled, **options)


@pytest.mark.parametrize("together", [True, False])
def test_the_sizes_are_met_exactly_where_the_triples_allow_it(together):
    rng = np.random.default_rng(0)
    triples = sorted({(int(h), int(r), int(t)) for h, r, t in rng.integers(0, [300, 5, 300], (8_000, 3))})
    codes = split.transductive(*columns(triples), seed=0, valid=201, test=300, together=together)
    assert ((codes == split.VALID).sum(), (codes == split.TEST).sum()) == (201, 300)
    codes = split.transductive(*columns(triples), seed=0, valid=10**6, test=300, together=together)
    assert (codes == split.TEST).sum() == 300


def test_hashes_do_not_depend_on_the_slices_they_are_made_in(monkeypatch):
    triples = columns([(h, r, t) for h in range(8) for r in range(3) for t in range(8)])
    whole = split.transductive(*triples, seed=0, valid=20, test=20)
    monkeypatch.setattr(split, "HASH_ROWS", 7)
    assert np.array_equal(split.transductive(*triples, seed=0, valid=20, test=20), whole)


def test_pages_keep_their_shares_and_their_split_under_any_order():
    ids = np.arange(20_000)
    codes = split.pages(ids, seed=0, valid=0.1, test=0.2)
    assert np.array_equal(codes, split.pages(ids[::-1], seed=0, valid=0.1, test=0.2)[::-1])
    assert np.allclose(np.bincount(codes, minlength=3) / len(ids), [0.7, 0.1, 0.2], atol=0.01)
    assert np.array_equal(codes[:500], split.pages(ids[:500], seed=0, valid=0.1, test=0.2))


def test_a_small_wiki_still_has_a_valid_and_a_test_page():
    for start in range(0, 1_000, 20):
        codes = split.pages(np.arange(start, start + 20), seed=0, valid=0.01, test=0.01)
        assert (codes == split.VALID).sum() >= 1
        assert (codes == split.TEST).sum() >= 1
    assert not split.pages(np.arange(20), seed=0, valid=0.0, test=0.0).any()
    assert split.pages([], seed=0, valid=0.1, test=0.1).shape == (0,)
