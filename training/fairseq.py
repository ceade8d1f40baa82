"""`wikiloom import-weights`: fairseq's state dict of RoBERTa or KEPLER -> a Hugging Face folder, without fairseq.

The one place that reads a torch file, and none of its pickled objects: torch's restricted reader (weights_only) makes
tensors and plain containers and calls nothing else. fairseq's checkpoints hold its arguments as well and are refused,
with the line that strips them for whoever trusts the file.

fairseq 0.8, KEPLER's, keeps the three projections of an attention in one matrix; since 0.9 they are three. KEPLER's
tables of relations have no place in RoBERTa: they go to relations.safetensors. D hidden, V words, R relations.
"""

import dataclasses
import re
import shlex
import sys
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from schemas.errors import DataError, UsageError
from training.fairseq_dictionary import Vocabulary
from training.folders import require_empty, whole_folder
from training.tokenizer_files import write_tokenizer

RELATIONS = "relations.safetensors"
FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
HEAD_WIDTH = 64
"""Of RoBERTa's attention heads, in each of its sizes. No tensor's shape shows how many heads there are."""
EMBEDDINGS = {
    "embed_tokens": "word_embeddings",
    "embed_positions": "position_embeddings",
    "emb_layer_norm": "LayerNorm",
    "layernorm_embedding": "LayerNorm",  # since 0.10
}
LAYER = {
    "self_attn.q_proj": "attention.self.query",
    "self_attn.k_proj": "attention.self.key",
    "self_attn.v_proj": "attention.self.value",
    "self_attn.out_proj": "attention.output.dense",
    "self_attn_layer_norm": "attention.output.LayerNorm",
    "fc1": "intermediate.dense",
    "fc2": "output.dense",
    "final_layer_norm": "output.LayerNorm",
}
STRIP = (
    "python -c \"import sys, torch; c = torch.load(sys.argv[1], map_location='cpu', weights_only=False); "
    "torch.save({'model': c['model']}, sys.argv[2])\""
)


def import_weights(file: Path, out: Path, vocabulary: Vocabulary, heads: int | None = None) -> Path:
    """Write the folder `out`, whole or not at all; returns it.

    `heads`: of each layer's attention, by default one for 64 dimensions. UsageError where `out` holds anything;
    DataError for a file that is not such a state dict, and where the vocabulary is not that of its embeddings.
    """
    require_empty(out)
    state = read_state_dict(file)
    parts = sorted_out(state, file)
    model = _model(parts.encoder, file, heads)
    sizes = model.config
    special = vocabulary.require(sizes.vocab_size)
    with whole_folder(out) as folder:
        model.save_pretrained(folder)
        write_tokenizer(vocabulary.tokenizer, special, sizes.max_position_embeddings - special.pad - 1, folder)
        if parts.relations:
            note = "row i is the relation with the number i in the relation2id file that the model was trained with"
            save_file(parts.relations, folder / RELATIONS, {"format": "pt", "note": note})
    _report(parts, sizes)
    return out


@dataclasses.dataclass(frozen=True)
class Parts:
    """A state dict, sorted out."""

    encoder: dict[str, Tensor]
    """RobertaForMaskedLM's, by its names."""
    relations: dict[str, Tensor]
    """KEPLER's tables of relations (R, D) and their margins, by fairseq's names."""
    left_out: list[str]
    """Names of classification heads."""


def read_state_dict(file: Path) -> dict[str, Tensor]:
    """The tensors of a torch file by name, in 32 bits; DataError for a file with anything else."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the pickle's version: what it can't read it refuses
            content = torch.load(file, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise DataError(f"{file} is not there. Give the path of a fairseq checkpoint, such as model.pt.") from error
    except Exception as error:  # a damaged file makes the reader fail in many ways
        raise _refused(file, error) from error
    state = content.get("model", content) if isinstance(content, dict) else None
    if not isinstance(state, dict) or not state:
        raise DataError(f"{file} is not a state dict: it has no tensors by name, nor such under the name model.")
    for name, value in state.items():
        if not isinstance(name, str) or not isinstance(value, Tensor):
            raise DataError(f"{file}: {str(name)[:80]} is a {type(value).__name__}, expected a tensor with a name.")
        if not _is_dense(value):
            raise DataError(f"{file}: {name} is {value.dtype} ({value.layout}), expected a dense tensor of floats.")
        if not torch.isfinite(value).all():
            raise DataError(f"{file}: {name} has values that are not finite. Take another checkpoint.")
    # Copies: in a file, several names may stand for one memory.
    whole = {"dtype": torch.float32, "copy": True, "memory_format": torch.contiguous_format}
    return {name: value.detach().to(**whole) for name, value in state.items()}


def _is_dense(value: Tensor) -> bool:
    """Floats, with a place in memory for each: a file can claim any shape for a few bytes."""
    if value.layout != torch.strided or value.device.type != "cpu" or value.dtype not in FLOATS:
        return False
    return value.numel() * value.element_size() <= value.untyped_storage().nbytes()


def _in_thirds(value: Tensor) -> bool:
    return value.dim() > 0 and len(value) % 3 == 0


def _refused(file: Path, error: Exception) -> DataError:
    reason = " ".join(str(error).split())
    found = re.search(r"GLOBAL (\S+) ", reason) or re.search(r"got <class '([^']+)'>", reason)
    if found:
        return DataError(f"{file} holds other objects than tensors ({found[1][:80]}). {_strip(file)}")
    reason = reason.rpartition("WeightsUnpickler error: ")[2][:120].strip() or type(error).__name__
    return DataError(f"{file} can't be read as a torch file ({reason}). Get it again.")


def _strip(file: Path) -> str:
    """How to take the tensors out of a file with other objects."""
    stripped = file.with_name(f"{file.stem}-stripped.pt")
    return (
        "Reading such objects can run code: only if you trust the file, strip it by "
        f"{STRIP} {shlex.quote(str(file))} {shlex.quote(str(stripped))}"
    )


def sorted_out(state: Mapping[str, Tensor], file: Path) -> Parts:
    """What is RoBERTa's under the names of RobertaForMaskedLM, and what is not; DataError for a name of neither."""
    root = next((p for p in ("decoder.", "encoder.") if f"{p}sentence_encoder.embed_tokens.weight" in state), None)
    if root is None:
        raise DataError(f"{file} has no decoder.sentence_encoder.embed_tokens.weight: it is not fairseq's RoBERTa.")
    encoder: dict[str, Tensor] = {}
    relations, left_out = {}, set()
    for name, value in state.items():
        if name.startswith("classification_heads."):
            left_out.add(".".join(name.split(".")[:2]))
        elif re.fullmatch(r"ke_heads\.[^.]+\.(relation_emb\.weight|gamma|emb_range)", name):
            relations[name.removeprefix("ke_heads.")] = value
        else:
            ours = dict(_renamed(name.removeprefix(root), value)) if name.startswith(root) else {}
            if not ours:
                raise DataError(f"{file}: {name} is no tensor of RoBERTa's or of KEPLER's. Take another checkpoint.")
            encoder.update(ours)
    words = encoder["roberta.embeddings.word_embeddings.weight"]
    tied = encoder.pop("lm_head.weight", words)
    if not torch.equal(tied, words):
        raise DataError(f"{file}: lm_head.weight is not embed_tokens.weight; RoBERTa's words have one table for both.")
    return Parts(encoder, relations, sorted(left_out))


def _renamed(name: str, value: Tensor) -> Iterator[tuple[str, Tensor]]:
    """The same tensor as RobertaForMaskedLM has it; nothing for a name that it has not."""
    module, _, kind = name.rpartition(".")
    if name in {"lm_head.weight", "lm_head.bias"} or module in {"lm_head.dense", "lm_head.layer_norm"}:
        yield name, value
    module = module.removeprefix("sentence_encoder.")
    if module in EMBEDDINGS:
        yield f"roberta.embeddings.{EMBEDDINGS[module]}.{kind}", value
    found = re.fullmatch(r"layers\.(\d+)\.(.+)", module)
    if found and found[2] in LAYER:
        yield f"roberta.encoder.layer.{found[1]}.{LAYER[found[2]]}.{kind}", value
    elif found and found[2] == "self_attn" and kind in {"in_proj_weight", "in_proj_bias"} and _in_thirds(value):
        for part, own in zip(("query", "key", "value"), value.chunk(3), strict=True):
            own_name = f"roberta.encoder.layer.{found[1]}.attention.self.{part}.{kind.removeprefix('in_proj_')}"
            yield own_name, own.clone()


def _model(encoder: dict[str, Tensor], file: Path, heads: int | None) -> Any:
    """transformers' own model with these weights; DataError where any is missing, too many or of another shape."""
    from transformers import RobertaConfig, RobertaForMaskedLM
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    sizes = RobertaConfig(**_sizes(encoder, file, heads), type_vocab_size=1, layer_norm_eps=1e-5)
    with torch.device("meta"):
        model = RobertaForMaskedLM(sizes)
    types = "roberta.embeddings.token_type_embeddings.weight"
    weights = {types: torch.zeros(1, sizes.hidden_size), **encoder}
    expected = {name: parameter.shape for name, parameter in model.named_parameters()}
    for name, shape in expected.items():
        if name not in weights:
            raise DataError(f"{file} has nothing for {name}: it is not whole, or not fairseq's RoBERTa.")
        if weights[name].shape != shape:
            raise DataError(f"{file}: {name} has the shape {tuple(weights[name].shape)}, expected {tuple(shape)}.")
    for name in weights:
        if name not in expected:
            raise DataError(f"{file} has {name} too many: it is not fairseq's RoBERTa.")
    model.load_state_dict(weights, strict=False, assign=True)
    model.tie_weights()
    return model.eval()


def _sizes(encoder: dict[str, Tensor], file: Path, heads: int | None) -> dict[str, int]:
    """What RobertaConfig asks for, by the shapes."""
    numbers = (re.match(r"roberta\.encoder\.layer\.(\d+)\.", name) for name in encoder)
    layers = {int(found[1]) for found in numbers if found}
    tables = ("embeddings.word_embeddings", "embeddings.position_embeddings", "encoder.layer.0.intermediate.dense")
    shapes = [encoder.get(f"roberta.{table}.weight", torch.empty(0)).shape for table in tables]
    if layers != set(range(len(layers))) or any(len(shape) != 2 or not all(shape) for shape in shapes):
        raise DataError(f"{file} has not all layers and tables of fairseq's RoBERTa. It is not whole.")
    (words, width), (positions, _), (intermediate, _) = shapes
    if heads is None and width % HEAD_WIDTH:
        raise UsageError(f"{file} has {width} dimensions, no multiple of {HEAD_WIDTH}. Say how many --heads it has.")
    heads = width // HEAD_WIDTH if heads is None else heads
    if heads < 1 or width % heads:
        raise UsageError(f"--heads {heads}: the {width} dimensions of {file} can't be shared out among so many.")
    return {
        "vocab_size": words,
        "hidden_size": width,
        "max_position_embeddings": positions,
        "intermediate_size": intermediate,
        "num_hidden_layers": len(layers),
        "num_attention_heads": heads,
    }


def _report(parts: Parts, sizes: Any) -> None:
    shape = f"{sizes.num_hidden_layers} layers of {sizes.hidden_size}, {sizes.num_attention_heads} heads"
    said = [f"{shape}, {sizes.vocab_size:,} words, {sizes.max_position_embeddings - 2} positions"]
    for name, table in parts.relations.items():
        if name.endswith(".relation_emb.weight") and table.dim() == 2:
            said.append(f"{len(table):,} relations of {name.split('.')[0]} are in {RELATIONS}, by their numbers")
    if parts.left_out:
        said.append(f"left out: {', '.join(parts.left_out)}")
    print("\n".join(said), file=sys.stderr)
