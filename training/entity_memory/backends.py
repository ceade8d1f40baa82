"""The entity memory beside the model: whole on each rank, or shared out among them."""

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from training.config import MemoryConfig
from training.data.stream import SOLE, Rank
from training.entity_memory.base import EntityMemory
from training.entity_memory.exchange import gathered, route
from training.entity_memory.rules import Rule, distinct, summed


class _Beside(EntityMemory):
    """A table on the device; `rows` may be more than it holds."""

    def __init__(
        self,
        config: MemoryConfig,
        rule: Rule,
        rows: int,
        width: int,
        device: torch.device,
        rank: Rank = SOLE,
        *,
        training: bool = True,
    ) -> None:
        super().__init__(config, rule, rows, width, rank, training=training)
        held = len(range(self.share.rank, rows, self.share.world))
        self.weight = torch.zeros(held, width, device=device)
        shapes = rule.slots(held, width) if training else {}
        self._slots = {name: torch.zeros(shape, device=device) for name, shape in shapes.items()}

    def tensors(self) -> dict[str, Tensor]:
        """The rows and their state."""
        return {"weight": self.weight, **self._slots}


class DeviceMemory(_Beside):
    """The whole table, `weight`; several ranks exchange their gradients and make the same update of their copies."""

    @property
    def share(self) -> Rank:
        """All rows."""
        return SOLE

    def pull(self, ids: Int64[Tensor, " N"]) -> Float[Tensor, "N D"]:
        """Rows of the table."""
        return self.weight.index_select(0, ids)

    def push(self, ids: Int64[Tensor, " N"], gradients: Float[Tensor, "N D"], rate: float, step: int) -> None:
        """Every rank sums in the order of the ranks, so the copies stay equal bit by bit."""
        ids, gradients = summed(ids, gradients)
        if self._rank.world > 1:
            ids, gradients = summed(*gathered(ids, gradients, self._rank.world))
            gradients /= self._rank.world
        self._rule.update(self.weight, self._slots, ids, gradients, rate, step)


class ShardedMemory(_Beside):
    """Row i is on rank i mod world, at i // world. Reading is an exchange too: every rank calls `gather` as often."""

    @property
    def share(self) -> Rank:
        """This rank's."""
        return self._rank

    def pull(self, ids: Int64[Tensor, " N"]) -> Float[Tensor, "N D"]:
        """Distinct ids travel to their owners, rows back."""
        found, places = distinct(ids)
        way = route(found, self._rank.world)
        asked = way.to_owners(found) // self._rank.world
        return way.back(self.weight.index_select(0, asked)).index_select(0, places)

    def push(self, ids: Int64[Tensor, " N"], gradients: Float[Tensor, "N D"], rate: float, step: int) -> None:
        """Gradients travel to the rows' owners, which sum them in the order of the ranks."""
        found, sums = summed(ids, gradients)
        way = route(found, self._rank.world)
        mine, sums = summed(way.to_owners(found) // self._rank.world, way.to_owners(sums))
        self._rule.update(self.weight, self._slots, mine, sums / self._rank.world, rate, step)
