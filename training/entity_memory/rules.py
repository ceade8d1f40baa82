"""How a row is updated: sparse Adam or row-wise Adagrad, as torch operations on any device.

Both are lazy: a row without a gradient keeps its moments. Adam is torch.optim.SparseAdam to the letter (one count of
steps for all rows); row-wise Adagrad has one sum of squares for a row, of the mean square of its gradient.
"""

import dataclasses
import math
from typing import Literal

import torch
from jaxtyping import Float, Int64
from torch import Tensor


@dataclasses.dataclass(frozen=True)
class Rule:
    """What is kept of each row, and what a gradient does to it."""

    name: Literal["adam", "adagrad"]
    beta1: float
    beta2: float
    eps: float

    def slots(self, rows: int, width: int) -> dict[str, tuple[int, ...]]:
        """Name and shape of each tensor of state."""
        if self.name == "adagrad":
            return {"squares": (rows,)}
        return {"moment1": (rows, width), "moment2": (rows, width)}

    def step_size(self, rate: float, step: int) -> float:
        """The rate with Adam's corrections for the moments' start at 0; `step` counts from 1."""
        if self.name == "adagrad":
            return rate
        return rate * math.sqrt(1 - self.beta2**step) / (1 - self.beta1**step)

    def update(
        self,
        weight: Float[Tensor, "E D"],
        slots: dict[str, Tensor],
        ids: Int64[Tensor, " U"],
        gradients: Float[Tensor, "U D"],
        rate: float,
        step: int,
    ) -> None:
        """One step of the rows `ids`, which are distinct."""
        size = self.step_size(rate, step)
        if self.name == "adagrad":
            squares = slots["squares"][ids] + gradients.square().mean(dim=1)
            slots["squares"][ids] = squares
            weight[ids] -= size * gradients / (squares.sqrt() + self.eps)[:, None]
            return
        moment1 = slots["moment1"][ids].lerp_(gradients, 1 - self.beta1)
        moment2 = slots["moment2"][ids].lerp_(gradients.square(), 1 - self.beta2)
        slots["moment1"][ids], slots["moment2"][ids] = moment1, moment2
        weight[ids] -= size * moment1 / (moment2.sqrt() + self.eps)


def distinct(ids: Int64[Tensor, " N"]) -> tuple[Int64[Tensor, " U"], Int64[Tensor, " N"]]:
    """The ids once each, ascending, and the place of every id among them."""
    found, places = torch.unique(ids, return_inverse=True)
    return found, places


def summed(
    ids: Int64[Tensor, " N"], gradients: Float[Tensor, "N D"]
) -> tuple[Int64[Tensor, " U"], Float[Tensor, "U D"]]:
    """The distinct ids, and the sum of the gradients of each."""
    found, places = distinct(ids)
    return found, gradients.new_zeros(len(found), gradients.shape[1]).index_add_(0, places, gradients)
