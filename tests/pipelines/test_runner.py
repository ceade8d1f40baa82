"""Jobs that fail: what is no bug reaches the user as one line."""

import dataclasses
import errno
from pathlib import Path

import pytest

from pipelines import runner
from pipelines.runner import beam_options, run_jobs
from schemas.errors import DataError


@dataclasses.dataclass(frozen=True)
class Job:
    marker: Path


def full(job):
    raise OSError(errno.ENOSPC, "No space left on device", str(job.marker))


def test_a_disk_that_fails_a_job_is_named(tmp_path):
    with pytest.raises(DataError, match=r"done: No space left on device. Is the disk full, or gone\?"):
        run_jobs("try", [Job(tmp_path / "done")], full, beam_options([], 1, []))


def test_a_disk_that_takes_no_message_either_is_told_of_by_the_process_that_waits(tmp_path, monkeypatch):
    monkeypatch.setattr(runner, "write_json", lambda path, document: full(Job(path)))
    with pytest.raises(DataError, match=r"try: 1 of 1 pieces of work left nothing in .*\. Is the disk full, or gone\?"):
        run_jobs("try", [Job(tmp_path / "range" / "done")], full, beam_options([], 1, []))
