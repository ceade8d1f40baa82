"""What a rank learns of the others: who is gone, who gave up and why, who is behind."""

import time

import pytest
from torch.distributed import HashStore

from training import watch as module
from training.watch import WAITS, Watch


@pytest.fixture
def said(monkeypatch):
    """What a watch would have ended its process with; time runs fast."""
    messages = []
    monkeypatch.setattr(module, "_end", messages.append)
    for name, seconds in (("BEAT", 0.01), ("SILENT", 0.5), ("SUSPECT", 0.2)):
        monkeypatch.setattr(module, name, seconds)
    return messages


class Store:
    """An in-memory store that may fail, at once or by never answering."""

    def __init__(self, fails=None):
        self._inner, self.broken, self._fails = HashStore(), False, fails

    def clone(self):
        return self

    def __getattr__(self, name):
        if self.broken and self._fails == "at once":
            raise RuntimeError("the store is gone")
        while self.broken:
            time.sleep(0.01)
        return getattr(self._inner, name)


@pytest.fixture
def both(said):
    """(watch of rank 0, watch of rank 1), started."""
    opened = []

    def start(store=None):
        store = store or Store()
        opened.extend(Watch(store, rank, 2) for rank in range(2))
        for watch in opened:
            watch.start()
        return opened

    yield start
    for watch in opened:
        killed(watch)
        watch._thread.join()
        watch._guard.join()


def killed(watch):
    """As by SIGKILL: nothing is said."""
    watch._over.set()
    watch._closed.set()


def wait_for(messages):
    until = time.monotonic() + 20
    while not messages and time.monotonic() < until:
        time.sleep(0.01)
    return messages[0]


def test_ranks_that_live_and_end_well_are_left_alone(both, said):
    first, second = both()
    time.sleep(1)
    first.close()
    time.sleep(1)
    second.close()
    assert not said


def test_a_rank_that_gives_up_is_told_with_its_reason(both, said):
    first, second = both()
    second.close("shard 7 is damaged")
    assert "rank 1 (" in wait_for(said) and "gave up: shard 7 is damaged" in said[0]
    first.close()


def test_a_rank_without_a_beat_is_told_with_its_step(both, said):
    first, second = both()
    second.step = 41
    time.sleep(0.2)
    killed(second)
    assert "is gone" in wait_for(said) and "since step 41" in said[0] and "--resume" in said[0]
    first.close()


@pytest.mark.parametrize("fails", ["at once", "silently"])
def test_a_store_that_is_gone_ends_the_rank(fails, both, said):
    store = Store(fails)
    first, second = both(store)
    store.broken = True
    assert "torchrun's store, on the first host, has not answered" in wait_for(said)
    store.broken = False
    first.close()
    second.close()


def test_a_failed_exchange_names_the_dead_and_else_who_is_behind(both, said):
    first, second = both()
    first.step, first.doing, second.step, second.doing = 8, WAITS, 8, "reading its batch"
    time.sleep(0.1)
    told = str(first.blame(RuntimeError("Timed out waiting 600000ms for recv\nframe 0")))
    assert "rank 1 (" in told and "was at step 8, reading its batch" in told and "frame" not in told
    killed(second)
    time.sleep(0.3)
    assert "is gone" in str(first.blame(RuntimeError("Connection closed by peer")))
    first.close()
