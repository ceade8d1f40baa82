"""What a vocabulary is trained with: SentencePiece's options, under its own names where they are plain words."""

import dataclasses
from typing import Literal

from schemas.errors import UsageError

LIMITS: dict[str, tuple[float, float]] = {
    "vocab_size": (100, 1_000_000),
    "character_coverage": (0.5, 1),
    "max_piece_length": (1, 512),
    "max_sentence_bytes": (16, 2**24),
    "sample_mb": (1, 4_096),
    "seed": (0, 2**63),
}
BYTE_PIECES = 256


@dataclasses.dataclass(frozen=True, kw_only=True)
class Vocabulary:
    """A subword vocabulary for any language; the same texts and options give the same file."""

    model: Literal["unigram", "bpe"] = "unigram"
    """SentencePiece's Unigram language model (Kudo, ACL 2018), or byte-pair encoding."""
    vocab_size: int = 8_000
    """Pieces in the vocabulary, at most."""
    character_coverage: float = 0.9995
    """Share of the characters that have a piece; the rarest have none. For Chinese or Japanese 0.9995, else up to 1."""
    byte_fallback: bool = False
    """Write characters without a piece as the bytes of their UTF-8: nothing is unknown. Takes 256 pieces."""
    normalization: Literal["identity", "nfc", "nfkc"] = "identity"
    """Unicode's form of the texts."""
    lowercase: bool = False
    """Take upper case for lower case."""
    split_by_whitespace: bool = True
    """Pieces lie inside words; turn it off for scripts without spaces, so that they may hold one."""
    split_by_script: bool = True
    """Pieces do not mix scripts, or letters and punctuation."""
    split_digits: bool = False
    """Every digit is a piece of its own."""
    max_piece_length: int = 16
    """Characters of a piece, at most."""
    max_sentence_bytes: int = 65_536
    """Longer lines of text are left out, and counted."""
    sample_mb: int = 256
    """Megabytes of text to learn from; of more, so many are sampled by a hash of each line."""
    seed: int = 0
    """Seed of the sample."""

    def __post_init__(self) -> None:
        for name, (low, high) in LIMITS.items():
            if not low <= getattr(self, name) <= high:
                raise UsageError(f"--{name.replace('_', '-')} {getattr(self, name)}: expected {low} to {high}.")
        if self.byte_fallback and self.vocab_size < 2 * BYTE_PIECES:
            raise UsageError(f"--vocab-size {self.vocab_size}: --byte-fallback needs {2 * BYTE_PIECES} at least.")
