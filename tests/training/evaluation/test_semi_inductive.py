"""Semi-inductive questions: which facts are shown, who is a candidate, what a system makes of the facts."""

import json

import numpy as np
import pytest
import torch

from schemas.errors import DataError, UsageError
from tests.training.evaluation.kg import write_kg
from tests.training.models.test_dkrl import SPECIAL
from training.baselines import run_baseline
from training.data.batch import Ragged, offsets
from training.data.triples import descriptions
from training.embeddings import EMBEDDINGS, EmbeddingSettings, new_embedding
from training.evaluation.facts import Facts
from training.evaluation.link_prediction import LinkPredictionSettings
from training.evaluation.run import evaluate
from training.evaluation.semi_inductive import prepare, semi_inductive
from training.models.dkrl import Dkrl, DkrlScorer, DkrlSettings
from training.models.frozen_encoder import FrozenEncoder, FrozenEncoderScorer, FrozenEncoderSettings
from training.predict import predict
from training.pykeen_scorer import SAID, PykeenScorer
from training.scoring import FewShotScorer, ShownFacts


@pytest.fixture(scope="module")
def towns(tmp_path_factory):
    """Twelve entities of train; four of test that one to six facts join with these, in both directions."""
    rng = np.random.default_rng(3)
    facts = {(f"a{i}", f"r{i % 3}", f"a{(i * j) % 12}") for i in range(12) for j in (1, 5)}
    for number, count in enumerate((1, 3, 5, 7)):
        while sum(f"t{number}" in fact for fact in facts) < count:
            ends = (f"t{number}", f"a{rng.integers(12)}")[:: rng.choice([1, -1])]
            facts.add((ends[0], f"r{rng.integers(3)}", ends[1]))
    facts |= {("t0", "r0", "t1"), ("t2", "r0", "t3"), ("v0", "r1", "v1"), ("v0", "r1", "a2"), ("t3", "r0", "v1")}
    facts.add(("t3", "new", "a1"))  # a relation that train lacks
    facts |= {("t2", "r0", "a5"), ("a5", "r1", "t2")}  # one pair, twice
    rows = sorted(facts)
    sides = {f"t{i}": "test" for i in range(4)} | {"v0": "valid", "v1": "valid"}
    return write_kg(
        tmp_path_factory.mktemp("towns"), {"train": rows[::2], "valid": rows[1::4], "test": rows[3::4]}, sides
    )


def ask(dataset, **settings):
    return prepare(dataset, "test", LinkPredictionSettings(setting="semi-inductive", **settings))


def test_questions_join_an_entity_of_the_split_with_one_of_train(towns):
    questions = ask(towns)
    names = towns.read("entities", columns=["entity"])["entity"].to_pylist()
    rows = [row for row in towns.read("triples").to_pylist() if row["relation"] != "new"]
    wanted = [r for r in rows if {r["head"][0], r["tail"][0]} == {"a", "t"}]
    keys = ("head_index", "relation_index", "tail_index")
    assert sorted(map(tuple, questions.triples.tolist())) == sorted(tuple(row[key] for key in keys) for row in wanted)
    assert [names[head][0] == "t" for head in questions.triples[:, 0]] == questions.given_head.tolist()
    assert {names[entity][0] for entity in questions.candidates.entities.tolist()} == {"a"}
    assert questions.protocol["left_out"] == {"relation_unseen": 1}
    assert questions.protocol["entities"] == 4


def test_what_is_shown_is_nested_and_never_joins_the_same_two_entities(towns):
    questions = ask(towns, shots="0,1,3,5")
    given = np.where(questions.given_head, questions.triples[:, 0], questions.triples[:, 2])
    other = np.where(questions.given_head, questions.triples[:, 2], questions.triples[:, 0])
    for row in range(len(questions.triples)):
        could = {f for f in range(len(given)) if given[f] == given[row] and other[f] != other[row]}
        shown = [fact for fact in questions.shown[row].tolist() if fact >= 0]
        assert len(shown) == min(5, len(could)) and set(shown) <= could and len(set(shown)) == len(shown)
        fewer = ask(towns, shots="1,3").shown[row].tolist()
        assert fewer == questions.shown[row, :3].tolist()
    assert (ask(towns, seed=1).shown != questions.shown).any()


def test_questions_without_enough_facts_are_counted(towns):
    questions = ask(towns, shots="0,1,3,5")
    counts = {k: int(((questions.shown >= 0).sum(axis=1) < k).sum()) for k in (0, 1, 3, 5)}
    assert questions.protocol["too_few_facts"] == {str(k): count for k, count in counts.items()}
    assert counts[0] == 0 < counts[1] < counts[5]
    metrics = semi_inductive(Planted(), questions)
    for k, count in counts.items():
        assert metrics[f"k={k}"]["questions"] + metrics[f"k={k}"]["too_few_facts"] == len(questions.triples)
        assert metrics[f"k={k}"]["too_few_facts"] == count


class Planted:
    """Vectors on a line; says of what is given the mean of its text's place and its facts' others."""

    least_facts = 0

    def __init__(self, entities=None, candidates=None):
        self.entities = torch.from_numpy(np.random.default_rng(5).normal(size=30)) if entities is None else entities
        self.candidates = candidates

    def among(self, candidates):
        return Planted(self.entities, candidates)

    def place(self, entities, shown):
        return torch.cat([self.entities[entities][:, None], self.entities[shown.others]], dim=1).mean(dim=1)

    def tails(self, heads, relations):
        return -(self.entities[heads, None] + relations[:, None] - self.entities[self.candidates]).abs()

    def heads(self, relations, tails):
        return self.tails(tails, -relations)

    def tails_shown(self, heads, relations, shown):
        place = self.place(heads, shown)
        return -(place[:, None] + relations[:, None] - self.entities[self.candidates]).abs()

    def heads_shown(self, relations, tails, shown):
        return self.tails_shown(tails, -relations, shown)


@pytest.mark.parametrize("filtered", [True, False])
def test_ranks_equal_a_loop_over_the_entities_of_train(towns, filtered, monkeypatch):
    monkeypatch.setattr("training.evaluation.ranking.SCORES_AT_ONCE", 40)
    questions = ask(towns, filter="" if filtered else "none")
    planted, metrics = Planted(), None
    metrics = semi_inductive(planted, questions)
    known = {tuple(row) for row in questions.facts.splits["dropped"].tolist()} if filtered else set()
    for k in (0, 1, 3, 5):
        ranks = []
        for row, (head, relation, tail) in enumerate(questions.triples.tolist()):
            facts = [fact for fact in questions.shown[row].tolist() if fact >= 0][:k]
            if len(facts) < k:
                continue
            forward = questions.given_head[row]
            ends = [questions.triples[fact, 2 if questions.given_head[fact] else 0] for fact in facts]
            place = np.mean([planted.entities[head if forward else tail], *(planted.entities[end] for end in ends)])
            gold, scores = (tail if forward else head), {}
            for entity in questions.candidates.entities.tolist():
                fact = (head, relation, entity) if forward else (entity, relation, tail)
                if entity == gold or fact not in known:
                    scores[entity] = -abs(place + (relation if forward else -relation) - planted.entities[entity])
            ranks.append(1 + sum(score > scores[gold] for score in scores.values()))
        assert metrics[f"k={k}"]["questions"] == len(ranks) > 0
        assert metrics[f"k={k}"]["mrr"] == pytest.approx(np.mean([1 / rank for rank in ranks]))


SHOWN = ShownFacts(
    relations=torch.tensor([[0, 1], [1, 1]]),
    others=torch.tensor([[0, 1], [2, 3]]),
    as_head=torch.tensor([[True, False], [False, False]]),
)


def test_translations_are_what_the_facts_say():
    others, relations = torch.randn(2, 2, 4), torch.randn(2, 2, 4)
    said = SHOWN.translated(others, relations)
    for b in range(2):
        for k in range(2):
            sign = -1 if SHOWN.as_head[b, k] else 1
            assert torch.equal(said[b, k], others[b, k] + sign * relations[b, k])


def facts_of_six():
    """Four entities of train, two of test."""
    train = np.array([[0, 0, 1], [1, 1, 2], [2, 0, 3]])
    return Facts(6, 2, {"train": train, "valid": train[:0], "test": np.array([[4, 0, 5]])}, "inductive")


def by_hand(name, entities, relations, query, as_head):
    """Score of each of train's four entities, by the papers' formulas, with the mean of what the facts say."""

    def score(h, r, t):
        if name == "transe":
            return -(h[0] + r[0] - t[0]).abs().sum()
        if name == "rotate":
            return -(h[0] * r[0] - t[0]).abs().square().sum().sqrt()
        if name == "simple":
            return ((h[0] * r[0] * t[1]).sum() + (t[0] * r[1] * h[1]).sum()) / 2
        return (h[0] * r[0] * t[0].conj()).sum().real

    said = []
    for k in range(2):
        other = [table[SHOWN.others[query, k]] for table in entities]
        relation = [table[SHOWN.relations[query, k]] for table in relations]
        first = SHOWN.as_head[query, k]
        if name == "transe":
            said.append([other[0] - relation[0] if first else other[0] + relation[0]])
        elif name == "simple":
            one, two = (relation[0], relation[1]) if first else (relation[1], relation[0])
            said.append([other[1] * one, other[0] * two])
        else:
            said.append([other[0] * (relation[0].conj() if first else relation[0])])
    given = [sum(parts) / 2 for parts in zip(*said, strict=True)]
    asked = [table[query] for table in relations]
    every = [[table[entity] for table in entities] for entity in range(4)]
    return [float(score(given, asked, each) if as_head else score(each, asked, given)) for each in every]


@pytest.mark.parametrize("name", sorted(name for name, kind in EMBEDDINGS.items() if kind.model in SAID))
@pytest.mark.parametrize("as_head", [True, False])
def test_an_embedding_places_an_entity_at_the_mean_of_what_its_facts_say(name, as_head):
    pytest.importorskip("pykeen")
    torch.manual_seed(0)
    model = new_embedding(name, EmbeddingSettings(dim=4), facts_of_six())
    scorer = PykeenScorer(model, facts_of_six())
    assert isinstance(scorer, FewShotScorer) and scorer.least_facts == 1
    unseen, asked = torch.tensor([4, 5]), torch.tensor([0, 1])
    with torch.no_grad():
        tables = [
            [table() for table in side] for side in (model.entity_representations, model.relation_representations)
        ]
        narrow = scorer.among(torch.arange(4))
        found = narrow.tails_shown(unseen, asked, SHOWN) if as_head else narrow.heads_shown(asked, unseen, SHOWN)
        for query in range(2):
            assert found[query].tolist() == pytest.approx(by_hand(name, *tables, query, as_head), rel=1e-4, abs=1e-5)


def test_an_embedding_without_such_a_rule_says_so():
    pytest.importorskip("pykeen")
    scorer = PykeenScorer(new_embedding("hake", EmbeddingSettings(dim=4), facts_of_six()), facts_of_six())
    with pytest.raises(DataError, match=r"facts do not say where an entity lies.*TransE"):
        scorer.tails_shown(torch.tensor([4, 5]), torch.tensor([0, 1]), SHOWN)


def test_an_embedding_has_no_vector_of_an_entity_that_train_lacks():
    pytest.importorskip("pykeen")
    scorer = PykeenScorer(new_embedding("transe", EmbeddingSettings(dim=4), facts_of_six()), facts_of_six())
    scores = scorer.tails(torch.tensor([0]), torch.tensor([1]))
    assert scores.shape == (1, 6) and scores[0, 4:].tolist() == [-torch.inf] * 2 and scores[0, :4].isfinite().all()
    with pytest.raises(DataError, match="1 of the entities that are given are in no train triple"):
        scorer.heads(torch.tensor([0, 0]), torch.tensor([4, 1]))


def test_a_frozen_encoder_averages_its_text_with_what_the_facts_say():
    torch.manual_seed(0)
    model = FrozenEncoder(FrozenEncoderSettings(), torch.randn(6, 4), 2)
    narrow = FrozenEncoderScorer(model).among(torch.arange(4))
    unseen, asked = torch.tensor([4, 5]), torch.tensor([0, 1])
    relation = model.relation.weight.detach()
    found = narrow.tails_shown(unseen, asked, SHOWN), narrow.heads_shown(asked, unseen, SHOWN)
    for query, entity in enumerate(unseen):
        said = [
            model.entities[o] + (-relation[r] if first else relation[r])
            for o, r, first in zip(SHOWN.others[query], SHOWN.relations[query], SHOWN.as_head[query], strict=True)
        ]
        place = (model.entities[entity] + sum(said)) / 3
        for candidate in range(4):
            forward = (place + relation[asked[query]] - model.entities[candidate]).abs().sum()
            backward = (model.entities[candidate] + relation[asked[query]] - place).abs().sum()
            scores = [side[query, candidate].item() for side in found]
            assert scores == pytest.approx([-forward.item(), -backward.item()], rel=1e-5)


def test_dkrl_gives_its_own_vector_what_the_facts_say_and_keeps_its_descriptions():
    facts = facts_of_six()
    ids = Ragged(np.arange(5, 17, dtype=np.int32), offsets(np.full(6, 2)))
    none = Ragged(np.empty(0, np.int32), np.zeros(7, np.int64))
    texts = descriptions(ids, none, SPECIAL, max_length=8, encode_tokens=64)
    torch.manual_seed(0)
    model = Dkrl(DkrlSettings(dim=4), 20, 6, 2)
    narrow = DkrlScorer(model, texts, facts).among(torch.arange(4))
    unseen, asked, relation = torch.tensor([4, 5]), torch.tensor([0, 1]), model.relation.weight.detach()
    described = texts.encoded(model.describe, np.arange(6)).detach()
    found = narrow.tails_shown(unseen, asked, SHOWN)
    for query, entity in enumerate(unseen):
        said = [
            model.entity.weight[o] + (-relation[r] if first else relation[r])
            for o, r, first in zip(SHOWN.others[query], SHOWN.relations[query], SHOWN.as_head[query], strict=True)
        ]
        heads = [(described[entity] + sum(said)) / 3, described[entity]]
        for c in range(4):
            ends = [model.entity.weight[c], described[c]]
            slow = sum((head + relation[asked[query]] - tail).abs().sum() for head in heads for tail in ends)
            assert found[query, c].item() == pytest.approx(-slow.item(), rel=1e-5)


def test_a_baseline_answers_and_evaluates_again_to_the_same_numbers(towns, tmp_path):
    pytest.importorskip("pykeen")
    told = {"epochs": "2", "dim": "4", "batch": "16", "setting": "semi-inductive", "shots": "0,1,3"}
    folder = run_baseline("transe", towns.folder, None, tmp_path / "run", told)
    (path,) = (folder / "results").glob("link-prediction-semi-inductive-test-*.json")
    result = json.loads(path.read_text(encoding="utf-8"))
    assert result["metrics"]["k=0"].keys() == {"questions", "too_few_facts"}
    assert 0 < result["metrics"]["k=1"]["mrr"] <= 1
    assert result["baselines"]["frequency"]["k=0"]["mrr"] > 0
    again = evaluate(folder, "link-prediction", settings={"setting": "semi-inductive", "shots": "0,1,3"})
    assert again["metrics"] == result["metrics"]
    rows = predict(folder, head="a1", relation="r0", top=100)
    assert {row["entity"][0] for row in rows} == {"a"} and len(rows) == 12
    with pytest.raises(DataError, match="in no train triple"):
        predict(folder, head="t1", relation="r0")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"shots": "1,two"}, "expected numbers of 0 to 10"),
        ({"shots": "11"}, "expected numbers of 0 to 10"),
        ({"filter": "train"}, "all other facts of the entity are known answers"),
        ({"unseen": "skip"}, "leaves nothing to ask"),
    ],
)
def test_wrong_settings_say_what_is_right(settings, message):
    with pytest.raises(UsageError, match=message):
        LinkPredictionSettings(setting="semi-inductive", **settings)


def test_a_dataset_without_such_facts_says_where_they_come_from(family):
    with pytest.raises(DataError, match="no facts that join"):
        ask(family)
