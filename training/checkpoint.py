"""Checkpoints: every tensor in safetensors, counters in JSON beside them; nothing that could run code is ever read.

RUN/checkpoints/step-00000100/ holds model.safetensors, optimizer.safetensors and state.json; of a model with an entity
memory also memory-00000-of-00004.safetensors: of n such parts, part k has the rows k, k + n, ... and their state. A
checkpoint is written under another name and renamed when whole, so a kill at any moment leaves the last one as it was.
state.json has the steps done, of which the learning rate is a pure function, and the loader's state.
"""

import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from schemas.errors import DataError
from training.entity_memory import EntityMemory

VERSION = 2
"""1 had the table of entities in model.safetensors, and no state of the loader."""
MODEL, OPTIMIZER, STATE = "model.safetensors", "optimizer.safetensors", "state.json"
PICKLES = {".bin", ".ckpt", ".joblib", ".npy", ".npz", ".pickle", ".pkl", ".pt", ".pth", ".tar"}
"""Suffixes of files that may hold pickled objects."""


def save_checkpoint(
    run: Path, step: int, model: Any, optimizer: torch.optim.Optimizer, state: dict[str, Any], keep: int
) -> Path:
    """Write the checkpoint of `step` (steps done) and remove all but the newest `keep`; returns its folder."""
    from safetensors.torch import save_file

    folder = run / "checkpoints" / f"step-{step:08d}"
    temporary = folder.with_name(f".{folder.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    save_file({name: value.contiguous() for name, value in model.state_dict().items()}, temporary / MODEL)
    save_file(_optimizer_tensors(model, optimizer), temporary / OPTIMIZER)
    names = [MODEL, OPTIMIZER]
    if model.memory and model.memory.saves:
        names.append(memory_part(model.memory))
        save_file(model.memory.tensors(), temporary / names[-1])
    sizes = {name: (temporary / name).stat().st_size for name in names}
    document = {"version": VERSION, "step": step, "bytes": sizes, **state}
    (temporary / STATE).write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    for name in (*names, STATE):
        _sync(temporary / name)
    shutil.rmtree(folder, ignore_errors=True)
    os.replace(temporary, folder)
    _sync(folder.parent)
    for old in checkpoints(run)[:-keep]:
        shutil.rmtree(old)
    return folder


def checkpoints(run: Path) -> list[Path]:
    """The whole checkpoints of a run, oldest first."""
    folders = (run / "checkpoints").glob("step-*")
    return sorted(folder for folder in folders if re.fullmatch(r"step-\d{8,}", folder.name))


def read_state(folder: Path) -> dict[str, Any]:
    """state.json of a checkpoint, checked against its files' sizes.

    Raises DataError for a checkpoint that is damaged or that another version wrote.
    """
    try:
        state = json.loads((folder / STATE).read_text(encoding="utf-8"))
        sizes = {name: (folder / name).stat().st_size for name in state["bytes"]}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{folder} is damaged ({type(error).__name__}). Remove it to go back to the one before."
        ) from error
    if state.get("version") != VERSION:
        raise DataError(
            f"{folder} has version {state.get('version')}; this Wikiloom reads version {VERSION}. "
            "Go on with the Wikiloom that wrote it, or train a new run."
        )
    if sizes != state["bytes"]:
        raise DataError(f"{folder} is damaged: sizes {sizes}, expected {state['bytes']}. Remove it to go back.")
    return state


def load_model(folder: Path, model: nn.Module) -> None:
    """Fill the model; DataError where the file is damaged or of another model."""
    tensors = _read(folder / MODEL)
    try:
        model.load_state_dict(tensors)
    except RuntimeError as error:
        line = str(error).splitlines()[1].strip() if "\n" in str(error) else str(error)
        raise DataError(f"{folder / MODEL} is of another model: {line[:200]}") from error


def load_optimizer(folder: Path, model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """Fill the optimizer's moments."""
    tensors = _read(folder / OPTIMIZER)
    for name, parameter in model.named_parameters():
        of_parameter = {key.partition("/")[0]: value for key, value in tensors.items() if key.partition("/")[2] == name}
        if of_parameter:
            # The step counter stays on the CPU unless the fused kernel of the device wants it there.
            optimizer.state[parameter] = {key: value.to(parameter.device) for key, value in of_parameter.items()}


def memory_part(memory: EntityMemory) -> str:
    """The file of this rank's rows."""
    return f"memory-{memory.share.rank:05d}-of-{memory.share.world:05d}.safetensors"


def load_memory(folder: Path, memory: EntityMemory | None) -> None:
    """Fill the entity memory, if there is one, from the parts of any backend and number of ranks.

    Raises DataError where a part is missing, damaged or of another memory.
    """
    if memory is None:
        return
    found = sorted(folder.glob("memory-*-of-*.safetensors"))
    names = [f"memory-{part:05d}-of-{len(found):05d}.safetensors" for part in range(len(found))]
    if not found or [path.name for path in found] != names:
        raise DataError(f"{folder} has not all parts of its entity memory. Remove it to go back to the one before.")
    for part, path in enumerate(found):
        memory.restore(part, len(found), _read(path, list(memory.tensors())))


def refuse_pickles(run: Path) -> None:
    """DataError where a run folder holds a file that could carry pickled objects: we wrote none."""
    for path in sorted(run.rglob("*")):
        if path.suffix.lower() in PICKLES:
            raise DataError(
                f"{path} may hold pickled objects, which can run code when they are read. "
                "Wikiloom wrote no such file and reads none; remove it."
            )


def _optimizer_tensors(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    return {
        f"{key}/{name}": value.contiguous()
        for name, parameter in model.named_parameters()
        for key, value in optimizer.state.get(parameter, {}).items()
    }


def _read(path: Path, names: list[str] | None = None) -> dict[str, Tensor]:
    """The file's tensors; those of `names` that it has, where names are given."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys() if names is None or name in names}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise DataError(f"{path} can't be read as safetensors ({str(error)[:200]}).") from error


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
