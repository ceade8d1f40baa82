"""KEPLER's batches: triples with negatives, each distinct description once, and blocks of text beside them.

B triples, U distinct entities of a micro-batch.
"""

import dataclasses
from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Float, Float32, Int64
from torch import Tensor

from schemas.hashing import random_u64
from training.config import KeplerConfig
from training.data.batch import Ragged, offsets, pad_mask, tensor
from training.data.graphs import IGNORE
from training.data.negatives import REDRAWS, KnownFacts, corrupt_tails
from training.data.setting import TRIPLE
from training.data.special import SpecialTokens
from training.data.stream import Part
from training.data.text import TextBatch, TextFeed, frame

WIDTH = 32
"""Pieces of descriptions are padded to a multiple of so many tokens, or to the longest."""


@dataclasses.dataclass(frozen=True)
class FactBatch:
    """Triples over distinct entities, which are numbered as the rows of `texts`, one piece after the other."""

    texts: list[TextBatch]
    heads: Int64[Tensor, " B"]
    relations: Int64[Tensor, " B"]
    tails: Int64[Tensor, " B"]
    head_weights: Float[Tensor, "B U"]
    """Weight of each entity as a corrupted head; with tail_weights, a row adds up to 1."""
    tail_weights: Float[Tensor, "B U"]


@dataclasses.dataclass(frozen=True)
class KeplerBatch:
    """Facts, and blocks of text beside them."""

    facts: FactBatch
    blocks: TextBatch

    @property
    def counts(self) -> dict[str, int]:
        """Labels of each loss term."""
        return {"ke": len(self.facts.heads), "mlm": int((self.blocks.labels != IGNORE).sum())}

    @property
    def lengths(self) -> Int64[Tensor, " T"]:
        """Tokens of each text and each block."""
        return torch.cat([text.real.sum(dim=1) for text in (*self.facts.texts, self.blocks)])

    @property
    def sizes(self) -> dict[str, int]:
        """Distinct entities, and padded tokens of their texts and of the blocks."""
        texts = [*self.facts.texts, self.blocks]
        return {"entities": self.facts.head_weights.shape[1], "padded_tokens": sum(text.ids.numel() for text in texts)}


@dataclasses.dataclass(frozen=True)
class Descriptions:
    """Every entity's text as token ids, cut and framed by <s> and </s>; an entity without text has its name's."""

    tokens: Ragged
    pad: int
    longest: int
    """Tokens of the longest text."""
    rows_per_piece: int

    def pieces(self, entities: Int64[np.ndarray, " U"]) -> list[TextBatch]:
        """These texts in this order, padded in pieces; the first one may have fewer rows than the others."""
        # Few shapes, and the largest one in every batch: freed memory then fits the next piece, and a process stays as
        # large as it is after some steps.
        ends = range(len(entities), 0, -self.rows_per_piece)
        return [self._piece(entities[max(0, end - self.rows_per_piece) : end]) for end in reversed(ends)]

    def by_length(self, entities: Int64[np.ndarray, " U"]) -> Int64[np.ndarray, " U"]:
        """The same entities, the shortest texts first: pieces then hold little padding."""
        return entities[np.lexsort((entities, self.tokens.lengths[entities]))]

    def encoded(self, encode: Callable[[TextBatch], Tensor], entities: Int64[np.ndarray, " N"]) -> Float[Tensor, "N D"]:
        """What `encode` makes of the texts of at least one entity: each is read once, the shortest ones first."""
        distinct = np.unique(entities)
        order = self.by_length(distinct)
        vectors = torch.cat([encode(piece) for piece in self.pieces(order)])
        places = np.argsort(order)[np.searchsorted(distinct, entities)]
        return vectors[torch.from_numpy(places).to(vectors.device)]

    def _piece(self, entities: Int64[np.ndarray, " U"]) -> TextBatch:
        texts = self.tokens.take(entities)
        ids, real = texts.padded(self.pad), pad_mask(texts.lengths)
        width = min(-(-ids.shape[1] // WIDTH) * WIDTH, self.longest)
        more = ((0, 0), (0, width - ids.shape[1]))
        return TextBatch(
            ids=tensor(np.pad(ids, more, constant_values=self.pad)),
            real=tensor(np.pad(real, more)),
            labels=torch.empty((len(entities), 0), dtype=torch.int64),
        )


def descriptions(
    ids: Ragged, names: Ragged, special: SpecialTokens, *, max_length: int, encode_tokens: int
) -> Descriptions:
    """The texts of tokens/NAME/entities; `max_length` counts <s> and </s>, `encode_tokens` bounds a padded piece."""
    lengths = np.where(ids.lengths > 0, ids.lengths, names.lengths)
    starts = np.where(ids.lengths > 0, ids.cu_seqlens[:-1], names.cu_seqlens[:-1] + len(ids.values))
    lengths = np.minimum(lengths, max_length - 2)
    cu_seqlens = offsets(lengths)
    source = np.repeat(starts - cu_seqlens[:-1], lengths) + np.arange(cu_seqlens[-1])
    values = np.concatenate([ids.values, names.values])[source].astype(np.int64)
    framed = frame(values, Ragged(values, cu_seqlens), special)
    longest = int(framed.lengths.max(initial=2))
    return Descriptions(framed, special.pad, longest, max(1, encode_tokens // longest))


@dataclasses.dataclass(frozen=True)
class TripleFeed:
    """Triples and blocks -> micro-batches; everything drawn depends on seed, epoch and row."""

    descriptions: Descriptions
    known: KnownFacts
    text: TextFeed
    config: KeplerConfig
    seed: int
    stream: str

    def batch(self, facts: Part, blocks: Part) -> KeplerBatch:
        """One micro-batch."""
        return KeplerBatch(self._facts(facts), self.text.batch(blocks))

    def _facts(self, facts: Part) -> FactBatch:
        triples = np.stack([facts.columns.numbers[name].astype(np.int64) for name in TRIPLE], axis=-1)
        rows, epochs = facts.columns.numbers["row"], facts.epochs
        corrupt = [self._corrupt(triples, rows, epochs, side) for side in ("heads", "tails")]
        distinct = np.unique(np.concatenate([triples[:, 0], triples[:, 2], *(side.ravel() for side in corrupt)]))
        order = self.descriptions.by_length(distinct)
        place = np.empty_like(order)
        place[np.searchsorted(distinct, order)] = np.arange(len(order))
        at = [place[np.searchsorted(distinct, ids)] for ids in (triples[:, 0], triples[:, 2], *corrupt)]
        if self.config.in_batch:
            weights = self._in_batch(triples, order)
        else:
            weights = [_weights(drawn, len(order)) for drawn in at[2:]]
        return FactBatch(
            texts=self.descriptions.pieces(order),
            heads=tensor(at[0]),
            relations=tensor(triples[:, 1]),
            tails=tensor(at[1]),
            head_weights=tensor(weights[0]),
            tail_weights=tensor(weights[1]),
        )

    def _corrupt(
        self,
        triples: Int64[np.ndarray, "B 3"],
        rows: Int64[np.ndarray, " B"],
        epochs: Int64[np.ndarray, " B"],
        side: str,
    ) -> Int64[np.ndarray, "B N"]:
        draws = np.arange(self.config.negatives * REDRAWS).reshape(self.config.negatives, REDRAWS)
        ids = (epochs[:, None, None], rows[:, None, None], draws[None])
        words = random_u64(self.seed, f"{self.stream}/{side}", *ids)
        return corrupt_tails(triples, self.known, words, heads=side == "heads")

    def _in_batch(
        self, triples: Int64[np.ndarray, "B 3"], entities: Int64[np.ndarray, " U"]
    ) -> list[Float32[np.ndarray, "B U"]]:
        """All entities of the micro-batch weigh the same, but for the triple's own and those that make a known fact."""
        head, relation, tail = (triples[:, i, None] for i in range(3))
        heads = ~self.known.holds(entities, relation, tail) & (entities != head)
        tails = ~self.known.holds(head, relation, entities) & (entities != tail)
        return [
            (side / np.maximum(2 * side.sum(axis=1, keepdims=True), 1)).astype(np.float32) for side in (heads, tails)
        ]


def _weights(drawn: Int64[np.ndarray, "B N"], entities: int) -> Float32[np.ndarray, "B U"]:
    """Each draw weighs 1 / 2N: the two sides of a triple, together, weigh 1."""
    weights = np.zeros((len(drawn), entities), dtype=np.float32)
    np.add.at(weights, (np.arange(len(drawn))[:, None], drawn), np.float32(0.5 / drawn.shape[1]))
    return weights
