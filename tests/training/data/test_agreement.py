"""Ranks that are real processes agree on what to leave out, by a tensor."""

import json
import subprocess
import sys

import pytest

from tests.conftest import ROOT
from tests.training.data.rows import loader, numbered, told

PROGRAM = """
import json, sys
from torch import distributed
from tests.training.data.rows import loader, numbered, told
from training.data.faults import among
from training.data.stream import Rank

rank, place = int(sys.argv[1]), sys.argv[2]
distributed.init_process_group("gloo", init_method=f"file://{place}", rank=rank, world_size=2)
disk = numbered(40, 40, 40, 40, 33, bad=[3] if rank else [])
one = loader({"s": disk}, {"s": 10}, rank=Rank(rank, 2), agree=among(distributed.new_group()), lanes=4, window=30,
             ahead=2, on_corrupt="quarantine")
with one.batches(0, 30, lambda _step, parts: told(parts)) as batches:
    print(json.dumps([list(batches), one.state(30)]))
distributed.destroy_process_group()
"""


@pytest.mark.slow
def test_two_processes_leave_out_what_one_of_them_can_not_read(tmp_path):
    words = [[sys.executable, "-c", PROGRAM, str(rank), str(tmp_path / "meet")] for rank in (0, 1)]
    running = [subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) for command in words]
    said = [process.communicate(timeout=120)[0] for process in running]
    assert [process.returncode for process in running] == [0, 0]
    shares, states = zip(*(json.loads(lines.splitlines()[-1]) for lines in said), strict=True)
    alone = loader({"s": numbered(40, 40, 40, 40, 33, bad=[3])}, {"s": 10}, lanes=4, window=30, on_corrupt="quarantine")
    whole = [told(alone.take(step)) for step in range(30)]
    assert states[0] == states[1] == alone.state(30) and alone.state(30)["left_out"] == {"s": [3]}
    shared = [[tuple(row) for row in [*one, *other]] for one, other in zip(*shares, strict=True)]
    assert [len(rows) for rows in shared] == [10] * 30
    # In the first epoch, what the other rank read of the row group before this one met it stays read.
    second = [[row for rows in run for row in rows if row[1] == 1] for run in (whole, shared)]
    assert second[0] == second[1] and len(second[0]) == 300 - alone.plans["s"].epoch_rows
