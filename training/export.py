"""`wikiloom export`: a run -> a folder that transformers and sentence-transformers read without our code.

What is exported is the text side: the encoder and its masked-word head, in the form of the encoder's own family. A text
gets from it, bit for bit, the states and the word logits that the run gives a text without entities. Knowledge goes
along as vectors of the entities, in Parquet.
"""

import copy
from pathlib import Path
from typing import Any

import torch
from torch import nn

from schemas.errors import DataError, UsageError
from training.ann import INDEX, metric, require_faiss, write_index
from training.baselines import is_baseline
from training.card import Contents, write_card
from training.encoders import TiedHead, encode_text, head_parts
from training.entity_vectors import ENTITIES, write_entities
from training.folders import require_empty, whole_folder
from training.runs import Run, load_run
from training.text_file import count_lines
from training.tokenizer_files import write_json, write_tokenizer
from training.vectors import Precision, chosen_precision, longest_text, text_vector, write_texts

SENTENCE_TYPES = 2
"""Rows for the kinds of tokens. Tokenizers of BERT's family number the two texts of a pair: both are words here."""
TOLERANCE = 1e-4
"""Logits are the same operations on the same numbers; another activation, say, is seen from 1e-3."""


def export(
    run: Path,
    out: Path,
    *,
    entities: bool = False,
    index: bool = False,
    texts: Path | None = None,
    precision: Precision | None = None,
    data: Path | None = None,
) -> Path:
    """Write the folder `out`, whole or not at all; returns it. Entities' vectors that an interrupted one left stay.

    Raises UsageError where `out` holds anything, or an index is wanted without entities or Faiss; DataError for a run
    without an encoder or with one whose masked language model can't be written as its family's, and where `texts` can't
    be read.
    """
    require_empty(out)
    if index and not entities:
        raise UsageError("--index is of the entities' vectors: add --entities.")
    if index:
        require_faiss()
    if is_baseline(run):
        raise DataError(f"{run} is a baseline's run, which has no text encoder. Export a run of wikiloom train.")
    opened = load_run(run, data)
    if opened.config.system == "jaket" and opened.config.jaket.knowledge != "none":
        raise DataError(
            f"{run} is a JAKET run, whose language model has a LayerNorm between its halves that no plain encoder has. "
            "Read it in place (training/entity_knowledge.py), or export an mlm-only or KEPLER run."
        )
    if texts:
        count_lines(texts)  # a file that can't be read ends here, before hours of entities
    with whole_folder(out, ENTITIES if entities else None) as folder:
        _write_model(opened, folder)
        longest = opened.config.encoder.max_positions
        write_tokenizer(opened.tokenizer, opened.source.special, longest, folder)
        _write_pooling(opened, folder)
        wanted = chosen_precision(opened, precision)
        files = write_entities(opened, folder / ENTITIES, wanted) if entities else []
        if index:
            width = int(opened.network.encoder.config.hidden_size)
            write_index(files, width, metric(opened), folder / INDEX)
        found = Contents(
            entities=opened.dataset.rows("entities") if entities else None,
            texts=write_texts(opened, texts, folder / "texts.parquet", wanted) if texts else None,
            index=index,
            precision=wanted,
        )
        write_card(opened, out.resolve().name, found, folder / "README.md")
    return out


def _write_model(run: Run, folder: Path) -> None:
    """config.json and model.safetensors of the family's masked language model."""
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    plain_model(run.network.encoder, run.network.word_head).save_pretrained(folder)


@torch.no_grad()
def plain_model(encoder: Any, head: TiedHead) -> Any:
    """Encoder and head as transformers' own masked language model; DataError where there is none that does the same."""
    from transformers import AutoModelForMaskedLM

    config = copy.deepcopy(encoder.config)
    config.type_vocab_size, config.tie_word_embeddings, config.name_or_path = SENTENCE_TYPES, True, ""
    kind = f"an encoder of the type {config.model_type}"
    try:
        whole = AutoModelForMaskedLM.from_config(config)
    except ValueError as error:
        raise DataError(f"transformers has no masked language model for {kind}, so it can't be exported.") from error
    parts = head_parts(whole)
    if parts is None:
        raise DataError(f"The masked language model of {kind} has another head than the run's; it can't be exported.")
    states = encoder.state_dict()
    types = "embeddings.token_type_embeddings.weight"
    states[types] = states[types][:1].expand(SENTENCE_TYPES, -1)
    whole.base_model.load_state_dict(states)
    dense, norm, bias = parts
    dense.load_state_dict(head.dense.state_dict())
    norm.load_state_dict(head.norm.state_dict())
    bias.copy_(head.bias)
    whole.tie_weights()
    _require_same_logits(whole.eval(), encoder, head, kind)
    return whole


def _require_same_logits(whole: Any, encoder: nn.Module, head: TiedHead, kind: str) -> None:
    words = encoder.get_input_embeddings().weight
    ids = torch.arange(len(words) - 1, max(-1, len(words) - 9), -1)[None]
    expected = head(encode_text(encoder.eval(), ids, torch.ones_like(ids, dtype=torch.bool))[0], words)
    found = whole(input_ids=ids).logits[0]
    if not torch.allclose(found, expected, rtol=TOLERANCE, atol=TOLERANCE):
        raise DataError(
            f"The masked language model of {kind} gives other word logits than the run (by "
            f"{(found - expected).abs().max():.2g}), so it can't be exported."
        )


def _write_pooling(run: Run, folder: Path) -> None:
    """What SentenceTransformer reads."""
    vector = text_vector(run)
    parts = [("", "Transformer"), ("1_Pooling", "Pooling"), *([("2_Normalize", "Normalize")] * vector.normalized)]
    modules = [
        {"idx": number, "name": str(number), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for number, (path, kind) in enumerate(parts)
    ]
    write_json(folder / "modules.json", modules)
    settings = {"max_seq_length": longest_text(run), "do_lower_case": False}
    write_json(folder / "sentence_bert_config.json", settings)
    width = int(run.network.encoder.config.hidden_size)
    modes = {f"pooling_mode_{name}": name.startswith(vector.pooling) for name in ("cls_token", "mean_tokens")}
    (folder / "1_Pooling").mkdir()
    write_json(folder / "1_Pooling" / "config.json", {"word_embedding_dimension": width, **modes})
