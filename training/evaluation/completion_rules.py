"""The plain rules of masked relations, asked about a pair of entities: what graph completion has to beat.

majority: the most frequent relation of the train triples. frequency: the shares among train triples whose head shares a
category with the pair's. cooccurrence: the shares among the train triples of the pair, then of its tail, of its head,
and of all.
"""

import numpy as np
from jaxtyping import Float64, Int64
from torch import Tensor

from training.data.graphs import Graph
from training.evaluation.masked_rules import Cooccurrence, Frequency, Majority


class PairRule:
    """A rule for masked relations as a RelationScorer."""

    def __init__(self, rule: Majority | Frequency | Cooccurrence) -> None:
        self._rule = rule

    def relations(self, heads: Int64[Tensor, " B"], tails: Int64[Tensor, " B"]) -> Float64[Tensor, "B R"]:
        """The rule's scores at the relation node between two anchors."""
        units = np.array([-1, -2], dtype=np.int32)
        graphs = [
            Graph(units, np.array(pair, dtype=np.int32), np.array([[0, 0, pair[1]]], dtype=np.int32))
            for pair in zip(heads.tolist(), tails.tolist(), strict=True)
        ]
        return self._rule.relation_logits(graphs, np.zeros(len(graphs), dtype=np.int64))
