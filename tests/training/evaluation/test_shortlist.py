"""Re-ranking: the best answers by another score, the others where they were."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import UsageError
from training.evaluation.link_prediction import LinkPredictionSettings
from training.evaluation.shortlist import Shortlist


class Fixed:
    """Scores by head, relation and tail; keeps what it is asked."""

    def __init__(self, scores):
        self.scores, self.asked = scores, []

    def tails(self, heads, relations):
        return self.scores[heads, relations]

    def heads(self, relations, tails):
        return self.scores[:, relations, tails].T

    def triples(self, heads, relations, tails):
        self.asked += torch.stack([heads, relations, tails], dim=1).tolist()
        return self.scores[heads, relations, tails]


@given(st.integers(0, 99), st.integers(1, 9))
def test_the_best_answers_are_ordered_anew_and_stand_above_the_others(seed, size):
    scores = torch.randn(2, 7, 3, 7, generator=torch.Generator().manual_seed(seed)) * 5
    first, second = map(Fixed, scores)
    given_entities, relations = torch.tensor([0, 6, 3]), torch.tensor([2, 0, 1])
    shortlist = Shortlist(first, second, size)
    for side, found in (
        ("tail", shortlist.tails(given_entities, relations)),
        ("head", shortlist.heads(relations, given_entities)),
    ):
        for row, (entity, relation) in enumerate(zip(given_entities.tolist(), relations.tolist(), strict=True)):
            at = (entity, relation) if side == "tail" else (slice(None), relation, entity)
            rough, fine = (source.scores[at].tolist() for source in (first, second))
            before = sorted(range(7), key=lambda e: -rough[e])
            expected = sorted(before[:size], key=lambda e: -fine[e]) + before[size:]
            assert found[row].argsort(descending=True).tolist() == expected
    assert len(second.asked) == 2 * 3 * min(size, 7)


@pytest.mark.parametrize(
    "settings",
    [
        {"shortlist": 5},
        {"shortlist_by": "run"},
        {"shortlist": 5, "shortlist_by": "run", "candidates": "sampled=3"},
        {"shortlist": 5, "shortlist_by": "run", "setting": "inductive"},
    ],
    ids=str,
)
def test_a_shortlist_is_of_all_entities_and_by_a_run(settings):
    with pytest.raises(UsageError, match="shortlist"):
        LinkPredictionSettings(**settings)


def test_scores_of_any_size_stay_apart():
    first, second = Fixed(torch.tensor([[[1e6, -1e6, 3.0, 2.0]]])), Fixed(torch.tensor([[[-1e5, 1e5, -7.0, 0.0]]]))
    found = Shortlist(first, second, 2).tails(torch.tensor([0]), torch.tensor([0]))
    assert found[0].argsort(descending=True).tolist() == [2, 0, 3, 1]
    assert np.isfinite(found.numpy()).all()
