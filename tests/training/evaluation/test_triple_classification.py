"""Triple classification: thresholds by brute force, negatives that are false and the same for all, rules and runs."""

import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.errors import DataError, UsageError
from tests.training.evaluation.kg import write_kg
from training.baselines import run_baseline
from training.evaluation.facts import Facts, read_facts
from training.evaluation.negatives_file import corrupted
from training.evaluation.run import evaluate
from training.evaluation.tasks import TASKS
from training.evaluation.triple_classification import (
    NEGATIVES,
    Labelled,
    Thresholds,
    TripleClassificationSettings,
    auc,
    best_threshold,
    prepare,
    triple_classification,
)

TASK = "triple-classification"
SCORES = st.lists(st.tuples(st.sampled_from([-1.0, 0.0, 0.5, 3.0, 1e30]), st.booleans()), min_size=1, max_size=12)


def ask(dataset, split="test", **chosen):
    return prepare(dataset, split, TripleClassificationSettings(**chosen))


def of_valid(questions):
    return zip(questions.valid.triples.tolist(), questions.valid.labels.tolist(), strict=True)


def result_of(folder):
    return json.loads(next((folder / "results").glob(f"{TASK}-*.json")).read_text(encoding="utf-8"))


@given(SCORES)
def test_no_threshold_is_more_accurate_than_the_chosen_one(rows):
    scores, labels = (np.array(column) for column in zip(*rows, strict=True))
    chosen = best_threshold(scores, labels)
    best = max(((scores > cut) == labels).mean() for cut in [-np.inf, *scores])
    assert ((scores > chosen) == labels).mean() == best and np.isfinite(chosen)


def test_neighbouring_scores_are_told_apart():
    low = 1.0
    high = np.nextafter(low, 2.0)
    assert best_threshold(np.array([low, high]), np.array([False, True])) == low


@given(SCORES.filter(lambda rows: len({label for _, label in rows}) == 2))
def test_auc_is_the_share_of_pairs_in_order(rows):
    true, false = ([score for score, label in rows if label is wanted] for wanted in (True, False))
    pairs = [1.0 if t > f else 0.5 if t == f else 0.0 for t in true for f in false]
    scores, labels = (np.array(column) for column in zip(*rows, strict=True))
    assert auc(scores, labels) == pytest.approx(np.mean(pairs))


def test_a_relation_without_valid_triples_has_the_threshold_for_all():
    triples = np.array([[0, 0, 1], [0, 0, 2], [1, 1, 0], [1, 1, 2]])
    part = Labelled(triples, np.array([True, False, False, True]))
    fitted = Thresholds.fit(np.array([5.0, 4.0, 1.0, 2.0]), part, each=True)
    assert fitted.own == {0: 4.5, 1: 1.5}
    assert fitted.of(2) == fitted.overall
    assert Thresholds.fit(np.array([5.0, 4.0, 1.0, 2.0]), part, each=False).own == {}


@given(st.integers(0, 999), st.integers(2, 5))
@settings(max_examples=25)
def test_corrupted_triples_are_no_facts_and_change_one_end(seed, entities):
    rng = np.random.default_rng(seed)
    cells = rng.choice(entities * entities * 2, size=entities * entities, replace=False)
    triples = np.stack(np.unravel_index(cells, (entities, 2, entities)), axis=1)
    half = len(triples) // 2
    facts = Facts(entities, 2, {"train": triples[:half], "valid": triples[half:], "test": triples[:0]})
    false, without = corrupted(facts, facts.splits["valid"], seed, "valid")
    true = np.delete(facts.splits["valid"], without, axis=0)
    everything = set(map(tuple, triples.tolist()))
    assert not everything & set(map(tuple, false.tolist()))
    assert ((false != true).sum(axis=1) == 1).all() and (false[:, 1] == true[:, 1]).all()
    for row in without.tolist():
        h, r, t = facts.splits["valid"][row].tolist()
        assert all({(h, r, x), (x, r, t)} <= everything for x in range(entities))


def test_either_end_and_every_entity_is_drawn_equally_often():
    chain = np.array([[i, 0, i] for i in range(4_000)])
    facts = Facts(4_000, 1, {"train": chain[:0], "valid": chain, "test": chain[:0]})
    false, _ = corrupted(facts, chain, 0, "valid")
    heads = (false[:, 2] == chain[:, 2]).mean()
    drawn = np.where(false[:, 0] == chain[:, 0], false[:, 2], false[:, 0])
    assert abs(heads - 0.5) < 0.03
    assert abs(drawn.mean() - 2_000) < 60


def test_the_negatives_are_left_in_a_file_and_read_again(family, tmp_path):
    folder = run_baseline("seen-pattern", family.folder, TASK, tmp_path / "run", {})
    first, file = result_of(folder), folder / "results" / NEGATIVES.format(seed=0)
    said = first["protocol"]["negatives"]
    assert (said["source"], said["known_facts"], said["seed"]) == ("sampled", 0, 0)
    again = ask(family, negatives_from=str(file))
    assert again.protocol["negatives"]["sha256"] == said["sha256"]
    assert np.array_equal(again.asked.triples, ask(family).asked.triples)
    other = ask(family, negatives_from=str(tmp_path / "new.tsv"), negatives_seed=1)
    assert (tmp_path / "new.tsv").read_text(encoding="utf-8") == other.negatives.text != again.negatives.text
    assert ask(family, negatives_from=str(tmp_path / "new.tsv")).protocol == other.protocol
    assert again.protocol["variant"] != other.protocol["variant"] == f"negatives_from=file {other.negatives.sha256[:8]}"
    ask(family, negatives_seed=1).leave(tmp_path)
    assert (tmp_path / NEGATIVES.format(seed=1)).read_text(encoding="utf-8") == other.negatives.text


def test_given_negatives_are_taken_and_known_facts_among_them_counted(tmp_path):
    train = [("a", "r", "b"), ("b", "r", "c")]
    splits = {
        "train": train,
        "valid": [("a", "r", "c")],
        "test": [("c", "r", "a")],
        "valid_negatives": [("a", "r", "a")],
        "test_negatives": [("b", "r", "b"), ("a", "r", "b")],
    }
    questions = ask(write_kg(tmp_path, splits))
    assert questions.protocol["negatives"].items() >= {"source": "given", "test": 2, "known_facts": 1}.items()
    assert questions.asked.labels.tolist() == [True, False, False]
    assert ask(write_kg(tmp_path / "s", splits), negatives_from="sampled").negatives.source == "sampled"


def test_rules_say_what_they_count(family):
    rules, questions = TASKS[TASK].rules, ask(family)
    facts = questions.facts
    train = {tuple(triple) for triple in facts.splits["train"].tolist()}
    h, r, t = (torch.from_numpy(column.copy()) for column in questions.asked.triples.T)
    count = rules["frequency"](questions).triples(h, r, t).tolist()
    share = rules["seen-pattern"](questions).triples(h, r, t).tolist()

    def seen(head, relation, tail):
        heads = sum((one, of) == (head, relation) for one, of, _ in train)
        return heads, sum((of, one) == (relation, tail) for _, of, one in train)

    valid = [(relation, *(n > 0 for n in seen(h, relation, t)), true) for (h, relation, t), true in of_valid(questions)]
    for row, (head, relation, tail) in enumerate(questions.asked.triples.tolist()):
        heads, tails = seen(head, relation, tail)
        alike = [(other, true) for other, one, two, true in valid if (one, two) == (heads > 0, tails > 0)]
        own, every = [true for other, true in alike if other == relation], [true for _, true in alike]
        assert count[row] == heads * tails
        assert share[row] == pytest.approx((sum(own) + sum(every) / max(1, len(every))) / (len(own) + 1))
    majority = triple_classification(rules["majority"](questions), questions)
    assert majority["all"]["accuracy"] == 0.5 and majority["all"]["auc"] == 0.5


def test_metrics_add_up(family):
    class Oracle:
        def triples(self, heads, relations, tails):
            known = {tuple(triple) for triple in read_facts(family).triples("train", "valid", "test").tolist()}
            triples = zip(heads.tolist(), relations.tolist(), tails.tolist(), strict=True)
            return torch.tensor([float(triple in known) for triple in triples])

    questions = ask(family)
    metrics = triple_classification(Oracle(), questions)
    assert metrics["all"].items() >= {"accuracy": 1.0, "auc": 1.0, "f1": 1.0, "triples": 14}.items()
    assert metrics["valid"]["accuracy"] == 1.0
    wrong = triple_classification(TASKS[TASK].rules["seen-pattern"](questions), questions)
    assert sum(row["error_share"] for row in wrong["relations"].values()) == pytest.approx(1.0)
    assert sum(row["triples"] for row in wrong["relations"].values()) == 14


def test_an_embedding_is_asked_again_to_the_same_numbers(family, tmp_path):
    pytest.importorskip("pykeen")
    told = {"epochs": "2", "dim": "8", "batch": "16", "threshold": "global"}
    folder = run_baseline("transe", family.folder, TASK, tmp_path / "run", told)
    first = result_of(folder)
    assert first["protocol"]["threshold"] == "global"
    assert first["baselines"].keys() == {"majority", "frequency", "seen-pattern"}
    assert evaluate(folder, TASK, settings={"threshold": "global"})["metrics"] == first["metrics"]


@pytest.mark.parametrize(
    ("split", "told", "kind", "message"),
    [
        ("train", {}, UsageError, "valid and test"),
        ("test", {"negatives_from": "given"}, DataError, "no negatives of its own"),
        ("test", {"negatives_from": "FILE"}, DataError, "line 2: expected head, relation and tail"),
        ("test", {"negatives_from": "TRUE"}, DataError, "line 1: .*split valid is of true triples"),
        ("test", {"negatives_from": "Given"}, UsageError, "Did you mean given"),
        ("test", {"negatives_from": "FILE/in.tsv"}, UsageError, "can't be made"),
    ],
)
def test_what_can_not_be_asked_says_why(family, tmp_path, split, told, kind, message):
    file = tmp_path / "negatives.tsv"
    file.write_text("w1\tspouse\tw2\tvalid_negatives\nw1\tspouse\tnobody\ttest_negatives\n", encoding="utf-8")
    (tmp_path / "true.tsv").write_text("w1\tspouse\tw2\tvalid\n", encoding="utf-8")
    places = {"FILE": str(file), "TRUE": str(tmp_path / "true.tsv"), "FILE/in.tsv": f"{file}/in.tsv"}
    with pytest.raises(kind, match=message) as raised:
        ask(family, split, **{key: places.get(value, value) for key, value in told.items()})
    assert "\n" not in str(raised.value)


def test_scores_that_are_no_numbers_are_an_error(family):
    class Diverged:
        def triples(self, heads, relations, tails):
            return torch.full((len(heads),), torch.nan)

    with pytest.raises(DataError, match="diverged"):
        triple_classification(Diverged(), ask(family))
