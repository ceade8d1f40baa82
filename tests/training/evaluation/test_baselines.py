"""Baselines: run folders that evaluate again to the same numbers, nothing pickled, nothing in the user's home."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from schemas.errors import DataError, UsageError
from tests.training.evaluation.kg import read_real, write_kg
from training.baselines import NAMES, find_baseline, is_baseline, load_baseline, run_baseline
from training.data.setting import SPLITS
from training.embeddings import EMBEDDINGS, EmbeddingSettings, new_embedding, train_embedding
from training.evaluation.facts import Facts, read_facts
from training.evaluation.link_prediction import LinkPredictionSettings, link_prediction, prepare
from training.evaluation.ranking import KnownAnswers, rank_triples
from training.evaluation.run import evaluate
from training.pykeen_scorer import PykeenScorer

QUICK = {"epochs": "2", "dim": "8", "batch": "16"}


def result_of(folder):
    (path,) = (folder / "results").glob("*.json")
    return json.loads(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", sorted(EMBEDDINGS))
def test_an_embedding_trains_saves_and_evaluates_again_to_the_same_numbers(family, tmp_path, name):
    pytest.importorskip("pykeen")
    folder = run_baseline(name.upper(), family.folder, None, tmp_path / "run", QUICK)
    first = result_of(folder)
    assert is_baseline(folder)
    assert first["task"] == "link-prediction" and first["digest"] == family.digest
    assert first["baselines"].keys() == {"frequency", "seen-pattern"}
    again = evaluate(folder, "link-prediction")
    assert again["metrics"] == first["metrics"]
    assert {path.suffix for path in folder.rglob("*") if path.is_file()} == {".toml", ".safetensors", ".json"}


def test_relations_of_transr_have_a_size_of_their_own(family, tmp_path):
    pytest.importorskip("pykeen")
    folder = run_baseline("transr", family.folder, None, tmp_path / "run", {**QUICK, "relation_dim": "5"})
    assert load_baseline(folder).settings["relation_dim"] == 5
    assert load_file(folder / "model.safetensors")["relation_representations.0._embeddings.weight"].shape[1] == 5
    facts = read_facts(family)
    before = new_embedding("transr", EmbeddingSettings(dim=8), facts)  # as a config of before has it
    assert before.relation_representations[0].shape == (32,)
    with pytest.raises(UsageError, match="relation_dim=5: relations of transe are as large as entities"):
        EmbeddingSettings(relation_dim=5).resolved("transe", 100)


def test_the_same_seed_gives_the_same_weights_and_leaves_torchs_generator_alone(family):
    pytest.importorskip("pykeen")
    facts = read_facts(family)
    before = torch.random.get_rng_state()
    settings = EmbeddingSettings(dim=8, epochs=3, batch=16, lr=0.02)
    first, second = (train_embedding("transe", settings, facts).state_dict() for _ in range(2))
    other = train_embedding("transe", EmbeddingSettings(dim=8, epochs=3, batch=16, lr=0.02, seed=1), facts).state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not all(torch.equal(first[name], other[name]) for name in first)
    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.slow
def test_pykeen_leaves_nothing_in_the_home(family, tmp_path):
    pytest.importorskip("pykeen")
    home, run = tmp_path / "home", tmp_path / "run"
    home.mkdir()
    code = (
        "from pathlib import Path; from training.baselines import run_baseline; "
        f"run_baseline('transe', Path({str(family.folder)!r}), None, Path({str(run)!r}), {QUICK!r})"
    )
    hidden = {name: value for name, value in os.environ.items() if not name.startswith(("PYSTOW", "PYKEEN", "XDG"))}
    subprocess.run([sys.executable, "-c", code], env={**hidden, "HOME": str(home)}, check=True, timeout=120)
    assert [path for path in home.rglob("*") if path.is_file()] == []
    assert not (home / ".data").exists()


@pytest.mark.parametrize("name", ["frequency", "seen-pattern"])
def test_a_rule_makes_a_run_folder_too(family, tmp_path, name):
    folder = run_baseline(name, family.folder, None, tmp_path / "run", {"split": "valid", "ties": "pessimistic"})
    result = result_of(folder)
    assert result["protocol"]["ties"] == "pessimistic" and result["protocol"]["split"] == "valid"
    assert name not in result["baselines"]
    assert (
        evaluate(folder, "link-prediction", split="valid", settings={"ties": "pessimistic"})["metrics"]
        == (result["metrics"])
    )


def test_a_baseline_that_is_asked_again_has_no_shortlist(family, tmp_path):
    folder = run_baseline("frequency", family.folder, None, tmp_path / "run", {})
    with pytest.raises(UsageError, match="shortlist is for"):
        evaluate(folder, "link-prediction", settings={"shortlist": "3", "shortlist_by": str(folder)})


def test_folders_are_numbered_under_runs(family, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folders = [run_baseline("frequency", family.folder, None, None, {}) for _ in range(2)]
    assert [str(folder) for folder in folders] == ["runs/frequency-1", "runs/frequency-2"]


def test_defaults_grow_with_the_data():
    small, large = (EmbeddingSettings().resolved("transe", triples) for triples in (1_800, 20_000_000))
    assert (small.batch, small.epochs, small.dim) == (128, 100, 64)
    assert (large.batch, large.epochs) == (4_096, 100)
    assert EmbeddingSettings().resolved("transe", 40).epochs == 1_000


@pytest.mark.parametrize(
    ("name", "task", "settings", "message"),
    [
        ("transee", None, {}, "Did you mean transe"),
        ("transe", "link-predicton", {}, "Did you mean link-prediction"),
        ("transe", "masked", {}, "no answer for masked, only for link-prediction and relation-prediction and"),
        ("majority", "link-prediction", {}, "no answer for link-prediction, only for triple-classification and masked"),
        ("transe", None, {"epoch": "3"}, "Did you mean epochs"),
        ("transe", None, {"epochs": "many"}, "epochs=many"),
        ("frequency", None, {"lr": "3"}, "no setting 'lr'"),
        ("frequency", None, {"shortlist": "3", "shortlist_by": "run"}, "shortlist is for a run of wikiloom train"),
        ("transe", None, {"shortlist": "3", "shortlist_by": "run"}, "shortlist is for a run of wikiloom train"),
    ],
)
def test_wrong_words_are_usage_errors_that_name_the_right_one(family, tmp_path, name, task, settings, message):
    with pytest.raises(UsageError, match=message):
        run_baseline(name, family.folder, task, tmp_path / "run", settings)
    assert not (tmp_path / "run").exists()


def test_names_are_known_in_any_case():
    assert find_baseline("ComplEx") == "complex"
    assert set(NAMES) >= {"transe", "distmult", "complex", "rotate", "frequency", "seen-pattern", "majority"}


def test_a_full_folder_is_not_written_into(family, tmp_path):
    (tmp_path / "precious").write_text("x")
    with pytest.raises(UsageError, match="is not empty"):
        run_baseline("frequency", family.folder, None, tmp_path, {})


def test_another_dataset_is_refused(family, tmp_path):
    folder = run_baseline("frequency", family.folder, None, tmp_path / "run", {})
    other = write_kg(tmp_path / "other", {"train": [("a", "r", "b")], "valid": [], "test": [("b", "r", "a")]})
    with pytest.raises(DataError, match="was made on dataset"):
        load_baseline(folder, other.folder)


def test_a_pickle_in_the_run_folder_is_refused(family, tmp_path):
    folder = run_baseline("frequency", family.folder, None, tmp_path / "run", {})
    (folder / "model.pkl").write_bytes(b"\x80\x04.")
    with pytest.raises(DataError, match="pickled"):
        load_baseline(folder)


def test_weights_of_another_size_are_refused(family, tmp_path):
    pytest.importorskip("pykeen")
    folder = run_baseline("transe", family.folder, None, tmp_path / "run", QUICK)
    config = folder / "config.toml"
    config.write_text(config.read_text().replace("dim = 8", "dim = 16"))
    with pytest.raises(DataError, match="does not hold this run's weights"):
        evaluate(folder, "link-prediction")


def equals_pykeen(dataset, name):
    """Our metrics and PyKEEN's, of one trained model; PyKEEN ranks in float32, as the model scores."""
    from pykeen.evaluation import RankBasedEvaluator

    questions = prepare(dataset, "test", LinkPredictionSettings())
    parts = {split: torch.from_numpy(triples) for split, triples in questions.facts.splits.items()}
    model = train_embedding(name, EmbeddingSettings(dim=8, epochs=2, batch=128, lr=0.02), questions.facts)
    theirs = RankBasedEvaluator(filtered=True).evaluate(
        model, parts["test"], additional_filter_triples=[parts["train"], parts["valid"]], use_tqdm=False, batch_size=64
    )
    ours = link_prediction(PykeenScorer(model), questions)
    names = {"mr": "arithmetic_mean_rank", "mrr": "inverse_harmonic_mean_rank", "hits@10": "hits_at_10"}
    for side in ("both", "head", "tail"):
        for key, their_key in names.items():
            assert ours[side][key] == pytest.approx(theirs.get_metric(f"{side}.realistic.{their_key}"), rel=1e-6)


@pytest.mark.parametrize("name", sorted(EMBEDDINGS))
def test_metrics_of_a_trained_model_equal_pykeens(family, name):
    pytest.importorskip("pykeen")
    equals_pykeen(family, name)


@pytest.mark.parametrize("name", sorted(EMBEDDINGS))
def test_a_triple_has_one_score_whatever_of_it_is_asked(family, name):
    pytest.importorskip("pykeen")
    facts = read_facts(family)
    scorer = PykeenScorer(new_embedding(name, EmbeddingSettings(dim=8), facts))
    triples = facts.splits["test"]
    heads, relations, tails = torch.from_numpy(triples.copy()).unbind(dim=1)
    rows, alone = torch.arange(len(triples)), scorer.triples(heads, relations, tails)
    assert scorer.relations(heads, tails).shape == (len(triples), facts.relations)
    torch.testing.assert_close(scorer.relations(heads, tails)[rows, relations], alone, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(scorer.tails(heads, relations)[rows, tails], alone, rtol=1e-4, atol=1e-5)
    if not EMBEDDINGS[name].inverse:  # which answers about heads by another relation
        torch.testing.assert_close(scorer.heads(relations, tails)[rows, heads], alone, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("batch", [13, 15, 39])
def test_batch_norm_meets_no_single_triple(batch):
    pytest.importorskip("pykeen")
    facts = Facts(20, 2, {split: np.array([(i, 0, (i + 1) % 20) for i in range(20)]) for split in SPLITS})
    for name in ("conve", "tucker"):
        train_embedding(name, EmbeddingSettings(dim=8, epochs=1, batch=batch, lr=0.01), facts)
    with pytest.raises(UsageError, match="two triples at least"):
        train_embedding("tucker", EmbeddingSettings(dim=8, epochs=1, batch=1, lr=0.01), facts)


def test_metrics_of_a_trained_model_equal_pykeens_on_real_graphs(real_kg):
    pytest.importorskip("pykeen")
    equals_pykeen(real_kg, "complex")


@pytest.mark.parametrize("graph", ["nations", "kinships"])
@pytest.mark.parametrize("name", ["distmult", "transe"])
def test_every_rank_of_a_trained_model_equals_pykeens(graph, name, tmp_path):
    pytest.importorskip("pykeen")
    from pykeen.evaluation import RankBasedEvaluator

    class Kept(RankBasedEvaluator):
        def finalize(self):
            self.kept = {key: np.concatenate(parts) for key, parts in self.ranks.items()}
            return super().finalize()

    facts = read_facts(read_real(graph, tmp_path))
    model = train_embedding(name, EmbeddingSettings(dim=8, epochs=1, batch=512, lr=0.02), facts)
    scorer, evaluator = PykeenScorer(model), Kept(filtered=True)
    known = {side: KnownAnswers(facts, ("train", "valid", "test"), side) for side in ("head", "tail")}
    ours = {side: rank_triples(scorer, facts.splits["test"], side, known[side], facts.entities) for side in known}
    parts = {split: torch.from_numpy(triples) for split, triples in facts.splits.items()}
    # In 64 bits, so that no rank of theirs depends on the order of a sum.
    others = {"additional_filter_triples": [parts["train"], parts["valid"]], "use_tqdm": False, "batch_size": 64}
    evaluator.evaluate(model.double(), parts["test"], **others)
    for (side, kind), ranks in evaluator.kept.items():
        if kind in ("optimistic", "pessimistic", "realistic"):
            assert np.array_equal(ours[side].by(kind).numpy(), ranks), (side, kind)


def test_a_damaged_config_is_one_line(family, tmp_path):
    folder = run_baseline("frequency", family.folder, None, tmp_path / "run", {})
    (folder / "config.toml").write_text(
        'baseline = "transe"\n[data]\nfolder = "."\ndigest = "x"\n[settings]\ndim = "a"'
    )
    with pytest.raises(DataError, match="is not a baseline's") as raised:
        load_baseline(folder)
    assert "\n" not in str(raised.value)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("graph", "name", "least"),
    [("umls", "transe", 0.7), ("umls", "complex", 0.75), ("umls", "rotate", 0.8), ("kinships", "complex", 0.7)],
)
def test_default_training_reaches_what_is_published_for_small_graphs(graph, name, least, tmp_path):
    pytest.importorskip("pykeen")
    questions = prepare(read_real(graph, tmp_path), "test", LinkPredictionSettings())
    settings = EmbeddingSettings().resolved(name, len(questions.facts.splits["train"]))
    scorer = PykeenScorer(train_embedding(name, settings, questions.facts))
    assert link_prediction(scorer, questions)["both"]["mrr"] > least
