"""Who is ranked, of what, and how the ranks are told apart: each choice of link prediction against a slow count."""

import itertools
import json

import numpy as np
import pytest
import torch

from schemas.errors import DataError, UsageError
from tests.training.evaluation.kg import write_kg
from tests.training.evaluation.test_ranking import brute_force
from training.baselines import run_baseline
from training.compare import compare
from training.evaluation import relation_prediction
from training.evaluation.breakdowns import cardinalities, degree_groups, shared_pairs
from training.evaluation.facts import Facts, read_facts
from training.evaluation.link_prediction import LinkPredictionSettings, link_prediction, prepare
from training.evaluation.ranking import KnownAnswers
from training.evaluation.rules import RelationRule
from training.evaluation.run import evaluate
from training.evaluation.sampled_ranking import draw_candidates, missing
from training.evaluation.settings import read_settings
from training.evaluation.state_file import weights_digest
from training.evaluation.tasks import open_examination

SPLITS = ("train", "valid", "test")


class Table:
    """Scores (E, R, E) of few values."""

    def __init__(self, facts, seed=0):
        shape = (facts.entities, facts.relations, facts.entities)
        self.table = torch.from_numpy(np.random.default_rng(seed).integers(0, 5, shape)).float()

    def tails(self, heads, relations):
        return self.table[heads, relations]

    def heads(self, relations, tails):
        return self.table[:, relations, tails].T.contiguous()


class Triples:
    """The same, one by one."""

    def __init__(self, facts):
        self.table = Table(facts).table

    def triples(self, heads, relations, tails):
        return self.table[heads, relations, tails]


def ask(dataset, **settings):
    return prepare(dataset, "test", read_settings(LinkPredictionSettings, settings, "task link-prediction"))


def slow(facts, side, candidates, *, own):
    """(optimistic, pessimistic) of each test triple among some candidates, filtered."""
    known, table = {tuple(triple) for triple in facts.triples(*SPLITS).tolist()}, Table(facts).table
    for h, r, t in facts.splits["test"].tolist():
        gold, given = (t, h) if side == "tail" else (h, t)
        answers = [(h, r, x) if side == "tail" else (x, r, t) for x in candidates]
        left_out = {i for i, answer in enumerate(answers) if answer in known or (not own and candidates[i] == given)}
        yield brute_force([table[answer].item() for answer in answers], list(candidates).index(gold), left_out)


@pytest.mark.parametrize("own", ["keep", "remove"])
@pytest.mark.parametrize("which", ["all", "split", "given"])
def test_ranks_are_those_among_the_candidates(family, tmp_path, which, own):
    facts = read_facts(family)
    names = family.read("entities", columns=["entity"])["entity"].to_pylist()
    in_test = np.unique(facts.splits["test"][:, [0, 2]]).tolist()
    among = {"all": range(facts.entities), "split": in_test, "given": sorted({*in_test, 0, 1, 2})}[which]
    (tmp_path / "some").write_text("".join(f"{names[i]}\n" for i in reversed(among)), encoding="utf-8")
    questions = ask(family, candidates=str(tmp_path / "some") if which == "given" else which, own_entity=own)
    found = link_prediction(Table(facts), questions)
    assert questions.protocol["candidates"] == len(among)
    assert questions.protocol["candidate_set"].split()[0] == which
    for reading in ("keep", "remove"):
        pairs = [pair for side in ("head", "tail") for pair in slow(facts, side, among, own=reading == "keep")]
        expected = np.mean([2 / (low + high) for low, high in pairs])
        assert found["own_entity"][reading]["mrr"] == pytest.approx(expected)
    assert found["both"] == found["own_entity"][own]


def test_queries_whose_answer_is_no_candidate_are_left_out_and_counted(family, tmp_path):
    facts = read_facts(family)
    names = family.read("entities", columns=["entity"])["entity"].to_pylist()
    cities = [name for name in names if name.startswith("city")]
    (tmp_path / "cities").write_text("\n".join(cities), encoding="utf-8")
    questions = ask(family, candidates=str(tmp_path / "cities"))
    born = sum(names[t] in cities for t in facts.splits["test"][:, 2])
    assert born
    assert questions.protocol["answer_no_candidate"] == {"head": 7, "tail": 7 - born}
    metrics = link_prediction(Table(facts), questions)
    assert "head" not in metrics and metrics["tail"] == metrics["both"]


@pytest.mark.parametrize("own", [True, False])
@pytest.mark.parametrize("filtered", [True, False])
def test_drawn_candidates_are_false_and_equally_likely(own, filtered):
    triples = np.array([[0, 0, 1], [0, 0, 2], [3, 0, 3]])
    facts = Facts(6, 1, {"train": triples, "valid": triples[:0], "test": triples})
    known = KnownAnswers(facts, ("train",), "tail") if filtered else None
    drawn = draw_candidates(triples, "tail", known, 6, 4_000, seed=0, own=own)
    for row, (head, _, tail) in enumerate(triples.tolist()):
        left_out = {tail} | ({1, 2} if filtered and not head else set()) | (set() if own else {head})
        counts = np.bincount(drawn[row], minlength=6)
        rest = [entity for entity in range(6) if entity not in left_out]
        assert not counts[[*left_out]].any()
        assert abs(counts[rest] - 4_000 / len(rest)).max() < 5 * (4_000 / len(rest)) ** 0.5
    assert np.array_equal(drawn[1:], draw_candidates(triples[1:], "tail", known, 6, 4_000, seed=0, own=own))


def test_missing_counts_past_what_is_known():
    known = np.array([0, 1, 4, 7])
    rest = [n for n in range(12) if n not in known]
    assert missing(known, np.arange(len(rest))).tolist() == rest


def test_a_sample_has_intervals_around_what_all_candidates_would_give(family):
    facts = read_facts(family)
    questions = ask(family, candidates="sampled=19", seed="3", resamples="200")
    assert questions.protocol["sampled"] == {"triples_of": 7, "seed": 3, "resamples": 200}
    found, alone = (link_prediction(scorer(facts), questions) for scorer in (Table, Triples))
    assert found == alone and "own_entity" not in found
    for name, value in found["both"].items():
        low, high = found["intervals"][name]
        assert low <= value <= high and (low < high or value in (0, 1))
    again = link_prediction(Table(facts), ask(family, candidates="sampled=19", seed="4"))
    assert again["both"] != found["both"]


def test_rows_of_scores_are_asked_for_a_few_at_a_time(family, monkeypatch):
    facts, asked = read_facts(family), []

    class Watched(Table):
        def tails(self, heads, relations):
            asked.append(len(heads))
            return super().tails(heads, relations)

    questions = ask(family, candidates="sampled=2")
    whole = link_prediction(Table(facts), questions)
    monkeypatch.setattr("training.evaluation.sampled_ranking.SCORES_AT_ONCE", 2 * facts.entities)
    assert link_prediction(Watched(facts), questions) == whole
    assert asked == [2, 2, 2, 1]


def test_some_triples_stand_for_all(family):
    questions = ask(family, triples="3")
    assert len(questions.triples) == 3 and questions.protocol["sampled"]["triples_of"] == 7
    everything = {tuple(triple) for triple in ask(family).triples.tolist()}
    assert {tuple(triple) for triple in questions.triples.tolist()} < everything
    assert link_prediction(Table(questions.facts), questions)["intervals"].keys() >= {"mrr"}
    assert "sampled" not in ask(family, triples="7").protocol


def test_a_pair_scorer_answers_for_a_sample_alone(family):
    with pytest.raises(DataError, match="candidates=sampled=100"):
        link_prediction(Triples(read_facts(family)), ask(family))


def test_relations_are_told_apart_by_their_answers():
    one, many = [(f"a{i}", "one", f"b{i}") for i in range(4)], [("a0", "heads", f"b{i}") for i in range(3)]
    rows = {"one": one, "1-n": many, "n-1": [(t, "tails", h) for h, _, t in many]}
    rows["n-n"] = [(f"a{i}", "both", f"b{j}") for i in range(2) for j in range(2)]
    triples = [(int(h[1:]), number, 10 + int(t[1:])) for number, part in enumerate(rows.values()) for h, _, t in part]
    facts = Facts(20, 5, {"train": np.array(triples), "valid": np.empty((0, 3), int), "test": np.empty((0, 3), int)})
    assert cardinalities(facts) == ["1-1", "1-n", "n-1", "n-n", "unseen"]


def test_degrees_are_grouped_by_their_logarithm_and_pairs_known_in_both_directions():
    chain = np.array([[0, 0, i] for i in range(1, 9)])
    facts = Facts(10, 1, {"train": chain, "valid": chain[:0], "test": chain[:0]})
    assert degree_groups(facts).tolist() == [4, *[1] * 8, 0]
    assert shared_pairs(facts, np.array([[0, 0, 3], [3, 0, 0], [3, 0, 4]])).tolist() == [True, True, False]


def test_breakdowns_add_up(family):
    facts = read_facts(family)
    found = link_prediction(Table(facts), ask(family))
    pairs = {side: list(slow(facts, side, range(facts.entities), own=True)) for side in ("head", "tail")}
    groups, (heads, _, tails) = degree_groups(facts), ask(family).triples.T
    for which, ends in (("asked", [heads, tails]), ("given", [tails, heads])):
        # The head's queries come first: the head is asked for, the tail given.
        ranks = dict(zip(("head", "tail"), (groups[end] for end in ends), strict=True))
        for group, row in found["degree"][which].items():
            members = {side: of == int(group) for side, of in ranks.items()}
            assert row["queries"] == sum(int(each.sum()) for each in members.values())
            of = [pair for side, each in members.items() for pair in itertools.compress(pairs[side], each)]
            assert row["mrr"] == pytest.approx(np.mean([2 / (low + high) for low, high in of]))
    for part in (found["relations"], found["degree"]["asked"], found["degree"]["given"]):
        rows = part.values()
        assert sum(row["queries"] for row in rows) == 14
        assert sum(row["queries"] * row["mrr"] for row in rows) / 14 == pytest.approx(found["both"]["mrr"])
    assert sum(side["queries"] for kind in found["cardinality"].values() for side in kind.values()) == 14
    # Each husband's spouse, and no city, is joined to him in train.
    assert found["no_shared_pair"]["queries"] == 2 * sum(
        name == "born_in" for name in (ask(family).relation_names[r] for r in ask(family).triples[:, 1])
    )


def test_raw_ranks_count_other_answers(tmp_path):
    train = [("a", "r", f"b{i}") for i in range(5)]
    dataset = write_kg(tmp_path, {"train": train, "valid": [], "test": [("a", "r", "c")]})

    class Trained:
        def tails(self, heads, relations):
            known = {int(t) for t in read_facts(dataset).splits["train"][:, 2]}
            return torch.tensor([[float(e in known) for e in range(7)]])

        def heads(self, relations, tails):
            return torch.zeros(1, 7)

    raw, filtered = (link_prediction(Trained(), ask(dataset, filter=name)) for name in ("none", ""))
    assert raw["tail"]["mr"] == 6.5 and filtered["tail"]["mr"] == 1.5


def test_a_result_file_says_it_all(family, tmp_path):
    told = {"candidates": "split", "own_entity": "remove", "ties": "pessimistic", "filter": "none"}
    folder = run_baseline("frequency", family.folder, None, tmp_path / "run", told)
    (path,) = (folder / "results").iterdir()
    result = json.loads(path.read_text(encoding="utf-8"))
    assert result["protocol"].items() >= {"candidate_set": "split", "own_entity": "remove", "filtered": False}.items()


def test_an_evaluation_leaves_its_state_where_it_was_interrupted_and_goes_on(family, tmp_path, monkeypatch):
    monkeypatch.setattr("training.evaluation.state_file.EVERY", 0.0)
    monkeypatch.setattr("training.evaluation.ranking.SCORES_AT_ONCE", 23)
    examination, asked = open_examination("link-prediction", family, "test", {"filter": "test"}), []
    (tmp_path / "model.safetensors").write_bytes(b"weights")

    class Interrupted(Table):
        def tails(self, heads, relations):
            asked.append(len(heads))
            if len(asked) == 4:
                raise KeyboardInterrupt
            return super().tails(heads, relations)

        def heads(self, relations, tails):
            heads.append(len(tails))
            return super().heads(relations, tails)

    heads: list[int] = []
    scorer = Interrupted(read_facts(family))
    with pytest.raises(KeyboardInterrupt):
        examination.examine(tmp_path, "table", scorer)
    name = f"link-prediction-test-filter=test-{family.digest[:8]}"
    states = {f".{name}-{side}.state" for side in ("head", "tail")}
    assert {path.name for path in (tmp_path / "results").iterdir()} == states
    result = examination.examine(tmp_path, "table", scorer)
    assert asked == [4, 1, 1, 1, 4, *[1] * 5] and heads == [4, *[1] * 7, 4]  # the side that was done is not asked again
    assert result["metrics"] == link_prediction(Table(read_facts(family)), examination.questions)
    assert [path.name for path in (tmp_path / "results").iterdir()] == [f"{name}.json"]


def test_weights_are_told_apart_by_what_is_in_them(tmp_path):
    step = tmp_path / "checkpoints" / "step-00000020"
    (step / "model").mkdir(parents=True)
    (step / "optimizer").mkdir()
    found = [weights_digest(tmp_path)]
    shard = "checkpoints/step-00000020/model/shard-00001-of-00001.safetensors"
    for name in ("config.toml", "model.safetensors", shard):
        for content in (b"one", b"two"):
            (tmp_path / name).write_bytes(content)
            found.append(weights_digest(tmp_path))
    assert len({*found}) == 7
    (step / "optimizer" / "shard-00001-of-00001.safetensors").write_bytes(b"one")
    assert weights_digest(tmp_path) == found[-1]


def test_relations_are_ranked_among_those_that_are_not_known_of_the_pair(family):
    questions = relation_prediction.prepare(family, "test", relation_prediction.RelationPredictionSettings())
    facts, table = questions.facts, np.random.default_rng(0).integers(0, 3, (23, 3, 23)).astype(np.float32)

    class Relations:
        def relations(self, heads, tails):
            return torch.from_numpy(table[heads, :, tails])

    known, ranks = {tuple(triple) for triple in facts.triples(*SPLITS).tolist()}, []
    for h, r, t in facts.splits["test"].tolist():
        low, high = brute_force(table[h, :, t].tolist(), r, {x for x in range(3) if (h, x, t) in known})
        ranks.append((low + high) / 2)
    found = relation_prediction.relation_prediction(Relations(), questions)
    assert found["all"]["mr"] == pytest.approx(np.mean(ranks))
    assert sum(row["triples"] for row in found["relations"].values()) == len(ranks) == 7
    assert questions.protocol["filter_splits"] == list(SPLITS)


def test_the_relation_rules_look_at_the_pair_then_its_ends(tmp_path):
    train = [("a", "r", "b"), ("a", "r", "c"), ("d", "s", "b"), ("e", "s", "f"), ("g", "s", "f")]
    facts = read_facts(write_kg(tmp_path, {"train": train, "valid": [], "test": []}))
    names = {
        name: i for i, name in enumerate(sorted("abcdefg", key=lambda n: (-"".join(map("".join, train)).count(n), n)))
    }
    r, s = (int(facts.splits["train"][:, 1].max()), 0)  # s is the more frequent one

    def order(rule, head, tail):
        scores = rule.relations(torch.tensor([names[head]]), torch.tensor([names[tail]]))[0]
        return scores.argsort(descending=True).tolist()

    pair, overall = RelationRule(facts, pair=True), RelationRule(facts, pair=False)
    assert order(overall, "a", "b") == [s, r]
    assert order(pair, "a", "b") == [r, s]
    assert order(pair, "a", "e") == [r, s]  # by the head: no pair, no tail
    assert order(pair, "a", "f") == [s, r]  # by the tail, before the head


def test_no_result_takes_the_place_of_one_under_another_protocol(family, tmp_path):
    folder = run_baseline("frequency", family.folder, None, tmp_path / "run", {})
    (tmp_path / "some").write_text("w0\nh0\nw1\nh1\nw3\nh3\n", encoding="utf-8")
    for told in ({"candidates": "sampled=5"}, {"own_entity": "remove", "ties": "optimistic"}, {}):
        evaluate(folder, "link-prediction", settings=told)
    evaluate(folder, "link-prediction", settings={"candidates": str(tmp_path / "some")})
    names = sorted(path.name.rpartition("-")[0] for path in (folder / "results").iterdir())
    usual, _, *others = names
    assert usual == "link-prediction-test" and others == [
        "link-prediction-test-candidates=sampled=5",
        "link-prediction-test-ties=optimistic,own_entity=remove",
    ]
    tables, _ = compare([folder])
    assert len(tables) == 4


@pytest.mark.parametrize(
    ("told", "kind", "message"),
    [
        ({"candidates": "sampled"}, UsageError, "such as sampled=500"),
        ({"candidates": "sampled=9", "setting": "inductive"}, UsageError, "for setting=transductive"),
        ({"candidates": "splitt"}, UsageError, "expected all, split, sampled=N or a file"),
        ({"candidates": "EMPTY"}, DataError, "is empty"),
        ({"candidates": "FILE"}, DataError, "names 'nobody', which is no entity"),
        ({"setting": "semi-inductive", "own_entity": "remove"}, UsageError, "not for setting=semi-inductive"),
    ],
)
def test_what_can_not_be_asked_says_why(family, tmp_path, told, kind, message):
    (tmp_path / "file").write_text("w1\nnobody\n", encoding="utf-8")
    (tmp_path / "empty").write_text("\n", encoding="utf-8")
    with pytest.raises(kind, match=message) as raised:
        ask(family, **{key: str(tmp_path / value.lower()) if value.isupper() else value for key, value in told.items()})
    assert "\n" not in str(raised.value)
