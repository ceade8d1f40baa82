"""What every backend of the entity memory does: rows as leaves of the graph, one update a step, state to save."""

import abc
from collections.abc import Mapping

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from schemas.errors import DataError
from training.config import MemoryConfig
from training.data.stream import Rank
from training.entity_memory.room import table_bytes
from training.entity_memory.rules import Rule


class EntityMemory(abc.ABC):
    """A table of `rows` embeddings. The model calls `gather`, the loop calls `apply` once a step."""

    def __init__(self, config: MemoryConfig, rule: Rule, rows: int, width: int, rank: Rank, *, training: bool) -> None:
        self.rows, self.width = rows, width
        self._config, self._rule, self._rank, self._training = config, rule, rank, training
        self._pending: list[tuple[Tensor, Tensor]] = []

    def gather(self, ids: Int64[Tensor, " N"]) -> Float[Tensor, "N D"]:
        """The rows of these ids. Their gradient is kept for `apply` as soon as backward has it, and holds for the one
        row of the table whichever of its repeats, or of the step's other calls, it came by."""
        rows = self.pull(ids)
        if self._training and torch.is_grad_enabled():
            rows.requires_grad_()
            rows.register_post_accumulate_grad_hook(lambda leaf: self._keep(ids, leaf))
        return rows

    def apply(self, rate: float, step: int) -> None:
        """Update, once each, the rows that got gradients since the last call; every rank calls it.

        `rate` is the model's learning rate of this step, `step` counts from 1.
        """
        pending, self._pending = self._pending, []
        device = self.tensors()["weight"].device
        ids = _joined([ids for ids, _ in pending], torch.empty(0, dtype=torch.int64, device=device))
        gradients = _joined([gradient for _, gradient in pending], torch.empty(0, self.width, device=device))
        self.push(ids, gradients, rate * self._config.lr_scale, step)

    @abc.abstractmethod
    def pull(self, ids: Int64[Tensor, " N"]) -> Float[Tensor, "N D"]:
        """A copy of the rows of these ids, on the ids' device."""

    @abc.abstractmethod
    def push(self, ids: Int64[Tensor, " N"], gradients: Float[Tensor, "N D"], rate: float, step: int) -> None:
        """One update of the rows of these ids by the sums of their gradients, averaged over ranks that act together."""

    def release(self, rows: Float[Tensor, "N D"]) -> None:  # noqa: B027
        """Say that the rows of a `pull` are not needed any more: a backend may write the next ones over them."""

    @abc.abstractmethod
    def tensors(self) -> dict[str, Tensor]:
        """The rows (`weight`) and the state of each that this rank holds, not copied."""

    @property
    @abc.abstractmethod
    def share(self) -> Rank:
        """Which rows `tensors` holds: those of i mod world = rank."""

    @property
    def saves(self) -> bool:
        """Whether this rank's part is to be saved; where the ranks hold the same rows, the first one saves them."""
        return self.share.world > 1 or self._rank.rank == 0

    def fill(self, start: int, values: Float[Tensor, "N D"]) -> None:
        """Set the rows from `start` on; every rank calls it alike."""
        self._put("weight", torch.arange(start, start + len(values)), values)

    def restore(self, part: int, parts: int, saved: Mapping[str, Tensor]) -> None:
        """Set what a saved part holds: of n parts, part k has the rows k, k + n, ... whatever backend and ranks saved
        them. Every rank restores all parts. Raises DataError for a part of another memory."""
        ids = torch.arange(part, self.rows, parts)
        for name, tensor in self.tensors().items():
            found = tuple(saved[name].shape) if name in saved else "none"
            expected = (len(ids), *tensor.shape[1:])
            if found != expected:
                raise DataError(
                    f"The saved entity memory has {name} of shape {found} in part {part + 1} of {parts}, expected "
                    f"{expected}: it is of another dataset or recipe."
                )
            self._put(name, ids, saved[name])

    def describe(self) -> str:
        """One line for the terminal: what it is, and its bytes on each rank or host."""
        rows = -(-self.rows // self.share.world)
        size = table_bytes(rows, self.width, self._rule, training=self._training) / 2**20
        return (
            f"entity memory: {self.rows:,} rows of {self.width}, {self._config.backend}, {self._rule.name}; "
            f"rows and state take {size:,.0f} MiB on each {'host' if self._config.backend == 'host' else 'rank'}"
        )

    def _put(self, name: str, ids: Int64[Tensor, " N"], values: Tensor) -> None:
        share, tensor = self.share, self.tensors()[name]
        mine = ids % share.world == share.rank
        tensor[(ids[mine] // share.world).to(tensor.device)] = values[mine.to(values.device)].to(tensor)

    def _keep(self, ids: Tensor, leaf: Tensor) -> None:
        # Taken from the leaf, so that its rows go with the graph and only gradients wait for the step's end.
        assert leaf.grad is not None
        self._pending.append((ids, leaf.grad))
        leaf.grad = None
        # Whoever had saved the rows for this gradient has been through.
        self.release(leaf)


def _joined(pieces: list[Tensor], nothing: Tensor) -> Tensor:
    """The pieces as one; a single one is not copied."""
    return nothing if not pieces else pieces[0] if len(pieces) == 1 else torch.cat(pieces)
