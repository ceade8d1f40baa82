"""The entity memory: a table of embeddings too large for the optimiser, of which a step uses a few rows.

Its rows are read by id, and those that got a gradient are updated once a step, with a state per row; all others, and
their states, stay as they are. Where they live is the backend's business:

- device: beside the model; with several ranks each has a copy, and all copies are updated alike.
- host: once in memory that the ranks of a host share, updated by a compiled kernel; for tables larger than a device.
- sharded: row i on rank i mod ranks, beside the model; rows and gradients travel between the ranks.

E entities, D hidden, N ids asked for (repeats allowed), U distinct ids.
"""

import torch

from training.config import MemoryConfig
from training.data.stream import SOLE, Rank
from training.entity_memory.backends import DeviceMemory, ShardedMemory
from training.entity_memory.base import EntityMemory
from training.entity_memory.room import require_room, table_bytes
from training.entity_memory.rules import Rule

__all__ = ["CPU", "EntityMemory", "open_memory"]

CPU = torch.device("cpu")


def open_memory(
    config: MemoryConfig, rows: int, width: int, device: torch.device = CPU, rank: Rank = SOLE, *, training: bool = True
) -> EntityMemory:
    """A table of zeros, ready to be filled; every rank opens it. Where it is not for `training` it has no state, and
    is a plain table on the device whatever the backend.

    Raises DataError where there is no room for it, UsageError for a host backend of ranks on several hosts.
    """
    rule = Rule(config.optimizer, config.beta1, config.beta2, config.eps)
    if not training:
        require_room(table_bytes(rows, width, rule, training=False), device)
        return DeviceMemory(config, rule, rows, width, device, training=False)
    if config.backend == "host":
        # Only this backend needs the compiler, which takes a while to import.
        from training.entity_memory.host import HostMemory

        return HostMemory(config, rule, rows, width, rank)
    if config.backend == "sharded" and rank.world > 1:
        require_room(table_bytes(-(-rows // rank.world), width, rule), device)
        return ShardedMemory(config, rule, rows, width, device, rank)
    require_room(table_bytes(rows, width, rule), device)
    return DeviceMemory(config, rule, rows, width, device, rank)
