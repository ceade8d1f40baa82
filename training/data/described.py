"""Descriptions with the place where each entity is first named in its own: what JAKET's context embeddings are read
from. E entities, B texts of a piece, S tokens of the longest, N entities asked for."""

import dataclasses
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import torch
from jaxtyping import Bool, Int64
from torch import Tensor

from training.data.batch import Ragged, by_length, offsets, pad_mask, ragged, tensor
from training.data.sequences import filled, named
from training.data.special import SpecialTokens
from training.data.text import frame


@dataclasses.dataclass(frozen=True)
class DescribedPiece:
    """Some descriptions, padded."""

    ids: Int64[Tensor, "B S"]
    real: Bool[Tensor, "B S"]
    ends: Int64[Tensor, "B 2"]
    """First and last token of the mention; 0, <s>, where the entity isn't named."""
    rows: Int64[Tensor, " B"]
    """Which of the entities asked for each is."""


@dataclasses.dataclass(frozen=True)
class Described:
    """The descriptions of all entities, cut and framed."""

    tokens: Ragged
    ends: Int64[np.ndarray, "E 2"]
    pad: int
    encode_tokens: int
    """Padded tokens of a piece, at most."""

    def pieces(self, entities: Int64[np.ndarray, " N"]) -> Iterator[DescribedPiece]:
        """The descriptions of these, the shortest ones first."""
        for rows in by_length(self.tokens.lengths[entities], self.encode_tokens):
            texts = self.tokens.take(entities[rows])
            yield DescribedPiece(
                tensor(texts.padded(self.pad)),
                tensor(pad_mask(texts.lengths)),
                tensor(self.ends[entities[rows]]),
                tensor(rows),
            )


def described(
    rows: pa.Table, special: SpecialTokens, *, max_length: int, encode_tokens: int, names: bool = False
) -> Described:
    """Of rows of tokens/NAME/entities; names stand in for texts that are empty, and with `names` before those that do
    not name the entity, which is read there. `max_length` counts <s> and </s>."""
    own, texts = ragged(rows["name_ids"]), ragged(rows["ids"])
    starts, ends = (rows[name].to_numpy().astype(np.int64) for name in ("mention_start", "mention_end"))
    if names:
        unnamed = (starts < 0) | (starts >= max_length - 2)
        kept = Ragged(own.values[unnamed[own.rows]], offsets(own.lengths * unnamed))
        texts = named(texts, kept)
        starts, ends = np.where(unnamed, 0, starts), np.where(unnamed, own.lengths, ends)
    texts = filled(texts, own, max_length - 2)
    there = (starts >= 0) & (starts < np.minimum(ends, texts.lengths))
    # One behind <s>.
    places = np.stack([starts + 1, np.minimum(ends, texts.lengths)], axis=-1) * there[:, None]
    return Described(frame(texts.values, texts, special), places, special.pad, encode_tokens)


def described_relations(rows: pa.Table, special: SpecialTokens, *, max_length: int, encode_tokens: int) -> Described:
    """Of rows of tokens/NAME/relations, whose texts begin with the name: all of them are read at <s>."""
    texts = filled(ragged(rows["ids"]), ragged(rows["name_ids"]), max_length - 2)
    nowhere = np.zeros((len(texts.lengths), 2), dtype=np.int64)
    return Described(frame(texts.values, texts, special), nowhere, special.pad, encode_tokens)


def state_between(states: Tensor, ends: Int64[Tensor, "B 2"]) -> Tensor:
    """The mean of the states at both ends, shape (B, D)."""
    rows = torch.arange(len(states), device=states.device)
    return (states[rows, ends[:, 0]] + states[rows, ends[:, 1]]) / 2
