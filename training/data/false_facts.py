"""LMKE's and LASS's batches: facts, and what is false of them with one part replaced. B triples, N false ones each."""

import dataclasses

import numpy as np
from jaxtyping import Int64, UInt64

from training.data.batch import tensor
from training.data.links import FactBatch, FactTexts
from training.data.negatives import REDRAWS, KnownFacts, corrupt_relations, corrupt_tails, draws_of
from training.data.setting import as_triples
from training.data.stream import Part

HEAD, RELATION, TAIL = range(3)
PARTS = ("head", "relation", "tail")


@dataclasses.dataclass(frozen=True)
class FactFeed:
    """Triples of a graph -> micro-batches; everything drawn depends on seed, epoch and row."""

    texts: FactTexts
    known: KnownFacts
    seed: int
    stream: str
    negatives: int
    """Drawn for each triple, or for each part of it."""
    every_part: bool = False
    """Each with another head, as many with another relation, as many with another tail; else with another head or
    another tail by a coin."""

    def batch(self, facts: Part) -> FactBatch:
        """One micro-batch, each triple with its false ones behind it. What could only be replaced to make another train
        fact (in a graph of one relation) has fewer of them."""
        triples = as_triples(facts.columns.numbers)
        made = self._replaced(triples, facts.columns.numbers["row"], facts.epochs)
        kept = ~self.known.holds(*np.moveaxis(made, -1, 0)) & (made != triples[:, None]).any(axis=-1)
        labels = np.zeros(kept.shape, dtype=np.float32)
        kept[:, 0] = labels[:, 0] = 1
        return FactBatch(self.texts.facts(made[kept]), tensor(labels[kept]))

    def _replaced(
        self, triples: Int64[np.ndarray, "B 3"], rows: Int64[np.ndarray, " B"], epochs: Int64[np.ndarray, " B"]
    ) -> Int64[np.ndarray, "B N1 3"]:
        """Each triple, and behind it its false ones: of head, relation and tail in this order, or of one entity."""
        count = self.negatives
        made = np.repeat(triples[:, None], 1 + (3 * count if self.every_part else count), axis=1)
        if self.every_part:
            for part in (HEAD, RELATION, TAIL):
                own = slice(1 + part * count, 1 + (part + 1) * count)
                made[:, own, part] = self._drawn(triples, rows, epochs, part)
            return made
        heads = self._words(rows, epochs, "side", 1)[..., 0] >> np.uint64(63) == 1
        for part, chosen in ((HEAD, heads), (TAIL, ~heads)):
            made[:, 1:, part] = np.where(chosen, self._drawn(triples, rows, epochs, part), made[:, 1:, part])
        return made

    def _drawn(
        self,
        triples: Int64[np.ndarray, "B 3"],
        rows: Int64[np.ndarray, " B"],
        epochs: Int64[np.ndarray, " B"],
        part: int,
    ) -> Int64[np.ndarray, "B N"]:
        words = self._words(rows, epochs, PARTS[part], REDRAWS)
        if part == RELATION:
            return corrupt_relations(triples, self.known, words)
        return corrupt_tails(triples, self.known, words, heads=part == HEAD)

    def _words(
        self, rows: Int64[np.ndarray, " B"], epochs: Int64[np.ndarray, " B"], purpose: str, draws: int
    ) -> UInt64[np.ndarray, "B N D"]:
        return draws_of(self.seed, f"{self.stream}/{purpose}", epochs, rows, self.negatives, draws)
