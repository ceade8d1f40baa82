"""Few-shot relation extraction on made-up files in FewRel's layout."""

import dataclasses
import itertools
import json

import numpy as np
import pytest
import torch

from schemas.dataset import Dataset
from schemas.errors import DataError, UsageError
from tests.pipelines.imports.made import imported, write
from tests.training.test_export import SMALL
from training import few_shot
from training.baselines import run_baseline
from training.data.episodes import draw, pool_of
from training.data.labelled import LabelledInput, LabelledReader, labelled_batch
from training.data.special import special_tokens
from training.evaluation.few_shot import ROLES, interval, prepare
from training.evaluation.finetuned import open_reader
from training.evaluation.run import evaluate
from training.evaluation.settings import read_settings
from training.evaluation.starts import open_start, start_of_run
from training.export import export
from training.feeds.jaket import linked_entities, open_graph
from training.few_shot import FewShotSettings, Parts, Relations, learn
from training.models.pair import Pair
from training.runs import load_run
from training.train import train

WORDS = ("born", "citizen", "works", "lives", "capital", "its", "is", "a", "of")
"""One for each relation."""
FAST = {"seeds": "2", "steps": "24", "select_every": "8", "select_episodes": "20", "episodes": "40", "lr": "1e-2"}
THREE = {**FAST, "ways": "3", "divide": "3,3,3", "dropout": "0.1", "device": "cpu"}


def instances(word, count=12):
    """Sentences whose middle word is the relation's, among two that say nothing."""
    found = []
    for number in range(count):
        tokens = [f"city{number % 24}", f"job{number % 5}", word, f"job{number % 3}", f"country{number % 6}", "."]
        ends = {"h": [tokens[0], f"Q{7 + number % 24}", [[0]]], "t": [tokens[4], f"Q{1 + number % 6}", [[4]]]}
        found.append({"tokens": tokens, **ends})
    return found


def published(folder, **files):
    """A dataset of FewRel's files: name -> the numbers of its relations."""
    texts = {f"{name}.json": json.dumps({f"P{n}": instances(WORDS[n]) for n in of}) for name, of in files.items()}
    write(folder / "files", texts)
    return imported("fewrel", folder / "files", folder / "data").folder


@pytest.fixture(scope="module")
def one_file(tmp_path_factory):
    return published(tmp_path_factory.mktemp("few-shot"), val_wiki=range(9))


@pytest.fixture(scope="module")
def all_files(tmp_path_factory):
    files = {"train_wiki": range(6), "val_wiki": range(6, 9), "val_pubmed": (0, 1, 8), "test_pubmed": range(5, 9)}
    return published(tmp_path_factory.mktemp("few-shots"), **files)


@pytest.fixture(scope="module")
def run(made_up, tmp_path_factory):
    folder = tmp_path_factory.mktemp("few-shot-run") / "run"
    train("colake-tiny", made_up, folder, resume=False, dry_run=False, settings=SMALL)
    return folder


@pytest.fixture(scope="module")
def plain(run, tmp_path_factory):
    return export(run, tmp_path_factory.mktemp("plain") / "out")


def questions(data, split="test", **settings):
    return prepare(Dataset(data), split, read_settings(FewShotSettings, {"ways": "3", **settings}, "few-shot"))


def learnable(plain, data, method, **more):
    """(what is fine-tuned, parts that are all the same relations, settings)."""
    start, asked = open_start(plain), questions(data, divide="3,3,3", method=method)
    rows = asked.parts["train"]
    reader, table = open_reader(start, [rows], ROLES, asked.settings)
    known = Relations(pool_of(rows), [reader.read(row) for row in rows])
    settings = dataclasses.replace(asked.settings, select_episodes=1, episodes=40, dropout=0.0, device="cpu", **more)
    return start, Parts(known, known, known, reader, table), settings


@pytest.mark.parametrize("method", ["pair", pytest.param("proto", marks=pytest.mark.slow)])
def test_both_methods_learn(plain, one_file, method):
    """The relations differ in one word of the sentence. A pair's classifier first learns that one of them is right."""
    start, parts, settings = learnable(plain, one_file, method, steps=60, select_every=60, lr=2e-2)
    losses = []
    found = learn(start, parts, settings, 0, lambda step, loss: losses.append(loss))
    assert found["right"].shape == (40, 3) and len(losses) == 60
    if method == "proto":
        assert found["right"].mean() > 0.9
    else:
        assert np.mean(losses[-10:]) < 1.15 < 1.35 < losses[0]


@torch.no_grad()
@pytest.mark.parametrize("method", ["proto", "pair"])
def test_an_episodes_logits_are_those_of_its_sentences_one_by_one(plain, one_file, method):
    start, parts, settings = learnable(plain, one_file, method, shots=2, queries=2, na_rate=1)
    settings = dataclasses.replace(settings, ways=2)
    torch.manual_seed(0)
    model = few_shot._model(start, parts, settings).eval()
    inputs = parts.train.inputs
    episodes = draw(parts.train.pool, settings.shape(2), 0, "train", range(2))
    logits = few_shot._episode_logits(model, parts.train, episodes, parts.reader, settings)
    assert logits.shape == (2, 6, 3)

    def alone(one):
        return model(labelled_batch([one], 1))[0]

    for e, t, n in itertools.product(range(2), range(6), range(2)):
        query, shots = inputs[episodes.queries[e, t]], [inputs[place] for place in episodes.support[e, n]]
        if method == "pair":
            expected = sum(alone(parts.reader.pair(shot, query))[1] for shot in shots) / 2
        else:
            expected = -(sum(map(alone, shots)) / 2 - alone(query)).square().sum()
        torch.testing.assert_close(logits[e, t, n], expected, rtol=1e-4, atol=1e-5)


def test_the_result_says_how_it_was_found_and_a_seed_gives_the_same_numbers(plain, one_file):
    result = evaluate(plain, "few-shot", one_file, settings=THREE)
    metrics, protocol = result["metrics"], result["protocol"]
    assert metrics["all"].keys() == {"accuracy", "accuracy_sd", "interval"}
    assert metrics["frozen"].keys() == {"accuracy", "interval"} and metrics["frozen"]["accuracy"] > 1 / 3
    assert result["baselines"]["majority"] == {"all": {"accuracy": pytest.approx(1 / 3)}}
    assert [seed["seed"] for seed in metrics["seeds"]] == [0, 1]
    for seed in metrics["seeds"]:
        assert len(seed["curve"]) == 3 and seed["step"] == 8 * (1 + seed["curve"].index(seed["select"]))
    relations = protocol["relations"]
    assert sorted(itertools.chain(*relations.values())) == sorted(f"P{n}" for n in range(9)), (
        "no relation is in two parts"
    )
    assert [len(own) for own in relations.values()] == [3, 3, 3] and protocol["divide"] == "3,3,3"
    assert protocol["step_chosen_on"] == "the relations of valid" and protocol["form"] == "markers"
    again = evaluate(plain, "few-shot", one_file, settings={**THREE, "seeds": "1", "seed": "0"})
    assert again["metrics"]["seeds"] == metrics["seeds"][:1], "a seed gives the same numbers whatever else is run"


def test_pair_learns_and_says_none_of_them_where_proto_never_does(run, one_file):
    settings = {**THREE, "na_rate": "1", "seeds": "1", "steps": "8", "divide": "6,0,3"}
    result = evaluate(run, "few-shot", one_file, "test", {**settings, "ways": "2", "method": "pair"})
    metrics = result["metrics"]
    assert {"all", "known", "none"} <= metrics.keys() and result["protocol"]["form"] == "start"
    assert result["baselines"]["majority"]["all"]["accuracy"] == pytest.approx(1 / 3)
    assert metrics["all"]["accuracy"] == pytest.approx(
        (2 * metrics["known"]["accuracy"] + metrics["none"]["accuracy"]) / 3
    )
    assert metrics["inputs"]["mentions_linked"] > 0, "a CoLAKE run is shown entities"
    assert "held out by hash" in result["protocol"]["step_chosen_on"]
    proto = evaluate(run, "few-shot", one_file, "test", {**settings, "ways": "2", "form": "start"})["metrics"]
    assert proto["none"]["accuracy"] == 0.0


def test_the_files_own_splits_are_taken_and_no_relation_of_what_is_asked_is_learned(all_files):
    asked = questions(all_files, "valid", ways="2", group="val_pubmed")
    parts = asked.protocol["relations"]
    assert parts["reported"] == ["P0", "P1", "P8"] and len(parts["select"]) == 2
    assert sorted(parts["train"] + parts["select"]) == ["P2", "P3", "P4", "P5"]
    assert asked.protocol["step_chosen_on"] == "2 relations of train, held out by hash"
    domain = questions(all_files, "test", ways="2").protocol
    assert domain["groups"] == {"train": ["train"], "select": ["val_pubmed"], "reported": ["test_pubmed"]}
    assert domain["relations"]["train"] == ["P2", "P3", "P4"] and domain["relations"]["select"] == ["P0", "P1"]
    usual = questions(all_files, "valid", ways="2").protocol
    assert usual["groups"]["reported"] == ["val"] and len(usual["relations"]["select"]) == 2


def test_a_division_depends_on_the_seed_alone(one_file):
    parts = [questions(one_file, divide="3,3,3", seed=seed).protocol["relations"] for seed in ("0", "0", "1")]
    assert parts[0] == parts[1] != parts[2]


def test_what_is_asked_or_read_otherwise_has_a_result_of_its_own(one_file):
    def told(**more):
        return questions(one_file, divide="3,3,3", **more).protocol["variant"]

    assert told() == told(lr="1e-3", steps="5") == "divide=3,3,3"
    assert told(distance="dot") == "distance=dot,divide=3,3,3"
    assert told(entities="false", seed="1") == "seed=1,entities=False,divide=3,3,3"


def test_relations_with_too_few_examples_are_left_out_and_counted(tmp_path):
    files = {f"P{n}": instances(WORDS[n], 12 if n else 3) for n in range(9)}
    write(tmp_path / "files", {"val_wiki.json": json.dumps(files)})
    data = imported("fewrel", tmp_path / "files", tmp_path / "data").folder
    asked = questions(data, ways="2", divide="3,3,3", shots="3")
    assert sum(asked.protocol["relations_with_too_few_examples"].values()) == 1
    assert "P0" not in itertools.chain(*asked.protocol["relations"].values())


def test_the_interval_is_that_of_a_mean():
    episodes = np.array([0.2, 0.4, 0.6, 1.0])
    by_hand = 1.96 * (sum((x - 0.55) ** 2 for x in episodes) / 3) ** 0.5 / 2
    assert interval(episodes) == pytest.approx(by_hand) and interval(episodes[:1]) == 0.0


def test_a_pair_is_framed_as_two_texts_and_keeps_entities_and_markers_of_both(run):
    start = start_of_run(load_run(run))
    reader = LabelledReader(start.tokenizer, special_tokens(start.tokenizer), {"head": (90, 91)}, {}, 20)
    first = LabelledInput([0, 90, 7, 91, 2], [0] * 5, [(3, 2), (4, 3)], [1])
    second = LabelledInput([0, 8, 90, 9, 91, 2], [0] * 6, [(4, 3), (5, 1)], [2])
    pair = reader.pair(first, second)
    assert pair.words == [0, 90, 7, 91, 2, 2, 8, 90, 9, 91, 2] and pair.segments == [0] * 6 + [1] * 5
    assert sorted(pair.entities) == [(3, 2), (4, 3), (5, 6)] and pair.marks == [1, 7]
    assert [pair.words[place] for place in pair.marks] == [90, 90]


def test_the_rule_is_a_baseline_and_counts_queries_of_none(one_file, tmp_path):
    folder = run_baseline("majority", one_file, "few-shot", tmp_path / "rule", {**THREE, "na_rate": "5", "ways": "2"})
    (path,) = (folder / "results").glob("few-shot-*-test-*.json")
    assert json.loads(path.read_text())["metrics"] == {"all": {"accuracy": pytest.approx(5 / 7)}}


def test_wrong_uses_are_one_clear_line(made_up, one_file, all_files):
    with pytest.raises(DataError, match="no example of few-shot"):
        questions(made_up)
    with pytest.raises(UsageError, match="learns from train; report"):
        questions(one_file, "train")
    with pytest.raises(UsageError, match=r"no split 'tset'.*Did you mean test"):
        questions(one_file, "tset")
    with pytest.raises(DataError, match=r"split train \(train 0, valid 108, test 0\).*divide=8,4,4"):
        questions(one_file, "valid")
    with pytest.raises(UsageError, match=r"divide=5,5: expected.*such as 8,4,4; there are 9"):
        questions(one_file, divide="5,5")
    with pytest.raises(UsageError, match=r"no group 'val_pubmde'.*Did you mean val_pubmed"):
        questions(all_files, "valid", group="val_pubmde")
    with pytest.raises(UsageError, match=r"several groups \(test_pubmed, train, val, val_pubmed\).*group=NAME"):
        questions(all_files, divide="3,3,3")
    with pytest.raises(UsageError, match=r"--set method=pairs: Input should be 'proto' or 'pair'"):
        questions(one_file, method="pairs")
    with pytest.raises(DataError, match="1 relations to report, an episode needs 3"):
        questions(one_file, divide="4,4,1")


@pytest.fixture(scope="module")
def jaket(made_up, tmp_path_factory):
    folder = tmp_path_factory.mktemp("few-shot-jaket") / "run"
    told = {**SMALL, "jaket.heads": "2", "jaket.negatives": "8", "jaket.roots": "4", "jaket.neighbours": "100"}
    train("jaket-tiny", made_up, folder, resume=False, dry_run=False, settings=told)
    return load_run(folder)


@torch.no_grad()
def test_of_jaket_entities_are_what_its_graph_makes_of_them_and_are_added_to_their_words(jaket, one_file):
    start, asked = start_of_run(jaket), questions(one_file, divide="3,3,3", method="pair")
    known, table = start.entities(["Q9", "Q404", "Q3", "Q9"])
    assert known == ["Q9", "Q3", "Q9"] and torch.equal(table[0], table[2])
    graph = open_graph(jaket.config, jaket.dataset, linked_entities(jaket.config, jaket.dataset))
    place = jaket.dataset.read("entities")["entity"].to_pylist().index("Q9")
    rows = jaket.network.memory.pull(torch.arange(jaket.dataset.rows("entities")))
    heads = np.repeat(np.arange(len(rows)), graph.degrees)
    edges = torch.from_numpy(np.stack([heads, graph.others, 0 * heads], axis=1))
    for layer in jaket.network.knowledge.layers:
        rows = layer(rows, edges, len(rows))
    torch.testing.assert_close(table[0], rows[place], rtol=1e-4, atol=1e-5)
    reader, own = open_reader(start, [asked.parts["train"]], ROLES, asked.settings)
    inputs = [reader.read(row) for row in asked.parts["train"][:4]]
    assert all(len(one.linked) == 2 and not one.entities for one in inputs)
    torch.manual_seed(0)
    model = Pair(start, 4, own, 0.0).eval()
    without = [dataclasses.replace(one, linked=[]) for one in inputs]
    shown, hidden = labelled_batch(inputs, 1), labelled_batch(without, 1)
    assert not torch.allclose(model.vectors(shown, "start"), model.vectors(hidden, "start"), atol=1e-3)
    model.entities.zero_()
    torch.testing.assert_close(model.vectors(shown, "start"), model.vectors(hidden, "start"))


def test_pair_learns_with_jaket(jaket, one_file):
    fast = {**THREE, "method": "pair", "steps": "4", "select_every": "4", "episodes": "4", "seeds": "1"}
    result = evaluate(jaket.folder, "few-shot", one_file, settings=fast)
    assert result["metrics"]["inputs"]["mentions_linked"] > 0 and 0 <= result["metrics"]["all"]["accuracy"] <= 1
