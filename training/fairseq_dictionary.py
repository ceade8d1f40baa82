"""The vocabulary of fairseq's RoBERTa: GPT-2's byte pairs, numbered anew by dict.txt in the order of their frequency.

fairseq numbers <s>, <pad>, </s>, <unk>, then the lines of dict.txt, then <mask>. A line is "SYMBOL COUNT"; the symbol
is the number of a byte pair in GPT-2's encoder.json, or a filler (madeupword0000).
"""

import dataclasses
import json
from collections import Counter
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Tokenizer
from tokenizers.decoders import ByteLevel as ByteLevelDecoder
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel
from tokenizers.processors import RobertaProcessing

from schemas.errors import DataError, UsageError
from schemas.packaged import packaged_model
from training.data.special import SpecialTokens, special_tokens

FIRST, LAST = ("<s>", "<pad>", "</s>", "<unk>"), "<mask>"
PAIRS, MERGES = ("encoder.json", "vocab.json"), ("vocab.bpe", "merges.txt")
"""GPT-2's files, as fairseq and as transformers call them."""


@dataclasses.dataclass(frozen=True)
class Vocabulary:
    """A tokenizer, and where it is from."""

    tokenizer: Tokenizer
    source: str

    def require(self, rows: int) -> SpecialTokens:
        """DataError unless there is a row of the embeddings for each token and <s> ... are where fairseq has them."""
        size = max(self.tokenizer.get_vocab().values(), default=-1) + 1
        if size != rows:
            raise DataError(
                f"{self.source} has {size:,} tokens, the weights {rows:,} rows for them: it is another vocabulary."
            )
        special = special_tokens(self.tokenizer)
        places = dataclasses.astuple(special)
        if places != (0, 1, 2, 3, rows - 1):
            raise DataError(
                f"{self.source} numbers <s>, <pad>, </s>, <unk> and <mask> {places}, fairseq {(0, 1, 2, 3, rows - 1)}: "
                "it is another vocabulary."
            )
        return special


def open_vocabulary(tokenizer: str | None, dictionary: Path | None, pairs: Path | None) -> Vocabulary:
    """That of a Hugging Face folder or name, or of fairseq's files; UsageError unless it is given in one way."""
    if (tokenizer is None) == (dictionary is None) or (dictionary is None) != (pairs is None):
        raise UsageError(
            "import-weights takes --dict FILE with --bpe FOLDER (fairseq's dict.txt; GPT-2's encoder.json and "
            "vocab.bpe), or else --tokenizer FOLDER|NAME (KEPLER's is that of roberta-base)."
        )
    if tokenizer is not None:
        return Vocabulary(_hugging_face(tokenizer), tokenizer)
    assert dictionary is not None and pairs is not None
    return Vocabulary(_fairseq(dictionary, pairs), str(dictionary))


def _hugging_face(name: str) -> Tokenizer:
    from transformers import AutoTokenizer

    try:
        found = AutoTokenizer.from_pretrained(packaged_model(name) or name, trust_remote_code=False)
        tokenizer = Tokenizer.from_str(found.backend_tokenizer.to_str())
    except Exception as error:  # the libraries raise nothing more exact
        reason = (str(error).splitlines() or [type(error).__name__])[0][:200]
        raise DataError(
            f"The tokenizer {name!r} can't be loaded ({reason}). Give a folder with tokenizer.json."
        ) from error
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def _fairseq(dictionary: Path, folder: Path) -> Tokenizer:
    by_number = {str(number): pair for pair, number in _json(_one_of(folder, PAIRS)).items()}
    symbols = _symbols(dictionary)
    unknown = next((symbol for symbol in symbols if symbol.isdecimal() and symbol not in by_number), None)
    if unknown:
        raise DataError(f"{dictionary}: {unknown} is no byte pair in {folder}. Give the files that go together.")
    words = [*FIRST, *(by_number.get(symbol, symbol) for symbol in symbols), LAST]
    word, times = Counter(words).most_common(1)[0]
    if times > 1:
        raise DataError(f"{dictionary}: {word!r} is there {times} times. Give the dict.txt of the weights.")
    merges = _one_of(folder, MERGES)
    pairs = [tuple(line.split(" ")) for line in _lines(merges) if line and not line.startswith("#version")]
    try:
        model = BPE({word: number for number, word in enumerate(words)}, pairs, unk_token="<unk>")
    except Exception as error:  # the library raises nothing more exact
        reason = str(error)[:120]
        raise DataError(f"{merges} does not go with {dictionary} ({reason}). Give GPT-2's own files.") from error
    tokenizer = Tokenizer(model)
    tokenizer.pre_tokenizer, tokenizer.decoder = ByteLevel(add_prefix_space=False), ByteLevelDecoder()
    tokenizer.post_processor = RobertaProcessing(("</s>", 2), ("<s>", 0), add_prefix_space=False)
    # The space before a <mask> belongs to the word that it stands for, as in RobertaTokenizer.
    tokenizer.add_special_tokens([*FIRST, AddedToken(LAST, lstrip=True)])
    return tokenizer


def _symbols(dictionary: Path) -> list[str]:
    lines = _lines(dictionary)
    for number, line in enumerate(lines, start=1):
        symbol, _, count = line.rpartition(" ")
        if not symbol or not count.isdecimal():
            raise DataError(f"{dictionary}, line {number}: expected SYMBOL COUNT, found {line[:60]!r}.")
    return [line.rpartition(" ")[0] for line in lines]


def _one_of(folder: Path, names: tuple[str, str]) -> Path:
    for name in names:
        if (folder / name).is_file():
            return folder / name
    raise DataError(f"{folder} has no {' or '.join(names)}. Give the folder of GPT-2's byte pairs with --bpe.")


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").removesuffix("\n").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} can't be read ({error}).") from error


def _json(path: Path) -> dict[str, Any]:
    try:
        document = json.loads("\n".join(_lines(path)))
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} is not JSON ({str(error)[:100]}).") from error
    if not isinstance(document, dict):
        raise DataError(f"{path} is not GPT-2's: expected an object, byte pair -> number.")
    return document
