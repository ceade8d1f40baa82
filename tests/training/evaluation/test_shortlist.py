"""Re-ranking: the best answers by another score, the others where they were."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import DataError, UsageError
from training.evaluation.facts import read_facts
from training.evaluation.link_prediction import LinkPredictionSettings, prepare
from training.evaluation.ranking import rank_triples
from training.evaluation.run import _first_scorer
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


class Pairs:
    """What reads facts one by one."""

    def triples(self, heads, relations, tails):
        return torch.zeros(len(heads))


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


def test_what_is_read_pair_by_pair_is_kept_in_small_pieces(family, monkeypatch):
    facts = read_facts(family)
    shape = (facts.entities, facts.relations, facts.entities)
    first, second = (Fixed(torch.randn(shape, generator=torch.Generator().manual_seed(seed))) for seed in (0, 1))
    shortlist, test, pieces = Shortlist(first, second, 3), facts.splits["test"], []
    whole = rank_triples(shortlist, test, "tail", None, facts.entities)
    monkeypatch.setattr("training.evaluation.ranking.PAIRS_AT_ONCE", facts.entities)
    monkeypatch.setattr(first, "tails", lambda *query: pieces.append(len(query[0])) or Fixed.tails(first, *query))
    assert torch.equal(rank_triples(shortlist, test, "tail", None, facts.entities).optimistic, whole.optimistic)
    assert pieces == [1] * len(test)


class Opened:
    """The run that names the shortlist."""

    def __init__(self, scorer, split="transductive"):
        self._scorer = scorer
        self.config = SimpleNamespace(data=SimpleNamespace(split=split))

    def scorer(self):
        return self._scorer


@pytest.mark.parametrize(
    ("first", "message"),
    [
        (Opened(Fixed(torch.zeros(1)), "inductive"), "was trained on the inductive train triples"),
        (Opened(Pairs()), "scores triples one by one itself"),
    ],
    ids=["other-setting", "no-ranks"],
)
def test_the_first_run_ranks_all_and_has_not_learned_the_answers(family, monkeypatch, first, message):
    monkeypatch.setattr("training.evaluation.run.load_run", lambda folder, data: first)
    settings = LinkPredictionSettings(shortlist=5, shortlist_by="elsewhere")
    with pytest.raises(DataError, match=message):
        _first_scorer(settings, family.folder)


def test_shortlists_of_two_runs_of_one_name_have_results_of_their_own(family, tmp_path):
    variants = set()
    for parent in ("a", "b"):
        run = tmp_path / parent / "kepler-1"
        run.mkdir(parents=True)
        (run / "model.safetensors").write_text(parent)
        questions = prepare(family, "test", LinkPredictionSettings(shortlist=5, shortlist_by=str(run)))
        variants.add(questions.protocol["variant"])
    assert len(variants) == 2
