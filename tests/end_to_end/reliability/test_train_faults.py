"""Training whose disk fails: it says so in a line, and goes on; and the harness sees where not."""

import pytest

from tests.end_to_end.reliability import train_faults
from tests.end_to_end.reliability.processes import Ended


@pytest.mark.slow
@pytest.mark.timeout(1_800)
def test_runs_whose_disk_fails_say_so_and_go_on():
    assert train_faults.run(12, 0).failures == []


@pytest.mark.parametrize(
    "said",
    ["", "error: x\nstep 3", "Traceback (most recent call last):\nOSError: full", "Exception ignored in x\nerror: y"],
    ids=["nothing", "not-last", "traceback", "ignored"],
)
def test_an_unclear_end_is_seen(said):
    assert train_faults.unclear(Ended(1, 0, said))
    assert train_faults.unclear(Ended(0, 0, "step 3\nerror: full"))
    assert not train_faults.unclear(Ended(1, 0, "step 3\nwarning: the last\nerror: full\n"))
