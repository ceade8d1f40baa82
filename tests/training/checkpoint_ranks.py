"""What each of three processes does with checkpoints; what it finds is saved for the test."""

import os
from pathlib import Path

import torch
import torch.distributed as dist
from safetensors.torch import save_file
from torch import nn
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor

from schemas.errors import DataError
from training import checkpoint as module
from training.checkpoint import Checkpoints, load_model, load_optimizer
from training.data.stream import Rank


class Small(nn.Module):
    """What is awkward to share out: fewer rows than ranks, a buffer, a frozen, an unused and a tied parameter."""

    memory = None

    def __init__(self):
        super().__init__()
        self.wide, self.norm, self.narrow = nn.Linear(5, 3), nn.LayerNorm(3), nn.Linear(3, 1)
        self.frozen = nn.Parameter(torch.full((4, 2), 7.0), requires_grad=False)
        self.unused = nn.Parameter(torch.ones(2, 2))
        self.tied = self.norm.weight
        self.register_buffer("seen", torch.tensor([3, 1, 4], dtype=torch.int64))

    def forward(self, x):
        """B 5 to B 1."""
        return self.narrow(self.norm(self.wide(x)))


def made(*, sharded=False, seed=0):
    """A model, and its optimizer before its first step."""
    torch.manual_seed(seed)
    model = Small()
    if sharded:
        fully_shard(model)
    groups = [{"params": [p for p in model.parameters() if p.requires_grad], "weight_decay": 0.1}]
    return model, torch.optim.AdamW(groups, lr=0.01, fused=True)


def step(model, optimizer):
    """One update, the same on every rank; then a look without gradients, which leaves FSDP's parameters whole."""
    inputs = torch.arange(20.0).view(4, 5) / 10
    (model(inputs) - 3).pow(2).mean().backward()
    optimizer.step()
    optimizer.zero_grad()
    with torch.no_grad():
        model(inputs)


def everything(model, optimizer):
    """All weights and moments, whole."""
    tensors = dict(model.state_dict())
    for name, parameter in model.named_parameters():
        tensors |= {f"{name}/{kind}": value for kind, value in optimizer.state.get(parameter, {}).items()}
    return {name: (t.full_tensor() if isinstance(t, DTensor) else t).detach().clone() for name, t in tensors.items()}


def load(folder, *, sharded=False):
    """A model of other weights, filled from a checkpoint."""
    model, optimizer = made(sharded=sharded, seed=1)
    load_model(folder, model)
    load_optimizer(folder, model, optimizer)
    return model, optimizer


def checkpoint(run):
    """The one that `saved` made."""
    return run / "checkpoints" / "step-00000002"


def run(rank: int, folder: Path) -> None:
    """Two ranks first, then three, in one set of processes: starting them takes seconds."""
    torch.set_num_threads(1)
    if rank < 2:
        group = _meet(folder / "two", Rank(rank, 2))
        _save_sharded(folder / "of-two", Rank(rank, 2), group)
        _continue(folder / "of-one", folder / f"one-in-two-{rank}")
        _save_copies(folder / "copies", Rank(rank, 2), group)
        _fail(folder / "failed", Rank(rank, 2), group)
        dist.destroy_process_group()
    group = _meet(folder / "three", Rank(rank, 3))
    _continue(folder / "of-two", folder / f"two-in-three-{rank}")
    _die(folder, Rank(rank, 3), group)


def _meet(place: Path, rank: Rank) -> dist.ProcessGroup:
    dist.init_process_group("gloo", init_method=f"file://{place}", rank=rank.rank, world_size=rank.world)
    return dist.new_group(backend="gloo")


def _save_sharded(run: Path, rank: Rank, group: dist.ProcessGroup) -> None:
    model, optimizer = made(sharded=True)
    with Checkpoints(run, 1, rank, group=group) as saves:
        for done in (1, 2):
            step(model, optimizer)
            saves.save(done, model, optimizer, {})
        saved = everything(model, optimizer)
        step(model, optimizer)
    if rank.rank == 0:
        save_file(saved, run / "expected")


def _continue(run: Path, out: Path) -> None:
    model, optimizer = load(checkpoint(run), sharded=True)
    save_file(everything(model, optimizer), out)
    step(model, optimizer)
    save_file(everything(model, optimizer), f"{out}-and-a-step")


def _save_copies(run: Path, rank: Rank, group: dist.ProcessGroup) -> None:
    model, optimizer = made()
    step(model, optimizer)
    with Checkpoints(run, 1, rank, group=group) as saves:
        saves.save(2, model, optimizer, {})


def _fail(run: Path, rank: Rank, group: dist.ProcessGroup) -> None:
    """The second rank has no room; then both go on."""
    model, optimizer = made(sharded=True)
    step(model, optimizer)
    original = module.write

    def full(*_args):
        raise OSError(28, "No space left on device")

    for asynchronous in (True, False):
        saves = Checkpoints(run, 1, rank, group=group, asynchronous=asynchronous)
        module.write = full if rank.rank else original
        try:
            saves.save(1, model, optimizer, {})
            saves.wait()
        except DataError as error:
            (run / f"says-{rank.rank}-{asynchronous}").write_text(str(error))
        module.write = original
        dist.barrier()
        assert not list((run / "checkpoints").glob("step-*"))
    saves.save(2, model, optimizer, {})


def _die(folder: Path, rank: Rank, group: dist.ProcessGroup) -> None:
    """All but the first end before the save."""
    if rank.rank:
        os._exit(0)
    model, optimizer = made()
    step(model, optimizer)
    try:
        with Checkpoints(folder / "alone", 1, rank, group=group) as saves:
            saves.save(1, model, optimizer, {})
    except RuntimeError as error:
        (folder / "alone-says").write_text(str(error))
    os._exit(0)  # the default group can't be left in order any more
