"""The names of entities and relations as tokens, a row group at a time: what their embeddings begin as."""

import dataclasses
from collections.abc import Iterator

import numpy as np
from jaxtyping import Float32
from tokenizers import Tokenizer

from schemas.dataset import Dataset
from training.data.batch import Ragged, offsets
from training.data.groups import ParquetGroups

UNNAMED_AT_ONCE = 16_384


@dataclasses.dataclass(frozen=True)
class NamedRows:
    """Rows of an embedding table from `start` on. B rows, N tokens of all their names."""

    start: int
    tokens: Ragged
    """Of each row the token ids of all its names; nothing where it has none."""
    shares: Float32[np.ndarray, " N"]
    """What each token counts in its row: the names alike, and a name's tokens alike. A row's add up to 1."""


def named_rows(dataset: Dataset, table: str, tokenizer: Tokenizer) -> Iterator[NamedRows]:
    """The entities or relations by label and aliases, and the mask symbol after them, which has no name."""
    groups, start = ParquetGroups(dataset, table, None, ["label", "aliases"]), 0
    for group, size in enumerate(groups.sizes.tolist()):
        rows = groups.read(group)
        yield _encoded(start, rows["label"].to_pylist(), rows["aliases"].to_pylist(), tokenizer)
        start += size
    yield from unnamed_rows(1, start)


def unnamed_rows(count: int, start: int = 0) -> Iterator[NamedRows]:
    """So many rows without a name."""
    for first in range(start, start + count, UNNAMED_AT_ONCE):
        rows = min(UNNAMED_AT_ONCE, start + count - first)
        nothing = Ragged(np.empty(0, dtype=np.int64), np.zeros(rows + 1, dtype=np.int64))
        yield NamedRows(first, nothing, np.empty(0, dtype=np.float32))


def _encoded(start: int, labels: list[str | None], aliases: list[list[str]], tokenizer: Tokenizer) -> NamedRows:
    # A space before a name, as names have it in running text.
    named = [
        [f" {name}" for name in dict.fromkeys([label, *others]) if name]
        for label, others in zip(labels, aliases, strict=True)
    ]
    encoded = tokenizer.encode_batch_fast([name for names in named for name in names], add_special_tokens=False)
    ids = [one.ids for one in encoded]
    owner = np.repeat(np.arange(len(named)), [len(names) for names in named])
    lengths = np.array([len(one) for one in ids], dtype=np.int64)
    # A name that leaves no token counts for nothing.
    names = np.bincount(owner[lengths > 0], minlength=len(named))
    per_token = np.repeat(1 / (lengths * names[owner]).clip(min=1), lengths)
    tokens = np.bincount(owner, weights=lengths, minlength=len(named)).astype(np.int64)
    values = np.array([token for one in ids for token in one], dtype=np.int64)
    return NamedRows(start, Ragged(values, offsets(tokens)), per_token.astype(np.float32))
