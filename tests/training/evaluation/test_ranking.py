"""Ranks by counting: equal to sorting out every candidate one by one, and to PyKEEN."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.errors import DataError
from training.evaluation import bootstrap
from training.evaluation.facts import Facts
from training.evaluation.ranking import Candidates, KnownAnswers, rank_by_counting, rank_triples
from training.evaluation.ranks import Ranks, expected_accuracy, join, rank_intervals, rank_metrics
from training.evaluation.state_file import StateFile

INF = float("inf")


def brute_force(scores, gold, known):
    """(optimistic, pessimistic) of one row, by lists."""
    rivals = [score for i, score in enumerate(scores) if i != gold and i not in known]
    above = sum(score > scores[gold] for score in rivals)
    return 1 + above, 1 + sum(score >= scores[gold] for score in rivals)


@st.composite
def questions(draw):
    rows, columns = draw(st.integers(1, 5)), draw(st.integers(1, 8))
    score = st.sampled_from([-INF, -1.0, 0.0, 0.5, 0.5, 2.0, INF])  # few values: most draws have ties
    scores = draw(st.lists(st.lists(score, min_size=columns, max_size=columns), min_size=rows, max_size=rows))
    gold = draw(st.lists(st.integers(0, columns - 1), min_size=rows, max_size=rows))
    known = draw(st.lists(st.sets(st.integers(0, columns - 1)), min_size=rows, max_size=rows))
    return scores, gold, known


@given(questions(), st.sampled_from([torch.float32, torch.float64]))
def test_ranks_equal_brute_force(question, dtype):
    scores, gold, known = question
    cells = torch.tensor([(row, column) for row, of_row in enumerate(known) for column in of_row]).reshape(-1, 2).long()
    ranks = rank_by_counting(torch.tensor(scores, dtype=dtype), torch.tensor(gold), (cells[:, 0], cells[:, 1]))
    expected = [brute_force(*row) for row in zip(scores, gold, known, strict=True)]
    assert list(zip(ranks.optimistic.tolist(), ranks.pessimistic.tolist(), strict=True)) == expected


def test_scores_are_not_changed_by_the_filter():
    scores = torch.tensor([[3.0, 2.0, 1.0]])
    rank_by_counting(scores, torch.tensor([2]), (torch.tensor([0]), torch.tensor([0])))
    assert scores.tolist() == [[3.0, 2.0, 1.0]]


def test_nan_scores_are_an_error_that_says_how_many_queries():
    scores = torch.tensor([[1.0, 2.0], [float("nan"), 0.0]])
    with pytest.raises(DataError, match="NaN for 1 of 2 queries"):
        rank_by_counting(scores, torch.tensor([0, 1]))


@pytest.mark.parametrize(
    ("ties", "expected"), [("optimistic", [1, 2]), ("realistic", [2.5, 2]), ("pessimistic", [4, 2])]
)
def test_tie_policies(ties, expected):
    ranks = Ranks(torch.tensor([1, 2]), torch.tensor([4, 2]))
    assert ranks.by(ties).tolist() == expected


def test_metrics_of_known_ranks():
    metrics = rank_metrics(torch.tensor([1.0, 2.0, 10.0, 20.0], dtype=torch.float64))
    assert metrics == {"mr": 8.25, "mrr": pytest.approx(0.4125), "hits@1": 0.25, "hits@3": 0.5, "hits@10": 0.75}


def test_intervals_draw_triples_not_their_queries():
    rng = np.random.default_rng(0)
    ranks = torch.from_numpy(rng.integers(1, 30, 40)).double()
    numbers = np.arange(40)
    alone = rank_intervals(ranks, numbers, 0, 500)
    twice = rank_intervals(torch.cat([ranks, ranks]), np.tile(numbers, 2), 0, 500)
    assert {name: pytest.approx(ends) for name, ends in alone.items()} == twice
    # As many queries of the first triples as of the others, but of half as many triples: each counts as a query does.
    some = np.concatenate([numbers, numbers[:20]])
    sums = [[ranks[n].item() * (1 + (n < 20)), 1.0 + (n < 20)] for n in range(40)]
    drawn = bootstrap.resampled(np.array(sums), np.zeros(40, np.int64), seed=0, resamples=500)[:, 0]
    wanted = np.quantile(drawn[:, 0] / drawn[:, 1], [0.025, 0.975])
    assert rank_intervals(ranks[some], some, 0, 500)["mr"] == pytest.approx(wanted.tolist())


def test_accuracy_of_a_tie_is_its_chance():
    assert expected_accuracy(Ranks(torch.tensor([1, 1, 2]), torch.tensor([1, 4, 2]))) == pytest.approx(1.25 / 3)


class TableScorer:
    """Scores given as a table (E, R, E)."""

    def __init__(self, table):
        self.table = table

    def tails(self, heads, relations):
        return self.table[heads, relations]

    def heads(self, relations, tails):
        return self.table[:, relations, tails].T.contiguous()


class PairTableScorer(TableScorer):
    """The same, asked as what reads facts one by one: equal queries together."""

    pairwise = True

    def tails(self, heads, relations):
        keys = (relations * len(self.table) + heads).tolist()
        assert keys == sorted(keys)
        return super().tails(heads, relations)


KINDS = (TableScorer, PairTableScorer)


def random_facts(seed, entities=7, relations=3):
    cells = np.random.default_rng(seed).choice(entities * relations * entities, size=40, replace=False)
    triples = np.stack(np.unravel_index(cells, (entities, relations, entities)), axis=1).astype(np.int64)
    return Facts(entities, relations, {"train": triples[:20], "valid": triples[20:30], "test": triples[30:]})


def slow_ranks(facts, table, side, *, filtered):
    """(optimistic, pessimistic) of the test triples, by lists."""
    everything = {tuple(triple) for triple in facts.triples("train", "valid", "test").tolist()} if filtered else set()
    for h, r, t in facts.splits["test"].tolist():
        if side == "tail":
            scores, gold, known = table[h, r], t, {x for x in range(7) if (h, r, x) in everything}
        else:
            scores, gold, known = table[:, r, t], h, {x for x in range(7) if (x, r, t) in everything}
        yield brute_force(scores.tolist(), gold, known)


@pytest.mark.parametrize("side", ["head", "tail"])
@pytest.mark.parametrize("filtered", [True, False])
@given(seed=st.integers(0, 999), at_once=st.sampled_from([1, 20, 10_000]), kind=st.sampled_from(KINDS))
@settings(max_examples=15)
def test_ranks_equal_brute_force_whatever_the_chunk(side, filtered, seed, at_once, kind):
    facts = random_facts(seed)
    table = torch.from_numpy(np.random.default_rng(seed).integers(0, 3, size=(7, 3, 7))).float()
    expected = list(slow_ranks(facts, table, side, filtered=filtered))
    with pytest.MonkeyPatch.context() as patch:
        for name in ("SCORES_AT_ONCE", "PAIRS_AT_ONCE"):
            patch.setattr(f"training.evaluation.ranking.{name}", at_once)
        answers = KnownAnswers(facts, ("train", "valid", "test"), side) if filtered else None
        ranks = rank_triples(kind(table), facts.splits["test"], side, answers, 7)
    assert ranks.by("optimistic").tolist() == [low for low, _ in expected]
    assert ranks.by("pessimistic").tolist() == [high for _, high in expected]
    assert ranks.by("realistic").tolist() == [(low + high) / 2 for low, high in expected]


def test_a_ranking_that_was_interrupted_asks_for_the_rest_alone(tmp_path, monkeypatch):
    facts, file, asked = random_facts(0), tmp_path / "state", []
    monkeypatch.setattr("training.evaluation.ranking.SCORES_AT_ONCE", 14)
    monkeypatch.setattr("training.evaluation.state_file.EVERY", 0.0)

    class Interrupted(TableScorer):
        def tails(self, heads, relations):
            asked.append(len(heads))
            if len(asked) == 5:
                raise KeyboardInterrupt
            return super().tails(heads, relations)

    scorer, test = Interrupted(torch.rand(7, 3, 7)), facts.splits["test"]
    with pytest.raises(KeyboardInterrupt):
        rank_triples(scorer, test, "tail", None, 7, state=StateFile(file))
    ranks = rank_triples(scorer, test, "tail", None, 7, state=StateFile(file))
    assert asked == [4, 2, 2, 2, 2, 4, 2, 2]  # what the model is known by, three and one that failed, and the rest
    whole = rank_triples(TableScorer(scorer.table), test, "tail", None, 7)
    assert torch.equal(ranks.optimistic, whole.optimistic) and torch.equal(ranks.own, whole.own)
    rank_triples(scorer, test, "tail", None, 7, state=StateFile(file))
    assert asked[8:] == [4]


def test_a_ranking_goes_on_under_its_own_filter_candidates_and_weights_alone(tmp_path, monkeypatch):
    facts, file = random_facts(0), tmp_path / "state"
    monkeypatch.setattr("training.evaluation.ranking.SCORES_AT_ONCE", 14)
    monkeypatch.setattr("training.evaluation.state_file.EVERY", 0.0)
    scorer, test = TableScorer(torch.rand(7, 3, 7)), facts.splits["test"]
    filters = [None, *(KnownAnswers(facts, splits, "tail") for splits in (("test",), ("train", "valid", "test")))]
    some = np.unique(test[:, 2])[:3]
    few = test[np.isin(test[:, 2], some)]
    chosen = [None, *(Candidates(np.unique([*some, *more]), of=7) for more in [(0, 1), (2, 3), (5,), (4, 6), (6,)])]
    turns = [*itertools.product(chosen, filters), *((each, known) for known in filters for each in chosen)]
    for candidates, known in turns:
        asked = scorer if candidates is None else candidates.narrow(scorer)
        found = rank_triples(asked, few, "tail", known, 7, candidates, state=StateFile(file))
        assert torch.equal(found.optimistic, rank_triples(asked, few, "tail", known, 7, candidates).optimistic)
    first, table = StateFile(file, b"step 1"), scorer.table.clone()
    rank_triples(scorer, test, "tail", None, 7, state=first)
    h, r, _ = test[9]
    table[h, r] = table[h, r].flip(0)  # far from what the model is known by, its scores of the first triples
    other = TableScorer(table)
    later = rank_triples(other, test, "tail", None, 7, state=StateFile(file, b"step 2"))
    assert torch.equal(later.pessimistic, rank_triples(other, test, "tail", None, 7).pessimistic)


def test_a_triple_known_twice_is_filtered_once():
    triples = np.array([[0, 0, 1], [0, 0, 2]], dtype=np.int64)
    facts = Facts(3, 1, {"train": triples, "valid": triples[:1], "test": triples[1:]})
    known = KnownAnswers(facts, ("train", "valid", "test"), "tail")
    ranks = rank_triples(TableScorer(torch.tensor([2.0, 3.0, 1.0]).expand(3, 1, 3)), triples[1:], "tail", known, 3)
    assert ranks.by("realistic").tolist() == [2]


def test_joined_ranks_keep_their_order():
    one, two = Ranks(torch.tensor([1]), torch.tensor([2])), Ranks(torch.tensor([3]), torch.tensor([3]))
    assert join([one, two]).by("pessimistic").tolist() == [2, 3]
    assert len(join([]).optimistic) == 0


@pytest.mark.parametrize("seed", range(3))
def test_metrics_equal_pykeen_evaluator(seed, tmp_path, monkeypatch):
    pytest.importorskip("pykeen")
    monkeypatch.setenv("PYSTOW_HOME", str(tmp_path))
    from pykeen.evaluation import RankBasedEvaluator
    from pykeen.models import DistMult
    from pykeen.triples import CoreTriplesFactory

    from training.pykeen_scorer import PykeenScorer

    facts = random_facts(seed)
    parts = {name: torch.from_numpy(triples) for name, triples in facts.splits.items()}
    factory = CoreTriplesFactory(parts["train"], num_entities=7, num_relations=3)
    model = DistMult(triples_factory=factory, embedding_dim=4, random_seed=seed).eval()
    # Half of the entities share one vector: ties.
    model.entity_representations[0]._embeddings.weight.data[::2] = 0.5
    evaluator = RankBasedEvaluator(filtered=True)
    theirs = evaluator.evaluate(
        model, parts["test"], additional_filter_triples=[parts["train"], parts["valid"]], use_tqdm=False, batch_size=4
    )
    scorer = PykeenScorer(model)
    for side in ("head", "tail"):
        known = KnownAnswers(facts, ("train", "valid", "test"), side)
        ranks = rank_triples(scorer, facts.splits["test"], side, known, 7)
        for ties in ("optimistic", "realistic", "pessimistic"):
            ours = rank_metrics(ranks.by(ties))
            names = {"mr": "arithmetic_mean_rank", "mrr": "inverse_harmonic_mean_rank", "hits@3": "hits_at_3"}
            for name, their_name in names.items():
                assert ours[name] == pytest.approx(theirs.get_metric(f"{side}.{ties}.{their_name}")), (side, ties, name)
