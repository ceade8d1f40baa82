"""HAKE (Zhang et al., AAAI 2020): entities by modulus and phase, so that hierarchies have levels, as a model of PyKEEN.

    -score = w_m ||h_m * (|r_m| + b) - t_m * (1 - b)||_2 + w_p ||sin((h_p + r_p - t_p) / 2)||_1

with a relation's bias b, held between -|r_m| and 1. Differences from the authors' code: their gamma is the margin of
the loss, and no part of the score; phases are in radians, not in shares of the range that they begin in.
"""

import functools
import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

MARGIN = 12.0
"""Of which the start's range is made, (margin + 2) / D, as the authors do, where none is told."""
PHASE_WEIGHT = 0.5
"""Of the range; learned, as the weight of the moduli is, which begins at 1."""


def hake_interaction(dim: int, margin: float = MARGIN) -> Any:
    """The score as PyKEEN's interaction: entities (phase, modulus), relations (phase, modulus, bias), of D each."""
    from pykeen.nn.modules import Interaction

    class Hake(Interaction):
        entity_shape = ("d", "d")
        relation_shape = ("d", "d", "d")

        def __init__(self) -> None:
            super().__init__()
            self.phase_weight = nn.Parameter(torch.tensor(PHASE_WEIGHT * _range(dim, margin)))
            self.modulus_weight = nn.Parameter(torch.tensor(1.0))

        def forward(self, h: Sequence[Tensor], r: Sequence[Tensor], t: Sequence[Tensor]) -> Tensor:
            (h_phase, h_modulus), (t_phase, t_modulus) = h, t
            r_phase, r_modulus, bias = r
            r_modulus = r_modulus.abs()
            bias = torch.maximum(bias.clamp(max=1), -r_modulus)
            phase = torch.sin((h_phase + r_phase - t_phase) / 2).abs().sum(dim=-1)
            modulus = torch.linalg.vector_norm(h_modulus * (r_modulus + bias) - t_modulus * (1 - bias), dim=-1)
            return -(self.phase_weight * phase + self.modulus_weight * modulus)

    return Hake()


def hake_tables(dim: int, margin: float = MARGIN) -> dict[str, list[dict[str, Any]]]:
    """The representations' arguments: phases anywhere in a circle, moduli of entities in the start's range, those of
    relations 1, biases 0."""
    span = _range(dim, margin)
    phase = functools.partial(nn.init.uniform_, a=-math.pi, b=math.pi)
    modulus = functools.partial(nn.init.uniform_, a=-span, b=span)
    starts = {"entity": (phase, modulus), "relation": (phase, nn.init.ones_, nn.init.zeros_)}
    return {
        f"{side}_representations_kwargs": [{"shape": (dim,), "initializer": start} for start in own]
        for side, own in starts.items()
    }


def _range(dim: int, margin: float) -> float:
    return (margin + 2) / dim
