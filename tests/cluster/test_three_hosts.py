"""torchrun on three hosts, each with a share of the entity memory: one is cut off, and the run goes on from its last
checkpoint with the losses and weights of a run that nothing befell, so that no sample is lost or seen twice."""

import os
import re
import subprocess
import sys
import time

import pytest

from tests.cluster.hosts import started
from tests.conftest import ROOT
from tests.training.synthetic import World, make_dataset
from training.checkpoint import checkpoints
from training.metrics import read_metrics
from training.runs import load_run

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(2_400)]

HOSTS, STEPS, CUT_AT = 3, 30, 13
LIMIT = 600
TOLERANCE = 1e-6
"""Of losses and weights: a second start may number hosts otherwise, and the sums of ranks differ in their last bits."""
SETTINGS = {
    "train.threads": 1,
    "train.steps": STEPS,
    "train.save_every": 5,
    "train.keep": 2,
    "train.log_every": 1,
    "train.valid_every": STEPS,
    "train.valid_batches": 1,
    "train.batch_size": 12,
    "encoder.hidden_size": 16,
    "encoder.intermediate_size": 32,
    "memory.backend": "sharded",
}


@pytest.fixture
def hosts(tmp_path):
    with started(HOSTS, tmp_path) as made:
        yield made


def launch(hosts, data, run):
    """The command that begins a run and goes on with it, on every host; what each says goes to a file."""
    environment = {
        **os.environ,
        "GLOO_SOCKET_IFNAME": "eth0",
        "PYTHONPATH": f"{ROOT}:{os.environ.get('PYTHONPATH', '')}",
    }
    processes = []
    for host in range(HOSTS):
        words = [sys.executable, "-m", "torch.distributed.run", "--no-python", f"--nnodes={HOSTS}"]
        words += ["--nproc-per-node=1", "--rdzv-backend=c10d", "--rdzv-id=run", f"--local-addr={hosts.address(host)}"]
        # A namespace has its machine's name, so that no host would know itself by it.
        words += [f"--rdzv-endpoint={hosts.address(0)}:29500", f"--rdzv-conf=is_host={int(host == 0)}"]
        words += [sys.executable, "-m", "wikiloom", "train", "colake-tiny", "--data", data, "--out", run, "--resume"]
        words += [f"--set={key}={value}" for key, value in SETTINGS.items()]
        with run.with_suffix(f".{host}").open("a") as said:
            processes.append(hosts.start(host, words, stdout=said, stderr=subprocess.STDOUT, env=environment))
    return processes


def wait_for(condition):
    until = time.monotonic() + LIMIT
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.05)


def all_end(processes):
    try:
        return [process.wait(timeout=LIMIT) for process in processes]
    finally:
        for process in processes:
            process.kill()


def said(run, host):
    return run.with_suffix(f".{host}").read_text()


def learnt(run):
    model = load_run(run).model.model
    return {**model.state_dict(), "memory": model.memory.weight}


def losses(run):
    return [(line["step"], line["train/loss"]) for line in read_metrics(run) if "train/loss" in line]


def test_a_host_that_is_cut_off_ends_the_others_and_the_run_goes_on_as_if_nothing_had_been(hosts, tmp_path):
    data = make_dataset(tmp_path / "data", World(40))
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    assert all_end(launch(hosts, data, whole)) == [0] * HOSTS, said(whole, 0)

    processes = launch(hosts, data, cut)
    wait_for(lambda: any(line["step"] >= CUT_AT for line in read_metrics(cut)))
    hosts.cut_off(2)
    began = time.monotonic()
    codes = [process.wait(timeout=LIMIT) for process in processes[:2]]
    seconds = time.monotonic() - began
    assert all(codes), codes
    assert re.search(r"error: rank 2 \(.*\) is gone: .* the run goes on with --resume", said(cut, 0)), said(cut, 0)
    wait_for(lambda: "error: torchrun's store, on the first host, has not answered" in said(cut, 2))
    processes[2].kill()  # the rank is gone; torchrun itself waits for its own limits
    processes[2].wait()
    done = losses(cut)[-1][0]
    saved = int(checkpoints(cut)[-1].name.removeprefix("step-"))
    assert saved <= done < STEPS

    hosts.plug_in(2)
    began = time.monotonic()
    assert all_end(launch(hosts, data, cut)) == [0] * HOSTS, said(cut, 0)
    print(f"the others ended after {seconds:.0f} s; {done - saved} steps done again, {time.monotonic() - began:.0f} s")
    assert [step for step, _ in losses(cut)] == [step for step, _ in losses(whole)] == list(range(1, STEPS + 1))
    assert [loss for _, loss in losses(cut)] == pytest.approx([loss for _, loss in losses(whole)], rel=TOLERANCE)
    ours, theirs = learnt(cut), learnt(whole)
    assert ours.keys() == theirs.keys()
    assert max(float((ours[name] - theirs[name]).abs().max()) for name in ours) < TOLERANCE
