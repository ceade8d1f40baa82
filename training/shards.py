"""Flat dictionaries of tensors, plain ones or sharded over ranks (DTensor), in a folder of safetensors files.

The files are those of the safetensors storage of torch's distributed checkpoint: each holds one piece of a tensor at
most, and its header says where in the tensor that belongs. Its reader reads them; its planning between ranks, which
sends pickled objects, is not used, for what was saved is in the headers. So neither a file nor a message is ever
unpickled. Its writer is not used either: it has each file in memory a second time, and stops all threads meanwhile.
"""

import dataclasses
import itertools
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor
from torch.distributed.checkpoint import DefaultLoadPlanner
from torch.distributed.checkpoint.hf_storage import HuggingFaceStorageReader
from torch.distributed.checkpoint.metadata import ChunkStorageMetadata
from torch.distributed.tensor import DTensor

from schemas.errors import DataError
from training.data.stream import Rank

PLACES = "DCP_SHARDING_INFO"
"""The header's entry that says where the pieces belong."""


@dataclasses.dataclass(frozen=True)
class Piece:
    """What one rank writes of a tensor."""

    values: Tensor
    """On the CPU and contiguous."""
    offsets: list[int]
    """Of its first value, in the tensor."""


def write(folder: Path, pieces: Mapping[str, Piece], rank: Rank) -> list[Path]:
    """Write this rank's file into the folder, if it has anything to write."""
    if not pieces:
        return []
    path = folder / f"shard-{rank.rank + 1:05d}-of-{rank.world:05d}.safetensors"
    places = {name: {"saved_offsets": piece.offsets} for name, piece in sorted(pieces.items())}
    # No other entry: safetensors writes several in an order of chance, and equal tensors would not be equal bytes.
    save_file(_apart({name: piece.values for name, piece in pieces.items()}), path, {PLACES: json.dumps(places)})
    return [path]


def owned(tensors: Mapping[str, Any], rank: Rank) -> dict[str, Tensor]:
    """Those of which this rank writes a piece: of what is sharded its shard, of what all ranks have the first's.

    Raises TypeError for what is no tensor: it would be written without an error, and could not be read.
    """
    for name, value in tensors.items():
        if not isinstance(value, Tensor):
            raise TypeError(f"{name} is a {type(value).__name__}, expected a tensor")
    return {name: value for name, value in tensors.items() if _writes(value, rank)}


def local(tensor: Tensor) -> Tensor:
    """This rank's shard, or the tensor itself."""
    return tensor.detach().to_local() if isinstance(tensor, DTensor) else tensor.detach()


def offsets(tensor: Tensor) -> list[int]:
    """Where in the tensor this rank's shard begins."""
    if isinstance(tensor, DTensor):
        (shard,) = tensor.__create_chunk_list__()
        return list(shard.offsets)
    return [0] * tensor.ndim


class Saved:
    """The tensors of a folder, of which only the headers are read before they are asked for."""

    def __init__(self, folder: Path) -> None:
        """Raises DataError for a file that is not whole, or not of this storage."""
        self.folder = folder
        for path in sorted(folder.glob("*.safetensors")):
            _require_sound(path)
        self._reader = HuggingFaceStorageReader(str(folder))
        self._metadata = self._reader.read_metadata()

    def require(self, expected: Mapping[str, tuple[torch.Size, torch.dtype]], *, whole: bool = True) -> None:
        """DataError unless it holds these names, each of them whole, of this shape and dtype; and, where the `whole`
        model is asked for, no others."""
        saved = self._metadata.state_dict_metadata
        for name, (shape, dtype) in expected.items():
            if name not in saved:
                raise DataError(f"{self.folder} has no tensor {name}: it is of another model, or not whole.")
            found = saved[name]
            if (found.size, found.properties.dtype) != (shape, dtype):
                raise DataError(
                    f"{self._file(name)} has {name} as {found.properties.dtype} of shape {tuple(found.size)}, expected "
                    f"{dtype} of shape {tuple(shape)}: it is of another model, or not whole."
                )
            if not _whole(found.chunks, shape):
                raise DataError(f"{self._file(name)} and the other files of its folder have not all of {name} once.")
        for name in saved:
            if whole and name not in expected:
                raise DataError(f"{self._file(name)} has a tensor {name} too many: it is of another model.")

    def fill(self, tensors: dict[str, Tensor]) -> None:
        """Copy into the tensors, which `require` has passed; each rank reads what its shards need."""
        planner = DefaultLoadPlanner(flatten_state_dict=False, flatten_sharded_tensors=False)
        planner.set_up_planner(tensors, self._metadata, is_coordinator=True)
        self._reader.set_up_storage_reader(self._metadata, is_coordinator=True)
        with torch.no_grad():
            self._reader.read_data(planner.create_local_plan(), planner).wait()

    def _file(self, name: str) -> str:
        return next(info.relative_path for index, info in self._metadata.storage_data.items() if index.fqn == name)


def read_file(path: Path, names: list[str]) -> dict[str, Tensor]:
    """Those of the tensors of these names that one safetensors file has. Raises DataError for a damaged file."""
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys() if name in names}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise DataError(f"{path} can't be read as safetensors ({str(error)[:200]}).") from error


def _writes(tensor: Tensor, rank: Rank) -> bool:
    if not isinstance(tensor, DTensor):
        return rank.rank == 0
    place = tensor.device_mesh.get_coordinate()
    copies = [at for at, placement in zip(place, tensor.placements, strict=True) if placement.is_replicate()]
    # The last ranks of a short tensor have none of it.
    return not any(copies) and (rank.rank == 0 or local(tensor).numel() > 0)


def _apart(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Tied weights have two names; a file takes the same memory only once."""
    places: set[int] = set()
    apart = {}
    for name, value in tensors.items():
        apart[name] = value.clone() if value.data_ptr() in places else value
        places.add(value.data_ptr())
    return apart


def _require_sound(path: Path) -> None:
    try:
        with safe_open(path, framework="pt") as file:
            places = json.loads(file.metadata()[PLACES])
            shapes = {name: file.get_slice(name).get_shape() for name in file.keys()}  # noqa: SIM118
        sound = all(_is_place(places[name]["saved_offsets"], shape) for name, shape in shapes.items())
    except (SafetensorError, OSError) as error:
        raise DataError(f"{path} can't be read as safetensors ({str(error)[:200]}).") from error
    except (ValueError, KeyError, TypeError, RecursionError):
        sound = False
    if not sound:
        raise DataError(f"{path} does not say which part of its tensors it has ({PLACES}). It is not of a checkpoint.")


def _is_place(place: Any, shape: list[int]) -> bool:
    return isinstance(place, list) and len(place) == len(shape) and all(type(n) is int and n >= 0 for n in place)


def _whole(chunks: list[ChunkStorageMetadata], shape: torch.Size) -> bool:
    """Whether the pieces are all of the tensor, and nothing of it twice."""
    if sum(math.prod(chunk.sizes) for chunk in chunks) != math.prod(shape):
        return False
    return not any(_overlap(one, other) for one, other in itertools.combinations(chunks, 2))


def _overlap(one: ChunkStorageMetadata, other: ChunkStorageMetadata) -> bool:
    spans = zip(one.offsets, one.sizes, other.offsets, other.sizes, strict=True)
    return all(max(a, b) < min(a + n, b + m) for a, n, b, m in spans)
