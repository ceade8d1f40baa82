"""The entity memory on the host beside torch's sparse optimizer, one process and two, and the map of ids.

    python benchmarks/entity_memory.py [--rows 300000] [--width 768] [--ids 32768] [--rounds N]

A step reads the rows of its ids (drawn by rank^-0.75, with repeats), and updates them from a gradient for each id.
torch's way is embedding(sparse=True), backward and SparseAdam; ours is the host backend's reading and updating, by the
same sparse Adam and by row-wise Adagrad. All have the same ids, gradients and threads; each round runs all of them, and
the best round counts, by CPU and by wall time; on a busy machine the former says more. The share of the copy
bandwidth is the bytes that a step must move over its time, against those of a plain copy by as many threads. Two
processes update one table without locks, one thread each. Writes results/entity_memory.json.
"""

import argparse
import functools
import itertools
import multiprocessing
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor

from benchmarks.timing import Seconds, best_seconds, save
from schemas.hashing import random_u64
from training.config import MemoryConfig
from training.data.negatives import alias_table
from training.data.stream import Rank
from training.entity_memory import EntityMemory, open_memory
from training.entity_memory.rules import distinct

RULES: tuple[Literal["adam", "adagrad"], ...] = ("adam", "adagrad")
RATE = 1e-3
ENTITIES, GOLDS, PER_GOLD = 3_085_345, 400, 200
"""CoLAKE's entities, and the negatives of a micro-batch."""
COPIED = 1 << 28
SHARED_STEPS = 10


def draw_ids(rows: int, count: int, step: int = 0) -> Tensor:
    """Ids of a step: rank r has a weight of r^-0.75, and the ranks are spread over the table."""
    weights = np.arange(1, rows + 1) ** -0.75
    ranks = alias_table(weights).sample(random_u64(0, "ids", step, np.arange(count)))
    return torch.from_numpy(np.argsort(random_u64(0, "spread", np.arange(rows)))[ranks])


def torch_step(weight: Tensor, optimizer: torch.optim.Optimizer, ids: Tensor, gradients: Tensor) -> None:
    """What a model with a sparse embedding does."""
    F.embedding(ids, weight, sparse=True).backward(gradients)
    optimizer.step()
    optimizer.zero_grad()


def our_step(memory: EntityMemory, ids: Tensor, gradients: Tensor) -> None:
    """The same with the entity memory."""
    rows = memory.pull(ids)
    memory.push(ids, gradients, RATE, 1)
    memory.release(rows)


def step_bytes(optimizer: str, ids: Tensor, width: int) -> int:
    """Bytes that a step can't do without: a copy of every row, its gradient, and its row and state read and written."""
    rows, found = len(ids), len(distinct(ids)[0])
    return 4 * width * (2 * rows + rows + 2 * found * (3 if optimizer == "adam" else 1))


def measure_steps(rows: int, width: int, count: int, threads: int, rounds: int) -> dict[str, Any]:
    """Times of each way, and what follows from them."""
    torch.set_num_threads(threads)
    ids, gradients = draw_ids(rows, count), torch.randn(count, width)
    weight = torch.zeros(rows, width, requires_grad=True)
    memories = {name: open_memory(MemoryConfig(backend="host", optimizer=name), rows, width) for name in RULES}
    source, target = torch.ones(COPIED // 4), torch.ones(COPIED // 4)
    runs: dict[str, Callable[[], object]] = {
        "copy": functools.partial(target.copy_, source),
        "SparseAdam": functools.partial(torch_step, weight, torch.optim.SparseAdam([weight], lr=RATE), ids, gradients),
        **{name: functools.partial(our_step, memory, ids, gradients) for name, memory in memories.items()},
    }
    for run in runs.values():
        run()
    times = best_seconds(runs, rounds)
    figures: dict[str, Any] = {"threads": threads, "distinct ids": len(distinct(ids)[0])}
    for name, seconds in times.items():
        figures[f"{name}, CPU ms"], figures[f"{name}, wall ms"] = (round(1e3 * value, 2) for value in seconds)
    for name, clock in itertools.product(memories, Seconds._fields):
        ours, theirs, copy = (getattr(times[key], clock) for key in (name, "SparseAdam", "copy"))
        figures[f"{name} beside SparseAdam, {clock}"] = round(theirs / ours, 1)
        share = step_bytes(name, ids, width) / ours / (2 * COPIED / copy)
        figures[f"{name}, share of copy bandwidth, {clock}"] = round(share, 2)
    return figures


def measure_two(rows: int, width: int, count: int, rounds: int) -> dict[str, Any]:
    """Ids a second of one process on a table, and of two at once on the same one, a thread each."""
    figures: dict[str, Any] = {}
    for world in (1, 2):
        with tempfile.TemporaryDirectory() as folder:
            context = multiprocessing.get_context("spawn")
            queue = context.Queue()
            arguments = (world, Path(folder), rows, width, count, rounds, queue)
            processes = [context.Process(target=one_of, args=(rank, *arguments)) for rank in range(world)]
            for process in processes:
                process.start()
            cpu, wall = zip(*[queue.get(timeout=600) for _ in processes], strict=True)
            for process in processes:
                process.join()
        done = world * count * SHARED_STEPS
        figures[f"{world} on one table, ids per CPU second"] = round(done / sum(cpu))
        figures[f"{world} on one table, ids per wall second"] = round(done / max(wall))
    return figures


def one_of(rank: int, world: int, folder: Path, rows: int, width: int, count: int, rounds: int, queue: Any) -> None:
    """One of the processes on a table: its best time for some steps, all beginning together."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=world)
    config = MemoryConfig(backend="host", optimizer="adam", synchronous=False)
    memory = open_memory(config, rows, width, rank=Rank(rank, world))
    steps = [draw_ids(rows, count, rank * SHARED_STEPS + step) for step in range(SHARED_STEPS)]
    gradients = torch.randn(count, width)

    def learn() -> None:
        for ids in steps:
            our_step(memory, ids, gradients)

    learn()
    best = Seconds(float("inf"), float("inf"))
    for _ in range(rounds):
        dist.barrier()
        best = Seconds(*map(min, best, best_seconds({"": learn}, 1)[""]))
    queue.put(best)
    dist.barrier()


def by_double_loop(ids: Tensor) -> Tensor:
    """The place of each id among the distinct ones, number by number, as CoLAKE's authors have it."""
    places = {int(number): place for place, number in enumerate(torch.unique(ids))}
    mapped = torch.zeros(ids.shape, dtype=torch.int64)
    for i in range(ids.shape[0]):
        for j in range(ids.shape[1]):
            mapped[i][j] = places[ids[i][j].item()]
    return mapped


def by_lists(ids: Tensor) -> Tensor:
    """The same over lists, as fast as plain Python has it."""
    listed = ids.tolist()
    places = {number: place for place, number in enumerate(sorted({number for row in listed for number in row}))}
    return torch.tensor([[places[number] for number in row] for row in listed])


def measure_map(rows: int, count: int, rounds: int) -> dict[str, Any]:
    """Maps of ids to places a CPU second, one thread."""
    torch.set_num_threads(1)
    ids = draw_ids(rows, count).view(-1, 256)
    runs = {
        "distinct": lambda: distinct(ids.view(-1)),
        "double loop": lambda: by_double_loop(ids),
        "lists": lambda: by_lists(ids),
    }
    for other in (by_double_loop, by_lists):
        assert torch.equal(other(ids).view(-1), distinct(ids.view(-1))[1])
    times = best_seconds(runs, rounds)
    figures: dict[str, Any] = {f"{name}, M ids/s": round(count / times[name].cpu / 1e6, 2) for name in runs}
    for name in ("double loop", "lists"):
        figures[f"distinct beside {name}, cpu"] = round(times[name].cpu / times["distinct"].cpu, 1)
    return figures


def measure_negatives(rounds: int) -> dict[str, Any]:
    """CPU time of a micro-batch's negatives among CoLAKE's entities, one thread."""
    torch.set_num_threads(1)
    weights = np.arange(1, ENTITIES + 1) ** -0.75
    table, in_torch, golds = alias_table(weights), torch.from_numpy(weights), np.arange(GOLDS)
    keys = (golds[:, None], np.arange(PER_GOLD))
    runs: dict[str, Callable[[], object]] = {
        "hash and alias table": lambda: table.sample(random_u64(0, "negatives", 0, *keys).ravel()),
        "torch.multinomial": lambda: torch.multinomial(in_torch, GOLDS * PER_GOLD, replacement=True),
        "building the table": lambda: alias_table(weights),
    }
    return {f"{name}, CPU ms": round(1e3 * seconds.cpu, 2) for name, seconds in best_seconds(runs, rounds).items()}


def main() -> None:
    """Measure and print all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("rows", 300_000), ("width", 768), ("ids", 32_768), ("rounds", 12)):
        parser.add_argument(f"--{name}", type=int, default=default)
    words = parser.parse_args()
    size = (words.rows, words.width, words.ids)
    cores = len(os.sched_getaffinity(0))
    figures = {"rows, width, ids": size, "cores": cores, "torch": torch.__version__}
    for threads in sorted({1, cores}):
        figures[f"a step, {threads} threads"] = measure_steps(*size, threads, words.rounds)
    figures["processes"] = measure_two(*size, words.rounds)
    figures["map of ids"] = measure_map(words.rows, words.ids, words.rounds)
    figures["negatives"] = measure_negatives(words.rounds)
    for title, values in figures.items():
        lines = [f"  {name}: {value}" for name, value in values.items()] if isinstance(values, dict) else [values]
        print(title, *lines, sep="\n")
    print(f"wrote {save('entity_memory', figures)}")


if __name__ == "__main__":
    main()
