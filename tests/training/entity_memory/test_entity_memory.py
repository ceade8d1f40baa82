"""One rank: every backend is torch's own sparse optimizer on a dense table, saved and resumed bit by bit."""

import os
import subprocess
import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from schemas.errors import DataError, UsageError
from tests.training.entity_memory.references import (
    BACKENDS,
    CPU,
    RATE,
    REFERENCES,
    ROWS,
    WIDTH,
    learn,
    opened,
    pushes,
    restore,
    row_wise_adagrad,
)
from training.config import MemoryConfig
from training.data.stream import Rank
from training.entity_memory import kernels, open_memory, room
from training.entity_memory.rules import Rule

ADAM = Rule("adam", 0.9, 0.999, 1e-8)


@pytest.mark.parametrize("optimizer", REFERENCES)
@pytest.mark.parametrize("backend", BACKENDS)
def test_updates_are_those_of_the_dense_reference(backend, optimizer):
    memory = opened(backend, optimizer=optimizer)
    before = memory.tensors()["weight"].clone()
    learn(memory)
    expected = REFERENCES[optimizer](before, pushes())
    assert torch.allclose(memory.tensors()["weight"], expected, atol=1e-6)
    assert not torch.allclose(before, expected, atol=1e-2)


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_the_kernels_are_the_torch_operations_on_any_ids(data):
    rows, width = data.draw(st.integers(1, 9)), data.draw(st.integers(1, 5))
    optimizer = data.draw(st.sampled_from(list(REFERENCES)))
    memories = [opened(backend, rows, width, optimizer=optimizer) for backend in ("device", "host")]
    generator = torch.Generator().manual_seed(data.draw(st.integers(0, 99)))
    for step in range(1, 4):
        ids = torch.tensor(data.draw(st.lists(st.integers(0, rows - 1), max_size=12)), dtype=torch.int64)
        gradients = torch.randn(len(ids), width, generator=generator)
        for memory in memories:
            memory.push(ids, gradients, RATE, step)
    ours, compiled = (memory.tensors() for memory in memories)
    assert ours.keys() == compiled.keys()
    for name, tensor in ours.items():
        assert torch.allclose(tensor, compiled[name], atol=2e-5), name


@pytest.mark.parametrize("backend", BACKENDS)
def test_where_every_row_is_used_it_is_torchs_dense_adam(backend):
    memory = opened(backend)
    weight = torch.nn.Parameter(memory.tensors()["weight"].clone())
    dense = torch.optim.Adam([weight], lr=RATE, betas=(0.9, 0.999))
    for step in range(1, 6):
        gradients = torch.randn(ROWS, WIDTH, generator=torch.Generator().manual_seed(step))
        weight.grad = gradients
        dense.step()
        memory.push(torch.arange(ROWS), gradients, RATE, step)
    assert torch.allclose(memory.tensors()["weight"], weight, atol=1e-5)


@pytest.mark.parametrize("backend", BACKENDS)
def test_rows_of_one_number_are_torchs_dense_adagrad(backend):
    memory = opened(backend, width=1, optimizer="adagrad")
    weight = torch.nn.Parameter(memory.tensors()["weight"].clone())
    dense = torch.optim.Adagrad([weight], lr=RATE, eps=1e-8)
    for step, (ids, gradients) in enumerate(pushes(width=1), 1):
        weight.grad = torch.zeros(ROWS, 1).index_add_(0, ids, gradients)
        dense.step()
        memory.push(ids, gradients, RATE, step)
    assert torch.allclose(memory.tensors()["weight"], weight, atol=1e-6)


@pytest.mark.parametrize("optimizer", REFERENCES)
@pytest.mark.parametrize("backend", BACKENDS)
def test_rows_without_a_gradient_stay_bit_by_bit_with_their_state(backend, optimizer):
    memory = opened(backend, optimizer=optimizer)
    memory.push(torch.arange(ROWS), torch.ones(ROWS, WIDTH), RATE, 1)
    before = {name: tensor.clone() for name, tensor in memory.tensors().items()}
    learn(memory)  # even ids only
    for name, tensor in memory.tensors().items():
        assert torch.equal(tensor[1::2], before[name][1::2]), name
        assert not torch.equal(tensor[::2], before[name][::2]), name


@pytest.mark.parametrize("backend", BACKENDS)
def test_an_id_that_is_read_twice_gets_one_update_from_the_sum(backend):
    memory, once = opened(backend), opened(backend)
    inputs, candidates = memory.gather(torch.tensor([3, 5, 3])), memory.gather(torch.tensor([7, 3]))
    (inputs.sum() + 2 * candidates.sum()).backward()
    memory.gather(torch.tensor([8]))  # read, never used: no gradient
    memory.apply(RATE, 1)
    once.push(torch.tensor([3, 5, 7]), torch.tensor([[4.0], [1.0], [2.0]]).expand(3, WIDTH), RATE, 1)
    for name, tensor in memory.tensors().items():
        assert torch.equal(tensor, once.tensors()[name]), name


@pytest.mark.parametrize("backend", BACKENDS)
def test_nothing_is_kept_of_what_is_read_without_a_gradient(backend):
    memory = opened(backend)
    with torch.no_grad():
        assert not memory.gather(torch.tensor([1, 2])).requires_grad
    memory.gather(torch.tensor([1, 2]))
    before = memory.tensors()["weight"].clone()
    memory.apply(RATE, 1)
    assert torch.equal(memory.tensors()["weight"], before)


def test_rows_keep_their_values_until_backward_and_their_memory_serves_again():
    memory = opened("host")
    table = memory.tensors()["weight"].clone()
    for _ in range(3):
        first, second = memory.gather(torch.arange(5)), memory.gather(torch.arange(5, 9))
        assert torch.equal(first, table[:5]) and torch.equal(second, table[5:9])
        (first.square().sum() + second.square().sum()).backward()
        ids, gradients = (torch.cat(parts) for parts in zip(*memory._pending, strict=True))
        assert torch.equal(gradients, 2 * table[ids])
        memory._pending.clear()
    places = [memory.gather(torch.arange(count)) for count in (5, 3)]
    assert places[0].data_ptr() != places[1].data_ptr()


@pytest.mark.parametrize("ids", [[-1, 2], [2, ROWS]])
def test_the_kernels_are_never_given_ids_that_the_table_does_not_have(ids):
    memory = opened("host")
    for act in (memory.gather, lambda ids: memory.push(ids, torch.ones(2, WIDTH), RATE, 1)):
        with pytest.raises(IndexError, match="of a table of 13 rows"):
            act(torch.tensor(ids))


@pytest.mark.parametrize("optimizer", REFERENCES)
@pytest.mark.parametrize(("saved", "resumed"), [("device", "device"), ("host", "host"), ("host", "device")])
def test_saved_and_resumed_it_is_the_unbroken_run_bit_by_bit(saved, resumed, optimizer, tmp_path):
    unbroken = opened(saved, optimizer=optimizer)
    learn(unbroken)
    save_file(unbroken.tensors(), tmp_path / "memory.safetensors")
    other = opened(resumed, optimizer=optimizer)
    restore(other, [load_file(tmp_path / "memory.safetensors")])
    for name, tensor in other.tensors().items():
        assert torch.equal(tensor, unbroken.tensors()[name])
    if saved == resumed:
        for memory in (unbroken, other):
            learn(memory)
        assert torch.equal(unbroken.tensors()["weight"], other.tensors()["weight"])


def test_a_memory_of_another_size_or_rule_is_refused():
    memory = opened("device")
    with pytest.raises(DataError, match=r"weight of shape \(13, 4\) in part 1 of 1, expected \(12, 4\)"):
        restore(opened("device", rows=12), [memory.tensors()])
    with pytest.raises(DataError, match="squares of shape none"):
        restore(opened("device", optimizer="adagrad"), [memory.tensors()])


def test_threads_do_not_change_a_bit():
    weights = []
    before = torch.get_num_threads()
    for threads in (1, 3):
        torch.set_num_threads(threads)
        try:
            memory = opened("host")
        finally:
            torch.set_num_threads(before)
        learn(memory)
        weights.append(memory.tensors()["weight"])
    assert torch.equal(*weights)


def test_a_table_that_answers_has_no_state_and_no_gradients():
    memory = open_memory(MemoryConfig(backend="sharded"), ROWS, WIDTH, CPU, training=False)
    assert list(memory.tensors()) == ["weight"]
    assert not memory.gather(torch.tensor([1])).requires_grad


@pytest.mark.parametrize(("rule", "share"), [(ADAM, 3), (Rule("adagrad", 0.9, 0.999, 1e-8), 1 + 1 / 768)])
def test_the_estimate_is_what_is_allocated(rule, share):
    assert room.table_bytes(3_085_345, 768, rule) == pytest.approx(3_085_345 * 768 * 4 * share)
    memory = opened("device", optimizer=rule.name)
    held = sum(tensor.numel() * tensor.element_size() for tensor in memory.tensors().values())
    assert held == room.table_bytes(ROWS, WIDTH, rule)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_table_larger_than_the_memory_is_refused_before_it_is_made(backend):
    with pytest.raises(DataError, match=r"needs 8,940,\S+ GiB .* where .* GiB are free\. Take memory\.optimizer"):
        open_memory(MemoryConfig(backend=backend), 10**12, 800, CPU)


def test_the_containers_limit_counts_where_it_is_lower(tmp_path, monkeypatch):
    monkeypatch.setattr(room, "CGROUP", tmp_path)
    whole = room.free_bytes(CPU)
    (tmp_path / "memory.max").write_text("max\n")
    (tmp_path / "memory.current").write_text("1000\n")
    assert room.free_bytes(CPU) > whole / 2
    (tmp_path / "memory.max").write_text("5000\n")
    assert room.free_bytes(CPU) == 4000
    monkeypatch.setattr(room, "MEMINFO", tmp_path / "missing")
    assert room.free_bytes(CPU) > whole


def test_the_shared_file_has_no_name_once_it_is_open(tmp_path):
    memory = opened("host", folder=str(tmp_path))
    assert not os.listdir(tmp_path)
    learn(memory)
    assert torch.allclose(memory.tensors()["weight"][1], opened("device").weight[1])


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(DataError, match=r"memory\.folder .*missing: No such file"):
        opened("host", folder=str(tmp_path / "missing"))


def test_ranks_on_several_hosts_are_told_to_shard(monkeypatch):
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    with pytest.raises(UsageError, match=r"8 ranks, 4 of them on this host\. Set it to sharded"):
        opened("host", rank=Rank(0, 8))


def test_kernels_are_compiled_where_nothing_can_be_cached():
    scope = {}
    exec("def double(x):\n    return 2 * x", scope)  # of no file: numba has no place for its cache
    assert kernels.compiled(scope["double"])(21) == 42


def test_the_compiler_is_not_imported_for_other_backends():
    code = (
        "import sys, torch; from training.entity_memory import open_memory; from training.config import MemoryConfig; "
        "open_memory(MemoryConfig(), 3, 2, torch.device('cpu')); sys.exit('numba' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_slow_oracle_tells_a_repeated_id_from_two_steps():
    start, ids, gradients = torch.zeros(2, 2), torch.tensor([1, 1]), torch.ones(2, 2)
    at_once = row_wise_adagrad(start, [(ids, gradients)])
    one_by_one = row_wise_adagrad(start, [(ids[:1], gradients[:1]), (ids[1:], gradients[1:])])
    assert torch.allclose(at_once[1], torch.tensor(-RATE)) and not torch.allclose(at_once, one_by_one)
