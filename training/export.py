"""`wikiloom export`: a run -> a folder that transformers and sentence-transformers read without our code.

What is exported is the text side: the encoder and its masked-word head, in the form of the encoder's own family. A text
gets from it, bit for bit, the states and the word logits that the run gives a text without entities. Knowledge goes
along as vectors of the entities, in Parquet.
"""

import contextlib
import copy
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from tokenizers.processors import TemplateProcessing
from torch import nn

from schemas.errors import DataError, UsageError
from training.baselines import is_baseline
from training.card import Contents, write_card
from training.data.special import SpecialTokens
from training.encoders import TiedHead, encode_text, head_parts
from training.runs import Run, load_run
from training.vectors import pooling, write_entities, write_texts

SENTENCE_TYPES = 2
"""Rows for the kinds of tokens. Tokenizers of BERT's family number the two texts of a pair: both are words here."""
TOLERANCE = 1e-4
"""Logits are the same operations on the same numbers; another activation, say, is seen from 1e-3."""


def export(
    run: Path, out: Path, *, entities: bool = False, texts: Path | None = None, data: Path | None = None
) -> Path:
    """Write the folder `out`, whole or not at all; returns it.

    Raises UsageError where `out` holds anything, DataError for a run without an encoder or with one whose masked
    language model can't be written as its family's, and where `texts` can't be read.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError(f"{out} is not empty. Choose another --out.")
    if is_baseline(run):
        raise DataError(f"{run} is a baseline's run, which has no text encoder. Export a run of wikiloom train.")
    opened = load_run(run, data)
    with _whole(out) as folder:
        _write_model(opened, folder)
        _write_tokenizer(opened, folder)
        _write_pooling(opened, folder)
        found = Contents(
            entities=write_entities(opened, folder / "entities.parquet") if entities else None,
            texts=write_texts(opened, texts, folder / "texts.parquet") if texts else None,
        )
        write_card(opened, out.resolve().name, found, folder / "README.md")
    return out


@contextlib.contextmanager
def _whole(out: Path) -> Iterator[Path]:
    """A folder beside `out`, which takes its place at the end; nothing is left of it after an error."""
    out = out.resolve()
    folder = out.with_name(f".{out.name}.tmp")
    try:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        yield folder
        for path in folder.rglob("*"):
            if path.is_file():
                # safetensors makes files for their owner alone; they are for whoever may read the folder.
                path.chmod(folder.stat().st_mode & 0o666)
        os.replace(folder, out)
    except OSError as error:
        raise DataError(f"{out} can't be written ({error}). Make room there, or choose another --out.") from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)


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


def _write_tokenizer(run: Run, folder: Path) -> None:
    """tokenizer.json with what AutoTokenizer needs beside it; texts come out of it as the run reads them."""
    special, tokenizer = run.source.special, Tokenizer.from_str(run.tokenizer.to_str())
    frame(tokenizer, special)
    tokenizer.save(str(folder / "tokenizer.json"))
    roles = {"bos": "bos", "cls": "bos", "eos": "eos", "sep": "eos", "pad": "pad", "unk": "unk", "mask": "mask"}
    names = {f"{role}_token": tokenizer.id_to_token(getattr(special, ours)) for role, ours in roles.items()}
    _write_json(folder / "special_tokens_map.json", names)
    settings = {
        # The class that takes tokenizer.json as it is.
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": run.config.encoder.max_positions,
        "model_input_names": ["input_ids", "attention_mask"],
        "clean_up_tokenization_spaces": False,
    }
    _write_json(folder / "tokenizer_config.json", {**settings, **names})


def frame(tokenizer: Tokenizer, special: SpecialTokens) -> None:
    """Let the tokenizer put <s> and </s> around a text, as the runs do, where its file says something else."""
    text = tokenizer.encode("a", add_special_tokens=False).ids
    if tokenizer.encode("a").ids != [special.bos, *text, special.eos]:
        bos, eos = (tokenizer.id_to_token(number) for number in (special.bos, special.eos))
        tokenizer.post_processor = TemplateProcessing(
            single=f"{bos} $A {eos}",
            pair=f"{bos} $A {eos} {eos} $B {eos}",
            special_tokens=[(bos, special.bos), (eos, special.eos)],
        )


def _write_pooling(run: Run, folder: Path) -> None:
    """What SentenceTransformer reads."""
    parts = [("", "Transformer"), ("1_Pooling", "Pooling")]
    modules = [
        {"idx": number, "name": str(number), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for number, (path, kind) in enumerate(parts)
    ]
    _write_json(folder / "modules.json", modules)
    settings = {"max_seq_length": run.config.encoder.max_positions, "do_lower_case": False}
    _write_json(folder / "sentence_bert_config.json", settings)
    width, mode = int(run.network.encoder.config.hidden_size), pooling(run)
    modes = {f"pooling_mode_{name}": name.startswith(mode) for name in ("cls_token", "mean_tokens")}
    (folder / "1_Pooling").mkdir()
    _write_json(folder / "1_Pooling" / "config.json", {"word_embedding_dimension": width, **modes})


def _write_json(path: Path, document: Any) -> None:
    path.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
