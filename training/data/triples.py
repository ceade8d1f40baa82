"""KEPLER's batches: triples with negatives, each distinct description once, and blocks of text beside them.

B triples, U distinct entities of a micro-batch, P pairs of an entity and a relation.
"""

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from training.config import KeplerConfig
from training.data.batch import Ragged, offsets, pad_mask, tensor
from training.data.graphs import IGNORE
from training.data.negatives import KnownFacts, corrupt_tails, draws_of
from training.data.sequences import filled
from training.data.setting import as_triples
from training.data.special import SpecialTokens
from training.data.stream import Part
from training.data.text import TextBatch, frame

GRAPHS = ("ke", "ke2")
"""The loss terms of a first and of a second graph."""
WIDTH = 8
"""Pieces of descriptions are padded to a multiple of so many tokens, or to the longest."""


@dataclasses.dataclass(frozen=True)
class Negatives:
    """What one side of the triples is told apart from, by the entities' numbers in the micro-batch."""

    drawn: Int64[Tensor, "B N"]
    """Drawn for each triple; none where all entities of the micro-batch are negatives."""
    known: Int64[Tensor, "X 2"]
    """(triple, entity), rows ascending, wherever that makes a train fact; none where only drawn ones are negatives."""


@dataclasses.dataclass(frozen=True)
class FactBatch:
    """Triples over distinct entities, whose texts and those of their relations are vectors: V of them."""

    texts: list[TextBatch]
    """Every distinct text once, in pieces."""
    rows: Int64[Tensor, " V"]
    """Which text each vector is of, counted through the pieces: first come the U entities, then the entities with a
    relation's text behind theirs, then relations. Two that have the same text share it."""
    entities: Int64[Tensor, " U"]
    """The entities' indices in the dataset."""
    triples: Int64[Tensor, "B 3"]
    """The triples' indices in the dataset."""
    heads: Int64[Tensor, " B"]
    relations: Int64[Tensor, " B"]
    """Rows of the table of relations; vectors where relations are described."""
    tails: Int64[Tensor, " B"]
    given_heads: Int64[Tensor, " B"]
    """The vectors of the heads where tails are asked for: conditioned on the relation, or those of `heads`."""
    given_tails: Int64[Tensor, " B"]
    head_negatives: Negatives
    tail_negatives: Negatives
    known: KnownFacts
    """Train's, for entities of other micro-batches."""


@dataclasses.dataclass(frozen=True)
class KeplerBatch:
    """Facts, those of a second graph where there is one, and blocks of text beside them where language is modelled."""

    facts: FactBatch
    second: FactBatch | None
    blocks: TextBatch | None

    @property
    def graphs(self) -> dict[str, FactBatch]:
        """The facts by the names of their loss terms."""
        graphs = zip(GRAPHS, (self.facts, self.second), strict=True)
        return {name: facts for name, facts in graphs if facts is not None}

    @property
    def counts(self) -> dict[str, int]:
        """Labels of each loss term."""
        mlm = {} if self.blocks is None else {"mlm": int((self.blocks.labels != IGNORE).sum())}
        return {name: len(facts.heads) for name, facts in self.graphs.items()} | mlm

    @property
    def lengths(self) -> Int64[Tensor, " T"]:
        """Tokens of each text and each block."""
        none = torch.empty(0, dtype=torch.int64)
        return torch.cat([none, *(text.real.sum(dim=1) for text in self._texts)])

    @property
    def sizes(self) -> dict[str, int]:
        """Distinct entities, and padded tokens of all texts and blocks."""
        entities = sum(len(facts.entities) for facts in self.graphs.values())
        return {"entities": entities, "padded_tokens": sum(text.ids.numel() for text in self._texts)}

    @property
    def _texts(self) -> list[TextBatch]:
        texts = [text for facts in self.graphs.values() for text in facts.texts]
        return texts if self.blocks is None else [*texts, self.blocks]


@dataclasses.dataclass(frozen=True)
class Descriptions:
    """Texts of all entities (or relations) as token ids, cut and framed by <s> and </s>; what has no text has its
    name's."""

    tokens: Ragged
    pad: int
    longest: int
    """Tokens of the longest text."""
    max_length: int
    """Tokens that a text may have, specials included."""
    encode_tokens: int
    """Padded tokens of a piece, at most."""

    @property
    def rows_per_piece(self) -> int:
        """Texts of a piece."""
        return max(1, self.encode_tokens // self.longest)

    def pieces(self, entities: Int64[np.ndarray, " U"]) -> list[TextBatch]:
        """These texts in this order, padded in pieces; the first one may have fewer rows than the others."""
        # Few shapes, and the largest one in every batch: freed memory then fits the next piece, and a process stays as
        # large as it is after some steps.
        ends = range(len(entities), 0, -self.rows_per_piece)
        return [self._piece(entities[max(0, end - self.rows_per_piece) : end]) for end in reversed(ends)]

    def by_length(self, entities: Int64[np.ndarray, " U"]) -> Int64[np.ndarray, " U"]:
        """The same entities, the shortest texts first: pieces then hold little padding."""
        return entities[np.lexsort((entities, self.tokens.lengths[entities]))]

    def distinct(self, entities: Int64[np.ndarray, " U"]) -> tuple[Int64[np.ndarray, " T"], Int64[np.ndarray, " U"]]:
        """(the first entity with each text, in this order, and which of these texts each entity has)."""
        texts = self.tokens.take(entities).strings().dictionary_encode().indices.to_numpy().astype(np.int64)
        return entities[np.unique(texts, return_index=True)[1]], texts

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
    """The texts of tokens/NAME/entities or relations; `max_length` counts <s> and </s>, `encode_tokens` bounds a padded
    piece."""
    texts = filled(ids, names, max_length - 2)
    framed = frame(texts.values, texts, special)
    longest = int(framed.lengths.max(initial=2))
    return Descriptions(framed, special.pad, longest, max_length, encode_tokens)


def conditioned(
    entities: Descriptions, relations: Descriptions, of: Int64[np.ndarray, " P"], on: Int64[np.ndarray, " P"]
) -> Descriptions:
    """<s> entity </s> relation </s> for P pairs of indices: the relation's text is whole, the entity's is cut to what
    it leaves of `entities.max_length`."""
    texts, behind = entities.tokens.take(of), relations.tokens.take(on)
    kept = np.minimum(texts.lengths, entities.max_length - (behind.lengths - 1))
    cu_seqlens = offsets(kept + behind.lengths - 1)
    values = np.empty(cu_seqlens[-1], dtype=np.int64)
    own = texts.within < kept[texts.rows]
    values[(cu_seqlens[texts.rows] + texts.within)[own]] = texts.values[own]
    # Where it was cut, its last token gives way to its </s>.
    values[cu_seqlens[:-1] + kept - 1] = texts.values[texts.cu_seqlens[1:] - 1]
    rest = behind.within > 0
    values[(cu_seqlens[behind.rows] + kept[behind.rows] + behind.within - 1)[rest]] = behind.values[rest]
    longest = min(entities.max_length, entities.longest + relations.longest - 1)
    return dataclasses.replace(entities, tokens=Ragged(values, cu_seqlens), longest=longest)


@dataclasses.dataclass(frozen=True)
class _Chosen:
    """Some entities (or relations, or pairs), the shortest texts first."""

    ids: Int64[np.ndarray, " U"]
    texts: list[TextBatch]
    rows: Int64[np.ndarray, " U"]
    """Which of `texts` each has."""

    @classmethod
    def of(cls, descriptions: Descriptions, ids: Int64[np.ndarray, " N"]) -> "_Chosen":
        """The distinct ones among these."""
        order = descriptions.by_length(np.unique(ids))
        first, rows = descriptions.distinct(order)
        return cls(order, descriptions.pieces(first), rows)

    @property
    def count(self) -> int:
        """Distinct texts."""
        return int(self.rows.max(initial=-1)) + 1

    def find(self, ids: Int64[np.ndarray, "*S"]) -> Int64[np.ndarray, "*S"]:
        """The place of each in `self.ids`."""
        order = np.argsort(self.ids)
        return order[np.searchsorted(self.ids, ids, sorter=order)]


@dataclasses.dataclass(frozen=True)
class TripleFeed:
    """Triples of a graph -> micro-batches; everything drawn depends on seed, epoch and row."""

    descriptions: Descriptions
    relations: Descriptions | None
    """Where the model reads relations' texts."""
    known: KnownFacts
    config: KeplerConfig
    seed: int
    stream: str

    def batch(self, facts: Part) -> FactBatch:
        """One micro-batch."""
        triples = as_triples(facts.columns.numbers)
        rows, epochs = facts.columns.numbers["row"], facts.epochs
        corrupt = [self._corrupt(triples, rows, epochs, side) for side in ("heads", "tails")]
        entities = _Chosen.of(
            self.descriptions, np.concatenate([triples[:, 0], triples[:, 2], *(side.ravel() for side in corrupt)])
        )
        heads, tails, *drawn = (entities.find(ids) for ids in (triples[:, 0], triples[:, 2], *corrupt))
        negatives = [
            self._negatives(triples, ids, entities, heads=heads)
            for ids, heads in zip(drawn, (True, False), strict=True)
        ]
        chosen, relations, given = self._with_relations(entities, triples, (heads, tails))
        firsts = np.cumsum([0, *(some.count for some in chosen[:-1])])
        return FactBatch(
            texts=[piece for some in chosen for piece in some.texts],
            rows=tensor(np.concatenate([some.rows + first for some, first in zip(chosen, firsts, strict=True)])),
            entities=tensor(entities.ids),
            triples=tensor(triples),
            heads=tensor(heads),
            relations=tensor(relations),
            tails=tensor(tails),
            given_heads=tensor(given[0]),
            given_tails=tensor(given[1]),
            head_negatives=negatives[0],
            tail_negatives=negatives[1],
            known=self.known,
        )

    def _with_relations(
        self, entities: _Chosen, triples: Int64[np.ndarray, "B 3"], ends: Sequence[Int64[np.ndarray, " B"]]
    ) -> tuple[list[_Chosen], Int64[np.ndarray, " B"], Sequence[Int64[np.ndarray, " B"]]]:
        """(all that is encoded, FactBatch.relations, given heads and tails)."""
        chosen, given, relations, texts = [entities], ends, triples[:, 1], self.relations
        if texts is not None and self.config.conditioned:
            count = len(texts.tokens.lengths)
            keys = [triples[:, side] * count + triples[:, 1] for side in (0, 2)]
            pairs = np.unique(np.concatenate(keys))
            joined = conditioned(self.descriptions, texts, *np.divmod(pairs, count))
            chosen.append(_Chosen.of(joined, np.arange(len(pairs))))
            given = [len(entities.ids) + chosen[-1].find(np.searchsorted(pairs, side)) for side in keys]
        if texts is not None and self.config.relations == "described":
            first = sum(len(some.ids) for some in chosen)
            chosen.append(_Chosen.of(texts, relations))
            relations = first + chosen[-1].find(relations)
        return chosen, relations, given

    def _corrupt(
        self,
        triples: Int64[np.ndarray, "B 3"],
        rows: Int64[np.ndarray, " B"],
        epochs: Int64[np.ndarray, " B"],
        side: str,
    ) -> Int64[np.ndarray, "B N"]:
        words = draws_of(self.seed, f"{self.stream}/{side}", epochs, rows, self.config.negatives)
        return corrupt_tails(triples, self.known, words, heads=side == "heads")

    def _negatives(
        self, triples: Int64[np.ndarray, "B 3"], drawn: Int64[np.ndarray, "B N"], entities: _Chosen, *, heads: bool
    ) -> Negatives:
        known = np.empty((0, 2), dtype=np.int64)
        if self.config.in_batch or self.config.self_negatives or self.config.two_way:
            order = np.argsort(entities.ids)
            known = self.known.among(triples, entities.ids[order], heads=heads)
            known[:, 1] = order[known[:, 1]]
        return Negatives(tensor(drawn[:, :0] if self.config.in_batch else drawn), tensor(known))
