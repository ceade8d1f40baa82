"""LAMA probing against transformers' own masked language model, one question at a time."""

import json
import math

import pytest
import torch

from schemas.errors import DataError, UsageError
from tests.pipelines.imports.made import imported, write
from training.baselines import run_baseline
from training.evaluation.run import evaluate

CITIES = ["rome", "paris", "oslo", "bonn"]
BITS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *".:", "new", "##born", "york", "marco"]
TEXTS = ["john", "anna", "was", "born", "in", "the", "is", "a", "common", "name", "following", "city", "speaks"]
WORDS = [*BITS, *TEXTS, *CITIES]


def folder_with(words, folder, head=True):
    """A small BERT of random weights, which reads lower case."""
    from tokenizers import BertWordPieceTokenizer
    from transformers import BertConfig, BertForMaskedLM, BertModel, BertTokenizerFast

    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    kind = BertForMaskedLM if head else BertModel
    model = kind(BertConfig(vocab_size=len(words), max_position_embeddings=32, initializer_range=0.5, **sizes))
    model.save_pretrained(folder)
    backend = BertWordPieceTokenizer({word: i for i, word in enumerate(words)}, lowercase=True)
    BertTokenizerFast(tokenizer_object=backend._tokenizer, model_max_length=32).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    return folder_with(WORDS, tmp_path_factory.mktemp("encoder"))


def probe(subject, answer, text):
    return json.dumps({"sub_label": subject, "obj_label": answer, "masked_sentences": [text]})


PROBES = {
    "TREx/P19.jsonl": [
        probe("John", "Rome", "John was born in [MASK] ."),
        probe("Anna", "Oslo", "Anna was born in [MASK] ."),
        probe("Marco Rome", "Rome", "Marco Rome was born in [MASK] ."),
        probe("Anna", "New York", "Anna was born in [MASK] ."),
        probe("Anna", "Newborn", "Anna was born in [MASK] ."),
        probe("Anna", "Lima", "Anna was born in [MASK] ."),
    ],
    "TREx/P103.jsonl": [probe("Anna", "Paris", "Anna speaks [MASK] .")],
    "TREx_UHN/P19.jsonl": [probe("John", "Rome", "John was born in [MASK] .")],
}


@pytest.fixture(scope="module")
def probes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lama")
    for name, rows in PROBES.items():
        subset, file = name.split("/")
        write(folder / "files" / subset, {file: "\n".join(rows) + "\n"})
    return imported("lama", folder / "files", folder / "data").folder


def slow_rank(folder, text, answer, candidates):
    """By transformers alone: the text with its mask, every logit, the candidates in order."""
    from transformers import AutoModelForMaskedLM, AutoTokenizer

    tokenizer, model = (kind.from_pretrained(folder) for kind in (AutoTokenizer, AutoModelForMaskedLM))
    inputs = tokenizer(text, return_tensors="pt")
    place = inputs["input_ids"][0].tolist().index(tokenizer.mask_token_id)
    with torch.no_grad():
        logits = model.eval()(**inputs).logits[0, place]
    scores = {word: float(logits[WORDS.index(word)]) for word in candidates}
    return 1 + sum(score > scores[answer] for score in scores.values())


def test_ranks_are_those_of_transformers_and_what_is_left_out_is_counted(encoder, probes):
    metrics = evaluate(encoder, "probing", probes)["metrics"]
    whole = [word for word in WORDS[5:] if word != "##born"]
    asked = [
        ("John was born in [MASK] .", "rome"),
        ("Anna was born in [MASK] .", "oslo"),
        ("Marco Rome was born in [MASK] .", "rome"),
        ("Anna speaks [MASK] .", "paris"),
    ]
    ranks = [slow_rank(encoder, text, answer, whole) for text, answer in asked]
    found = metrics["T-REx"]
    assert found["questions"] == 4 and metrics["UHN-T-REx"]["questions"] == 1 and metrics["all"]["questions"] == 4
    # "##born" and the two words of New York are no token of their own, and Lima is unknown.
    assert found["skipped"] == {"object_is_not_one_token": 3} and metrics["UHN-T-REx"]["skipped"] == {}
    assert math.isclose(found["mrr"], sum(1 / rank for rank in ranks) / 4, rel_tol=1e-9)
    by_relation = found["relations"]
    assert math.isclose(by_relation["T-REx P19"]["mrr"], sum(1 / rank for rank in ranks[:3]) / 3, rel_tol=1e-9)
    assert found["p@1"] == sum(rank == 1 for rank in ranks) / 4
    halves = [sum(rank == 1 for rank in ranks[:3]) / 3, float(ranks[3] == 1)]
    assert math.isclose(found["macro_p@1"], sum(halves) / 2, rel_tol=1e-9)


def test_words_that_are_ranked_are_those_of_a_file_and_of_every_tokenizer(encoder, probes, tmp_path):
    file = tmp_path / "words.txt"
    file.write_text("Rome\nParis\nOslo\nLima\nNewborn\n")
    told = {"vocabulary": str(file)}
    result = evaluate(encoder, "probing", probes, settings=told)
    found, cities = result["metrics"]["T-REx"], ["rome", "paris", "oslo"]
    ranks = [slow_rank(encoder, text, answer, cities) for text, answer in (("Anna speaks [MASK] .", "paris"),)]
    assert found["relations"]["T-REx P103"]["mrr"] == pytest.approx(1 / ranks[0])
    assert result["protocol"]["vocabulary"]["words"] == 5 and result["protocol"]["probes"] == 8
    assert result["protocol"]["variant"] == f"words={result['protocol']['vocabulary']['sha256']}"
    other = folder_with([word for word in WORDS if word != "rome"], tmp_path / "other")
    result = evaluate(encoder, "probing", probes, settings={"tokenizers": str(other)})
    assert result["metrics"]["T-REx"]["skipped"] == {"object_is_not_one_token": 3, "object_is_not_ranked": 2}
    assert list(result["protocol"]["tokenizers"]) == ["other"] and "tokenizers=" in result["protocol"]["variant"]


def test_what_a_name_gives_away_is_left_out(encoder, probes):
    matched = evaluate(encoder, "probing", probes, settings={"uhn": "match"})["metrics"]["T-REx"]
    assert matched["skipped"] == {"object_in_subject": 1, "object_is_not_one_token": 3}
    whole = [word for word in WORDS[5:] if word != "##born"]
    named = evaluate(encoder, "probing", probes, settings={"uhn": "names"})["metrics"]["T-REx"]
    ranks = [
        slow_rank(encoder, f"{name} is a common name in the following {kind}: [MASK]", answer, whole)
        for name, kind, answer in (
            ("John", "city", "rome"),
            ("Anna", "city", "oslo"),
            ("Anna", "language", "paris"),
        )
    ]
    assert named["skipped"].get("name_says_it", 0) == sum(rank <= 3 for rank in ranks)


def test_the_frequency_rule_ranks_the_objects_of_the_relation(probes, tmp_path):
    folder = run_baseline("frequency", probes, "probing", tmp_path / "run", {})
    (path,) = (folder / "results").glob("probing-*.json")
    found = json.loads(path.read_text())["metrics"]["T-REx"]
    # Rome twice, the four others once each: ranks 1, 1, and four times the mean of 2 to 5; Paris alone.
    assert found["questions"] == 7
    assert found["mrr"] == pytest.approx((1 + 1 + 4 / 3.5 + 1) / 7)


def test_mistakes_are_one_clear_line(encoder, probes, tmp_path, made_up):
    headless = folder_with(WORDS, tmp_path / "headless", head=False)
    with pytest.raises(DataError, match="headless has no head for masked words"):
        evaluate(headless, "probing", probes)
    with pytest.raises(DataError, match="has no example of probing in split test"):
        evaluate(encoder, "probing", made_up)
    with pytest.raises(UsageError, match=r"vocabulary=.*can't be read"):
        evaluate(encoder, "probing", probes, settings={"vocabulary": str(tmp_path / "none")})
    (tmp_path / "latin").write_text("Москва\n")
    with pytest.raises(UsageError, match="No word of the vocabulary is one token"):
        evaluate(encoder, "probing", probes, settings={"vocabulary": str(tmp_path / "latin")})
    with pytest.raises(DataError, match="has no tokenizer that can be loaded"):
        evaluate(encoder, "probing", probes, settings={"tokenizers": str(tmp_path)})
