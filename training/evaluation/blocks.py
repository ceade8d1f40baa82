"""One block of a ranking by vectors: scores of some queries and candidates, how many are above, which are near.

Here (compiled loops beside torch's matrix products) or on a CUDA device (torch alone). B queries, C candidates of the
block, S of a slab of candidates, D dimensions, K pairs.
"""

import contextlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Literal, TypeVar

import numpy as np
import torch
from jaxtyping import Float, Float32, Float64, Int64
from torch import Tensor

from training.evaluation import kernels

Array = np.ndarray
T = TypeVar("T")
Precision = Literal["fp32", "bf16"]
PAIRS = 2**16
"""Pairs that are scored exactly at a time."""
SIDE = 2**10
"""Queries of a block; on a CPU candidates as well: 4 MB of scores stay near the core."""


class HostBlocks:
    """On the CPU, on as many threads as torch has."""

    columns = SIDE

    def __init__(self) -> None:
        self._buffer = torch.empty(0)
        self._threads = torch.get_num_threads()
        self._pool = ThreadPoolExecutor(self._threads) if self._threads > 1 else None

    def load(self, vectors: Float[Tensor, "S D"]) -> Float32[Tensor, "S D"]:
        """In 32 bits, where blocks are computed."""
        return vectors.detach().float().contiguous()

    def scores(
        self, queries: Float32[Tensor, "B D"], block: Float32[Tensor, "C D"], kind: int, precision: Precision
    ) -> Float32[Tensor, "B C"]:
        """Products, or for kernels.L1 minus the distances, as good as 32 bits (or 16) are. The next call reuses the
        memory."""
        if kind == kernels.L1:
            # The kernel takes two queries at a time; a block's candidates are a multiple of four already.
            few, many = torch.nn.functional.pad(queries, (0, 0, 0, len(queries) % 2)).numpy(), block.numpy()
            distances = self._room(len(few), len(block))
            found = distances.numpy()
            self._shared(len(few) // 2, lambda start, end: kernels.minus_l1(few, many, 2 * start, 2 * end, found))
            return distances[: len(queries)]
        with _summed_in_32_bits():
            if precision == "bf16":
                return queries.bfloat16().mm(block.bfloat16().T).float()
            return torch.mm(queries, block.T, out=self._room(len(queries), len(block)))

    def _room(self, rows: int, columns: int) -> Float32[Tensor, "B C"]:
        cells = rows * columns
        if len(self._buffer) < cells:
            self._buffer = torch.empty(cells)
        return self._buffer[:cells].view(rows, columns)

    def count(
        self,
        scores: Float32[Tensor, "B C"],
        hidden: tuple[Int64[Array, " H"], Int64[Array, " H"]],
        bias: Float32[Array, " C"],
        low: Float32[Array, " B"],
        high: Float32[Array, " B"],
        most: int,
    ) -> tuple[Int64[Array, " B"], Int64[Array, "K 2"] | None]:
        """(how many scores less bias are above `high`, the cells from `low` to `high`), the hidden cells left out; None
        in place of more cells than `most`."""
        table = scores.numpy()
        table[hidden] = -np.inf

        def part(start: int, end: int) -> tuple[Int64[Array, " B"], Int64[Array, "K 2"], int]:
            room = 2**14
            while True:
                above, near = np.zeros(len(low), np.int64), np.empty((room, 2), np.int64)
                found = kernels.count_above(table, bias, low, high, start, end, above, near)
                if found <= room or found > most:
                    return above, near[:found], found
                room = found

        counts, cells, found = zip(*self._shared(len(low), part), strict=True)
        return np.sum(counts, axis=0), None if sum(found) > most else np.concatenate(cells)

    def exact(
        self,
        queries: Float32[Tensor, "Q D"],
        vectors: Float32[Tensor, "S D"],
        rows: Int64[Array, " K"],
        columns: Int64[Array, " K"],
        kind: int,
    ) -> Float64[Array, " K"]:
        """The scores of pairs, summed in 64 bits: equal vectors have equal scores."""
        out = np.empty(len(rows))
        few, many, rows, columns = queries.numpy(), vectors.numpy(), *map(np.ascontiguousarray, (rows, columns))
        self._shared(
            len(rows),
            lambda start, end: kernels.exact_scores(
                few, many, rows[start:end], columns[start:end], kind, out[start:end]
            ),
        )
        return out

    def _shared(self, rows: int, work: Callable[[int, int], T]) -> list[T]:
        """The work on stretches of rows, one for each thread."""
        if self._pool is None:
            return [work(0, rows)]
        size = max(1, -(-rows // self._threads))
        starts = range(0, max(rows, 1), size)
        return list(self._pool.map(lambda start: work(start, min(rows, start + size)), starts))


class DeviceBlocks:
    """On a CUDA device, with the interface of HostBlocks."""

    columns = 2**14

    def __init__(self, device: torch.device) -> None:
        self._device = device

    def load(self, vectors: Float[Tensor, "S D"]) -> Float32[Tensor, "S D"]:
        """As HostBlocks has it."""
        return vectors.detach().to(self._device, torch.float32)

    def scores(
        self, queries: Float32[Tensor, "B D"], block: Float32[Tensor, "C D"], kind: int, precision: Precision
    ) -> Float32[Tensor, "B C"]:
        """As HostBlocks has it."""
        with _summed_in_32_bits():
            return self._scores(queries, block, kind, precision)

    def _scores(
        self, queries: Float32[Tensor, "B D"], block: Float32[Tensor, "C D"], kind: int, precision: Precision
    ) -> Float32[Tensor, "B C"]:
        if kind == kernels.L1:
            return torch.cdist(queries, block, p=1.0).neg_()
        if precision == "bf16":
            return queries.bfloat16().mm(block.bfloat16().T).float()
        return queries.mm(block.T)

    def count(
        self,
        scores: Float32[Tensor, "B C"],
        hidden: tuple[Int64[Array, " H"], Int64[Array, " H"]],
        bias: Float32[Array, " C"],
        low: Float32[Array, " B"],
        high: Float32[Array, " B"],
        most: int,
    ) -> tuple[Int64[Array, " B"], Int64[Array, "K 2"] | None]:
        """As HostBlocks has it."""
        away, lowest, highest = (torch.from_numpy(each).to(scores.device) for each in (bias, low, high))
        scores = scores - away
        scores[tuple(torch.from_numpy(each).to(scores.device) for each in hidden)] = -torch.inf
        over = scores > highest[:, None]
        near = (scores >= lowest[:, None]) & ~over
        few = int(near.sum()) <= most
        return over.sum(dim=1).cpu().numpy(), near.nonzero().cpu().numpy() if few else None

    def exact(
        self,
        queries: Float32[Tensor, "Q D"],
        vectors: Float32[Tensor, "S D"],
        rows: Int64[Array, " K"],
        columns: Int64[Array, " K"],
        kind: int,
    ) -> Float64[Array, " K"]:
        """As HostBlocks has it."""
        parts = [np.empty(0)]
        for start in range(0, len(rows), PAIRS):
            # Always as many pairs: the order of a row's sum may depend on the shape.
            pairs = torch.zeros(2, PAIRS, dtype=torch.int64)
            count = len(rows[start : start + PAIRS])
            pairs[:, :count] = torch.from_numpy(np.stack([rows, columns])[:, start : start + PAIRS])
            one, other = (
                table[at.to(table.device)].double() for table, at in zip((queries, vectors), pairs, strict=True)
            )
            terms = one * other if kind == kernels.DOT else (one - other).abs().neg()
            terms = terms * terms.neg() if kind == kernels.L2 else terms
            parts.append(terms.sum(dim=1)[:count].cpu().numpy())
        return np.concatenate(parts)


@contextlib.contextmanager
def _summed_in_32_bits() -> Iterator[None]:
    """No TF32, and no sums of a product's parts in bf16, whatever the process has chosen: the windows assume it."""
    card, host = torch.backends.cuda.matmul, torch.backends.mkldnn.matmul
    before, reduced = (card.fp32_precision, host.fp32_precision), card.allow_bf16_reduced_precision_reduction
    card.fp32_precision = host.fp32_precision = "ieee"
    card.allow_bf16_reduced_precision_reduction = False
    try:
        yield
    finally:
        card.fp32_precision, host.fp32_precision = before
        card.allow_bf16_reduced_precision_reduction = reduced


Blocks = HostBlocks | DeviceBlocks
