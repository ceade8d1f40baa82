"""Ranks by vectors: matrix products block by block, counting, near ties in 64 bits. Nothing is sorted, and no row of
scores is ever whole in memory.

A block of products says for nearly all candidates whether they are above the gold. What lies closer to the gold's score
than the products may be off by is scored again in 64 bits, as the gold is, so no rank depends on the size or the shape
of a block, on the number of threads or on the precision of the products; equal vectors tie. Distances p = 2 come from
products too (q.e - |e|^2 / 2 has their order), p = 1 from a kernel of its own. Other known answers and the gold itself
are counted out by their index. N queries, C candidates, S of a slab, D dimensions, M known answers, K pairs.
"""

import dataclasses
from typing import Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, Float64, Int64
from torch import Tensor

from schemas.errors import DataError
from training.evaluation import kernels
from training.evaluation.blocks import PAIRS, SIDE, Blocks, DeviceBlocks, HostBlocks, Precision
from training.evaluation.ranks import Ranks
from training.evaluation.state_file import StateFile
from training.metrics import progress
from training.scoring import Measure

Array = np.ndarray
Window = tuple[Float32[Array, " N"], Float32[Array, " N"]]
Known = tuple[Int64[Tensor, " M"], Int64[Tensor, " M"]]
KINDS = {"dot": kernels.DOT, "l1": kernels.L1, "l2": kernels.L2}
SLAB = 2**14
"""Candidates that are read at a time, and after which a long ranking can be resumed."""
LONG = 2**38
"""Multiplications from which on progress is shown."""
MOST_NEAR = 1 / 50
"""Share of near ties beyond which a block of products in 16 bits is computed again in 32."""
LARGEST = 1e30
"""Products beyond this are no scores."""
LONGEST = 1e18
"""Vectors longer than this have no distances p = 2 whose squares are numbers in 32 bits."""
UNIT = {"fp32": 2.0**-24, "bf16": 2.0**-8}
"""Of rounding."""


def rank_by_vectors(
    measure: Measure,
    entities: Float[Tensor, "C D"],
    queries: Float[Tensor, "N D"],
    gold: Int64[Tensor, " N"],
    known: Known | None = None,
    own: Int64[Tensor, " N"] | None = None,
    *,
    precision: Literal["auto", "fp32", "bf16"] = "auto",
    state: StateFile | None = None,
) -> Ranks:
    """Rank each query's gold among all candidates but its other known answers: cells (query, candidate), each once.

    `own` is the candidate that is the query's given entity, -1 for none. `precision` is that of the matrix products,
    not of the ranks: auto takes bf16 on a CUDA device. With a `state` an interrupted ranking goes on; its file stays.
    Raises DataError for vectors that are not numbers.
    """
    device = entities.device if entities.is_cuda else queries.device
    on_device = device.type == "cuda"
    chosen: Precision = ("bf16" if on_device else "fp32") if precision == "auto" else precision
    work = _Work(DeviceBlocks(device) if on_device else HostBlocks(), KINDS[measure], entities, queries, chosen)
    golds = work.exact(np.arange(len(queries)), gold)
    job = _Job(work, golds, _Hidden.of(gold, known))
    counts = np.zeros((2, len(queries)), np.int64)
    done = 0 if state is None else state.resume(job.fingerprint(gold), golds, counts)
    slabs, long = -(-len(entities) // SLAB), len(entities) * queries.numel() > LONG
    with progress(
        slabs, done, SLAB, shown=long, what="ranking", unit=f"candidates of {len(queries)} queries"
    ) as report:
        for slab in range(done, slabs):
            job.count(slab, counts)
            report(slab + 1)
            if state is not None:
                state.save(slab + 1)
    above, level = torch.from_numpy(counts)
    return Ranks(above + 1, above + level + 1, None if own is None else job.own(own, gold, known))


class _Work:
    """The queries beside the table of candidates, and where they are compared."""

    def __init__(
        self,
        blocks: Blocks,
        kind: int,
        entities: Float[Tensor, "C D"],
        queries: Float[Tensor, "N D"],
        precision: Precision,
    ) -> None:
        self.blocks, self.kind, self.entities, self.precision = blocks, kind, entities, precision
        self.queries = blocks.load(queries)
        self.norms = _norms(blocks, self.queries)
        _require_numbers(self.norms, LONGEST if kind == kernels.L2 else LARGEST)

    def exact(self, rows: Int64[Array, " K"], candidates: Int64[Tensor, " K"]) -> Float64[Array, " K"]:
        """Exact scores of queries and candidates anywhere in the table."""
        parts = [np.empty(0)]
        for start in range(0, len(rows), PAIRS):
            chosen = candidates[start : start + PAIRS].to(self.entities.device)
            vectors = self.blocks.load(self.entities[chosen])
            here = rows[start : start + PAIRS]
            parts.append(self.blocks.exact(self.queries, vectors, here, np.arange(len(here)), self.kind))
        return np.concatenate(parts)


@dataclasses.dataclass(frozen=True)
class _Slab:
    """Some of the candidates, padded with zeros to a multiple of four."""

    start: int
    vectors: Float32[Tensor, "S D"]
    bias: Float32[Array, " S"]
    """What is taken off each one's products: |e|^2 / 2 for distances, everything for padding."""
    largest: float
    """The largest norm."""


@dataclasses.dataclass(frozen=True)
class _Hidden:
    """Cells that are not counted, sorted by block of SIDE x SIDE."""

    keys: Int64[Array, " M"]
    rows: Int64[Array, " M"]
    columns: Int64[Array, " M"]

    @classmethod
    def of(cls, gold: Int64[Tensor, " N"], known: Known | None) -> "_Hidden":
        """The golds and the other known answers."""
        rows, columns = np.arange(len(gold)), gold.numpy()
        if known is not None:
            others = (known[1] != gold[known[0]]).numpy()
            rows = np.concatenate([rows, known[0].numpy()[others]])
            columns = np.concatenate([columns, known[1].numpy()[others]])
        keys = _key(columns // SIDE, rows // SIDE)
        order = np.argsort(keys, kind="stable")
        return cls(keys[order], rows[order], columns[order])

    def block(self, left: int, right: int, top: int) -> tuple[Int64[Array, " H"], Int64[Array, " H"]]:
        """The cells of candidates left to right and SIDE queries from `top`, counted from the corner."""
        keys = _key(np.arange(left // SIDE, -(-right // SIDE)), top // SIDE)
        stretches = zip(np.searchsorted(self.keys, keys), np.searchsorted(self.keys, keys + 1), strict=True)
        chosen = np.concatenate([np.arange(start, end) for start, end in stretches])
        return self.rows[chosen] - top, self.columns[chosen] - left


@dataclasses.dataclass(frozen=True)
class _Job:
    """A ranking that is under way."""

    work: _Work
    gold: Float64[Array, " N"]
    """Exact scores."""
    hidden: _Hidden

    def fingerprint(self, gold: Int64[Tensor, " N"]) -> bytes:
        """Of who is ranked, for what, how, and in which steps."""
        how = f"{self.work.kind} {len(self.work.entities)} {SLAB} {SIDE}\n".encode()
        return how + b"".join(each.tobytes() for each in (gold.numpy(), self.hidden.rows, self.hidden.columns))

    def own(self, own: Int64[Tensor, " N"], gold: Int64[Tensor, " N"], known: Known | None) -> Int64[Tensor, " N"]:
        """As Ranks.own."""
        rows = rivals(own, gold, known).nonzero()[:, 0]
        scores, golds = self.work.exact(rows.numpy(), own[rows]), self.gold[rows.numpy()]
        found = torch.zeros_like(own)
        found[rows] = torch.from_numpy(2 * (scores > golds) + (scores == golds))
        return found

    def count(self, slab: int, counts: Int64[Array, "2 N"]) -> None:
        """Add the candidates of a slab: those above the golds, and those level with them."""
        part = self._read(slab * SLAB)
        windows = {precision: self._window(part, precision) for precision in {self.work.precision, "fp32"}}
        for left in range(0, len(part.vectors), self.work.blocks.columns):
            for top in range(0, len(self.gold), SIDE):
                self._block(part, left, top, windows, counts)

    def _read(self, start: int) -> _Slab:
        own = self.work.blocks.load(self.work.entities[start : start + SLAB])
        norms = _norms(self.work.blocks, own)
        if self.work.kind == kernels.L2:
            _require_numbers(norms, LONGEST)
        _require_numbers(norms * self.work.norms.max(initial=1.0), LARGEST)
        padding = -len(own) % 4
        bias = norms**2 / 2 if self.work.kind == kernels.L2 else np.zeros(len(own))
        bias = np.concatenate([bias, np.full(padding, np.inf)]).astype(np.float32)
        padded = torch.nn.functional.pad(own, (0, 0, 0, padding)) if padding else own
        return _Slab(start, padded, bias, float(norms.max()))

    def _window(self, slab: _Slab, precision: str) -> Window:
        """(low, high): a product (for p = 1 a distance) outside is surely on that side of the gold.

        A sum of D products in any order is off by less than D units of rounding times the product of the norms; a few
        more cover what is rounded beside it. In 16 bits both factors are rounded, and the result.
        """
        kind, norms, gold = self.work.kind, self.work.norms, self.gold
        unit, terms = UNIT["fp32"], self.work.queries.shape[1] + 8
        if kind == kernels.L1:
            error = terms * unit * np.abs(gold)
        else:
            error = (terms * unit + (3.1 * UNIT["bf16"] if precision == "bf16" else 0.0)) * norms * slab.largest
        if kind == kernels.L2:
            gold = (gold + norms**2) / 2
            error += 4 * unit * slab.largest**2 + 1e-12 * norms**2
        low, high = (gold - error).astype(np.float32), (gold + error).astype(np.float32)
        return np.nextafter(low, np.float32(-np.inf)), np.nextafter(high, np.float32(np.inf))

    def _block(
        self,
        slab: _Slab,
        left: int,
        top: int,
        windows: dict[str, Window],
        counts: Int64[Array, "2 N"],
    ) -> None:
        work, rows = self.work, slice(top, min(top + SIDE, len(self.gold)))
        block, bias = slab.vectors[left : left + work.blocks.columns], slab.bias[left : left + work.blocks.columns]
        hidden = self.hidden.block(slab.start + left, slab.start + left + len(block), top)
        near = None
        for precision in dict.fromkeys((work.precision, "fp32")):
            low, high = windows[precision]
            scores = work.blocks.scores(work.queries[rows], block, work.kind, precision)
            most = scores.numel() if precision == "fp32" else int(MOST_NEAR * scores.numel())
            above, near = work.blocks.count(scores, hidden, bias, low[rows], high[rows], most)
            if near is not None:
                break
        assert near is not None
        counts[0, rows] += above
        queries, columns = near[:, 0] + top, near[:, 1] + left
        exact, gold = work.blocks.exact(work.queries, slab.vectors, queries, columns, work.kind), self.gold[queries]
        counts[0] += np.bincount(queries[exact > gold], minlength=len(self.gold))
        counts[1] += np.bincount(queries[exact == gold], minlength=len(self.gold))


def rivals(own: Int64[Tensor, " N"], gold: Int64[Tensor, " N"], known: Known | None) -> Bool[Tensor, " N"]:
    """Which queries' own entity is a candidate beside the gold, and no other known answer."""
    found = (own >= 0) & (own != gold)
    if known is not None:
        found[known[0][known[1] == own[known[0]]]] = False
    return found


def _norms(blocks: Blocks, vectors: Float32[Tensor, "S D"]) -> Float64[Array, " S"]:
    every = np.arange(len(vectors))
    return np.sqrt(blocks.exact(vectors, vectors, every, every, kernels.DOT))


def _key(columns: Int64[Array, "*S"], rows: Int64[Array, "*S"] | int) -> Int64[Array, "*S"]:
    return columns * np.int64(2**32) + rows


def _require_numbers(norms: Float64[Array, " N"], limit: float) -> None:
    missing = int((~(norms < limit)).sum())
    if missing:
        raise DataError(
            f"The model's vectors are NaN or far too large in {missing} of {len(norms)} rows, so there is nothing to "
            "rank. The training has diverged: train again with a smaller lr, or take an earlier checkpoint."
        )
