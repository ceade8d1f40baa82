"""Plain rules that answer link prediction or triple classification without learning anything: what a model has to beat.

All count in train only. They follow training.scoring's Scorer or TripleScorer and score in float64 on the CPU.
"""

import numpy as np
import torch
from jaxtyping import Bool, Float64, Int64
from torch import Tensor

from training.evaluation.facts import Facts, Groups

Array = np.ndarray
HEAD, RELATION, TAIL = 0, 1, 2


class FrequencyRule:
    """Per relation: a tail scores by the number of train triples (., r, tail), a head by that of (head, r, .)."""

    def __init__(self, facts: Facts) -> None:
        self._entities = facts.entities
        train = facts.triples("train")
        self._tails, self._heads = _Counts(train[:, [RELATION, TAIL]]), _Counts(train[:, [RELATION, HEAD]])

    def tails(self, heads: Int64[Tensor, " B"], relations: Int64[Tensor, " B"]) -> Float64[Tensor, "B E"]:
        """Counts of each entity as a tail of the relation."""
        return self._tails.dense(relations.numpy(), self._entities)

    def heads(self, relations: Int64[Tensor, " B"], tails: Int64[Tensor, " B"]) -> Float64[Tensor, "B E"]:
        """Counts of each entity as a head of the relation."""
        return self._heads.dense(relations.numpy(), self._entities)


class SeenPatternRule:
    """(h, r, t) is plausible when train links h and t by a relation that often comes together with r.

    Evidence for (h, r, t) is the sum, over the train triples (h, r', t) with r' != r and (t, r', h) with any r', of
    how often such a triple implies r in train: P(x r y | x r' y), or P(x r y | y r' x). With r' = r the second kind is
    symmetry. The score is the evidence plus the share of the relation's train triples that end (or begin) at the
    candidate, P(t | r) or P(h | r): where nothing was seen, FrequencyRule's order. Both parts are probabilities; a
    strict "evidence first" order did worse on five benchmarks, as weak evidence then beats any frequency.
    """

    def __init__(self, facts: Facts) -> None:
        self._entities, self._relations = facts.entities, facts.relations
        self._train = facts.triples("train")
        self._by_head, self._by_tail = Groups(self._train[:, HEAD]), Groups(self._train[:, TAIL])
        self._same = _confidences(self._train, self._train[:, [HEAD, TAIL]], facts)
        self._reversed = _confidences(self._train, self._train[:, [TAIL, HEAD]], facts)
        self._frequency = FrequencyRule(facts)

    def tails(self, heads: Int64[Tensor, " B"], relations: Int64[Tensor, " B"]) -> Float64[Tensor, "B E"]:
        """Evidence from what train says between the head and each entity."""
        scores = self._shares(self._frequency.tails(heads, relations))
        given, wanted = heads.numpy(), relations.numpy()
        self._add(scores, self._by_head, given, TAIL, wanted, self._same, skip_own=True)
        self._add(scores, self._by_tail, given, HEAD, wanted, self._reversed, skip_own=False)
        return scores

    def heads(self, relations: Int64[Tensor, " B"], tails: Int64[Tensor, " B"]) -> Float64[Tensor, "B E"]:
        """Evidence from what train says between each entity and the tail."""
        scores = self._shares(self._frequency.heads(relations, tails))
        given, wanted = tails.numpy(), relations.numpy()
        self._add(scores, self._by_tail, given, HEAD, wanted, self._same, skip_own=True)
        self._add(scores, self._by_head, given, TAIL, wanted, self._reversed, skip_own=False)
        return scores

    def _add(
        self,
        scores: Float64[Tensor, "B E"],
        groups: Groups,
        given: Int64[Array, " B"],
        other: int,
        wanted: Int64[Array, " B"],
        confidence: "_Table",
        *,
        skip_own: bool,
    ) -> None:
        """Add to each row the confidences of the train triples at the given entity, at their other end."""
        rows, found = groups.find(given)
        candidates, seen = self._train[found, other], self._train[found, RELATION]
        values = confidence.at(seen * self._relations + wanted[rows])
        if skip_own:
            values[seen == wanted[rows]] = 0
        cells = (torch.from_numpy(rows), torch.from_numpy(candidates))
        scores.index_put_(cells, torch.from_numpy(values), accumulate=True)

    @staticmethod
    def _shares(counts: Float64[Tensor, "B E"]) -> Float64[Tensor, "B E"]:
        return counts / counts.sum(dim=1, keepdim=True).clamp(min=1)


class TripleFrequencyRule:
    """A triple is the more plausible, the more often train has its head with the relation, and its tail: the product of
    the two counts."""

    def __init__(self, facts: Facts) -> None:
        train, self._entities = facts.triples("train"), facts.entities
        self._heads, self._tails = (_Counted(self._keys(train[:, RELATION], train[:, end])) for end in (HEAD, TAIL))

    def triples(
        self, heads: Int64[Tensor, " N"], relations: Int64[Tensor, " N"], tails: Int64[Tensor, " N"]
    ) -> Float64[Tensor, " N"]:
        """The products."""
        of_head, of_tail = self.counts(heads.numpy(), relations.numpy(), tails.numpy())
        return torch.from_numpy(of_head * of_tail)

    def counts(
        self, heads: Int64[Array, " N"], relations: Int64[Array, " N"], tails: Int64[Array, " N"]
    ) -> tuple[Float64[Array, " N"], Float64[Array, " N"]]:
        """How many train triples have (h, r), and how many (r, t)."""
        return self._heads.of(self._keys(relations, heads)), self._tails.of(self._keys(relations, tails))

    def _keys(self, relations: Int64[Array, " N"], entities: Int64[Array, " N"]) -> Int64[Array, " N"]:
        return relations * self._entities + entities


class SeenPairsRule:
    """Does train have (h, r) in some triple, and (r, t)? The four answers score by how often they come with a true
    triple in valid, by relation.

    It knows no fact that it is asked about, and tells most randomly corrupted triples from true ones; where negatives
    are drawn from what a relation's heads and tails are (WN11), seen pairs even speak against a triple.
    """

    def __init__(self, facts: Facts, triples: Int64[Array, "N 3"], labels: Bool[Array, " N"]) -> None:
        """`triples` and `labels` are valid's."""
        self._frequency = TripleFrequencyRule(facts)
        seen = self._seen(*triples.T)
        overall = np.bincount(seen, labels, 4) / np.maximum(np.bincount(seen, minlength=4), 1)
        # As if one more triple of each kind were known, true as often as those of all relations.
        keys, cells = triples[:, RELATION] * 4 + seen, facts.relations * 4
        self._shares = np.bincount(keys, labels, cells) + np.tile(overall, facts.relations)
        self._shares /= np.bincount(keys, minlength=cells) + 1

    def triples(
        self, heads: Int64[Tensor, " N"], relations: Int64[Tensor, " N"], tails: Int64[Tensor, " N"]
    ) -> Float64[Tensor, " N"]:
        """The shares."""
        seen = self._seen(heads.numpy(), relations.numpy(), tails.numpy())
        return torch.from_numpy(self._shares[relations.numpy() * 4 + seen])

    def _seen(
        self, heads: Int64[Array, " N"], relations: Int64[Array, " N"], tails: Int64[Array, " N"]
    ) -> Int64[Array, " N"]:
        of_head, of_tail = self._frequency.counts(heads, relations, tails)
        return 2 * (of_head > 0) + (of_tail > 0)


class RelationRule:
    """A relation by its share among the train triples of the pair, then of the tail, of the head, and of all; "then" is
    a step of 1/1,000 in weight. `pair` says whether pair, tail and head are looked at."""

    def __init__(self, facts: Facts, *, pair: bool) -> None:
        train, self._entities, self._relations = facts.triples("train"), facts.entities, facts.relations
        heads, relations, tails = train.T
        keys = (heads * self._entities + tails, tails, heads) if pair else ()
        self._given = [_Counts(np.stack([key, relations], axis=1)) for key in keys]
        shares = np.bincount(relations, minlength=facts.relations) / max(1, len(train))
        self._overall = torch.from_numpy(shares)

    def relations(self, heads: Int64[Tensor, " B"], tails: Int64[Tensor, " B"]) -> Float64[Tensor, "B R"]:
        """The shares, each a step below the one before."""
        keys = ((heads * self._entities + tails).numpy(), tails.numpy(), heads.numpy())
        scores = self._overall.expand(len(heads), -1).clone()
        for given, key in zip(reversed(self._given), reversed(keys), strict=False):
            counts = given.dense(key, self._relations)
            scores = counts / counts.sum(dim=1, keepdim=True).clamp(min=1) + scores / 1_000
        return scores


class SameForAll:
    """Every triple scores alike: with a threshold from valid, the majority."""

    def triples(
        self, heads: Int64[Tensor, " N"], relations: Int64[Tensor, " N"], tails: Int64[Tensor, " N"]
    ) -> Float64[Tensor, " N"]:
        """Zeros."""
        return torch.zeros(len(heads), dtype=torch.float64)


class _Counted:
    """How often each key occurs, 0 for one that does not."""

    def __init__(self, keys: Int64[Array, " N"]) -> None:
        distinct, counts = np.unique(keys, return_counts=True)
        self._table = _Table(distinct, counts.astype(np.float64))

    def of(self, keys: Int64[Array, " M"]) -> Float64[Array, " M"]:
        return self._table.at(keys)


class _Counts:
    """How often each (key, value) pair occurs."""

    def __init__(self, pairs: Int64[Array, "N 2"]) -> None:
        distinct, self._counts = np.unique(pairs, axis=0, return_counts=True)
        self._values, self._groups = distinct[:, 1], Groups(distinct[:, 0])

    def dense(self, keys: Int64[Array, " B"], width: int) -> Float64[Tensor, "B E"]:
        rows, found = self._groups.find(keys)
        table = torch.zeros(len(keys), width, dtype=torch.float64)
        table[torch.from_numpy(rows), torch.from_numpy(self._values[found])] = torch.from_numpy(
            self._counts[found].astype(np.float64)
        )
        return table


class _Table:
    """Values at sparse integer keys, 0 elsewhere."""

    def __init__(self, keys: Int64[Array, " K"], values: Float64[Array, " K"]) -> None:
        self._keys, self._values = keys, values

    def at(self, wanted: Int64[Array, " M"]) -> Float64[Array, " M"]:
        if not len(self._keys):
            return np.zeros(len(wanted))
        places = np.minimum(np.searchsorted(self._keys, wanted), len(self._keys) - 1)
        return np.where(self._keys[places] == wanted, self._values[places], 0.0)


def _confidences(train: Int64[Array, "N 3"], ends: Int64[Array, "N 2"], facts: Facts) -> _Table:
    """P(x r y | triple with relation r' whose `ends` are (x, y)), keyed by r' * relations + r."""
    by_pair = Groups(train[:, HEAD] * facts.entities + train[:, TAIL])
    rows, found = by_pair.find(ends[:, 0] * facts.entities + ends[:, 1])
    pairs = train[rows, RELATION] * facts.relations + train[found, RELATION]
    keys, together = np.unique(pairs, return_counts=True)
    total = np.bincount(train[:, RELATION], minlength=facts.relations)
    return _Table(keys, together / total[keys // facts.relations])
