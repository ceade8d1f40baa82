"""Metrics of classification against scikit-learn's and SciPy's."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from training.evaluation.scores import accuracy, macro, matthews, micro, micro_of_labels, pearson, spearman

sklearn = pytest.importorskip("sklearn.metrics")
stats = pytest.importorskip("scipy.stats")

PAIRS = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=30)
LABELS = st.lists(st.tuples(*[st.booleans()] * 6), min_size=1, max_size=20)
NUMBERS = st.lists(st.tuples(st.integers(-3, 3), st.integers(-3, 3)), min_size=3, max_size=20)


def columns(pairs, kind=torch.int64):
    said, gold = torch.tensor(pairs, dtype=kind).T
    return said, gold


def expected(said, gold, average, labels):
    found = sklearn.precision_recall_fscore_support(gold, said, average=average, labels=labels, zero_division=0)
    return dict(zip(("precision", "recall", "f1"), found, strict=False))


@given(PAIRS)
def test_macro_and_micro_over_all_labels(pairs):
    said, gold = columns(pairs)
    labels = np.unique(pairs)
    assert macro(said, gold, None) == pytest.approx(expected(said, gold, "macro", labels))
    assert micro(said, gold, None) == pytest.approx(expected(said, gold, "micro", labels))
    assert accuracy(said, gold) == pytest.approx(sklearn.accuracy_score(gold, said))


@given(PAIRS)
def test_without_the_negative_label(pairs):
    said, gold = columns(pairs)
    labels = [label for label in np.unique(pairs).tolist() if label != 2]
    if labels:
        assert macro(said, gold, 2) == pytest.approx(expected(said, gold, "macro", labels))
        assert micro(said, gold, 2) == pytest.approx(expected(said, gold, "micro", labels))
    else:
        assert macro(said, gold, 2) == micro(said, gold, 2) == {"precision": 0.0, "recall": 0.0, "f1": 0.0}


@given(PAIRS)
def test_tacred_is_scored_as_its_official_scorer_does(pairs):
    """What utils/scorer.py of github.com/yuhaozhang/tacred-relation counts, in our words; label 2 is no_relation. Where
    nothing is said, its precision is 1 and ours 0: F1 is 0 in both."""
    said, gold = columns(pairs)
    right = guessed = stated = 0
    for answer, truth in pairs:
        guessed += answer != 2
        stated += truth != 2
        right += answer == truth != 2
    precision, recall = right / guessed if guessed else 1.0, right / stated if stated else 0.0
    found = micro(said, gold, 2)
    assert found["f1"] == pytest.approx(2 * precision * recall / (precision + recall) if right else 0.0)
    assert found["recall"] == pytest.approx(recall) and (not guessed or found["precision"] == pytest.approx(precision))


@given(LABELS)
def test_micro_over_pairs_of_example_and_label(rows):
    said, gold = torch.tensor(rows)[:, :3], torch.tensor(rows)[:, 3:]
    assert micro_of_labels(said, gold) == pytest.approx(expected(said.numpy(), gold.numpy(), "micro", None))


@given(PAIRS)
def test_matthews_of_two_classes(pairs):
    said, gold = columns([(a % 2, b % 2) for a, b in pairs])
    assert matthews(said, gold) == pytest.approx(sklearn.matthews_corrcoef(gold, said), abs=1e-12)


@given(NUMBERS)
def test_correlations_of_numbers_with_ties(pairs):
    left, right = columns(pairs, torch.float64)
    if len(set(left.tolist())) == 1 or len(set(right.tolist())) == 1:
        assert pearson(left, right) == spearman(left, right) == 0.0
        return
    assert pearson(left, right) == pytest.approx(stats.pearsonr(left, right).statistic, abs=1e-9)
    assert spearman(left, right) == pytest.approx(stats.spearmanr(left, right).statistic, abs=1e-9)
