"""Losses against values computed by hand."""

import math

import pytest
import torch

from training.objectives import Score, cross_entropy_sum, distances, harder, info_nce_sum, knowledge_embedding_sum


def log_sigmoid(value):
    return -math.log(1 + math.exp(-value))


@pytest.mark.parametrize("halved", [False, True])
def test_eq_2_by_hand(halved):
    positive, heads, tails = torch.tensor([1.0, 5.0]), torch.tensor([[3.0], [6.0]]), torch.tensor([[2.0], [9.0]])
    weights = torch.full((2, 1), 0.5)
    found = knowledge_embedding_sum(positive, heads, tails, weights, weights, gamma=4.0, halved=halved)
    expected = 0.0
    for p, h, t in [(1, 3, 2), (5, 6, 9)]:
        expected -= log_sigmoid(4 - p) + 0.5 * log_sigmoid(h - 4) + 0.5 * log_sigmoid(t - 4)
    assert math.isclose(float(found), expected / (2 if halved else 1), rel_tol=1e-6)


@pytest.mark.parametrize(("norm", "expected"), [(1, 7.0), (2, 5.0)])
def test_distances_are_the_norms(norm, expected):
    found = distances(torch.tensor([[0.0, 0.0]]), torch.tensor([[3.0, -4.0], [0.0, 0.0]]), norm)
    assert found.tolist() == [[expected, 0.0]]


@pytest.mark.parametrize(("kind", "expected"), [("distance", -5.0), ("cosine", -0.28)])
def test_a_score_of_pairs_is_that_of_rows(kind, expected):
    left, right = torch.tensor([[3.0, 0.0], [0.6, 0.8]]), torch.tensor([[0.0, 4.0], [0.6, -0.8]])
    score = Score(kind, 2)
    pairs, rows = score.pairs(left, right), score.rows(left, right)
    assert torch.allclose(pairs.diagonal(), rows)
    assert math.isclose((pairs[0, 0] if kind == "distance" else pairs[1, 1]).item(), expected, rel_tol=1e-6)


def test_info_nce_by_hand_counts_what_recurs_and_leaves_out_what_is_no_negative():
    found = info_nce_sum(torch.tensor([2.0]), torch.tensor([[1.0, 0.5, 9.0]]), torch.tensor([[1.0, 2.0, 0.0]]))
    expected = -math.log(math.exp(2) / (math.exp(2) + math.exp(1) + 2 * math.exp(0.5)))
    assert math.isclose(found.item(), expected, rel_tol=1e-6)


def test_nearer_negatives_weigh_more_and_the_sum_stays():
    weights, far = torch.tensor([[0.25, 0.25, 0.0], [0.0, 0.0, 0.0]]), torch.tensor([[1.0, 2.0, 0.1], [1.0, 2.0, 3.0]])
    found = harder(weights, far, 1.0)
    share = 1 / (1 + math.exp(-1))
    assert torch.allclose(found, torch.tensor([[0.5 * share, 0.5 * (1 - share), 0.0], [0.0, 0.0, 0.0]]))
    assert harder(weights, far, 0.0) is weights


def test_no_labels_sum_to_nothing():
    assert float(cross_entropy_sum(torch.empty(0, 3), torch.empty(0, dtype=torch.long))) == 0.0
