"""What each of two processes does to one entity memory of every kind; what they end with is saved for the test."""

import os
from pathlib import Path

import torch
import torch.distributed as dist
from safetensors.torch import load_file, save_file

from tests.training.entity_memory.references import RATE, ROWS, WIDTH, learn, opened, restore
from training.data.stream import Rank

WORLD = 2


def run(rank: int, folder: Path) -> None:
    """All that needs two ranks, in one pair of processes: starting them takes seconds."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=WORLD)
    for backend in ("device", "host", "sharded"):
        for optimizer in ("adam", "adagrad"):
            _learn_twice(backend, optimizer, Rank(rank, WORLD), folder)
    _resume_alone(Rank(rank, WORLD), folder)
    _hogwild(Rank(rank, WORLD), folder)
    dist.destroy_process_group()


def _learn_twice(backend: str, optimizer: str, rank: Rank, folder: Path) -> None:
    for time in ("first", "second"):
        memory = opened(backend, rank=rank, optimizer=optimizer)
        learn(memory, rank.rank)
        rows = memory.pull(torch.arange(ROWS))
        save_file({"rows": rows}, folder / f"{backend}-{optimizer}-{time}-{rank.rank}")
        if memory.saves and time == "first":
            save_file(memory.tensors(), folder / f"{backend}-{optimizer}-part-{memory.share.rank}")
    dist.barrier()


def _resume_alone(rank: Rank, folder: Path) -> None:
    """Two shards' parts, and a whole table's, back into two shards."""
    for saved, parts in (("sharded", WORLD), ("device", 1)):
        memory = opened("sharded", rank=rank)
        restore(memory, [load_file(folder / f"{saved}-adam-part-{part}") for part in range(parts)])
        save_file(memory.tensors(), folder / f"resumed-{saved}-{rank.rank}")


def _hogwild(rank: Rank, folder: Path) -> None:
    """Without waiting for each other, each rank updates rows of its own and one that both do."""
    shared = folder / "shared"
    shared.mkdir(exist_ok=True)
    memory = opened("host", rank=rank, synchronous=False, folder=str(shared))
    assert not os.listdir(shared)
    for step in range(1, 101):
        ids = torch.tensor([rank.rank, rank.rank + 4, 12])
        memory.push(ids, torch.full((3, WIDTH), 1.0 + rank.rank), RATE / 100, step)
    dist.barrier()
    save_file({"rows": memory.tensors()["weight"].clone()}, folder / f"hogwild-{rank.rank}")
