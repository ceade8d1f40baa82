"""The inductive setting: what is asked, among whom, and that a model which met the answers is refused."""

import json
import re

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.errors import DataError, UsageError
from tests.training.evaluation.kg import write_kg
from training.baselines import load_baseline, run_baseline
from training.compare import compare
from training.evaluation.facts import read_facts
from training.evaluation.link_prediction import LinkPredictionSettings, link_prediction, prepare
from training.evaluation.ranking import Candidates, KnownAnswers, rank_triples
from training.evaluation.run import evaluate
from training.models.dkrl import DkrlSettings, batches

SPLITS = ("train", "valid", "test")


@pytest.fixture(scope="module")
def towns(tmp_path_factory):
    """Fourteen entities of train, five of valid and six of test, and facts that join them; the transductive split cuts
    across all of these."""
    of = (
        {f"a{i}": "train" for i in range(14)}
        | {f"v{i}": "valid" for i in range(5)}
        | {f"t{i}": "test" for i in range(6)}
    )
    sides = {name: side for name, side in of.items() if side != "train"}
    facts = [(f"a{i}", f"r{i % 3}", f"a{(i * j) % 14}") for i in range(14) for j in (1, 3)]
    facts += [(f"{one}{i}", f"r{i % 2}", f"{one}{(i + 1) % n}") for one, n in (("v", 5), ("t", 6)) for i in range(n)]
    facts += [("t0", "r0", "t2"), ("t3", "r0", "t1"), ("t0", "r1", "a3"), ("a4", "r1", "v0"), ("t5", "r2", "v1")]
    facts = sorted(set(facts))
    parts = {split: facts[i::3] for i, split in enumerate(SPLITS)}
    return write_kg(tmp_path_factory.mktemp("towns"), parts, sides)


def names_of(dataset):
    return dataset.read("entities", columns=["entity"])["entity"].to_pylist()


def test_train_is_every_triple_of_inductive_train_whatever_file_it_lies_in(towns):
    facts = read_facts(towns, "inductive")
    for split in SPLITS:
        rows = [row for row in towns.read("triples").to_pylist() if row["inductive_split"] == split]
        assert len({row["split"] for row in rows}) > 1
        wanted = sorted((row["head_index"], row["relation_index"], row["tail_index"]) for row in rows)
        assert sorted(map(tuple, facts.splits[split].tolist())) == wanted
    assert {names_of(towns)[entity][0] for entity in facts.learnable} == {"a"}
    assert facts.unseen(facts.splits["test"]).all() and facts.unseen(facts.splits["valid"]).all()
    assert len(read_facts(towns).learnable) == 25


def slow_rank(table, triple, side, candidates, known):
    """The realistic rank, by a loop over the candidates that are no other known answer."""
    head, relation, tail = triple
    gold = tail if side == "tail" else head
    above = level = 0
    for entity in candidates:
        other = (head, relation, entity) if side == "tail" else (entity, relation, tail)
        if entity != gold and other in known:
            continue
        score = table[other]
        above, level = above + bool(score > table[triple]), level + bool(score == table[triple])
    return above + (level + 1) / 2


class Table:
    """Scores (E, R, E); asked for candidates alone, it says nothing about the others."""

    def __init__(self, table):
        self.table, self.asked = table, []

    def among(self, candidates):
        self.asked.append(candidates)
        return _Among(self.table, candidates)

    def tails(self, heads, relations):
        return self.table[heads, relations]

    def heads(self, relations, tails):
        return self.table[:, relations, tails].T


class _Among:
    def __init__(self, table, candidates):
        self.table, self.candidates = table, candidates

    def tails(self, heads, relations):
        return self.table[heads, relations][:, self.candidates]

    def heads(self, relations, tails):
        return self.table[:, relations, tails].T[:, self.candidates]


@given(seed=st.integers(0, 10_000), split=st.sampled_from(["valid", "test"]), narrow=st.booleans())
@settings(max_examples=40)
def test_the_inductive_rank_equals_a_loop_over_the_entities_of_the_split(towns, seed, split, narrow):
    questions = prepare(towns, split, LinkPredictionSettings(setting="inductive"))
    table = torch.from_numpy(np.random.default_rng(seed).integers(0, 4, size=(25, 3, 25))).float()
    scorer = Table(table)
    if not narrow:
        scorer = _Plain(table)
    sides = towns.read("entities", columns=["inductive_split"])["inductive_split"].to_pylist()
    candidates = [index for index, side in enumerate(sides) if side == split]
    known = set(map(tuple, questions.facts.splits[split].tolist()))
    ranks = [
        slow_rank(table, tuple(triple), side, candidates, known)
        for side in ("head", "tail")
        for triple in questions.triples.tolist()
    ]
    found = link_prediction(scorer, questions)["both"]
    assert found["mr"] == pytest.approx(np.mean(ranks))
    assert found["mrr"] == pytest.approx(np.mean(1 / np.array(ranks)))
    if narrow:
        assert all(asked.tolist() == candidates for asked in scorer.asked)


class _Plain:
    """A scorer that can't leave anything out."""

    def __init__(self, table):
        self.table = table

    def tails(self, heads, relations):
        return self.table[heads, relations]

    def heads(self, relations, tails):
        return self.table[:, relations, tails].T


def test_entities_of_train_are_never_candidates_and_the_filter_has_that_split_alone(towns):
    questions = prepare(towns, "test", LinkPredictionSettings(setting="inductive"))
    names = names_of(towns)
    assert [names[entity][0] for entity in questions.candidates.entities.tolist()] == ["t"] * 6
    own = set(map(tuple, questions.facts.splits["test"].tolist()))
    heads, found = questions.known["tail"].of(questions.triples)
    for row, entity in zip(heads.tolist(), found.tolist(), strict=True):
        head, relation, _ = questions.triples[row].tolist()
        assert (head, relation, entity) in own
    assert questions.protocol == {
        "setting": "inductive",
        "split": "test",
        "triples": 8,
        "sides": ["head", "tail"],
        "candidates": 6,
        "candidate_set": "split",
        "own_entity": "keep",
        "filtered": True,
        "filter_splits": ["test"],
        "ties": "realistic",
        "unseen": {"policy": "keep", "triples": 8},
    }


def test_known_answers_that_are_no_candidates_filter_nothing(towns):
    everything = LinkPredictionSettings(setting="inductive", filter="train,valid,test")
    table = torch.from_numpy(np.random.default_rng(0).normal(size=(25, 3, 25)))
    one, other = (
        link_prediction(Table(table), prepare(towns, "test", chosen))["both"]
        for chosen in (LinkPredictionSettings(setting="inductive"), everything)
    )
    assert one == other


def test_chunks_make_no_difference(towns, monkeypatch):
    facts = read_facts(towns, "inductive")
    table = torch.from_numpy(np.random.default_rng(1).normal(size=(25, 3, 25)))
    candidates = Candidates(np.array([e for e, name in enumerate(names_of(towns)) if name[0] == "t"]), 25)
    known = KnownAnswers(facts, ("test",), "tail")
    ranks = []
    for at_once in (1, 12, 10_000):
        monkeypatch.setattr("training.evaluation.ranking.SCORES_AT_ONCE", at_once)
        found = [
            rank_triples(candidates.narrow(scorer), facts.splits["test"], "tail", known, 25, candidates)
            for scorer in (Table(table), _Plain(table))
        ]
        ranks += [part.by("realistic").tolist() for part in found]
    assert all(part == ranks[0] for part in ranks)


def test_no_unseen_entity_corrupts_a_triple_of_dkrl(towns):
    facts = read_facts(towns, "inductive")
    names = names_of(towns)
    for epoch in range(3):
        for batch in batches(facts.splits["train"], facts, DkrlSettings(batch=8, drawn=64), epoch):
            assert {names[entity][0] for entity in batch.entities.tolist()} == {"a"}


def result_of(folder, name="*"):
    (path,) = (folder / "results").glob(f"{name}.json")
    return json.loads(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", ["frequency", "seen-pattern"])
def test_a_rule_counts_in_inductive_train_and_evaluates_again_in_that_setting(towns, tmp_path, name):
    folder = run_baseline(name, towns.folder, None, tmp_path / "run", {"setting": "inductive"})
    result = result_of(folder, "link-prediction-inductive-test-*")
    # No train triple has any of the candidates: all share a rank.
    assert result["metrics"]["ties"]["optimistic"] == 1.0
    assert load_baseline(folder).split == "inductive"


def test_an_embedding_refuses_entities_that_train_lacks_in_one_line(towns, tmp_path):
    with pytest.raises(UsageError, match="transe has vectors of train's entities alone") as raised:
        run_baseline("transe", towns.folder, None, tmp_path / "run", {"setting": "inductive"})
    assert "\n" not in str(raised.value) and not (tmp_path / "run").exists()


def test_a_run_of_one_setting_is_refused_in_the_other(family, towns, tmp_path):
    pytest.importorskip("pykeen")
    quick = {"epochs": "1", "dim": "4", "batch": "16"}
    folder = run_baseline("transe", towns.folder, None, tmp_path / "run", quick)
    with pytest.raises(DataError, match="trained on the transductive train triples") as raised:
        evaluate(folder, "link-prediction", settings={"setting": "inductive"})
    assert "setting=inductive" in str(raised.value) and "\n" not in str(raised.value)
    config = folder / "config.toml"
    config.write_text(config.read_text().replace('split = "transductive"', 'split = "inductive"'))
    for task, chosen in (("link-prediction", {"setting": "transductive"}), ("graph-completion", {})):
        with pytest.raises(DataError, match="trained on the inductive train triples"):
            evaluate(folder, task, settings=chosen)


def test_results_of_both_settings_stand_side_by_side_and_are_compared_apart(towns, tmp_path):
    folders = [tmp_path / setting for setting in ("transductive", "inductive")]
    for folder in folders:
        run_baseline("frequency", towns.folder, None, folder, {"setting": folder.name})
    tables, _ = compare(folders)
    assert [(table.task, table.split) for table in tables] == [
        ("link-prediction", "test"),
        ("link-prediction", "test, inductive"),
    ]


def test_a_dataset_without_the_split_says_how_to_make_one(family):
    with pytest.raises(DataError, match=re.escape("wikiloom import FORMAT --split inductive")):
        prepare(family, "test", LinkPredictionSettings(setting="inductive"))


def test_skipping_what_is_unseen_is_refused_where_all_is(towns):
    with pytest.raises(UsageError, match="unseen=skip leaves nothing"):
        prepare(towns, "test", LinkPredictionSettings(setting="inductive", unseen="skip"))
