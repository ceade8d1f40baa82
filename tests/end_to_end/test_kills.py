"""A build that is killed alone, so that its workers outlive it, and run again, ends with the same digest.

reliability/build_kills.py kills whole groups of processes.
"""

import multiprocessing
import os
import time

import numpy as np
import pytest

from pipelines.validate import validate
from schemas.hashing import random_u64
from tests.conftest import digest, sample_inputs
from wikiloom import main

KILLS = 20

# A server that has imported Beam once: its children begin to build at once, and can be killed alone.
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["pipelines.build", "pipelines.runner"])


def run(words):
    """The build command in a child, and its exit code; what it says is not of interest."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1), os.dup2(null, 2)
    raise SystemExit(main(["build", *words]))


def start(words):
    process = FORKS.Process(target=run, args=([str(word) for word in words],))
    process.start()
    return process


def count_files(folder):
    return sum(len(names) for _, _, names in os.walk(folder))


def finish(words):
    process = start(words)
    process.join()
    assert process.exitcode == 0


def kill(words, out, moment):
    """Kill a build when `out` holds so many files; whether it was still running then."""
    process = start([*words, "--out", out])
    while process.is_alive() and count_files(out) < moment:
        time.sleep(0.001)
    process.kill()
    process.join()
    if (out / "manifest.json").exists():
        assert list(validate(out)) == []
    return process.exitcode != 0


def random_moments(words, expected, folder):
    """KILLS numbers of files below that of a whole build, in order."""
    finish([*words, "--out", folder / "whole"])
    assert digest(folder / "whole") == expected
    return sorted((random_u64(0, "kill", np.arange(KILLS)) % np.uint64(count_files(folder / "whole"))).tolist())


@pytest.mark.slow
@pytest.mark.timeout(1_800)
def test_twenty_builds_of_the_sample_each_killed_once_end_with_the_same_digest(sample_dataset, real_data, tmp_path):
    words = [*sample_inputs(real_data), "--set", "range_mb=1"]
    killed = 0
    for number, moment in enumerate(random_moments(words, digest(sample_dataset), tmp_path)):
        out = tmp_path / str(number)
        killed += kill([*words, "--workers", "2"], out, moment)
        finish([*words, "--out", out])
        assert digest(out) == digest(sample_dataset), f"killed when it had {moment} files"
        assert list(validate(out)) == []
    assert killed > KILLS // 2
