"""Masked words of held-out pages: which blocks are asked, and what a model and the rule get for them."""

import json
import math
from collections import Counter

import numpy as np
import pytest
import torch

from schemas.dataset import Dataset
from schemas.errors import DataError, UsageError
from schemas.hashing import random_u64
from tests.training.synthetic import World, make_dataset
from training.config_file import load_config
from training.data.graphs import IGNORE
from training.evaluation.masked_words import MaskedWordsSettings, Unigram, Words, masked_words, prepare
from training.evaluation.run import evaluate
from training.sources import open_source
from training.systems import build_model
from training.train import train

SMALL = {"encoder.hidden_size": "16", "encoder.intermediate_size": "32", "encoder.heads": "2"}


def asked(made_up, **settings):
    dataset = Dataset(made_up)
    return prepare(dataset, "valid", MaskedWordsSettings(**{"block_length": 16, **settings}), dataset.tokens("tiny"))


def rows_of(questions):
    """(ids, labels) of each text, padding left out."""
    for piece in questions.pieces:
        for ids, real, labels in zip(piece.ids, piece.real, piece.labels, strict=True):
            yield ids[real], labels[real]


@pytest.mark.parametrize("recipe", ["mlm-only-tiny", "kepler-tiny", "colake-tiny"])
def test_a_models_figures_equal_those_of_one_text_at_a_time(recipe, made_up):
    dataset, questions = Dataset(made_up), asked(made_up)
    torch.manual_seed(0)
    network = build_model(load_config(recipe, SMALL), open_source(dataset, dataset.tokens("tiny")), training=False)
    found = masked_words(Words(network.encoder, network.word_head), questions)["words"]
    right, losses = 0, []
    for ids, labels in rows_of(questions):
        with torch.no_grad():
            states = network.encoder.eval()(input_ids=ids[None], attention_mask=torch.ones(1, len(ids)))[0][0]
            logits = network.word_head(states, network.encoder.get_input_embeddings().weight)
        for place in torch.nonzero(labels != IGNORE).flatten().tolist():
            right += int(logits[place].argmax()) == int(labels[place])
            losses.append(float(-logits[place].log_softmax(dim=0)[labels[place]]))
    assert found["queries"] == len(losses) == questions.protocol["queries"] > 20
    assert found["accuracy"] == right / len(losses)
    assert found["cross_entropy"] == pytest.approx(sum(losses) / len(losses), abs=1e-4)
    assert found["perplexity"] == pytest.approx(math.exp(found["cross_entropy"]))


def test_the_blocks_are_those_with_the_smallest_hashes(made_up):
    everything = asked(made_up, blocks=10**6)
    few = asked(made_up, blocks=5)
    assert few.protocol["blocks"] == 5 < everything.protocol["blocks"]
    pages = Dataset(made_up).tokens("tiny").read("pages", "valid").to_pylist()
    blocks = [
        (int(random_u64(0, "masked-words/blocks", np.array([page["page_id"]]), np.array([start]))[0]), page, start)
        for page in pages
        for start in range(0, len(page["ids"]), 14)
    ]
    wanted = sorted(blocks, key=lambda one: one[0])[:5]
    lengths = sorted(len(page["ids"][start : start + 14]) + 2 for _, page, start in wanted)
    assert sorted(len(ids) for ids, _ in rows_of(few)) == lengths
    whole = {tuple(zip(ids.tolist(), labels.tolist(), strict=True)) for ids, labels in rows_of(everything)}
    assert all(tuple(zip(ids.tolist(), labels.tolist(), strict=True)) in whole for ids, labels in rows_of(few))


def test_the_unigram_rule_says_the_most_frequent_word_of_train_everywhere(made_up):
    questions = asked(made_up)
    counts = Counter(token for page in questions.tokens.read("pages", "train")["ids"].to_pylist() for token in page)
    most, total = max(counts, key=lambda token: (counts[token], -token)), sum(counts.values())
    golds = [int(label) for _, labels in rows_of(questions) for label in labels if label != IGNORE]
    found = masked_words(Unigram(questions), questions)["words"]
    assert found["accuracy"] == pytest.approx(golds.count(most) / len(golds))
    chances = [(counts[gold] + 1) / (total + questions.protocol["vocabulary"]) for gold in golds]
    assert found["cross_entropy"] == pytest.approx(-sum(map(math.log, chances)) / len(golds), abs=1e-4)


def test_a_run_is_evaluated_and_a_split_without_pages_is_named(made_up, tmp_path, capsys):
    settings = SMALL | {"train.steps": "1", "train.batch_size": "4", "train.valid_batches": "1", "train.threads": "1"}
    assert train("mlm-only-tiny", made_up, tmp_path / "run", resume=False, dry_run=False, settings=settings) == 0
    result = evaluate(tmp_path / "run", "masked-words", split="valid", settings={"block_length": "16"})
    assert set(result["baselines"]) == {"unigram"} and "masked-words, valid" in capsys.readouterr().out
    (path,) = (tmp_path / "run" / "results").glob("masked-words-valid-*.json")
    assert json.loads(path.read_text())["protocol"]["tokens"] == "tiny"
    with pytest.raises(UsageError, match="no split 'dev'"):
        evaluate(tmp_path / "run", "masked-words", split="dev")
    graph = Dataset(make_dataset(tmp_path / "graph", World(2), pages=False))
    with pytest.raises(DataError, match="no page in split test"):
        prepare(graph, "test", MaskedWordsSettings(), None)
