"""Tables that torch's own optimizers update, to compare the entity memory with; and pushes for two ranks."""

import torch

from training.config import MemoryConfig
from training.data.stream import Rank
from training.entity_memory import open_memory

CPU = torch.device("cpu")
ROWS, WIDTH, STEPS = 13, 4, 5
BACKENDS = ("device", "host", "sharded")
RATE = 0.1


def opened(backend, rows=ROWS, width=WIDTH, rank=Rank(), **settings):  # noqa: B008
    """A memory of random rows, the same for every backend and rank."""
    config = MemoryConfig(backend=backend, **settings)
    memory = open_memory(config, rows, width, CPU, rank)
    memory.fill(0, torch.randn(rows, width, generator=torch.Generator().manual_seed(1)))
    return memory


def pushes(rank=0, rows=ROWS, width=WIDTH):
    """(ids with repeats, a gradient for each) of each step; the first rank has none in one step."""
    generator = torch.Generator().manual_seed(2 + rank)
    for step in range(STEPS):
        count = 0 if (rank, step) == (0, 3) else 9
        yield (
            torch.randint(rows // 2, (count,), generator=generator) * 2,
            torch.randn(count, width, generator=generator),
        )


def learn(memory, rank=0):
    """All steps of a rank, through the graph as a model has it."""
    for step, (ids, gradients) in enumerate(pushes(rank, memory.rows, memory.width), 1):
        (memory.gather(ids) * gradients).sum().backward()
        memory.apply(RATE, step)


def restore(memory, parts):
    """Fill a memory from all its saved parts."""
    for number, part in enumerate(parts):
        memory.restore(number, len(parts), part)


def sparse_adam(start, steps):
    """The rows after torch's sparse Adam had these (ids, gradients) of each step."""
    weight = torch.nn.Parameter(start.clone())
    optimizer = torch.optim.SparseAdam([weight], lr=RATE)
    for ids, gradients in steps:
        weight.grad = torch.sparse_coo_tensor(ids[None], gradients, weight.shape, check_invariants=True)
        optimizer.step()
    return weight.detach()


def row_wise_adagrad(start, steps, eps=1e-8):
    """The rows after row-wise Adagrad, one row and one number at a time."""
    weight, squares = start.double().clone(), torch.zeros(len(start), dtype=torch.float64)
    for ids, gradients in steps:
        sums = {}
        for row, gradient in zip(ids.tolist(), gradients.double(), strict=True):
            sums[row] = sums.get(row, 0) + gradient
        for row, gradient in sums.items():
            squares[row] += sum(float(g) ** 2 for g in gradient) / len(gradient)
            weight[row] -= RATE * gradient / (float(squares[row]) ** 0.5 + eps)
    return weight.float()


REFERENCES = {"adam": sparse_adam, "adagrad": row_wise_adagrad}
