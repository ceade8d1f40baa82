"""Ranks that are real processes agree on what to leave out, by a tensor."""

import subprocess
import sys

import pytest

from tests.conftest import ROOT

PROGRAM = """
import sys
from torch import distributed
from tests.training.data.rows import loader, numbered, told
from training.data.faults import among
from training.data.stream import Rank

rank, place = int(sys.argv[1]), sys.argv[2]
distributed.init_process_group("gloo", init_method=f"file://{place}", rank=rank, world_size=2)
disk = numbered(40, 40, 40, 40, 33, bad=[3] if rank else [])
one = loader({"s": disk}, {"s": 10}, rank=Rank(rank, 2), agree=among(distributed.new_group()), lanes=4, window=30,
             ahead=2, on_corrupt="quarantine")
with one.batches(0, 30, lambda step, parts: len(told(parts))) as batches:
    print(list(batches), one.state(30)["left_out"])
distributed.destroy_process_group()
"""


@pytest.mark.slow
def test_two_processes_leave_out_what_one_of_them_can_not_read(tmp_path):
    words = [[sys.executable, "-c", PROGRAM, str(rank), str(tmp_path / "meet")] for rank in (0, 1)]
    running = [subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) for command in words]
    said = [process.communicate(timeout=120)[0] for process in running]
    assert [process.returncode for process in running] == [0, 0]
    assert said[0].splitlines()[-1].endswith("{'s': [3]}") and said[1].splitlines()[-1].endswith("{'s': [3]}")
