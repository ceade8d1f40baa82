"""Running one function over many jobs with Beam; results meet on disk, so a killed run goes on where it stopped."""

import argparse
import contextlib
import dataclasses
import logging
import os
import re
import socket
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions, PortableOptions, StandardOptions
from apache_beam.pvalue import PBegin
from apache_beam.runners.runner import create_runner

from pipelines.progress import Progress
from pipelines.records import read_json, write_json
from schemas.errors import DataError, UsageError, first_line, nearest

LOCAL_RUNNER = "FnApiRunner"
"""Beam's in-process runner; DirectRunner would take another engine where it finds the internet."""
ENDPOINT_SECONDS = 10.0
_TELLING = re.compile(r"[\w.]*(Error|Exception)\b|details = ")


@runtime_checkable
class Job(Protocol):
    """A piece of work that leaves `marker`, its last file, when it is done."""

    @property
    def marker(self) -> Path: ...


@dataclasses.dataclass
class RunJobs(beam.PTransform):
    """PBegin -> nothing: every job run once, spread over the workers."""

    jobs: Sequence[Any]
    function: Callable[[Any], None]

    def expand(self, begin: PBegin) -> beam.PCollection:
        return (
            begin
            | "jobs" >> beam.Create(list(self.jobs), reshuffle=False)
            | "spread" >> beam.Reshuffle()
            | "run" >> beam.Map(run_one, self.function)
        )


def run_jobs(label: str, jobs: Sequence[Job], function: Callable[[Any], None], options: PipelineOptions) -> None:
    """Run `function` on every job whose marker is not there yet."""
    run_transform(label, jobs, lambda waiting: RunJobs(waiting, function), options)


def run_transform(
    label: str, jobs: Sequence[Job], make: Callable[[Sequence[Any]], beam.PTransform], options: PipelineOptions
) -> None:
    """Run the transform that `make` makes of the jobs without a marker; it leaves the markers of all of them.

    A DataError in a job is raised here again, whatever the runner makes of exceptions. Raises DataError too where a
    runner that is not Beam's own in-process one fails, or its workers write to another place than this process reads.
    """
    waiting = [job for job in jobs if not job.marker.exists()]
    skipped = len(jobs) - len(waiting)
    if not waiting:
        return
    for job in waiting:
        _failure(job).unlink(missing_ok=True)
    # Starting worker processes takes seconds: one job does not need them.
    options = _in_process(options) if len(waiting) == 1 else options
    log = waiting[0].marker.parent / "workers.log"
    with (
        _quiet_workers(options, log),
        _watched(label, waiting, skipped),
        _failing_clearly(label, options, log),
        beam.Pipeline(options=options) as pipeline,
    ):
        _ = pipeline | label >> make(waiting)
    for job in waiting:
        if _failure(job).exists():
            raise DataError(read_json(_failure(job))["message"])
    lost = [job for job in waiting if not job.marker.exists()]
    if lost:
        raise DataError(
            f"{label}: {len(lost)} of {len(waiting)} pieces of work left nothing in {lost[0].marker.parent.parent}. "
            "Is the disk full, or gone? Workers must see this folder and the inputs under the same paths, as on a "
            "shared disk."
        )


def beam_options(
    arguments: Sequence[str], workers: int, ours: Sequence[str], command: str = "build"
) -> PipelineOptions:
    """Beam's options from the flags that are not ours; UsageError for a flag that Beam does not know either."""
    _require_known(arguments, ours, command)
    defaults = [f"--runner={LOCAL_RUNNER}"] if not any(a.split("=")[0] == "--runner" for a in arguments) else []
    if workers > 1:
        defaults += [f"--direct_num_workers={workers}", "--direct_running_mode=multi_processing"]
    # Beam's workers log every start at INFO.
    logging.getLogger("apache_beam").setLevel(logging.ERROR)
    options = PipelineOptions([*defaults, "--default_sdk_harness_log_level=ERROR", *arguments], save_main_session=False)
    try:
        create_runner(options.view_as(StandardOptions).runner)
    except (ValueError, ImportError) as error:
        raise UsageError(f"--runner: {first_line(error)}") from error
    _require_answer(options.view_as(PortableOptions).job_endpoint)
    return options


def _require_answer(endpoint: str | None) -> None:
    """DataError where nothing listens at a job service's host:port; Beam would wait for it without end."""
    host, colon, port = (endpoint or "").rpartition(":")
    if not (colon and port.isdigit()):
        return  # none, or "embed" and the like
    try:
        socket.create_connection((host.strip("[]"), int(port)), ENDPOINT_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise DataError(f"--job_endpoint {endpoint}: no answer ({error}). Start the job service first.") from error


def run_one(job: Any, function: Callable[[Any], None]) -> None:
    """Run a job in a worker; what is no bug is left beside the job's marker for the process that waits."""
    try:
        function(job)
    except DataError as error:
        _tell(job, str(error))
    except OSError as error:
        message = f"{error.filename or job.marker.parent}: {error.strerror or error}. Is the disk full, or gone?"
        _tell(job, message)
    except Exception as error:
        # Beam wraps exceptions differently on every runner; the place is what a bug report needs.
        place = traceback.extract_tb(error.__traceback__)[-1]
        raise RuntimeError(f"{job}: {type(error).__name__}: {error} ({place.filename}:{place.lineno})") from error


def _tell(job: Job, message: str) -> None:
    # A disk that has failed may not take the message either: then the job is one that left nothing.
    with contextlib.suppress(OSError):
        write_json(_failure(job), {"message": message})


def _in_process(options: PipelineOptions) -> PipelineOptions:
    """The same options without worker processes."""
    settings = options.get_all_options(drop_default=True)
    if settings.get("direct_running_mode") != "multi_processing":
        return options
    return PipelineOptions.from_dictionary({**settings, "direct_num_workers": 1, "direct_running_mode": "in_memory"})


@contextlib.contextmanager
def _quiet_workers(options: PipelineOptions, log: Path) -> Iterator[None]:
    """Beam's worker processes tell every step on the standard error that they inherit: send it to a file instead."""
    if options.get_all_options().get("direct_running_mode") != "multi_processing":
        yield
        return
    log.parent.mkdir(parents=True, exist_ok=True)
    sys.stderr.flush()
    terminal, ours = os.dup(2), sys.stderr
    try:
        with log.open("w") as file:
            os.dup2(file.fileno(), 2)
        sys.stderr = os.fdopen(os.dup(terminal), "w", buffering=1)
        yield
    finally:
        sys.stderr.close()
        sys.stderr = ours
        os.dup2(terminal, 2)
        os.close(terminal)


@contextlib.contextmanager
def _failing_clearly(label: str, options: PipelineOptions, log: Path) -> Iterator[None]:
    """A failure of somebody's cluster is told in one line, and the rest in a file; one in this process is a bug."""
    runner = str(options.view_as(StandardOptions).runner)
    if runner == LOCAL_RUNNER:
        yield
        return
    log.parent.mkdir(parents=True, exist_ok=True)
    root = logging.getLogger()
    handlers, file = root.handlers, logging.FileHandler(log, "w", delay=True)
    try:
        root.handlers = [file]
        yield
    except Exception as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
        telling = [line for line in lines if _TELLING.match(line)] or lines
        raise DataError(f"{label}: {runner} failed: {telling[-1][:300]} (more in {log})") from error
    finally:
        root.handlers = handlers
        file.close()


def _failure(job: Job) -> Path:
    return job.marker.with_suffix(".error.json")


@contextlib.contextmanager
def _watched(label: str, jobs: Sequence[Job], skipped: int) -> Iterator[None]:
    """A progress bar fed by the markers on disk, since Beam's run() tells nothing before its end."""
    finished = threading.Event()
    with Progress(label, len(jobs) + skipped, done=skipped) as progress:

        def watch() -> None:
            while not finished.wait(0.5):
                progress.update(skipped + sum(job.marker.exists() for job in jobs))

        watcher = threading.Thread(target=watch, daemon=True)
        watcher.start()
        try:
            yield
        finally:
            finished.set()
            watcher.join()
            progress.update(skipped + sum(job.marker.exists() for job in jobs))


def _require_known(arguments: Sequence[str], ours: Sequence[str], command: str) -> None:
    class Parser(argparse.ArgumentParser):
        def error(self, message: str) -> Any:
            raise UsageError(f"{message}. See wikiloom {command} --help and Apache Beam's pipeline options.")

    parser = Parser(add_help=False, allow_abbrev=False, conflict_handler="resolve")
    for options in PipelineOptions.__subclasses__():
        if hasattr(options, "_add_argparse_args"):
            options._add_argparse_args(parser)
    _, unknown = parser.parse_known_args(list(arguments))
    if unknown:
        flag = unknown[0].split("=")[0]
        known = [*ours, *parser._option_string_actions]
        raise UsageError(f"Unknown option {flag}.{nearest(flag, known)} See wikiloom {command} --help.")
