"""Questions of a knowledge graph, on a made-up one and on MetaQA's."""

import json
import math
import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.dataset import Dataset
from schemas.errors import DataError, UsageError
from schemas.hashing import below, hash_string, random_u64
from tests.pipelines.imports.made import imported, lines, write
from tests.training.test_export import SMALL
from training.data.kg_questions import Graph, Question, entity_texts, open_questions, template, thin, walk
from training.data.labelled import LabelledInput
from training.evaluation import kgqa
from training.evaluation.run import evaluate
from training.evaluation.settings import read_settings
from training.evaluation.starts import open_start
from training.export import export
from training.kgqa import KgqaSettings, chosen_for, hit, multi_positive_loss, shown
from training.models.answerers import Contexts, JaketAnswerer
from training.train import train

FAST = {
    "seeds": "2",
    "steps": "60",
    "select_every": "20",
    "rest_scale": "1",
    "lr": "1e-2",
    "warmup": "0",
    "device": "cpu",
}
COUNTRIES = 40
TRIPLES = st.lists(st.tuples(st.integers(0, 7), st.integers(0, 2), st.integers(0, 7)), max_size=25, unique=True)


@pytest.fixture(scope="module")
def metaqa(tmp_path_factory):
    """Countries with a city as capital and a job that their people have; asked by the words of the made-up world."""
    folder = tmp_path_factory.mktemp("metaqa")
    facts = [f"c{i} capital city{i % 24}" for i in range(COUNTRIES)]
    facts += [f"c{i} works job{i % 8}" for i in range(COUNTRIES)] + ["alone capital city0"]
    names = [f"c{i}\tcountry{i % 6} {i}" for i in range(COUNTRIES)] + ["alone\tcountry5 alone"]
    names += [f"{name}\t{name}" for name in [*(f"city{i}" for i in range(24)), *(f"job{i}" for i in range(8))]]
    asked = {"dev": range(30), "test": range(20, COUNTRIES)}
    files = {
        "train.tsv": lines(*facts[2:]),
        "dev.tsv": lines(facts[0]),
        "test.tsv": lines(facts[1]),
        "entity2text.txt": "".join(f"{line}\n" for line in names),
        "relation2text.txt": lines("capital capital", "works works"),
    }
    for file, numbers in asked.items():
        one = [f"its capital is [country{i % 6} {i}]\tcity{i % 24}" for i in numbers]
        one += [f"its job is [country{i % 6} {i}]\tjob{i % 8}" for i in numbers]
        one += ["its capital is [country5 alone]\tcity0"] if file == "test" else []
        write(folder / "1-hop", {f"{file}.txt": "".join(f"{line}\n" for line in one)})
        two = [
            f"its country is [city{i % 24}]\t" + "|".join(f"country{j % 6} {j}" for j in numbers if j % 24 == i % 24)
            for i in numbers
        ]
        write(folder / "2-hop", {f"{file}.txt": "".join(f"{line}\n" for line in two)})
    return imported("metaqa", write(folder, files), folder / "data")


@pytest.fixture(scope="module")
def plain(made_up, tmp_path_factory):
    folder = tmp_path_factory.mktemp("kgqa")
    train("mlm-only-tiny", made_up, folder / "run", resume=False, dry_run=False, settings=SMALL)
    return export(folder / "run", folder / "plain")


def prepared(dataset, split="test", **told):
    return kgqa.prepare(dataset, split, read_settings(KgqaSettings, told, "kgqa"))


@settings(max_examples=60, deadline=None)
@given(triples=TRIPLES, topics=st.lists(st.integers(-1, 7), min_size=1, max_size=4), steps=st.integers(1, 3))
def test_walks_are_those_that_a_search_finds(triples, topics, steps):
    graph = Graph.of(np.array(triples, np.int64).reshape(-1, 3), 8, 3)
    found = walk(graph, np.array(topics), steps)
    expected = []
    for row, topic in enumerate(topics):
        ends = [(0, topic)] if topic >= 0 else []
        for _ in range(steps):
            out = [(path * 6 + r, t) for path, end in ends for h, r, t in triples if h == end]
            ends = out + [(path * 6 + r + 3, h) for path, end in ends for h, r, t in triples if t == end]
        expected += [(row, path, end) for path, end in ends if end != topic]
    assert sorted(zip(*(column.tolist() for column in (found.rows, found.paths, found.ends)), strict=True)) == sorted(
        expected
    )


def test_each_triple_is_kept_by_a_hash_of_its_own(metaqa):
    whole, half = thin(metaqa, 1.0, 0), thin(metaqa, 0.5, 0)
    assert (half.all, whole.table.num_rows) == (2 * COUNTRIES + 1, 2 * COUNTRIES + 1)
    kept = set(half.lines())
    assert 20 < len(kept) < 60
    for line in whole.lines():
        names = [np.uint64(hash_string(name)) for name in line.strip().split("\t")]
        assert (line in kept) == bool(random_u64(0, "kgqa/keep", *names) < below(0.5))
    assert thin(metaqa, 0.5, 1).digest() != half.digest() == thin(metaqa, 0.5, 0).digest()


def test_an_entity_has_a_question_of_train_as_its_text_or_its_name(metaqa):
    questions = prepared(metaqa)
    ids = metaqa.read("entities")["entity"].to_pylist()
    learned = {one.row["text"] for one in questions.train}
    texts = {entity: questions.texts[i] for i, entity in enumerate(ids)}
    assert texts["c3"]["text"] in learned and "country3 3" in texts["c3"]["text"]
    assert texts["c35"]["text"] == "country5 35", "it is a topic of test alone"
    for text in texts.values():
        (mention,) = text["mentions"]
        assert text["text"][mention["start"] : mention["end"]].startswith(("country", "city", "job"))
    one, other = [
        {"example_id": name, "text": name, "text_b": None, "mentions": [{"role": "topic"}]} for name in ("x", "y")
    ]
    chosen = {entity_texts(["i"], ["n"], [one, other], [0, 0], seed)[0]["text"] for seed in range(20)}
    assert chosen == {"x", "y"}


def question(candidates, answers):
    own, right = np.array(candidates, np.int64), np.isin(candidates, answers)
    return Question({}, 0, 1, np.array(answers, np.int64), own, right)


def test_equal_scores_hit_what_a_choice_among_them_hits_on_average():
    right = np.array([True, False, False, True])
    assert hit(np.array([1.0, 0.5, 0.0, -1.0]), right) == 1.0
    assert hit(np.array([1.0, 1.0, 1.0, -1.0]), right) == pytest.approx(1 / 3)
    assert hit(np.zeros(4), right) == 0.5


def test_the_loss_is_minus_log_of_the_share_of_all_that_are_right():
    scores = torch.log(torch.tensor([[1.0, 2.0, 3.0, 50.0], [4.0, 1.0, 5.0, 10.0]]))
    asked = torch.tensor([[True, True, True, False], [True, True, True, True]])
    right = torch.tensor([[True, True, False, False], [False, False, True, False]])
    assert multi_positive_loss(scores, asked, right).item() == pytest.approx((math.log(6 / 3) + math.log(20 / 5)) / 2)


@settings(max_examples=40, deadline=None)
@given(count=st.integers(1, 30), most=st.integers(2, 9), step=st.integers(0, 9))
def test_a_step_reads_an_answer_and_no_candidate_twice(count, most, step):
    one = question(list(range(3, 3 + count)), [3 + count // 2])
    read = shown(one, most, 0, step)
    assert len(set(read.tolist())) == len(read) == min(count, most)
    assert set(read.tolist()) <= set(one.candidates.tolist()) and 3 + count // 2 in read


def test_every_question_comes_once_before_any_comes_again():
    order = np.concatenate([chosen_for(step, 7, 3, 0) for step in range(7)])
    for turn in range(3):
        assert sorted(order[7 * turn : 7 * turn + 7].tolist()) == list(range(7))
    assert (order[:7] != order[7:14]).any()


def test_the_rules_by_hand(metaqa):
    """Every country of test has a city and a job, the lonely one a city alone."""
    questions = prepared(metaqa, hops="1-hop")
    random = kgqa.ask(kgqa.RandomCandidate(), questions)
    asked = 2 * (COUNTRIES - 20)
    assert random["all"] == {"questions": asked + 1, "hits@1": pytest.approx((asked * 0.5 + 1) / (asked + 1))}
    assert random["with_distractors"] == {"questions": asked, "hits@1": 0.5}
    assert random["new_topics"]["questions"] == 2 * 10 + 1, "30 to 39, and the lonely one"
    assert kgqa.ask(kgqa.TemplateRule(questions), questions)["all"]["hits@1"] == 1.0
    assert template(questions.reported[0].row) == "its capital is [topic]"


def test_an_answer_that_is_not_reached_is_no_hit(metaqa):
    """Two steps from a city: through its countries to jobs; countries are one step away, so no answer is reached."""
    questions = prepared(metaqa, hops="2-hop")
    assert questions.protocol["without_an_answer_among_them"]["reported"] == len(questions.reported) == 20
    assert kgqa.ask(kgqa.TemplateRule(questions), questions)["all"]["hits@1"] == 0.0


def test_a_topic_that_the_graph_lacks_has_no_candidate():
    row = {"mentions": [{"role": "topic", "entity": None}], "answers": ["a", "gone"], "group": "1-hop"}
    (one,) = open_questions([row], pa.array(["a", "b"]), Graph.of(np.array([[0, 0, 1]]), 2, 1))
    assert (one.topic, one.candidates.tolist(), one.has_distractor) == (-1, [], False)


@pytest.mark.slow
def test_an_encoder_learns_from_dev_and_the_result_says_so(plain, metaqa):
    result = evaluate(plain, "kgqa", metaqa.folder, settings={**FAST, "hops": "1-hop"})
    assert result["protocol"]["learned_from"] == "valid"
    assert result["protocol"]["variant"] == "hops=1-hop,answers=text"
    assert result["metrics"]["all"]["hits@1"] > 0.9, "cities and jobs have other words"
    assert {seed["seed"] for seed in result["metrics"]["seeds"]} == {0, 1}
    assert result["baselines"]["template"]["all"]["hits@1"] == 1.0


@pytest.fixture(scope="module")
def jaket(made_up, tmp_path_factory):
    folder = tmp_path_factory.mktemp("jaket") / "run"
    told = {**SMALL, "encoder.layers": "2", "jaket.heads": "2", "jaket.negatives": "8", "jaket.roots": "4"}
    train("jaket-tiny", made_up, folder, resume=False, dry_run=False, settings=told)
    return folder


@pytest.mark.parametrize("answers", ["graph", pytest.param("memory", marks=pytest.mark.slow)])
def test_jaket_learns_with_either_side(jaket, metaqa, answers):
    told = {**FAST, "seeds": "1", "hops": "1-hop", "answers": answers}
    result = evaluate(jaket, "kgqa", metaqa.folder, settings=told)
    assert result["metrics"]["all"]["hits@1"] > 0.85
    assert result["metrics"]["inputs"]["mentions_linked"] > 0
    assert result["protocol"]["answers"] == answers


def answerer(jaket, questions, **told):
    start = open_start(jaket)
    reader = kgqa._reader(start, questions, "memory")
    texts = [reader.read(text) for text in questions.texts]
    relations = [reader.read({"text": name, "text_b": None, "mentions": []}) for name in questions.relations]
    contexts = Contexts.of(start, texts, relations)
    model = JaketAnswerer(start, contexts, questions.graph.edges, seed=0, dropout=0.0, **told)
    return model, [reader.read(one.row) for one in questions.reported]


def test_the_memory_is_what_lm1_makes_of_the_texts_and_stays_as_it_is(jaket, metaqa):
    questions = prepared(metaqa, hops="1-hop")
    model, inputs = answerer(jaket, questions, after_graph=False)
    entities = np.array([3, 0, 11])
    found = model.train().answers(entities)
    assert not found.requires_grad
    start = open_start(jaket)
    for place, entity in enumerate(entities.tolist()):
        text = questions.texts[entity]
        (mention,) = text["mentions"]
        encoding = start.tokenizer.encode(text["text"], add_special_tokens=False)
        own = [1 + i for i, (a, b) in enumerate(encoding.offsets) if b > mention["start"] and a < mention["end"]]
        ids = torch.tensor([[start.special.bos, *encoding.ids, start.special.eos]])
        states, _ = start.jaket.eval().first_half(ids, torch.ones_like(ids, dtype=torch.bool))
        expected = (states[0, own[0]] + states[0, own[-1]]) / 2
        torch.testing.assert_close(found[place], expected.detach(), rtol=1e-4, atol=1e-5)
    model.asked(inputs[:4]).sum().backward()
    assert all(layer.weight.weight.grad.abs().sum() > 0 for layer in model.jaket.knowledge.layers)


@torch.no_grad()
def test_the_topics_words_alone_are_told_of_the_graph(jaket, metaqa):
    """Another neighbourhood changes a question's vector where its topic is linked, and only there."""
    questions = prepared(metaqa, hops="1-hop")
    model, inputs = answerer(jaket, questions, after_graph=False)
    model.eval()
    unlinked = [LabelledInput(one.words, one.segments, []) for one in inputs[:5]]
    before, plain = model.asked(inputs[:5]), model.asked(unlinked)
    model.memory.zero_()
    assert not torch.allclose(model.asked(inputs[:5]), before, atol=1e-4)
    torch.testing.assert_close(model.asked(unlinked), plain)


def test_as_texts_the_candidates_of_a_jaket_run_are_read_by_its_encoder_alone(jaket, made_up, metaqa, tmp_path):
    """Also those of a run without a graph network, which has nothing else."""
    alone = {**SMALL, "jaket.knowledge": "none", "jaket.roots": "4", "train.steps": "1"}
    train("jaket-tiny", made_up, tmp_path / "run", resume=False, dry_run=False, settings=alone)
    for run, told in ((jaket, {"answers": "text"}), (tmp_path / "run", {})):
        result = evaluate(run, "kgqa", metaqa.folder, settings={**FAST, "steps": "2", "hops": "1-hop", **told})
        assert result["protocol"]["answers"] == "text"
        assert result["metrics"]["inputs"] == {"texts_cut": 0}, "no mention is linked"


def test_what_becomes_of_the_inputs_is_counted_once_for_all_seeds(jaket, metaqa):
    told = {**FAST, "steps": "1", "hops": "1-hop", "questions": "9"}
    counts = [evaluate(jaket, "kgqa", metaqa.folder, settings={**told, "seeds": seeds}) for seeds in "12"]
    assert counts[0]["metrics"]["inputs"] == counts[1]["metrics"]["inputs"]
    assert counts[0]["protocol"]["variant"] == "hops=1-hop,answers=memory,questions=9"


def test_what_is_no_jaket_run_has_no_memory(plain, metaqa):
    with pytest.raises(UsageError, match=r"answers=graph.*answers=text"):
        evaluate(plain, "kgqa", metaqa.folder, settings={**FAST, "answers": "graph"})


def test_the_triples_that_are_kept_are_left_beside_the_result(plain, metaqa):
    fast = {**FAST, "seeds": "1", "steps": "1", "kg": "0.5"}
    result = evaluate(plain, "kgqa", metaqa.folder, settings=fast)
    kept = (plain / "results" / "kgqa-kg-0.5-0.tsv").read_text().splitlines()
    assert len(kept) == result["protocol"]["graph"]["triples"] < result["protocol"]["graph"]["of"]
    assert {"1-hop all", "2-hop all", "all"} <= result["metrics"].keys()


def test_what_can_not_be_asked_is_said(plain, metaqa):
    with pytest.raises(DataError, match=r"3-hop.*valid 0.*wikiloom import metaqa"):
        prepared(metaqa, hops="3-hop")
    with pytest.raises(DataError, match="reports another split"):
        prepared(metaqa, split="valid")
    with pytest.raises(DataError, match=r"None of the 60 questions.*in 0 triples.*kg=1"):
        evaluate(plain, "kgqa", metaqa.folder, settings={**FAST, "hops": "1-hop", "kg": "0"})
    with pytest.raises(UsageError, match="candidates=1"):
        read_settings(KgqaSettings, {"candidates": "1"}, "kgqa")


@pytest.mark.slow
def test_metaqas_rules_on_one_hop(tmp_path):
    """Counted once by an independent search over the same files: pools, questions without distractors."""
    if not os.environ.get("WIKILOOM_DATA"):
        pytest.skip("WIKILOOM_DATA is not set: no questions of MetaQA to read")
    dataset = imported("metaqa", Path(os.environ["WIKILOOM_DATA"]) / "kg" / "metaqa", tmp_path / "metaqa")
    questions = prepared(dataset, hops="1-hop")
    assert len(questions.reported) - sum(one.has_distractor for one in questions.reported) == 2_477
    assert sum(not one.right.any() for one in questions.reported) == 2
    assert kgqa.ask(kgqa.RandomCandidate(), questions)["all"]["hits@1"] == pytest.approx(0.4194, abs=5e-5)
    assert kgqa.ask(kgqa.TemplateRule(questions), questions)["all"]["hits@1"] == pytest.approx(0.9692, abs=5e-5)
    assert json.dumps(questions.protocol) and isinstance(dataset, Dataset)
