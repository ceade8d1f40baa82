"""Masking: budgets to the letter, rates as the papers say, and nothing from a global generator."""

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.dataset import Dataset
from schemas.hashing import hash_string, joined, random_u64, random_words
from training.config import ColakeConfig
from training.data.batch import columns
from training.data.collate import COLUMNS, ENTITY, RELATION, WORD
from training.data.graphs import IGNORE, GraphFeed, TableSizes
from training.data.masking import Draws, budget, choose, code_budget, corrupted, draw
from training.data.negatives import alias_table
from training.data.special import load_tokenizer, special_tokens
from training.data.stream import Part


@pytest.mark.parametrize("size", [0, 1, 3, 10, 100, 200])
def test_budgets_are_the_papers_share_of_a_list_of_any_length_on_average(size):
    count = 20_000
    found = budget(np.full(count, size), 0.15, random_u64(0, "b", np.arange(count)))
    assert np.isin(found, [np.floor(0.15 * size), np.ceil(0.15 * size)]).all()
    assert abs(found.mean() - 0.15 * size) < 3.3 * 0.5 / np.sqrt(count)


@pytest.mark.parametrize(("size", "expected"), [(1, 1), (3, 1), (10, 2), (17, 3), (100, 15), (200, 15)])
def test_the_codes_budgets_are_rounded_at_least_one_and_at_most_fifteen(size, expected):
    assert code_budget(np.array([size]), 0.15).tolist() == [expected]


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.booleans(), st.integers(0, 50)), min_size=1), st.integers(0, 4))
def test_the_smallest_scores_of_each_segments_candidates_are_chosen(nodes, allowance):
    segments, candidates, scores = (np.array(column) for column in zip(*nodes, strict=True))
    found = choose(segments, np.full(4, allowance), candidates.astype(bool), scores.astype(np.uint64))
    for segment in range(4):
        mine = np.flatnonzero((segments == segment) & candidates)
        assert found[segments == segment].sum() == min(allowance, len(mine))
        taken, left = scores[mine[found[mine]]], scores[mine[~found[mine]]]
        assert not len(taken) or not len(left) or taken.max() <= left.min()
    assert not (found & ~candidates).any()


def test_the_draws_of_a_place_are_the_four_words_of_one_hash():
    keys, places = np.array([5, 2**63 + 1, 5], np.uint64), np.array([0, 7, 1])
    low, high, action, random = random_words(keys, places)
    found = draw(keys, places)
    assert found.select.tolist() == joined(low, high).tolist()
    assert (found.action.tolist(), found.random.tolist()) == (action.tolist(), random.tolist())
    assert len({*found.select.tolist(), *found.action.tolist(), *found.random.tolist()}) == 9


@pytest.mark.parametrize("share", [0.0, 0.15, 0.5, 1.0])
def test_the_last_part_of_a_budget_is_there_as_often_as_it_is_large(share):
    sizes = np.arange(12)
    for chance in (0, 2**62, 2**63, 3 * 2**62, 2**64 - 1):
        found = budget(sizes, share, np.full(12, chance, np.uint64))
        assert found.tolist() == [int(share * size + (chance >> 11) / 2**53) for size in range(12)]


@pytest.mark.parametrize(("masked", "random"), [(0.8, 0.1), (0.5, 0.25), (0.0, 1.0), (1.0, 0.0)])
def test_what_a_node_shows_changes_exactly_where_the_shares_end(masked, random):
    first, second = int(masked * 2**32), int((masked + random) * 2**32)
    bounds = {0, first - 1, first, second - 1, second, 2**32 - 1}
    actions = [action for action in sorted(bounds) if 0 <= action < 2**32 - 1]
    for word, other in ((0, 0), (2**31, 5), (2**32 - 1, 9), (2**32 // 10, 0), (2**32 // 10 + 1, 1)):
        count = len(actions)
        draws = Draws(np.zeros(count, np.uint64), np.array(actions, np.uint64), np.full(count, word, np.uint64))
        ids, masks, tables = np.full(count, 77), np.arange(100, 100 + count), np.full(count, 10)
        found = corrupted(ids, masks, tables, draws, masked=masked, random=random).tolist()
        expected = [masks[n] if a < first else other if a < second else 77 for n, a in enumerate(actions)]
        assert found == expected


def chi_square(observed, expected):
    return float(((observed - expected) ** 2 / expected).sum())


def test_eighty_ten_ten():
    count, table = 200_000, 50
    ids, mask = np.full(count, 7), np.full(count, 99)
    shown = corrupted(
        ids, mask, np.full(count, table), draw(np.full(count, hash_string("a"), np.uint64), np.arange(count))
    )
    replaced = shown[shown != 99]
    observed = np.array([(shown == 99).sum(), (shown == 7).sum(), ((shown != 7) & (shown != 99)).sum()])
    # A random id is the node's own once in 50 draws.
    assert chi_square(observed, count * np.array([0.8, 0.1 + 0.1 / table, 0.1 - 0.1 / table])) < 13.8  # p = 0.001
    counts = np.bincount(replaced[replaced != 7], minlength=table)[np.arange(table) != 7]
    assert chi_square(counts, counts.sum() / (table - 1)) < 85.4  # 48 degrees of freedom, p = 0.001


def feed(dataset, seed=0, **changes):
    tokens = Dataset(dataset).tokens("tiny")
    tokenizer = load_tokenizer(tokens)
    sizes = TableSizes(tokenizer.get_vocab_size(), Dataset(dataset).rows("entities"), 6)
    config = ColakeConfig(**{"negatives": 5, "encode_graphs": 4, **changes})
    table = alias_table(np.ones(sizes.entities))
    return GraphFeed(config, special_tokens(tokenizer), sizes, table, seed, "t", 254)


def graphs(dataset, *numbers, epoch=0):
    """These rows of the train split."""
    rows = columns(Dataset(dataset).tokens("tiny").read("wk_graphs", "train", COLUMNS)).take(np.array(numbers))
    return Part(rows, np.full(len(numbers), epoch))


def flat(batch):
    """(types, ids, labels) of all nodes."""
    return tuple(
        np.concatenate([getattr(piece, name).numpy().ravel() for piece in batch.pieces])
        for name in ("types", "ids", "labels")
    )


@pytest.mark.parametrize("masking", ["paper", "code"])
def test_special_tokens_are_never_predicted_and_each_kind_has_its_own_mask_symbol(made_up, masking):
    source = feed(made_up, masking=masking)
    types, ids, labels = flat(source.batch(graphs(made_up, *range(40)), 0))
    assert not np.isin(labels[types == WORD], [0, 1, 2, 3]).any()
    for kind, mask in ((WORD, 4), (ENTITY, source.sizes.entities), (RELATION, source.sizes.relations)):
        shown = ids[(types == kind) & (labels != IGNORE)]
        assert (shown == mask).any() and (shown <= (mask if kind else source.sizes.words)).all()


def test_the_paper_predicts_its_share_of_the_nodes_of_each_kind(made_up):
    source, found, nodes = feed(made_up), np.zeros(3), np.zeros(3)
    for epoch in range(8):
        types, ids, labels = flat(source.batch(graphs(made_up, *range(60), epoch=epoch), 0))
        real = (types != WORD) | (ids != 1)  # pads are words
        found += np.bincount(types[real & (labels != IGNORE)], minlength=3)
        nodes += np.bincount(types[real], minlength=3)
    assert np.allclose(found / nodes, 0.15, atol=0.02)


def test_the_code_predicts_every_anchor_and_leaves_most_of_those_beyond_its_budget_as_they_are(made_up):
    source, anchors, shown = feed(made_up, masking="code", drop_neighbours=0.9), 0, []
    for epoch in range(8):
        for piece in source.batch(graphs(made_up, *range(60), epoch=epoch), 0).pieces:
            place = torch.arange(piece.ids.shape[1])
            anchor = (piece.types == ENTITY) & (place < piece.inline[:, None])
            assert (piece.labels[anchor] != IGNORE).all()
            entities = (piece.types == ENTITY).sum(dim=1).numpy()
            anchors += int(anchor.sum()) - int(code_budget(entities, 0.15).sum())
            shown.append((piece.ids == piece.labels)[anchor])
    # At most 10 % of the budget's nodes are as they were; of the anchors beyond it 80 %, and some random ones.
    assert 0.78 * anchors < int(torch.cat(shown).sum()) < 0.95 * anchors


def test_masks_and_dropped_facts_are_new_each_epoch_and_the_same_for_the_same_one(made_up):
    source = feed(made_up)
    first, again, second = (source.batch(graphs(made_up, *range(20), epoch=epoch), 0) for epoch in (0, 0, 1))
    assert all(np.array_equal(a, b) for a, b in zip(flat(first), flat(again), strict=True))
    assert flat(first)[2].shape != flat(second)[2].shape or not np.array_equal(flat(first)[2], flat(second)[2])


def test_a_graph_is_masked_alike_in_any_batch(made_up):
    source = feed(made_up, encode_graphs=1)
    alone, among = (source.batch(graphs(made_up, *numbers, epoch=3), 0) for numbers in ([7], range(10)))
    assert any(
        piece.ids.shape == alone.pieces[0].ids.shape
        and (piece.ids == alone.pieces[0].ids).all()
        and (piece.labels == alone.pieces[0].labels).all()
        for piece in among.pieces
    )


def test_what_is_cut_for_the_limit_of_nodes_is_counted(made_up):
    rows = graphs(made_up, *range(20))
    whole = feed(made_up, drop_neighbours=0.0).batch(rows, 0)
    source = dataclasses.replace(feed(made_up, drop_neighbours=0.0, max_nodes=12), max_units=10)
    cut = source.batch(rows, 0)
    assert whole.sizes["cut_units"] == whole.sizes["cut_facts"] == 0 and cut.lengths.max() <= 12

    def facts(batch):
        return sum(int((piece.types == RELATION).sum()) for piece in batch.pieces)

    units = rows.columns.lists["units"].lengths
    assert cut.sizes["cut_units"] == np.maximum(units - 10, 0).sum() > 0
    assert cut.sizes["cut_facts"] == facts(whole) - facts(cut) > 0
    inline = [sum(int(piece.inline.sum()) for piece in batch.pieces) for batch in (whole, cut)]
    assert cut.sizes["cut_units"] == inline[0] - inline[1]


def test_half_of_the_anchors_lose_their_facts(made_up):
    source = feed(made_up)
    kept = total = 0
    for epoch in range(30):
        half = source.batch(graphs(made_up, *range(60), epoch=epoch), 0)
        whole = feed(made_up, drop_neighbours=0.0).batch(graphs(made_up, *range(60)), 0)
        kept += sum(int((piece.types == RELATION).sum()) for piece in half.pieces)
        total += sum(int((piece.types == RELATION).sum()) for piece in whole.pieces)
    assert abs(kept / total - 0.5) < 0.03


def test_every_anchor_can_lose_its_facts(made_up):
    batch = feed(made_up, drop_neighbours=1.0).batch(graphs(made_up, *range(60)), 0)
    assert not any((piece.types == RELATION).any() for piece in batch.pieces)
    assert batch.counts["relation"] == 0 < batch.counts["entity"]
