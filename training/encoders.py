"""The Transformer under every model: `tiny`, built from a recipe, or any Hugging Face encoder by name or folder."""

import copy
import dataclasses
from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

from schemas.errors import DataError, first_line
from schemas.packaged import package_hint, packaged_model
from training.config import EncoderConfig, Pooling

KNOWN_LAYERS = ("BertLayer", "RobertaLayer")


class TiedHead(nn.Module):
    """dense -> GELU -> LayerNorm -> dot with the rows of an embedding table, which is given anew at each call."""

    def __init__(self, hidden_size: int, rows: int | None) -> None:
        """`rows` is the size of the output bias; None for no bias."""
        super().__init__()
        self.dense = nn.Linear(hidden_size, hidden_size)
        self.norm = nn.LayerNorm(hidden_size, eps=1e-5)
        self.bias = nn.Parameter(torch.zeros(rows)) if rows is not None else None

    def forward(self, states: Float[Tensor, "N D"], table: Float[Tensor, "C D"]) -> Float[Tensor, "N C"]:
        """Logits of every row of `table`."""
        return nn.functional.linear(self.norm(nn.functional.gelu(self.dense(states))), table, self.bias)

    def flops(self, states: int, rows: int) -> int:
        """Floating-point operations, forward and backward, for `states` and a table of `rows`."""
        hidden = self.dense.in_features
        return 6 * states * hidden * (hidden + rows)


@dataclasses.dataclass(frozen=True)
class Cost:
    """What an encoder computes for a token, forward and backward (Chowdhery et al., PaLM, appendix B)."""

    weights: int
    """Numbers in its layers' matrices: 6 operations each for a token."""
    width: int
    """Layers * D: 12 operations each for a pair of tokens that attention compares."""
    last: tuple[int, int] = (0, 0)
    """Of the weights and of the width, what `state_at` needs for one token of each text alone."""

    def flops(self, lengths: Int64[Tensor, " B"], *, one_state: bool = False) -> int:
        """Floating-point operations for texts of these lengths, padding left out; `one_state` of each is asked for."""
        tokens, pairs = int(lengths.sum()), int(lengths.square().sum())
        whole = 6 * self.weights * tokens + 12 * self.width * pairs
        if not one_state:
            return whole
        weights, width = self.last
        return whole - 6 * weights * (tokens - len(lengths)) - 12 * width * (pairs - tokens)


def _cost(encoder: Any) -> Cost:
    sizes = {name: p.numel() for name, p in encoder.named_parameters() if p.ndim == 2 and "embeddings" not in name}
    hidden, layers = encoder.config.hidden_size, encoder.config.num_hidden_layers
    last = (0, 0)
    if spares_last_layer(encoder):
        own = {name: size for name, size in sizes.items() if name.startswith(f"encoder.layer.{layers - 1}.")}
        last = sum(size for name, size in own.items() if ".key." not in name and ".value." not in name), hidden
    return Cost(sum(sizes.values()), hidden * layers, last)


def spares_last_layer(encoder: Any) -> bool:
    """Whether its last layer can be computed at some places alone."""
    layers: Any = getattr(getattr(encoder, "encoder", None), "layer", [None])
    return type(layers[-1]).__name__ in KNOWN_LAYERS and encoder._compiled_call_impl is None


@dataclasses.dataclass(frozen=True)
class Built:
    """An encoder and, where its weights bring one, the head of its masked language model."""

    encoder: nn.Module
    head: TiedHead
    position_offset: int
    """Added to positions from 0: RoBERTa's learned table begins after the padding index."""
    cost: Cost


def build_encoder(config: EncoderConfig, vocab_size: int, token_types: int) -> Built:
    """The encoder with `token_types` rows of token types and the vocabulary of the tokens it will read."""
    encoder, head = _tiny(config, vocab_size), None
    if encoder is None:
        dropout = {"hidden_dropout_prob": config.dropout, "attention_probs_dropout_prob": config.dropout}
        encoder, head = pretrained(config.name, **dropout)
    words = encoder.get_input_embeddings()
    if words.num_embeddings < vocab_size:
        raise DataError(
            f"The encoder {config.name} has {words.num_embeddings} words, the tokens {vocab_size}: they were made by "
            f"another tokenizer. Make them by wikiloom tokenize --tokenizer {config.name}, or set data.tokens."
        )
    _set_token_types(encoder, token_types)
    offset = _position_offset(encoder, config)
    if head is None:
        head = TiedHead(encoder.config.hidden_size, words.num_embeddings)
        # One number of the encoder's config holds for its head as well: whoever reads an export goes by it.
        head.norm.eps = encoder.config.layer_norm_eps
        _initialise(head, encoder.config.initializer_range)
    encoder.requires_grad_(not config.frozen)
    return Built(encoder, head, offset, _cost(encoder))


def head_parts(whole: nn.Module) -> tuple[nn.Module, nn.Module, nn.Parameter] | None:
    """dense, norm and bias of the head of a masked language model; None where it is not made as TiedHead is."""
    head = getattr(whole, "lm_head", None)
    if hasattr(head, "layer_norm"):  # RoBERTa's
        return head.dense, head.layer_norm, head.bias
    head = getattr(getattr(whole, "cls", None), "predictions", None)
    if hasattr(head, "transform") and whole.config.hidden_act == "gelu":  # BERT's
        return head.transform.dense, head.transform.LayerNorm, head.bias
    return None


def word_vectors(encoder: Any, texts: Sequence[Int64[Tensor, "_ _"]]) -> list[Float[Tensor, "_ _ W"]]:
    """The embeddings of the words of several batches of texts, by one look-up: the gradient of each look-up is as large
    as the table, and is filled with zeros."""
    if not texts:
        return []
    words = encoder.get_input_embeddings()(torch.cat([ids.flatten() for ids in texts]))
    parts = words.split([ids.numel() for ids in texts])
    return [part.unflatten(0, ids.shape) for part, ids in zip(parts, texts, strict=True)]


def encode_text(
    built_encoder: nn.Module,
    ids: Int64[Tensor, "B S"],
    mask: Bool[Tensor, "B S"],
    words: Float[Tensor, "B S W"] | None = None,
) -> Float[Tensor, "B S D"]:
    """Last hidden states of plain text; `words` are the embeddings of `ids`, where they are at hand."""
    read = {"input_ids": ids} if words is None else {"inputs_embeds": words}
    return built_encoder(**read, attention_mask=mask).last_hidden_state


def pooled(
    states: Float[Tensor, "B S D"], real: Bool[Tensor, "B S"], pooling: Pooling, *, normalized: bool = False
) -> Float[Tensor, "B D"]:
    """A text's vector: the state at its first token, or the mean over all of its tokens; normalized: of unit length."""
    if pooling == "cls":
        vectors = states[:, 0]
    else:
        vectors = (states * real[..., None]).sum(dim=1) / real.sum(dim=1, keepdim=True)
    # In 32 bits: of near vectors the cosines differ by less than 16 hold.
    return nn.functional.normalize(vectors.float(), dim=-1) if normalized else vectors


def state_at(
    encoder: Any, words: Float[Tensor, "B S W"], mask: Bool[Tensor, "B S"], places: Int64[Tensor, " B"]
) -> Float[Tensor, "B D"]:
    """The last hidden state at one place of each text, given the embeddings of its words. Of a family whose layers are
    known, the last one is computed at these places alone, which spares most of it."""
    rows = torch.arange(len(places), device=places.device)
    if not spares_last_layer(encoder):
        return encoder(inputs_embeds=words, attention_mask=mask).last_hidden_state[rows, places]
    states = _without_last_layer(encoder)(inputs_embeds=words, attention_mask=mask).last_hidden_state
    return _last_layer(encoder.encoder.layer[-1], states, mask, states[rows, places][:, None])


def _without_last_layer(encoder: Any) -> Any:
    """The same modules but for that one; what is copied is who is whose part."""
    short, stack = copy.copy(encoder), copy.copy(encoder.encoder)
    stack._modules = {**stack._modules, "layer": stack.layer[:-1]}
    short._modules = {**short._modules, "encoder": stack}
    return short


def _last_layer(
    layer: Any, states: Float[Tensor, "B S D"], mask: Bool[Tensor, "B S"], own: Float[Tensor, "B 1 D"]
) -> Float[Tensor, "B D"]:
    attention = layer.attention.self
    sizes = (attention.num_attention_heads, attention.attention_head_size)
    query, key, value = (
        linear(of).unflatten(-1, sizes).transpose(1, 2)
        for linear, of in ((attention.query, own), (attention.key, states), (attention.value, states))
    )
    dropout = attention.dropout.p if layer.training else 0.0
    seen = nn.functional.scaled_dot_product_attention(query, key, value, mask[:, None, None], dropout_p=dropout)
    result: Tensor = layer.feed_forward_chunk(layer.attention.output(seen.transpose(1, 2).flatten(2), own))
    return result[:, 0]


def _tiny(config: EncoderConfig, vocab_size: int) -> nn.Module | None:
    if config.name != "tiny":
        return None
    from transformers import RobertaConfig, RobertaModel

    sizes = RobertaConfig(
        vocab_size=vocab_size,
        hidden_size=config.hidden_size,
        num_hidden_layers=config.layers,
        num_attention_heads=config.heads,
        intermediate_size=config.intermediate_size,
        max_position_embeddings=config.max_positions + 2,
        hidden_dropout_prob=config.dropout,
        attention_probs_dropout_prob=config.dropout,
        bos_token_id=0,
        pad_token_id=1,
        eos_token_id=2,
        type_vocab_size=1,
        attn_implementation="sdpa",
    )
    return RobertaModel(sizes, add_pooling_layer=False)


def pretrained(name: str, **changes: float) -> tuple[nn.Module, TiedHead | None]:
    """An encoder with its weights (safetensors only, no code of the folder's own), and its head where it has one.

    `changes` are of its config. DataError where it can't be loaded.
    """
    from transformers import AutoConfig, AutoModel, AutoModelForMaskedLM
    from transformers.utils import logging

    # It warns of weights without a head, which gets a new one, as if they were damaged.
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    source = packaged_model(name) or name
    # A folder may hold weights in 16 bits; they are trained in 32.
    options = {"dtype": torch.float32, "trust_remote_code": False, "use_safetensors": True}
    options["attn_implementation"] = "sdpa"
    try:
        options["config"] = AutoConfig.from_pretrained(source, trust_remote_code=False, **changes)
        encoder = AutoModel.from_pretrained(source, **options)
        whole, info = AutoModelForMaskedLM.from_pretrained(source, output_loading_info=True, **options)
    except (OSError, ValueError, KeyError) as error:
        raise DataError(
            f"The encoder {name!r} can't be loaded: {first_line(error)} "
            "Give encoder.name a local folder with config.json and model.safetensors, or a Hugging Face name."
            f"{package_hint(name)}"
        ) from error
    encoder.pooler = None
    parts = head_parts(whole)
    if info["missing_keys"] or parts is None:
        return encoder, None
    dense, norm, bias = parts
    tied = TiedHead(encoder.config.hidden_size, encoder.get_input_embeddings().num_embeddings)
    tied.dense.load_state_dict(dense.state_dict())
    tied.norm.load_state_dict(norm.state_dict())
    tied.norm.eps = norm.eps
    tied.bias.data.copy_(bias)
    return encoder, tied


def _position_offset(encoder: nn.Module, config: EncoderConfig) -> int:
    table = encoder.embeddings.position_embeddings
    padding = getattr(table, "padding_idx", None)
    offset = 0 if padding is None else padding + 1
    if table.num_embeddings - offset < config.max_positions:
        raise DataError(
            f"The encoder {config.name} has {table.num_embeddings - offset} positions, the recipe asks for "
            f"{config.max_positions}. Set encoder.max_positions."
        )
    return offset


def _set_token_types(encoder: nn.Module, rows: int) -> None:
    """Rows for words, entities and relations; all begin as the encoder's first one (zeros in RoBERTa)."""
    old = encoder.embeddings.token_type_embeddings
    table = nn.Embedding(rows, old.embedding_dim)
    table.weight.data.copy_(old.weight.data[:1].expand(rows, -1))
    encoder.embeddings.token_type_embeddings = table
    encoder.config.type_vocab_size = rows


def _initialise(head: TiedHead, spread: float) -> None:
    nn.init.normal_(head.dense.weight, std=spread)
    nn.init.zeros_(head.dense.bias)
