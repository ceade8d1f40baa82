"""A tokenizer as the files that AutoTokenizer reads."""

import json
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer
from tokenizers.processors import TemplateProcessing

from training.data.special import SpecialTokens

ROLES = {"bos": "bos", "cls": "bos", "eos": "eos", "sep": "eos", "pad": "pad", "unk": "unk", "mask": "mask"}
"""transformers' names of special tokens, and ours."""


def write_tokenizer(tokenizer: Tokenizer, special: SpecialTokens, longest: int, folder: Path) -> None:
    """tokenizer.json with what AutoTokenizer needs beside it, for a model that reads `longest` tokens."""
    tokenizer = Tokenizer.from_str(tokenizer.to_str())
    frame(tokenizer, special)
    tokenizer.save(str(folder / "tokenizer.json"))
    names = {f"{role}_token": tokenizer.id_to_token(getattr(special, ours)) for role, ours in ROLES.items()}
    write_json(folder / "special_tokens_map.json", names)
    settings = {
        # The class that takes tokenizer.json as it is.
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": longest,
        "model_input_names": ["input_ids", "attention_mask"],
        "clean_up_tokenization_spaces": False,
    }
    write_json(folder / "tokenizer_config.json", {**settings, **names})


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


def write_json(path: Path, document: Any) -> None:
    """As people read it: indented, every script as it is."""
    path.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
