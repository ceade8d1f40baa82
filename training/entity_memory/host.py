"""The entity memory in the host's memory, shared by the ranks of a host."""

import concurrent.futures
import contextlib
import mmap
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
from jaxtyping import Float, Int64
from torch import Tensor

from schemas.errors import DataError, UsageError
from training.config import MemoryConfig
from training.data.stream import SOLE, Rank
from training.entity_memory import kernels
from training.entity_memory.base import EntityMemory
from training.entity_memory.exchange import route
from training.entity_memory.room import free_bytes, require, table_bytes
from training.entity_memory.rules import Rule, distinct, summed

SHARED = Path("/dev/shm")
PATH_BYTES = 4096
PIECES = 4
"""Pieces of work for each thread, so that one on a busy core does not hold up the others."""


class HostMemory(EntityMemory):
    """One table for all ranks of the host, in a file without a name: nothing is left of it when they end, however.

    Synchronous, the gradients of all ranks are averaged, and each rank updates the rows i mod world = rank. Otherwise
    each rank updates any row at once and without locks (Recht et al., "Hogwild!", NeurIPS 2011).
    """

    def __init__(self, config: MemoryConfig, rule: Rule, rows: int, width: int, rank: Rank = SOLE) -> None:
        super().__init__(config, rule, rows, width, rank, training=True)
        local = int(os.environ.get("LOCAL_WORLD_SIZE", rank.world))
        if local != rank.world:
            raise UsageError(
                f'memory.backend = "host" is shared by the ranks of one host; here are {rank.world} ranks, {local} of '
                "them on this host. Set it to sharded."
            )
        self._tensors = _tensors(_shared_file(config, table_bytes(rows, width, rule), rank), rows, width, rule)
        self._arrays = {name: tensor.numpy() for name, tensor in self._tensors.items()}
        self._spare = torch.empty(0, width)
        """Memory of rows that were given back."""
        self._threads = torch.get_num_threads()
        self._pool = concurrent.futures.ThreadPoolExecutor(self._threads)

    @property
    def share(self) -> Rank:
        """All rows."""
        return SOLE

    def tensors(self) -> dict[str, Tensor]:
        """The rows and their state, in the shared memory itself."""
        return dict(self._tensors)

    def pull(self, ids: Int64[Tensor, " N"]) -> Float[Tensor, "N D"]:
        """Rows of the shared table; for another device only distinct ones are copied there."""
        weight = self._tensors["weight"]
        if ids.device.type == "cpu":
            self._require_known(ids)
            rows = self._buffer(len(ids))
            arrays = self._arrays["weight"], ids.contiguous().numpy(), rows.numpy()
            self._share_out(len(ids), lambda start, end: kernels.gather(*arrays, start, end))
            return rows
        found, places = distinct(ids)
        return weight.index_select(0, found.cpu()).to(ids.device).index_select(0, places)

    def push(self, ids: Int64[Tensor, " N"], gradients: Float[Tensor, "N D"], rate: float, step: int) -> None:
        """The update of this rank's gradients, or, synchronous, of all ranks' for this rank's rows."""
        if ids.device.type != "cpu":
            ids, gradients = (values.cpu() for values in summed(ids, gradients))
        together = self._config.synchronous and self._rank.world > 1
        if together:
            found, sums = summed(ids, gradients)
            way = route(found, self._rank.world)
            ids, gradients = way.to_owners(found), way.to_owners(sums) / self._rank.world
        self._update(ids, gradients, rate, step)
        if together:
            dist.barrier()

    def release(self, rows: Float[Tensor, "N D"]) -> None:
        """Memory that is new to a process costs more to get than the rows to read: the largest piece is kept."""
        count = rows.untyped_storage().nbytes() // (4 * self.width)
        if rows.device.type == "cpu" and count > len(self._spare):
            self._spare = rows.detach().as_strided((count, self.width), (self.width, 1))

    def _buffer(self, count: int) -> Tensor:
        spare, self._spare = self._spare, torch.empty(0, self.width)
        if count > len(spare):
            spare = torch.frombuffer(_own_memory(4 * count * self.width), dtype=torch.float32).view(count, self.width)
        return spare[:count]

    def _put(self, name: str, ids: Int64[Tensor, " N"], values: Tensor) -> None:
        if self._rank.rank == 0:
            super()._put(name, ids, values)
        if self._rank.world > 1:
            dist.barrier()

    def _require_known(self, ids: Tensor) -> None:
        # The kernels do not look: another id would be memory of something else.
        if len(ids) and not (int(ids.min()) >= 0 and int(ids.max()) < self.rows):
            raise IndexError(f"ids from {int(ids.min())} to {int(ids.max())} of a table of {self.rows} rows")

    def _update(self, ids: Tensor, gradients: Tensor, rate: float, step: int) -> None:
        self._require_known(ids)
        found, places = distinct(ids)
        which, order, starts = kernels.group(places.numpy(), len(found))
        rule, arrays = self._rule, self._arrays
        # Scalars of 32 bits: with others the kernel would compute in 64.
        size, eps = np.float32(rule.step_size(rate, step)), np.float32(rule.eps)
        shared = (found.numpy()[which], order, starts, gradients.contiguous().numpy())

        def work(start: int, end: int) -> None:
            if rule.name == "adagrad":
                kernels.adagrad(arrays["weight"], arrays["squares"], *shared, start, end, size, eps)
            else:
                keeps = np.float32(1 - rule.beta1), np.float32(1 - rule.beta2)
                moments = arrays["moment1"], arrays["moment2"]
                kernels.adam(arrays["weight"], *moments, *shared, start, end, size, *keeps, eps)

        self._share_out(len(found), work)

    def _share_out(self, count: int, work: Callable[[int, int], None]) -> None:
        """work(start, end) for all of range(count), by the threads."""
        pieces = PIECES * self._threads if self._threads > 1 else 1
        cuts = [count * piece // pieces for piece in range(pieces + 1)]
        for _ in (self._pool.map if self._threads > 1 else map)(work, cuts[:-1], cuts[1:]):
            pass


def _shared_file(config: MemoryConfig, size: int, rank: Rank) -> mmap.mmap:
    """The memory of a file that the first rank makes, all map, and that loses its name when they have.

    One rank alone needs no file, unless a folder is named.
    """
    if rank.world == 1 and not config.folder:
        require(size, free_bytes(torch.device("cpu")), "of the host's memory")
        return _own_memory(size)
    folder = Path(config.folder or (SHARED if SHARED.is_dir() else tempfile.gettempdir()))
    path = torch.zeros(PATH_BYTES, dtype=torch.uint8)
    error = None
    if rank.rank == 0:
        try:
            name = os.fsencode(_new_file(folder, size))
            path[: len(name)] = torch.frombuffer(bytearray(name), dtype=torch.uint8)
        except DataError as problem:
            error = problem
    if rank.world > 1:
        dist.broadcast(path, 0)
    name = bytes(path.tolist()).rstrip(b"\0")
    if not name:
        raise error or DataError("The entity memory could not be made; the first rank says why.")
    with open(name, "r+b") as file:
        memory = mmap.mmap(file.fileno(), size)
    if rank.world > 1:
        dist.barrier()
    if rank.rank == 0:
        os.unlink(name)
    return memory


def _own_memory(size: int) -> mmap.mmap:
    """Memory of this process alone, in huge pages where the system grants them: a fifth less time for a step."""
    memory = mmap.mmap(-1, max(1, size), flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    with contextlib.suppress(OSError, AttributeError):  # not every system has them
        memory.madvise(mmap.MADV_HUGEPAGE)
    return memory


def _new_file(folder: Path, size: int) -> str:
    """A file of zeros, its bytes taken now: a write to memory that turns out not to be there ends a process."""
    try:
        status = os.statvfs(folder)
        require(size, status.f_bavail * status.f_frsize, f"in {folder} (memory.folder)")
        if folder == SHARED:
            require(size, free_bytes(torch.device("cpu")), "of the host's memory")
        handle, name = tempfile.mkstemp(prefix="wikiloom-", dir=folder)
    except OSError as error:
        raise DataError(f"memory.folder {folder}: {error.strerror}. Name a folder that can be written to.") from error
    try:
        os.posix_fallocate(handle, 0, size)
    except OSError as error:
        with contextlib.suppress(OSError):
            os.unlink(name)
        raise DataError(f"{folder} has no room for the {size / 2**30:,.2f} GiB of the entity memory.") from error
    finally:
        os.close(handle)
    return name


def _tensors(memory: mmap.mmap, rows: int, width: int, rule: Rule) -> dict[str, Tensor]:
    flat, start = torch.frombuffer(memory, dtype=torch.float32), 0
    tensors = {}
    for name, shape in {"weight": (rows, width), **rule.slots(rows, width)}.items():
        count = int(np.prod(shape))
        tensors[name] = flat[start : start + count].view(shape)
        start += count
    return tensors
