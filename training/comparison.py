"""KEPLER's facts compared: each query's answer among its negatives, by the loss that the recipe names.

A triple asks two queries, (?, r, t) and (h, r, ?). What an answer is told apart from are the entities drawn for the
triple, all of the micro-batch, those of micro-batches before, and the triple's other end, as the recipe says; none that
makes a known fact. The whole is computed in pieces of rows, which are computed again for their gradient, so that a
micro-batch may be large: of 12,288 triples with 24,576 entities, a matrix of all pairs would take 1.2 GB, and a piece's
takes 4 MB.

B triples, U entities of the micro-batch, Q of those before, K = U + Q candidates, D hidden, C rows of a piece.
"""

import dataclasses
import math
from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from training.config import KeplerConfig
from training.data.batch import tensor
from training.data.triples import FactBatch, Negatives
from training.objectives import Score, harder, info_nce_sum, knowledge_embedding_sum

PIECE = 1 << 20
"""Pairs that are compared at once."""


@dataclasses.dataclass(frozen=True)
class Queries:
    """Where the answers of (?, r, t) and of (h, r, ?) should lie."""

    heads: Float[Tensor, "B D"]
    tails: Float[Tensor, "B D"]
    mirrored: bool = False
    """Whether a head is as far from its query as the tail from its own, as with t - r and h + r: one is computed."""


@dataclasses.dataclass(frozen=True)
class _Side:
    """The queries of one side; entities are numbered as the candidates."""

    queries: Float[Tensor, "B D"]
    answers: Int64[Tensor, " B"]
    others: Int64[Tensor, " B"]
    """The given ends of the triples."""
    negatives: Negatives


@dataclasses.dataclass(frozen=True)
class _Task:
    """Queries, and the candidates that they are compared with."""

    vectors: Float[Tensor, "K D"]
    entities: Int64[Tensor, " K"]
    """The candidates' indices in the dataset; the micro-batch's come first."""
    own: int
    """How many those are: U."""
    sides: tuple[_Side, _Side]
    """Heads, tails."""
    mirrored: bool


class PreBatch(nn.Module):
    """The entities of the last micro-batches, with the vectors that they had then (Wang et al., SimKGC, section 3.3).

    Both are buffers of the model: a checkpoint has them, so that a run that is killed goes on with the same bits.
    """

    vectors: Float[Tensor, "M R D"]
    entities: Int64[Tensor, "M R"]

    def __init__(self, batches: int, rows: int, hidden: int) -> None:
        """`batches` micro-batches, of at most `rows` entities."""
        super().__init__()
        self.register_buffer("vectors", torch.zeros(batches, rows, hidden))
        self.register_buffer("entities", torch.full((batches, rows), -1))

    def newest(self, without: Int64[Tensor, " N"]) -> tuple[Float[Tensor, "Q D"], Int64[Tensor, " Q"]]:
        """The last vector of each entity but some, by ascending index."""
        found, first = np.unique(self.entities.flatten().cpu().numpy(), return_index=True)
        wanted = (found >= 0) & ~np.isin(found, without.cpu().numpy())
        rows = tensor(first[wanted]).to(self.vectors.device)
        return self.vectors.flatten(0, 1)[rows], self.entities.flatten()[rows]

    def push(self, vectors: Float[Tensor, "U D"], entities: Int64[Tensor, " U"]) -> None:
        """A micro-batch takes the place of the oldest one."""
        for buffer, rows, empty in ((self.vectors, vectors.detach(), 0), (self.entities, entities, -1)):
            buffer[1:] = buffer[:-1].clone()
            buffer[0] = empty
            buffer[0, : len(rows)] = rows


class Comparison(nn.Module):
    """The knowledge loss of queries and entities."""

    def __init__(self, config: KeplerConfig, hidden: int, micro_batch: int) -> None:
        """`micro_batch`: triples of a forward pass, of which there may be a few more."""
        super().__init__()
        self.config, self.score = config, Score(config.score, config.norm)
        self.pre_batch = None
        if config.pre_batch:
            self.pre_batch = PreBatch(config.pre_batch, 2 * (micro_batch + 4) * (1 + config.negatives), hidden)
        self.log_scale = None
        if config.loss == "infonce" and config.learn_temperature:
            # FSDP shards no scalar.
            self.log_scale = nn.Parameter(torch.full((1,), -math.log(config.temperature)))

    def forward(self, queries: Queries, entities: Float[Tensor, "U D"], facts: FactBatch) -> Float[Tensor, ""]:
        """The sum over the triples. While training, the entities are kept for the micro-batches to come."""
        task, triples = self._task(queries, entities, facts), len(facts.heads)
        piece: Callable[[_Task, slice], Tensor] = self._margin if self.config.loss == "margin" else self._info_nce
        rows = max(1, PIECE // max(len(task.entities), 2 * triples))
        cuts = [slice(start, min(start + rows, triples)) for start in range(0, triples, rows)]
        if len(cuts) > 1 and torch.is_grad_enabled():
            piece = _again(piece)
        # Not in 16 bits: near answers differ by less.
        with torch.autocast(entities.device.type, enabled=False):
            loss = torch.stack([piece(task, cut) for cut in cuts]).sum()
        if self.pre_batch is not None and self.training:
            self.pre_batch.push(entities, facts.entities)
        return loss

    def _task(self, queries: Queries, entities: Float[Tensor, "U D"], facts: FactBatch) -> _Task:
        vectors, indices = entities, facts.entities
        negatives = (facts.head_negatives, facts.tail_negatives)
        if self.pre_batch is not None and self.training:
            before, more = self.pre_batch.newest(facts.entities if self.config.in_batch else facts.entities[:0])
            vectors, indices = torch.cat([entities, before]), torch.cat([facts.entities, more])
            negatives = _with_known(negatives, facts, more)
        heads = _Side(queries.heads, facts.heads, facts.tails, negatives[0])
        tails = _Side(queries.tails, facts.tails, facts.heads, negatives[1])
        return _Task(vectors, indices, len(entities), (heads, tails), queries.mirrored)

    def _margin(self, task: _Task, rows: slice) -> Float[Tensor, ""]:
        """Eq. 2 of some rows."""
        near = [-self._own_scores(task, side, rows) for side in (task.sides[1:] if task.mirrored else task.sides)]
        far = [-self.score.pairs(side.queries[rows], task.vectors) for side in task.sides]
        weights = [self._weights(task, self._counts(task, side, rows)) for side in task.sides]
        temperature = self.config.self_adversarial
        return knowledge_embedding_sum(
            near[0] if task.mirrored else torch.stack(near).mean(dim=0),
            *far,
            *(harder(weight, gap, temperature) for weight, gap in zip(weights, far, strict=True)),
            gamma=self.config.gamma,
            halved=self.config.halved,
        )

    def _info_nce(self, task: _Task, rows: slice) -> Float[Tensor, ""]:
        """The mean of both sides' cross-entropies, summed over some rows."""
        scale = 1 / self.config.temperature if self.log_scale is None else self.log_scale.exp()
        losses = []
        for side in task.sides:
            answers = (self._own_scores(task, side, rows) - self.config.additive_margin) * scale
            logits = self.score.pairs(side.queries[rows], task.vectors) * scale * self._factors(task)
            losses.append(info_nce_sum(answers, logits, self._counts(task, side, rows)))
            if self.config.two_way:
                queries = torch.cat([each.queries for each in task.sides])
                logits = self.score.pairs(task.vectors[side.answers[rows]], queries) * scale
                losses.append(info_nce_sum(answers, logits, self._asked(task, side.answers[rows])))
        return torch.stack(losses).sum() / 2

    def _own_scores(self, task: _Task, side: _Side, rows: slice) -> Float[Tensor, " C"]:
        answers = task.vectors.index_select(0, side.answers[rows])
        return self.score.rows(side.queries[rows], answers)

    def _counts(self, task: _Task, side: _Side, rows: slice) -> Float[Tensor, "C K"]:
        """How many times each candidate is a negative of each query."""
        config, answers, others = self.config, side.answers[rows], side.others[rows]
        counts = task.vectors.new_ones(len(answers), len(task.entities))
        if not config.in_batch:
            counts[:, : task.own] = 0
        if not config.self_negatives:
            counts.masked_fill_(task.entities == task.entities[others][:, None], 0)
        if not config.in_batch:
            drawn = side.negatives.drawn[rows]
            drawn = torch.cat([drawn, others[:, None]], dim=1) if config.self_negatives else drawn
            row = torch.arange(len(drawn), device=drawn.device)[:, None].expand_as(drawn)
            counts.index_put_((row, drawn), counts.new_ones(()), accumulate=True)
        counts.masked_fill_(task.entities == task.entities[answers][:, None], 0)
        row, known = side.negatives.known.T
        here = (row >= rows.start) & (row < rows.stop)
        counts[row[here] - rows.start, known[here]] = 0
        return counts

    def _asked(self, task: _Task, answers: Int64[Tensor, " C"]) -> Float[Tensor, "C Q2"]:
        """1 where an answer is a negative of a query of the micro-batch; those for heads come first."""
        # An entity of the micro-batch has one number in it: numbers are compared.
        apart = torch.cat([side.answers for side in task.sides]) != answers[:, None]
        if not self.config.self_negatives:
            apart &= torch.cat([side.others for side in task.sides]) != answers[:, None]
        width, triples = len(task.entities), len(task.sides[0].answers)
        known = [
            (side.negatives.known[:, 0] + first) * width + side.negatives.known[:, 1]
            for first, side in zip((0, triples), task.sides, strict=True)
        ]
        pairs = torch.arange(2 * triples, device=answers.device) * width + answers[:, None]
        return (apart & ~torch.isin(pairs, torch.cat(known))).to(task.vectors.dtype)

    def _factors(self, task: _Task) -> Float[Tensor, " K"]:
        """What stands before each candidate: kepler.pre_batch_weight for those of micro-batches before."""
        factors = task.vectors.new_ones(len(task.entities))
        factors[task.own :] = self.config.pre_batch_weight
        return factors

    def _weights(self, task: _Task, counts: Float[Tensor, "C K"]) -> Float[Tensor, "C K"]:
        """The two sides of a triple, together, weigh 1."""
        counts = counts * self._factors(task)
        total = counts.sum(dim=1, keepdim=True)
        return counts / torch.where(total > 0, 2 * total, 1)


def _again(piece: Callable[[_Task, slice], Tensor]) -> Callable[[_Task, slice], Tensor]:
    """The same, computed again for its gradient."""
    return lambda task, rows: checkpoint(piece, task, rows, use_reentrant=False, preserve_rng_state=False)


def _with_known(
    negatives: tuple[Negatives, Negatives], facts: FactBatch, indices: Int64[Tensor, " Q"]
) -> tuple[Negatives, Negatives]:
    """The known facts with entities of other micro-batches, too, which are numbered after the micro-batch's."""
    triples, others = facts.triples.cpu().numpy(), indices.cpu().numpy()

    def more(side: Negatives, heads: bool) -> Negatives:
        pairs = facts.known.among(triples, others, heads=heads) + np.array([0, len(facts.entities)])
        return dataclasses.replace(side, known=torch.cat([side.known, tensor(pairs).to(indices.device)]))

    return more(negatives[0], heads=True), more(negatives[1], heads=False)
