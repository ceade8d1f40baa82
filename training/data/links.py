"""Facts as batches, and C-LMKE's batches, queries with the entities that are matched with them.

B triples, N sequences, P parts of a sequence, Q distinct queries of a micro-batch, K entities that are matched with
them, X pairs.
"""

import dataclasses
import functools

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from training.config import LmkeConfig
from training.data.batch import Ragged, tensor
from training.data.negatives import KnownFacts
from training.data.sequences import HIDDEN, Layout, Piece, sequences
from training.data.setting import as_triples
from training.data.stream import Part

SIDES = ("head", "tail")
"""What a query asks for, by its number."""


@dataclasses.dataclass(frozen=True)
class Facts:
    """Sequences in pieces, and what the holders of each are: an entity's index, or a relation's; HIDDEN where the part
    is asked for."""

    pieces: list[Piece]
    parts: Int64[Tensor, "N P"]

    @property
    def lengths(self) -> Int64[Tensor, " N"]:
        """Tokens of each."""
        none = torch.empty(0, dtype=torch.int64)
        return torch.cat([none, *(piece.real.sum(dim=1) for piece in self.pieces)])

    @property
    def padded_tokens(self) -> int:
        """Of all pieces."""
        return sum(piece.ids.numel() for piece in self.pieces)


@dataclasses.dataclass(frozen=True)
class FactTexts:
    """The texts of entities and relations, and how facts are made of them."""

    entities: Ragged
    relations: Ragged
    fact: Layout
    """Of (head, relation, tail)."""
    entity: Layout | None
    """Of an entity alone, where such are read."""
    encode_tokens: int
    """Padded tokens of a piece."""

    def facts(self, parts: Int64[np.ndarray, "N 3"]) -> Facts:
        """(head, relation, tail) each, HIDDEN for a part that is asked for."""
        return self._made((self.entities, self.relations, self.entities), parts, self.fact)

    def alone(self, entities: Int64[np.ndarray, " K"]) -> Facts:
        """Entities by themselves."""
        return self._made((self.entities,), entities[:, None], self.entity)

    def distinct(self, facts: Int64[np.ndarray, "N 3"]) -> tuple[Int64[np.ndarray, "D 3"], Int64[np.ndarray, " N"]]:
        """(facts of which no two are written alike, which of them each one is written as)."""
        heads, relations, tails = (kinds[own] for kinds, own in zip(self._kinds, facts.T, strict=True))
        keys = (heads * len(self.relations.lengths) + relations) * len(self.entities.lengths) + tails
        _, first, which = np.unique(keys, return_index=True, return_inverse=True)
        return facts[first], which

    @functools.cached_property
    def _kinds(self) -> tuple[Int64[np.ndarray, " E"], Int64[np.ndarray, " R"], Int64[np.ndarray, " E"]]:
        """Of each head, relation and tail: the same number for equal texts."""
        entities, relations = (
            texts.strings().dictionary_encode().indices.to_numpy().astype(np.int64)
            for texts in (self.entities, self.relations)
        )
        return entities, relations, entities

    def _made(self, tables: tuple[Ragged, ...], parts: Int64[np.ndarray, "N P"], layout: Layout) -> Facts:
        return Facts(sequences(tables, parts, layout).pieces(self.encode_tokens), tensor(parts))


@dataclasses.dataclass(frozen=True)
class FactBatch:
    """Facts and corrupted ones."""

    facts: Facts
    labels: Float[Tensor, " N"]
    """1 for a fact, 0 for a corrupted one."""

    @property
    def counts(self) -> dict[str, int]:
        """Labels of the one loss term."""
        return {"triple": len(self.labels)}

    @property
    def lengths(self) -> Int64[Tensor, " N"]:
        """Tokens of each sequence."""
        return self.facts.lengths

    @property
    def sizes(self) -> dict[str, int]:
        """Padded tokens."""
        return {"padded_tokens": self.facts.padded_tokens}


@dataclasses.dataclass(frozen=True)
class LinkBatch:
    """Queries of both sides, each once, and the entities that they are matched with."""

    queries: Facts
    sides: Int64[Tensor, " Q"]
    """Which of SIDES each query asks for."""
    given: Int64[Tensor, " Q"]
    """The entity that it gives."""
    asked: Float[Tensor, " Q"]
    """How many of the micro-batch's triples ask it."""
    keys: Facts
    """Nothing of an entity is read where they are rows of a table (the masked variant)."""
    entities: Int64[Tensor, " K"]
    """The keys' indices, ascending."""
    times: Float[Tensor, "2 K"]
    """How many times each key is matched with the queries of each side."""
    answers: Int64[Tensor, "X 2"]
    """(query, key) of all that make a train fact, or a fact of the micro-batch."""

    @property
    def counts(self) -> dict[str, int]:
        """Queries, each as often as it is asked."""
        return {"link": int(self.asked.sum())}

    @property
    def lengths(self) -> Int64[Tensor, " N"]:
        """Tokens of each sequence."""
        return torch.cat([self.queries.lengths, self.keys.lengths])

    @property
    def sizes(self) -> dict[str, int]:
        """Distinct queries and keys, and padded tokens."""
        padded = self.queries.padded_tokens + self.keys.padded_tokens
        return {"queries": len(self.given), "keys": len(self.entities), "padded_tokens": padded}


@dataclasses.dataclass(frozen=True)
class LinkFeed:
    """Triples -> C-LMKE's micro-batches."""

    texts: FactTexts
    known: KnownFacts
    config: LmkeConfig

    def batch(self, rows: Part) -> LinkBatch:
        """One micro-batch: (?, r, t) and (h, r, ?) of each triple."""
        triples = as_triples(rows.columns.numbers)
        asking = np.concatenate([triples, triples])
        asking[: len(triples), 0] = asking[len(triples) :, 2] = HIDDEN
        queries, of_triple, asked = np.unique(asking, axis=0, return_inverse=True, return_counts=True)
        sides = (queries[:, 2] == HIDDEN).astype(np.int64)
        entities, times = self._keys(triples)
        own = np.stack([of_triple.ravel(), np.searchsorted(entities, triples[:, [0, 2]].T.ravel())], axis=1)
        answers = [own]
        for side, heads in enumerate((True, False)):
            chosen = np.flatnonzero(sides == side)
            found = self.known.among(queries[chosen].clip(min=0), entities, heads=heads)
            answers.append(np.stack([chosen[found[:, 0]], found[:, 1]], axis=1))
        read = entities if self.config.variant == "contrastive" and len(triples) else entities[:0]
        return LinkBatch(
            queries=self.texts.facts(queries),
            sides=tensor(sides),
            given=tensor(np.where(sides == 0, queries[:, 2], queries[:, 0])),
            asked=tensor(asked.astype(np.float32)),
            keys=self.texts.alone(read),
            entities=tensor(entities),
            times=tensor(times.astype(np.float32)),
            answers=tensor(np.unique(np.concatenate(answers), axis=0)),
        )

    def _keys(self, triples: Int64[np.ndarray, "B 3"]) -> tuple[Int64[np.ndarray, " K"], Int64[np.ndarray, "2 K"]]:
        """(entities, how many times each is a key of each side)."""
        if self.config.variant == "masked" or self.config.keys == "all":
            return np.arange(self.known.entities), np.ones((2, self.known.entities), dtype=np.int64)
        entities = np.unique(triples[:, [0, 2]])
        if self.config.keys == "batch":
            return entities, np.ones((2, len(entities)), dtype=np.int64)
        places = np.searchsorted(entities, triples[:, [0, 2]].T)
        times = np.stack([np.bincount(own, minlength=len(entities)) for own in places])
        return entities, times if self.config.repeated_keys else np.minimum(times, 1)
