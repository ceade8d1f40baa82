"""A tokenizer: a folder with tokenizer.json, or a model of the Hugging Face hub. Only that file is read, as data."""

import contextlib
import copy
import dataclasses
import hashlib
import itertools
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from schemas.errors import DataError, first_line
from schemas.packaged import package_hint, packaged_model

if TYPE_CHECKING:
    from tokenizers import Tokenizer

I32, I64 = npt.NDArray[np.int32], npt.NDArray[np.int64]

ROLES = {
    "bos": ("<s>", "[CLS]"),
    "pad": ("<pad>", "[PAD]"),
    "eos": ("</s>", "[SEP]"),
    "unk": ("<unk>", "[UNK]"),
    "mask": ("<mask>", "[MASK]"),
}
"""What the trainer needs a special token for, and the names it goes by in RoBERTa's and BERT's vocabularies.

In RoBERTa's order: a vocabulary of our own begins with the first names.
"""

MAX_BYTES = 64 * 2**20
"""Of tokenizer.json; those of the largest multilingual models have half of it."""
MAX_TOKENS = 2**24


@dataclasses.dataclass(frozen=True)
class TokenizerFile:
    """The bytes of a tokenizer.json, read once: what is checked is what is used and kept."""

    name: str
    """The folder's name or the hub's."""
    data: bytes
    config: bytes | None
    """tokenizer_config.json beside it, for readers of the folder; it is not read here."""

    @property
    def digest(self) -> str:
        """sha256 of tokenizer.json."""
        return hashlib.sha256(self.data).hexdigest()


@dataclasses.dataclass(frozen=True)
class Encoded:
    """Tokens of some texts, one text after the other. B texts, N tokens."""

    ids: I32
    lengths: I64
    """Tokens of each text, shape (B,)."""
    offsets: I64
    """Code points [start, end) of each token in its text, shape (N, 2), or (0, 2) where nobody asked."""

    @property
    def rows(self) -> I64:
        """The text of each token, shape (N,)."""
        return np.repeat(np.arange(len(self.lengths)), self.lengths)


class Encoder:
    """Texts -> token ids, without special tokens: those are the trainer's to put in.

    What looks like a special token in a text is a text; where a vocabulary knows no other way to write it, it becomes
    the unknown token and is counted. Raises DataError where the file is no tokenizer of a masked language model.
    """

    def __init__(self, name: str, data: bytes) -> None:
        self._name, self._data = name, data
        self._tokenizer = _parse(name, data)
        vocabulary = self._tokenizer.get_vocab()
        self.special = _special_ids(vocabulary, name)
        self.vocab_size = max(vocabulary.values()) + 1
        """One more than the largest id: there may be ids that no token has."""
        if self.vocab_size > MAX_TOKENS:
            raise DataError(f"{name}: a token has id {self.vocab_size - 1}, expected fewer than {MAX_TOKENS} tokens.")
        self._reserved = np.zeros(self.vocab_size, np.bool_)
        self._reserved[[number for role, number in self.special.items() if role != "unk"]] = True
        self.counts: Counter[str] = Counter()

    def encode(self, texts: Sequence[str], *, offsets: bool = False, inside_word: bool = False) -> Encoded:
        """The texts' tokens. With `inside_word` they go on a word: no mark of a beginning is put before them."""
        tokenizer = self._inside_word if inside_word else self._tokenizer
        run = tokenizer.encode_batch if offsets else tokenizer.encode_batch_fast
        with _one_line(f"{self._name} can't be used"):
            encodings = run(list(texts), add_special_tokens=False)
        lengths = np.fromiter(map(len, encodings), np.int64, len(encodings))
        total = int(lengths.sum())
        ids = np.fromiter(itertools.chain.from_iterable(one.ids for one in encodings), np.int32, total)
        pairs = itertools.chain.from_iterable(one.offsets for one in encodings) if offsets else ()
        flat = np.fromiter(itertools.chain.from_iterable(pairs), np.int64)
        return Encoded(self._without_reserved(ids), lengths, flat.reshape(-1, 2))

    def token(self, number: int) -> str:
        """The token of an id; "" for an id that has none."""
        return self._tokenizer.id_to_token(number) or ""

    def counting_anew(self) -> "Encoder":
        """The same tokenizer with counts of its own: several threads of a worker may share one."""
        other = copy.copy(self)
        other.counts = Counter()
        return other

    def _without_reserved(self, ids: I32) -> I32:
        found = self._reserved[ids]
        self.counts["special_tokens_in_text"] += int(found.sum())
        ids[found] = self.special["unk"]
        return ids

    @cached_property
    def _inside_word(self) -> "Tokenizer":
        document = json.loads(self._data)
        _drop_prefix(document.get("pre_tokenizer"))
        return _parse(self._name, json.dumps(document).encode())


def read_tokenizer(name_or_path: str) -> TokenizerFile:
    """tokenizer.json of a folder, or of a model on the Hugging Face hub by its name."""
    path = Path(name_or_path) / "tokenizer.json"
    if not path.is_file():
        if Path(name_or_path).exists() or name_or_path.count("/") > 1:
            raise DataError(f"{name_or_path} has no tokenizer.json. Make one with wikiloom train-tokenizer.")
        path, name = _from_hub(name_or_path), name_or_path
    else:
        name = Path(name_or_path).resolve().name
    if path.stat().st_size > MAX_BYTES:
        raise DataError(f"{path} has {path.stat().st_size:,} bytes, expected at most {MAX_BYTES:,}.")
    config = path.with_name("tokenizer_config.json")
    return TokenizerFile(name, path.read_bytes(), config.read_bytes() if config.is_file() else None)


def _from_hub(name: str) -> Path:
    packaged = packaged_model(name)
    if packaged:
        return packaged / "tokenizer.json"
    from huggingface_hub import hf_hub_download

    try:
        return Path(hf_hub_download(name, "tokenizer.json"))
    except Exception as error:  # network, permission and name errors have no common class
        reason = first_line(error, 120)
        raise DataError(
            f"{name} is no folder with tokenizer.json, nor could the hub give it ({reason}).{package_hint(name)}"
        ) from error


def _parse(name: str, data: bytes) -> "Tokenizer":
    from tokenizers import Tokenizer

    with _one_line(f"{name} is no tokenizer"):
        tokenizer = Tokenizer.from_str(data.decode())
        tokenizer.no_truncation()
        tokenizer.no_padding()
        tokenizer.encode_special_tokens = True
        return tokenizer


@contextlib.contextmanager
def _one_line(what: str) -> Iterator[None]:
    """The library raises plain Exception for every malformed file, and its panics are not even that."""
    try:
        yield
    except BaseException as error:
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        reason = (str(error).splitlines() or [type(error).__name__])[0][:150]
        raise DataError(f"{what} ({reason}). Give a folder with the tokenizer.json of a masked LM.") from error


def _special_ids(vocabulary: dict[str, int], name: str) -> dict[str, int]:
    ids = {}
    for role, tokens in ROLES.items():
        found = [vocabulary[token] for token in tokens if token in vocabulary]
        if not found:
            raise DataError(f"{name}: the vocabulary has no {' or '.join(tokens)}. Use a tokenizer of a masked LM.")
        ids[role] = found[0]
    return ids


def _drop_prefix(pre_tokenizer: Any) -> None:
    """Let a pre-tokenizer put no space before a text that has none."""
    for part in (pre_tokenizer or {}).get("pretokenizers", [pre_tokenizer or {}]):
        if part.get("type") == "Metaspace":
            part["prepend_scheme"] = "never"
        elif part.get("type") == "ByteLevel":
            part["add_prefix_space"] = False
