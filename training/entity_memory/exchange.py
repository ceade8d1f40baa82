"""Tensors between ranks: each to its owner, or all to all. Every rank makes the same calls; nothing is pickled."""

import dataclasses

import torch
import torch.distributed as dist
from jaxtyping import Float, Int64
from torch import Tensor


@dataclasses.dataclass(frozen=True)
class Route:
    """Which values go to which rank and how many come from each, for ids that each have an owner."""

    order: Int64[Tensor, " U"]
    """The ids' places, those of the first owner first."""
    sent: list[int]
    received: list[int]

    def to_owners(self, values: Tensor) -> Tensor:
        """What all ranks sent to this one, by rank."""
        return _exchanged(values.index_select(0, self.order), self.sent, self.received)

    def back(self, values: Tensor) -> Tensor:
        """The owners' answers, in the order of the ids."""
        answers = _exchanged(values, self.received, self.sent)
        return torch.empty_like(answers).index_copy_(0, self.order, answers)


def route(ids: Int64[Tensor, " U"], world: int) -> Route:
    """The way of these ids to the ranks id mod world."""
    owners = ids % world
    counts = torch.bincount(owners, minlength=world)
    received = torch.empty_like(counts)
    dist.all_to_all_single(received, counts)
    return Route(torch.argsort(owners, stable=True), counts.tolist(), received.tolist())


def gathered(
    ids: Int64[Tensor, " U"], gradients: Float[Tensor, "U D"], world: int
) -> tuple[Int64[Tensor, " N"], Float[Tensor, "N D"]]:
    """The ids and gradients of all ranks, by rank."""
    sizes = [torch.empty(1, dtype=torch.int64, device=ids.device) for _ in range(world)]
    dist.all_gather(sizes, torch.tensor([len(ids)], device=ids.device))
    counts = [int(size) for size in sizes]

    def collect(values: Tensor) -> Tensor:
        # all_gather takes tensors of one shape: the short ones are filled up.
        padded = values.new_zeros(max(counts), *values.shape[1:])
        padded[: len(values)] = values
        parts = [torch.empty_like(padded) for _ in range(world)]
        dist.all_gather(parts, padded)
        return torch.cat([part[:count] for part, count in zip(parts, counts, strict=True)])

    return collect(ids), collect(gradients)


def _exchanged(values: Tensor, sent: list[int], received: list[int]) -> Tensor:
    out = values.new_empty(sum(received), *values.shape[1:])
    dist.all_to_all_single(out, values.contiguous(), received, sent)
    return out
