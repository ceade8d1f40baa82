"""Whether a table fits, asked before it is allocated."""

import math
import os
from pathlib import Path

import torch

from schemas.errors import DataError
from training.entity_memory.rules import Rule

SPARE = 0.05
"""Share of what is free that is left to everything else."""
CGROUP = Path("/sys/fs/cgroup")
MEMINFO = Path("/proc/meminfo")


def table_bytes(rows: int, width: int, rule: Rule, *, training: bool = True) -> int:
    """Bytes of the rows and, for training, of their state: all are 32-bit floats."""
    slots = sum(map(math.prod, rule.slots(rows, width).values())) if training else 0
    return 4 * (rows * width + slots)


def require_room(needed: int, device: torch.device) -> None:
    """DataError where the device's memory has not so many bytes free."""
    require(needed, free_bytes(device), f"of the memory of {device.type}")


def require(needed: int, free: int, where: str) -> None:
    """DataError where `needed` bytes are more than `free` ones allow."""
    if needed > free * (1 - SPARE):
        raise DataError(
            f"The entity memory needs {needed / 2**30:,.2f} GiB {where}, where {free / 2**30:,.2f} GiB are free. "
            "Take memory.optimizer=adagrad (a third of adam's bytes), another backend (memory.backend=host: the "
            "host's memory, or with memory.folder a disk; sharded: an equal part on each rank), or a dataset of fewer "
            "entities."
        )


def free_bytes(device: torch.device) -> int:
    """Bytes that a process may still allocate there: of the machine, or of the container where that has fewer; all that
    the machine has where the system does not say what is free."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    if not MEMINFO.is_file():
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    fields = dict(line.split(":") for line in MEMINFO.read_text(encoding="ascii").splitlines())
    free = int(fields["MemAvailable"].split()[0]) * 1024
    limit, used = CGROUP / "memory.max", CGROUP / "memory.current"
    if limit.is_file() and used.is_file() and (bound := limit.read_text(encoding="ascii").strip()).isdigit():
        free = min(free, int(bound) - int(used.read_text(encoding="ascii")))
    return max(0, free)
