"""Two ranks: every backend is the dense reference on the mean of their gradients; parts fit any number of ranks."""

import pytest
import torch
import torch.multiprocessing
from safetensors.torch import load_file

from tests.training.entity_memory.references import BACKENDS, RATE, REFERENCES, ROWS, WIDTH, opened, pushes, restore
from tests.training.entity_memory.two_ranks import WORLD, run


@pytest.fixture(scope="module")
def left(tmp_path_factory):
    """What two processes left behind."""
    folder = tmp_path_factory.mktemp("ranks")
    torch.multiprocessing.spawn(run, (folder,), WORLD)
    return folder


def averaged():
    """The ranks' pushes of each step as those of one."""
    for each in zip(*(pushes(rank) for rank in range(WORLD)), strict=True):
        yield torch.cat([ids for ids, _ in each]), torch.cat([gradients for _, gradients in each]) / WORLD


@pytest.mark.parametrize("optimizer", REFERENCES)
@pytest.mark.parametrize("backend", BACKENDS)
def test_two_ranks_are_the_dense_reference_on_averaged_gradients(backend, optimizer, left):
    expected = REFERENCES[optimizer](opened("device").weight, averaged())
    for rank in range(WORLD):
        rows = load_file(left / f"{backend}-{optimizer}-first-{rank}")["rows"]
        assert torch.allclose(rows, expected, atol=1e-6)


@pytest.mark.parametrize("optimizer", REFERENCES)
@pytest.mark.parametrize("backend", BACKENDS)
def test_both_ranks_and_both_runs_have_the_same_bits(backend, optimizer, left):
    files = [left / f"{backend}-{optimizer}-{time}-{rank}" for time in ("first", "second") for rank in range(WORLD)]
    first, *others = (load_file(file)["rows"] for file in files)
    assert all(torch.equal(first, other) for other in others)


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_parts_of_two_ranks_make_one_ranks_table(backend, left):
    parts = sorted(left.glob(f"{backend}-adam-part-*"))
    assert len(parts) == (WORLD if backend == "sharded" else 1)
    memory = opened("device")
    restore(memory, [load_file(part) for part in parts])
    assert torch.equal(memory.weight, load_file(left / f"{backend}-adam-first-0")["rows"])


@pytest.mark.parametrize("saved", ["sharded", "device"])
def test_parts_of_any_number_of_ranks_make_two_ranks_shards(saved, left):
    whole = opened("device")
    restore(whole, [load_file(part) for part in sorted(left.glob(f"{saved}-adam-part-*"))])
    for rank in range(WORLD):
        for name, tensor in load_file(left / f"resumed-{saved}-{rank}").items():
            assert torch.equal(tensor, whole.tensors()[name][rank::WORLD]), name


def test_without_locks_own_rows_are_exact_and_a_shared_one_moves(left):
    one, two = (load_file(left / f"hogwild-{rank}")["rows"] for rank in range(WORLD))
    assert torch.equal(one, two)
    before = opened("device").weight
    for rank in range(WORLD):
        alone = opened("device")
        for step in range(1, 101):
            ids = torch.tensor([rank, rank + 4])
            alone.push(ids, torch.full((2, WIDTH), 1.0 + rank), RATE / 100, step)
        assert torch.allclose(one[[rank, rank + 4]], alone.weight[[rank, rank + 4]], atol=1e-5)
    rest = [row for row in range(ROWS) if row not in (0, 1, 4, 5, 12)]
    assert torch.equal(one[rest], before[rest])
    assert (one[12] < before[12]).all() and torch.isfinite(one[12]).all()
