"""fairseq's weights: the same logits in the Hugging Face layout, and files that are not such weights in one line."""

import argparse
import json
import pickle
import shlex
import subprocess
import sys
import zipfile

import pytest
import torch
from safetensors import safe_open
from tokenizers import Tokenizer
from torch import nn

from schemas.errors import DataError, UsageError
from tests.training.test_pickles import Canary
from training.config import EncoderConfig
from training.encoders import build_encoder, encode_text
from training.fairseq import import_weights
from training.fairseq_dictionary import open_vocabulary
from wikiloom import main

PAIRS = [*"abcde", "Ġ", "ab", "Ġc", "Ġab", "<|endoftext|>"]
"""A small GPT-2: byte pairs by their numbers."""
MERGES = ["a b", "Ġ c", "Ġ ab"]
ORDER = [8, 0, 1, 2, 3, 4, 5, 6, 7, 9]
"""dict.txt: the byte pairs from the frequent to the rare."""
WORDS = 4 + len(PAIRS) + 1 + 1
IDS = torch.tensor([[0, 7, 8, 9, 12, 2], [0, 5, 15, 6, 2, 1]])


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """fairseq's files of a vocabulary."""
    folder = tmp_path_factory.mktemp("bpe")
    (folder / "encoder.json").write_text(json.dumps({pair: number for number, pair in enumerate(PAIRS)}))
    (folder / "vocab.bpe").write_text("#version: 0.2\n" + "\n".join(MERGES) + "\n")
    (folder / "dict.txt").write_text("".join(f"{number} {100 - number}\n" for number in ORDER) + "madeupword0000 0\n")
    return folder


@pytest.fixture
def vocabulary(files):
    return open_vocabulary(None, files / "dict.txt", files)


@pytest.fixture(scope="module")
def original():
    """A Hugging Face model with weights of every kind, none of them zero."""
    from transformers import RobertaConfig, RobertaForMaskedLM

    torch.manual_seed(0)
    sizes = RobertaConfig(
        vocab_size=WORDS,
        hidden_size=128,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=34,
        type_vocab_size=1,
        layer_norm_eps=1e-5,
    )
    model = RobertaForMaskedLM(sizes).eval()
    for name, weight in model.named_parameters():
        nn.init.normal_(weight, std=0.3) if "token_type" not in name else nn.init.zeros_(weight)
    return model


NAMES = [
    ("roberta.encoder.layer.", "sentence_encoder.layers."),
    ("roberta.embeddings.word_embeddings", "sentence_encoder.embed_tokens"),
    ("roberta.embeddings.position_embeddings", "sentence_encoder.embed_positions"),
    ("roberta.embeddings.LayerNorm", "sentence_encoder.emb_layer_norm"),
    ("attention.self.query", "self_attn.q_proj"),
    ("attention.self.key", "self_attn.k_proj"),
    ("attention.self.value", "self_attn.v_proj"),
    ("attention.output.dense", "self_attn.out_proj"),
    ("attention.output.LayerNorm", "self_attn_layer_norm"),
    ("intermediate.dense", "fc1"),
    ("output.dense", "fc2"),
    ("output.LayerNorm", "final_layer_norm"),
]
"""The inverse of the mapping, in the order of the replacements."""


def fairseq_state(model, *, old=True, root="decoder."):
    """The model's weights as fairseq keeps them; `old`: those of an attention in one matrix, as in 0.8."""
    state = {}
    for name, value in model.named_parameters():
        for ours, theirs in NAMES:
            name = name.replace(ours, theirs)
        if "token_type" not in name:
            state[root + name] = value.detach().clone()
    state[f"{root}lm_head.weight"] = state[f"{root}sentence_encoder.embed_tokens.weight"]
    for layer in range(model.config.num_hidden_layers if old else 0):
        own = f"{root}sentence_encoder.layers.{layer}.self_attn."
        for kind in ("weight", "bias"):
            state[f"{own}in_proj_{kind}"] = torch.cat([state.pop(f"{own}{part}_proj.{kind}") for part in "qkv"])
    return state


@pytest.fixture
def saved(tmp_path, original):
    """save(content) -> a file with it; by default fairseq's state."""

    def save(content=None, **options):
        content = {"model": fairseq_state(original)} if content is None else content
        torch.save(content, tmp_path / "model.pt", **options)
        return tmp_path / "model.pt"

    return save


def changed(original, **changes):
    state = fairseq_state(original)
    for name, value in changes.items():
        name = next(own for own in state if own.endswith(name.replace("__", ".")))
        if value is None:
            del state[name]
        else:
            state[name] = value
    return {"model": state}


@pytest.mark.parametrize("legacy", [True, False], ids=["file of 2019", "zip"])
@pytest.mark.parametrize(("old", "root"), [(True, "decoder."), (False, "decoder."), (False, "encoder.")])
@torch.no_grad()
def test_logits_are_those_of_the_weights(original, saved, tmp_path, vocabulary, legacy, old, root):
    from transformers import AutoModelForMaskedLM

    state = {"model": fairseq_state(original, old=old, root=root)}
    out = import_weights(saved(state, _use_new_zipfile_serialization=not legacy), tmp_path / "out", vocabulary)
    model = AutoModelForMaskedLM.from_pretrained(out).eval()
    real = IDS != 1
    found, expected = (whole(input_ids=IDS, attention_mask=real).logits[real] for whole in (model, original))
    assert (found - expected).abs().max() < 1e-6 and expected.std() > 1
    assert {path.suffix for path in out.iterdir()} == {".json", ".safetensors"}
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


@torch.no_grad()
def test_a_recipe_begins_from_the_folder(original, saved, tmp_path, vocabulary):
    out = import_weights(saved(), tmp_path / "out", vocabulary)
    built = build_encoder(EncoderConfig(name=str(out), max_positions=32), WORDS, token_types=3)
    states = encode_text(built.encoder.eval(), IDS, IDS != 1)
    found = built.head(states[0], built.encoder.get_input_embeddings().weight)
    assert torch.allclose(found, original(input_ids=IDS, attention_mask=IDS != 1).logits[0], atol=1e-5)
    assert built.position_offset == 2


def test_weights_of_16_bits_are_widened(original, saved, tmp_path, vocabulary):
    state = {name: value.half() for name, value in fairseq_state(original).items()}
    out = import_weights(saved(state), tmp_path / "out", vocabulary)
    with safe_open(out / "model.safetensors", framework="pt") as file:
        words = file.get_tensor("roberta.embeddings.word_embeddings.weight")
    assert torch.equal(words, original.get_input_embeddings().weight.half().float())


def test_keplers_relations_lie_beside_and_heads_of_classes_are_named(original, saved, tmp_path, vocabulary, capsys):
    table, state = torch.randn(7, 128), fairseq_state(original)
    state |= {"ke_heads.wikiData.relation_emb.weight": table, "ke_heads.wikiData.gamma": torch.tensor([4.0])}
    state |= {"ke_heads.wikiData.emb_range": torch.tensor([6 / 128])}
    state |= {"classification_heads.mnli.dense.weight": torch.ones(2, 2)}
    out = import_weights(saved({"model": state, "extra_state": {"epoch": 3}}), tmp_path / "out", vocabulary)
    with safe_open(out / "relations.safetensors", framework="pt") as file:
        assert torch.equal(file.get_tensor("wikiData.relation_emb.weight"), table)
        assert file.get_tensor("wikiData.gamma").item() == 4.0 and "relation2id" in file.metadata()["note"]
    said = capsys.readouterr().err
    assert "2 layers of 128, 2 heads, 16 words, 32 positions" in said and "7 relations of wikiData" in said
    assert "left out: classification_heads.mnli" in said


def test_the_vocabulary_gives_fairseqs_numbers(saved, tmp_path, vocabulary):
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(import_weights(saved(), tmp_path / "out", vocabulary))
    # "ab cab": ab, Ġc, ab are GPT-2's 6, 7, 6, at places 7, 8, 7 of dict.txt, behind four special tokens.
    assert tokenizer("ab cab")["input_ids"] == [0, 11, 12, 11, 2]
    assert tokenizer("ab <mask> ab")["input_ids"] == [0, 11, 15, 4, 2]
    assert tokenizer("ab", "c")["input_ids"] == [0, 11, 2, 2, 7, 2]
    assert tokenizer.decode([11, 12, 4]) == "ab c ab" and tokenizer.model_max_length == 32


def test_a_tokenizer_may_be_given_as_a_folder(saved, tmp_path, vocabulary):
    first = import_weights(saved(), tmp_path / "first", vocabulary)
    second = import_weights(saved(), tmp_path / "second", open_vocabulary(str(first), None, None))
    for path in first.iterdir():
        assert (second / path.name).read_bytes() == path.read_bytes()


@pytest.mark.parametrize(
    ("dictionary", "message"),
    [
        ("8 x\n", "line 1: expected SYMBOL COUNT"),
        ("8 3\n8 2\n", "'Ġab' is there 2 times"),
        ("77 3\n", "77 is no byte pair"),
        ("8 3\n0 2\n", "does not go with"),
        ("".join(f"{number} 1\n" for number in ORDER), "has 15 tokens, the weights 16 rows"),
    ],
)
def test_a_vocabulary_that_is_not_the_weights_is_one_line(files, saved, tmp_path, dictionary, message):
    (tmp_path / "dict.txt").write_text(dictionary)
    with pytest.raises(DataError, match=message):
        import_weights(saved(), tmp_path / "out", open_vocabulary(None, tmp_path / "dict.txt", files))
    assert not (tmp_path / "out").exists()


def test_special_tokens_in_other_places_are_another_vocabulary(saved, tmp_path, vocabulary):
    out = import_weights(saved(), tmp_path / "out", vocabulary)
    document = json.loads((out / "tokenizer.json").read_text())
    words = document["model"]["vocab"]
    words["<unk>"], words["Ġab"] = words["Ġab"], words["<unk>"]
    document["added_tokens"] = [token for token in document["added_tokens"] if token["content"] != "<unk>"]
    other = Tokenizer.from_str(json.dumps(document))
    other.save(str(out / "tokenizer.json"))
    with pytest.raises(DataError, match=r"numbers <s>, <pad>, </s>, <unk> and <mask> \(0, 1, 2, 4, 15\)"):
        import_weights(saved(), tmp_path / "again", open_vocabulary(str(out), None, None))


def test_arguments_beside_the_tensors_are_refused_and_the_line_strips_them(original, saved, tmp_path, vocabulary):
    content = {"args": argparse.Namespace(arch="roberta_base"), "model": fairseq_state(original)}
    file = saved(content).rename(tmp_path / "a model's.pt")
    with pytest.raises(DataError, match=r"argparse\.Namespace") as raised:
        import_weights(file, tmp_path / "out", vocabulary)
    said = str(raised.value)
    assert "only if you trust" in said and "\n" not in said and not (tmp_path / "out").exists()
    command = shlex.split(said[said.index("python -c") :])
    subprocess.run([sys.executable, *command[1:]], check=True)
    assert import_weights(tmp_path / command[-1], tmp_path / "out", vocabulary).is_dir()


@pytest.mark.parametrize("kind", ["pickle", "torch", "in the model", "legacy"])
def test_a_malicious_pickle_is_refused_and_not_run(saved, tmp_path, vocabulary, kind):
    canary, file = tmp_path / "canary", tmp_path / "model.pt"
    if kind == "pickle":
        file.write_bytes(pickle.dumps({"model": Canary(canary)}))
    else:
        content = {"model": {"decoder.x": Canary(canary)} if kind == "in the model" else Canary(canary)}
        saved(content, _use_new_zipfile_serialization=kind != "legacy")
    with pytest.raises(DataError, match=r"model\.pt") as raised:
        import_weights(file, tmp_path / "out", vocabulary)
    assert not canary.exists() and "\n" not in str(raised.value) and not (tmp_path / "out").exists()
    torch.load(file, weights_only=False) if kind != "pickle" else pickle.loads(file.read_bytes())
    assert canary.exists(), "the canary would not have sung"


def truncated(path):
    path.write_bytes(path.read_bytes()[:-2000])


def half_a_storage(path):
    """A zip whose tensors' bytes are cut, though the zip itself is sound."""
    with zipfile.ZipFile(path) as file:
        content = {name: file.read(name) for name in file.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as file:
        for name, value in content.items():
            file.writestr(name, value[: len(value) // 2] if name.endswith("data/0") else value)


@pytest.mark.parametrize(
    "damage",
    [
        truncated,
        half_a_storage,
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(b"no torch file"),
        lambda path: path.unlink(),
        lambda path: (path.unlink(), path.mkdir()),
    ],
    ids=["truncated", "half a storage", "empty", "text", "missing", "a folder"],
)
def test_a_damaged_file_is_one_line(saved, tmp_path, vocabulary, damage):
    damage(saved())
    with pytest.raises(DataError, match=r"model\.pt") as raised:
        import_weights(tmp_path / "model.pt", tmp_path / "out", vocabulary)
    assert "\n" not in str(raised.value) and len(str(raised.value)) < 500 and not (tmp_path / "out").exists()


CONTENTS = {
    "a list": (lambda model: [torch.ones(2)], "is not a state dict"),
    "nothing": (lambda model: {}, "is not a state dict"),
    "a number": (lambda model: changed(model, fc1__bias=3), "fc1.bias is a int, expected a tensor with a name"),
    "no tensor": (lambda model: {"model": {3: torch.ones(2)}}, "3 is a Tensor, expected"),
    "integers": (lambda model: changed(model, fc1__bias=torch.ones(64, dtype=torch.int64)), "expected a dense tensor"),
    "sparse": (lambda model: changed(model, fc1__weight=torch.eye(64, 128).to_sparse()), "expected a dense tensor"),
    "claimed": (lambda model: changed(model, fc1__weight=torch.ones(1, 1).expand(64, 128)), "expected a dense tensor"),
    "nan": (lambda model: changed(model, fc1__bias=torch.full((64,), torch.nan)), "not finite"),
    "another model": (lambda model: {"model": {"encoder.weight": torch.ones(2)}}, "it is not fairseq's RoBERTa"),
    "missing": (lambda model: changed(model, fc1__bias=None), "has nothing for roberta.encoder.layer.0.intermediate"),
    "no layers": (lambda model: changed(model, **{"layers.0.fc1.weight": None}), "not all layers and tables"),
    "shape": (lambda model: changed(model, fc1__bias=torch.ones(63)), r"has the shape \(63,\), expected \(64,\)"),
    "one axis": (lambda model: changed(model, embed_positions__weight=torch.ones(6)), "not all layers and tables"),
    "thirds": (lambda model: changed(model, in_proj_bias=torch.ones(100)), "in_proj_bias is no tensor of"),
    "segments": (
        lambda model: {
            "model": fairseq_state(model) | {"decoder.sentence_encoder.segment_embeddings.weight": torch.ones(2)}
        },
        "segment_embeddings.weight is no tensor of RoBERTa's",
    ),
    "too many": (
        lambda model: fairseq_state(model) | {"decoder.lm_head.dense.scale": torch.ones(2)},
        "lm_head.dense.scale too many",
    ),
    "untied": (lambda model: changed(model, lm_head__weight=torch.ones(WORDS, 128)), "one table for both"),
}


@pytest.mark.parametrize("case", CONTENTS)
def test_weights_that_are_not_robertas_are_one_line(original, saved, tmp_path, vocabulary, case):
    make, message = CONTENTS[case]
    with pytest.raises(DataError, match=message) as raised:
        import_weights(saved(make(original)), tmp_path / "out", vocabulary)
    assert "\n" not in str(raised.value) and not (tmp_path / "out").exists()


@pytest.mark.parametrize(("heads", "message"), [(3, "can't be shared out"), (-1, "can't be shared out")])
def test_heads_that_do_not_fit_are_one_line(saved, tmp_path, vocabulary, heads, message):
    with pytest.raises(UsageError, match=message):
        import_weights(saved(), tmp_path / "out", vocabulary, heads=heads)


def test_the_command_line_says_what_is_missing(saved, files, tmp_path, capsys):
    arguments = ["import-weights", str(saved()), "--out", str(tmp_path / "out")]
    assert main(arguments) == 2 and "--dict FILE with --bpe FOLDER" in capsys.readouterr().err
    assert main([*arguments, "--dict", str(files / "dict.txt")]) == 2
    capsys.readouterr()
    assert main([*arguments, "--dict", str(files / "dict.txt"), "--bpe", str(files)]) == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / "out")
    assert main([*arguments, "--dict", str(files / "dict.txt"), "--bpe", str(files)]) == 2
    assert "is not empty" in capsys.readouterr().err
