"""The special tokens of a tokens/NAME folder."""

import dataclasses
from pathlib import Path

import numpy as np
from jaxtyping import Int64
from tokenizers import Tokenizer

from schemas.dataset import Dataset
from schemas.errors import DataError

NAMES = {
    "bos": ("<s>", "[CLS]"),
    "pad": ("<pad>", "[PAD]"),
    "eos": ("</s>", "[SEP]"),
    "unk": ("<unk>", "[UNK]"),
    "mask": ("<mask>", "[MASK]"),
}
"""What RoBERTa's and BERT's vocabularies call them."""


@dataclasses.dataclass(frozen=True)
class SpecialTokens:
    """Ids of the special tokens."""

    bos: int
    pad: int
    eos: int
    unk: int
    mask: int

    @property
    def never_masked(self) -> Int64[np.ndarray, " K"]:
        """Ids that are never predicted."""
        return np.array([self.bos, self.pad, self.eos, self.unk])


def load_tokenizer(tokens: Dataset) -> Tokenizer:
    """tokens/NAME/tokenizer.json; DataError where it is missing or damaged."""
    path = Path(tokens.folder) / "tokenizer.json"
    if not path.is_file():
        raise DataError(f"{path} is missing. Make the tokens again: wikiloom tokenize.")
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises nothing more exact
        raise DataError(f"{path} is not a tokenizer ({str(error)[:200]}). Make the tokens again.") from error
    # Models of sentences come with both.
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def special_tokens(tokenizer: Tokenizer) -> SpecialTokens:
    """The ids by name; DataError for a vocabulary without one of them."""
    found = {}
    for role, names in NAMES.items():
        ids = [tokenizer.token_to_id(name) for name in names]
        known = [number for number in ids if number is not None]
        if not known:
            raise DataError(f"The tokenizer has no {' or '.join(names)}, which training needs. Take another tokenizer.")
        found[role] = known[0]
    return SpecialTokens(**found)
