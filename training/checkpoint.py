"""Checkpoints: every tensor in safetensors, counters in JSON beside them; nothing that could run code is ever read.

RUN/checkpoints/step-00000100/ holds model/ and optimizer/, each with a file of every rank that has a part of them
(shard-00001-of-00004.safetensors: the first rank's), and state.json; of a model with an entity memory also
memory-00000-of-00004.safetensors: of n such parts, part k has the rows k, k + n, ... and their state. What some ranks
saved, any number can load. A checkpoint is written under another name and renamed when whole, so a kill at any moment
leaves the last one as it was. state.json has the steps done, of which the learning rate is a pure function, the
optimizer's groups, the loader's state, and the bytes and hash of each file, which are checked when it is read.
"""

import dataclasses
import os
import re
import shutil
import sys
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from pathlib import Path
from types import TracebackType
from typing import Any

import torch
import torch.distributed as dist
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor, nn

from schemas.errors import DataError
from training.checkpoint_state import STATE, VERSION, require_whole, sizes, write_hashes, write_state
from training.data.stream import SOLE, Rank
from training.entity_memory import CPU, EntityMemory
from training.entity_memory.context import ContextMemory
from training.entity_memory.room import SPARE, free_bytes
from training.shards import Piece, Saved, local, offsets, owned, read_file, write

MODEL, OPTIMIZER, MEMORY = "model", "optimizer", "memory-"
PICKLES = {".bin", ".ckpt", ".dill", ".distcp", ".joblib", ".npy", ".npz", ".pickle", ".pk", ".pkl", ".pt", ".pth"}
PICKLES |= {".tar"}
"""Suffixes of files that may hold pickled objects."""
HOW = ("params", "lr", "capturable", "differentiable", "foreach", "fused")
"""What of a parameter group is not compared: the rate is the step's, and how a device computes changes nothing."""


@dataclasses.dataclass(frozen=True)
class _Content:
    """What one rank writes of a checkpoint."""

    parts: dict[str, dict[str, Piece]]
    """By folder and name."""
    memory: str
    """The file of its part of the entity memory; empty where it writes none."""
    rows: dict[str, Tensor]
    document: dict[str, Any]
    """state.json, but for the files' bytes."""

    def write(self, folder: Path, rank: Rank) -> int:
        """Write all but state.json; returns the bytes."""
        files = [path for name, pieces in self.parts.items() for path in write(folder / name, pieces, rank)]
        if self.memory:
            files.append(folder / self.memory)
            save_file(self.rows, files[-1])
        for path in files:
            # safetensors makes files for their owner alone; they are for whoever may read the folder.
            path.chmod(path.parent.stat().st_mode & 0o666)
            _sync(path)
        write_hashes(folder, files, rank.rank)
        return sum(path.stat().st_size for path in files)


class Checkpoints:
    """Saves the checkpoints of a run, and keeps the newest; every rank has one and makes the same calls.

    A context: what is being written when it is left is finished first.
    """

    def __init__(
        self,
        run: Path,
        keep: int,
        rank: Rank = SOLE,
        *,
        asynchronous: bool = True,
        group: dist.ProcessGroup | None = None,
    ) -> None:
        """`asynchronous`: a thread writes copies, while training goes on. They take as many bytes of the host's memory
        as the rank writes; where it has no room for them, training waits as it does without.

        `group`: all ranks, on the CPU (gloo), for nothing else, since the thread speaks in it; None for a sole rank.
        """
        if rank.world > 1 and group is None:
            raise ValueError(f"{rank.world} ranks need a group")
        self._run, self._keep, self._rank, self._group = run, keep, rank, group
        self._asynchronous = asynchronous
        self._copies: dict[str, Tensor] = {}
        """Where the last save was copied to, and the next will be: memory that is new costs more than the copying."""
        self._writing: Future[None] | None = None

    def save(self, step: int, model: Any, optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> None:
        """Save what `step` steps have made, and `state`, which is JSON. The save before is finished first.

        Raises DataError, on every rank, where any of them could not write.
        """
        self.wait()
        content, copied = self._content(step, model, optimizer, state)
        if copied:
            self._writing = _in_thread(lambda: self._write(content))
        else:
            self._write(content)

    def wait(self) -> None:
        """Until the last save is on the disk. Raises DataError, on every rank, where any of them could not write."""
        writing, self._writing = self._writing, None
        if writing:
            writing.result()

    def __enter__(self) -> "Checkpoints":
        if self._rank.rank == 0:
            # A kill amid the last save of a run: no other will come to remove what it left.
            self._tidy()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.wait()
        except Exception as problem:
            if error is None:
                raise
            # What ended the run is what the user is to read last.
            print(f"warning: the last checkpoint was not written: {problem}", file=sys.stderr)

    def _content(
        self, step: int, model: Any, optimizer: torch.optim.Optimizer, state: dict[str, Any]
    ) -> tuple[_Content, bool]:
        """What to write, and whether it is a copy that training does not change."""
        # First of all: FSDP puts its shards back, which are the parameters that the optimizer knows.
        weights = owned(model.state_dict(), self._rank)
        names = {parameter: name for name, parameter in model.named_parameters()}
        moments = owned(_moments(names, optimizer), self._rank)
        rows = model.memory.tensors() if model.memory and model.memory.saves else {}
        copied = self._asynchronous and self._has_room((*weights.values(), *moments.values(), *rows.values()))
        on_host = self._copy if copied else _as_it_is
        content = _Content(
            {
                kind: {name: Piece(on_host(kind, name, local(t)), offsets(t)) for name, t in tensors.items()}
                for kind, tensors in ((MODEL, weights), (OPTIMIZER, moments))
            },
            memory_part(model.memory) if rows else "",
            {name: on_host("memory", name, value) for name, value in rows.items()},
            {"version": VERSION, "step": step, "optimizer": _groups(names, optimizer), **state},
        )
        if any(tensor.is_cuda for tensor in (*weights.values(), *moments.values(), *rows.values())):
            torch.cuda.synchronize()
        return content, copied

    def _has_room(self, tensors: Iterable[Tensor]) -> bool:
        needed = sum(local(tensor).nbytes for tensor in tensors) - sum(copy.nbytes for copy in self._copies.values())
        return needed <= free_bytes(CPU) * (1 - SPARE)

    def _copy(self, kind: str, name: str, value: Tensor) -> Tensor:
        key = f"{kind}/{name}"
        if key not in self._copies:
            self._copies[key] = torch.empty(value.shape, dtype=value.dtype, device=CPU, pin_memory=value.is_cuda)
        return self._copies[key].copy_(value, non_blocking=True)

    def _write(self, content: _Content) -> None:
        folder = self._run / "checkpoints" / f"step-{content.document['step']:08d}"
        temporary = folder.with_name(f".{folder.name}.tmp")
        first = self._rank.rank == 0
        self._together(folder, lambda: _prepare(temporary) if first else 0)
        size = self._together(folder, lambda: content.write(temporary, self._rank))
        self._together(folder, lambda: self._publish(temporary, folder, content.document, size) if first else 0)

    def _together(self, folder: Path, work: Callable[[], int]) -> int:
        """Work that no rank has done until all have; returns the sum of the results. If one fails, all raise.

        Raises DataError, or gloo's RuntimeError where a rank has ended.
        """
        results = torch.zeros(self._rank.world + 1, dtype=torch.int64)
        error = None
        try:
            results[-1] = work()
        except Exception as problem:
            error, results[self._rank.rank] = problem, 1
        if self._group is not None:
            dist.all_reduce(results, group=self._group)
        if isinstance(error, OSError | SafetensorError):
            raise DataError(f"{folder} can't be written ({error}). Make room there; go on with --resume.") from error
        if error:
            raise error
        failed = results[:-1].nonzero().flatten().tolist()
        if failed:
            raise DataError(f"{folder} was not written: rank {failed[0]} failed, which says why. Go on with --resume.")
        return int(results[-1])

    def _publish(self, temporary: Path, folder: Path, document: dict[str, Any], size: int) -> int:
        """Make what all ranks wrote the newest checkpoint, and remove those that are not kept."""
        found = sum(sizes(temporary).values())
        if found != size:
            raise DataError(
                f"{temporary} has {found:,} bytes of the {size:,} that all ranks wrote. "
                "Let --out be a folder that is the same on all hosts."
            )
        write_state(temporary, document, self._rank.world)
        for path in (temporary / STATE, temporary / MODEL, temporary / OPTIMIZER, temporary):
            _sync(path)
        if folder.exists():
            _retire(folder)
        os.replace(temporary, folder)
        _sync(folder.parent)
        self._tidy()
        return 0

    def _tidy(self) -> None:
        """Remove the checkpoints that are not kept, and what is half written or half removed."""
        for old in checkpoints(self._run)[: -self._keep]:
            _retire(old)
        _clear(self._run / "checkpoints")


def checkpoints(run: Path) -> list[Path]:
    """The whole checkpoints of a run, oldest first."""
    folders = (run / "checkpoints").glob("step-*")
    return sorted(folder for folder in folders if re.fullmatch(r"step-\d{8,}", folder.name))


def load_model(folder: Path, model: nn.Module) -> None:
    """Fill the model; DataError where a file is damaged or of another model."""
    require_whole(folder, MODEL)
    tensors = model.state_dict()
    saved = Saved(folder / MODEL)
    saved.require({name: (value.shape, value.dtype) for name, value in tensors.items()})
    saved.fill(tensors)


def load_optimizer(folder: Path, model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """Fill the optimizer's state; DataError where a file is damaged or of another optimizer."""
    names = {parameter: name for name, parameter in model.named_parameters()}
    groups = require_whole(folder, OPTIMIZER).get("optimizer")
    _require_groups(folder, groups, _groups(names, optimizer))
    kinds = {name: kinds for group in groups for name, kinds in group["params"].items()}
    expected = {
        f"{kind}/{name}": (torch.Size(), torch.float32) if kind == "step" else (parameter.shape, parameter.dtype)
        for parameter, name in names.items()
        for kind in kinds.get(name, [])
    }
    saved = Saved(folder / OPTIMIZER)
    saved.require(expected)
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            # Where the kernel is of the device, so is the counter of steps.
            counter = parameter.device if group.get("fused") or group.get("capturable") else CPU
            optimizer.state[parameter] = {
                kind: torch.zeros((), device=counter) if kind == "step" else torch.zeros_like(parameter)
                for kind in kinds[names[parameter]]
            }
    saved.fill(_moments(names, optimizer))


def memory_part(memory: EntityMemory | ContextMemory) -> str:
    """The file of this rank's rows."""
    return f"{MEMORY}{memory.share.rank:05d}-of-{memory.share.world:05d}.safetensors"


def load_memory(folder: Path, memory: EntityMemory | ContextMemory | None) -> None:
    """Fill the entity memory, if there is one, from the parts of any backend and number of ranks.

    Raises DataError where a part is missing, damaged or of another memory.
    """
    if memory is None:
        return
    require_whole(folder, MEMORY)
    found = sorted(folder.glob("memory-*-of-*.safetensors"))
    names = [f"memory-{part:05d}-of-{len(found):05d}.safetensors" for part in range(len(found))]
    if not found or [path.name for path in found] != names:
        raise DataError(f"{folder} has not all parts of its entity memory. Remove it to go back to the one before.")
    for part, path in enumerate(found):
        memory.restore(part, len(found), read_file(path, list(memory.tensors())))


def refuse_pickles(run: Path) -> None:
    """DataError where a run folder holds a file that could carry pickled objects: we wrote none."""
    for path in sorted(run.rglob("*")):
        if path.suffix.lower() in PICKLES:
            raise DataError(
                f"{path} may hold pickled objects, which can run code when they are read. "
                "Wikiloom wrote no such file and reads none; remove it."
            )


def _moments(names: dict[nn.Parameter, str], optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """The state of each parameter, by kind and name."""
    return {
        f"{kind}/{name}": value
        for parameter, name in names.items()
        for kind, value in optimizer.state.get(parameter, {}).items()
    }


def _groups(names: dict[nn.Parameter, str], optimizer: torch.optim.Optimizer) -> list[dict[str, Any]]:
    """The groups as JSON has them; of each parameter, the kinds of its state."""
    return [
        {
            **{key: list(value) if isinstance(value, tuple) else value for key, value in group.items()},
            "params": {names[parameter]: sorted(optimizer.state.get(parameter, {})) for parameter in group["params"]},
        }
        for group in optimizer.param_groups
    ]


def _require_groups(folder: Path, saved: Any, groups: list[dict[str, Any]]) -> None:
    def fails(what: str) -> DataError:
        return DataError(f"{folder / STATE} is of another optimizer: {what}.")

    if not isinstance(saved, list) or len(saved) != len(groups):
        raise fails(f"it has not {len(groups)} groups of parameters")
    for number, (before, now) in enumerate(zip(saved, groups, strict=True)):
        parameters = before.get("params") if isinstance(before, dict) else None
        if not isinstance(parameters, dict) or set(parameters) != set(now["params"]):
            raise fails(f"group {number} has other parameters")
        if not all(isinstance(kinds, list) and all(isinstance(k, str) for k in kinds) for kinds in parameters.values()):
            raise fails(f"group {number} does not say what state its parameters have")
        for key in now.keys() - HOW:
            if before.get(key) != now[key]:
                raise fails(f"{key} of group {number} was {before.get(key)!r}, now {now[key]!r}")


def _as_it_is(kind: str, name: str, value: Tensor) -> Tensor:
    return value.cpu().contiguous()


def _in_thread(work: Callable[[], None]) -> Future[None]:
    # Not of a pool, whose threads hold up the end of a process that is told to end at once.
    done: Future[None] = Future()

    def run() -> None:
        try:
            done.set_result(work())
        except BaseException as error:
            done.set_exception(error)

    threading.Thread(target=run, name="checkpoint", daemon=True).start()
    return done


def _prepare(temporary: Path) -> int:
    """The folders to write into; what a kill left half-written goes."""
    _clear(temporary.parent)
    for name in (MODEL, OPTIMIZER):
        (temporary / name).mkdir(parents=True)
    return 0


def _retire(folder: Path) -> None:
    # Renamed first: half removed, it would look like a checkpoint.
    os.replace(folder, folder.with_name(f".{folder.name}.old.tmp"))


def _clear(folder: Path) -> None:
    for left in folder.glob(".step-*.tmp"):
        shutil.rmtree(left)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
