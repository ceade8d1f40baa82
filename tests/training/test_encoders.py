"""Encoders: real Hugging Face folders load by weights alone, and bring their own head."""

import copy
import json

import pytest
import torch

from schemas.errors import DataError
from training.config import EncoderConfig
from training.data.graphs import TableSizes
from training.encoders import build_encoder, encode_text, pooled, state_at


@pytest.fixture(scope="module")
def roberta(tmp_path_factory):
    """A folder as save_pretrained writes it, with random weights."""
    from transformers import RobertaConfig, RobertaForMaskedLM

    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    model = RobertaForMaskedLM(RobertaConfig(vocab_size=40, max_position_embeddings=34, type_vocab_size=1, **sizes))
    torch.nn.init.normal_(model.lm_head.bias)
    folder = tmp_path_factory.mktemp("roberta")
    model.eval().save_pretrained(folder)
    return folder, model


IDS = torch.tensor([[0, 7, 8, 9, 2], [0, 5, 2, 1, 1]])


def test_a_local_folder_gives_the_same_states_and_the_same_logits(roberta):
    folder, original = roberta
    built = build_encoder(EncoderConfig(name=str(folder), max_positions=32), 40, token_types=3)
    built.encoder.eval()
    real = IDS != 1
    with torch.no_grad():
        states = encode_text(built.encoder, IDS, real)
        expected = original(input_ids=IDS, attention_mask=real, output_hidden_states=True)
        logits = built.head(states[0], built.encoder.get_input_embeddings().weight)
    assert torch.allclose(states[real], expected.hidden_states[-1][real], atol=1e-6)
    assert torch.allclose(logits, expected.logits[0], atol=1e-5)
    assert built.position_offset == 2


def test_weights_that_are_kept_in_16_bits_are_trained_in_32(roberta, tmp_path):
    copy.deepcopy(roberta[1]).half().save_pretrained(tmp_path)
    built = build_encoder(EncoderConfig(name=str(tmp_path), max_positions=32), 40, token_types=1)
    assert {p.dtype for p in (*built.encoder.parameters(), *built.head.parameters())} == {torch.float32}


def test_dropout_is_the_configs_whatever_the_folder_says(roberta):
    built = build_encoder(EncoderConfig(name=str(roberta[0]), max_positions=32, dropout=0.0), 40, token_types=1)
    assert {layer.p for layer in built.encoder.modules() if isinstance(layer, torch.nn.Dropout)} == {0.0}
    assert built.encoder.config.attention_probs_dropout_prob == 0.0


def test_a_bert_without_head_gets_a_new_one_and_begins_at_position_0(tmp_path):
    from transformers import BertConfig, BertModel

    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    BertModel(BertConfig(vocab_size=40, **sizes)).save_pretrained(tmp_path)
    built = build_encoder(EncoderConfig(name=str(tmp_path)), 40, token_types=3)
    assert built.position_offset == 0 and built.encoder.config.type_vocab_size == 3
    types = built.encoder.embeddings.token_type_embeddings.weight
    assert types.shape == (3, 16) and torch.equal(types[0], types[2])


def test_weights_as_a_pickle_are_not_loaded(roberta, tmp_path):
    folder, original = roberta
    (tmp_path / "config.json").write_text((folder / "config.json").read_text())
    torch.save(original.state_dict(), tmp_path / "pytorch_model.bin")
    with pytest.raises(DataError, match="can't be loaded"):
        build_encoder(EncoderConfig(name=str(tmp_path)), 40, token_types=1)


def test_a_folders_own_code_is_not_run(tmp_path):
    (tmp_path / "evil.py").write_text("raise SystemExit('ran')\n")
    config = {"model_type": "evil", "auto_map": {"AutoConfig": "evil.C", "AutoModel": "evil.M"}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(DataError, match="can't be loaded"):
        build_encoder(EncoderConfig(name=str(tmp_path)), 40, token_types=1)


@pytest.mark.parametrize("name", ["no/such-model", "./nowhere"])
def test_an_encoder_that_is_not_there_is_named(name):
    with pytest.raises(DataError, match=name.replace(".", r"\.")):
        build_encoder(EncoderConfig(name=name), 40, token_types=1)


def test_tokens_of_another_tokenizer_are_refused(roberta):
    with pytest.raises(DataError, match="40 words, the tokens 50"):
        build_encoder(EncoderConfig(name=str(roberta[0]), max_positions=32), TableSizes(50, 1, 1).words, token_types=1)


def test_fewer_positions_than_the_recipe_asks_for_are_refused(roberta):
    with pytest.raises(DataError, match="32 positions, the recipe asks for 512"):
        build_encoder(EncoderConfig(name=str(roberta[0])), 40, token_types=1)


def test_a_texts_vector_is_its_first_state_or_the_mean_of_its_own():
    states, real = torch.randn(3, 5, 4), torch.tensor([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1], [1, 0, 0, 0, 0]]).bool()
    means = torch.stack([states[row, :length].mean(dim=0) for row, length in enumerate((3, 5, 1))])
    assert torch.allclose(pooled(states, real, "mean"), means, atol=1e-6)
    assert torch.equal(pooled(states, real, "cls"), states[:, 0])
    lengths = means.norm(dim=1, keepdim=True)
    assert torch.allclose(pooled(states, real, "mean", normalized=True), means / lengths, atol=1e-6)


@pytest.mark.parametrize("name", ["tiny", "bert", "other"])
def test_a_state_at_one_place_is_that_of_the_whole_with_its_gradients(name, tmp_path):
    from transformers import BertConfig, BertModel

    if name == "tiny":
        sizes = EncoderConfig(hidden_size=8, layers=2, heads=2, intermediate_size=16, max_positions=16, dropout=0.0)
        encoder = build_encoder(sizes, 20, token_types=1).encoder
    else:
        config = BertConfig(vocab_size=20, hidden_size=8, num_hidden_layers=2, num_attention_heads=2)
        encoder = BertModel(config, add_pooling_layer=False)
        if name == "other":
            encoder.encoder.layer[-1].__class__ = type("OtherLayer", (type(encoder.encoder.layer[-1]),), {})
    encoder.eval()
    mask = torch.arange(7) < torch.tensor([7, 4, 1])[:, None]
    places, words = torch.tensor([3, 0, 0]), torch.randn(3, 7, 8)
    own, whole = words.clone().requires_grad_(), words.clone().requires_grad_()
    found = state_at(encoder, own, mask, places)
    expected = encoder(inputs_embeds=whole, attention_mask=mask).last_hidden_state[[0, 1, 2], places]
    assert torch.allclose(found, expected, atol=1e-6)
    gradients = []
    for states in (found, expected):
        encoder.zero_grad()
        states.square().sum().backward()
        gradients.append([p.grad.clone() for p in encoder.parameters() if p.grad is not None])
    assert torch.allclose(own.grad, whole.grad, atol=1e-6)
    for one, other in zip(*gradients, strict=True):
        assert torch.allclose(one, other, atol=1e-5)
    assert len(encoder.encoder.layer) == 2
