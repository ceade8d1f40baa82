"""Splits: the promises of systems that train on them."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.transforms import split

TRIPLES = st.lists(
    st.tuples(st.integers(0, 12), st.integers(0, 3), st.integers(0, 12)), min_size=1, max_size=150, unique=True
)


def columns(triples):
    return [np.array(column, np.int64) for column in zip(*triples, strict=True)]


@given(TRIPLES, st.integers(0, 40), st.integers(0, 40), st.integers(0, 3))
def test_transductive_split_covers_in_train_and_keeps_pairs_together(triples, valid, test, seed):
    heads, relations, tails = columns(triples)
    codes = split.transductive(heads, relations, tails, seed=seed, valid=valid, test=test)
    train = codes == split.TRAIN
    entities = set(heads[train]) | set(tails[train])
    assert set(heads) | set(tails) <= entities
    assert set(relations) <= set(relations[train])
    sides = {}
    for head, tail, code in zip(heads, tails, codes, strict=True):
        assert sides.setdefault(frozenset((head, tail)), code) == code
    assert (codes == split.TEST).sum() <= min(test, split.MAX_SHARE * len(triples))
    assert (codes == split.VALID).sum() <= min(valid, split.MAX_SHARE * len(triples))


@given(TRIPLES, st.randoms(use_true_random=False))
def test_transductive_split_does_not_depend_on_order(triples, random):
    shuffled = random.sample(triples, len(triples))
    results = []
    for rows in (triples, shuffled):
        codes = split.transductive(*columns(rows), seed=1, valid=9, test=9)
        results.append(dict(zip(rows, codes.tolist(), strict=True)))
    assert results[0] == results[1]


def test_transductive_split_fills_the_sizes_where_it_can():
    rng = np.random.default_rng(0)
    triples = sorted({(int(h), int(r), int(t)) for h, r, t in rng.integers(0, [300, 5, 300], (8_000, 3))})
    codes = split.transductive(*columns(triples), seed=0, valid=200, test=300)
    assert 195 <= (codes == split.VALID).sum() <= 200
    assert 295 <= (codes == split.TEST).sum() <= 300


@settings(max_examples=60)
@given(TRIPLES, st.integers(0, 15))
def test_inductive_sides_are_disjoint_connected_and_covered(triples, wanted):
    heads, relations, tails = columns(triples)
    hashes = np.arange(13, dtype=np.uint64)[::-1].copy()
    sides, codes = split.inductive(heads, relations, tails, hashes, wanted=wanted)
    for code in (split.VALID, split.TEST):
        inside = codes == code
        assert set(sides[heads[inside]]) | set(sides[tails[inside]]) <= {code}
        assert set(relations[inside]) <= set(relations[codes == split.TRAIN])
        members = set(np.flatnonzero(sides == code).tolist())
        if members:
            reached, frontier = set(), [next(iter(members))]
            while frontier:
                entity = frontier.pop()
                reached.add(entity)
                for h, t in zip(heads.tolist(), tails.tolist(), strict=True):
                    if entity in (h, t) and {h, t} <= members:
                        frontier += [e for e in (h, t) if e not in reached]
            assert reached == members
    train = codes == split.TRAIN
    assert set(sides[heads[train]]) | set(sides[tails[train]]) <= {split.TRAIN}


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
