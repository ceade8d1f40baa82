"""A training run in a child of a server: on some ranks, with each batch that a rank learns from noted in a file."""

import dataclasses
import hashlib
import os
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tests.end_to_end.reliability.processes import Kill, Steps


def trained(words: list[str], out: Path, ranks: int, kill: Kill | None) -> tuple[int, int]:
    """`wikiloom train` as a child's function: the first rank's steps count, and a kill is of all ranks.

    OUT.rank-N, beside the run's folder, gets a line for each batch that rank N reads: the step and a digest.
    """
    from wikiloom import main

    rank = _fork(ranks)
    steps = Steps(out, kill if rank == 0 else None)
    _note(out.with_name(f"{out.name}.rank-{rank}"), steps)
    code = main(["train", *words, "--out", str(out)])
    if rank:
        os._exit(code)
    others = [os.waitstatus_to_exitcode(os.wait()[1]) for _ in range(1, ranks)]
    return max([code, *map(abs, others)]), steps.count


def _fork(ranks: int) -> int:
    """This process and others as torchrun starts the ranks of a host; which of them this is."""
    if ranks == 1:
        return 0
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    rank = next((rank for rank in range(1, ranks) if not os.fork()), 0)
    places = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": ranks, "LOCAL_WORLD_SIZE": ranks, "MASTER_PORT": port}
    os.environ.update({name: str(value) for name, value in places.items()} | {"MASTER_ADDR": "127.0.0.1"})
    return rank


def _note(file: Path, steps: Steps) -> None:
    """Count what the loop does as steps too, and note each batch."""
    from training import train as loop

    advance, validate = loop.advance, loop.validate

    def advancing(learner: Any, ready: Iterator[list[Any]], meter: Any, step: int, **more: Any) -> Any:
        def noted() -> Iterator[list[Any]]:
            batches = next(ready)
            with file.open("a", encoding="ascii") as lines:
                lines.write(f"{step} {batch_digest(batches)}\n")
            steps.take()
            yield batches

        steps.take()
        found = advance(learner, noted(), meter, step, **more)
        steps.take()
        return found

    def validating(learner: Any, batches: list[Any]) -> Any:
        found = validate(learner, batches)
        steps.take()
        return found

    loop.advance, loop.validate = advancing, validating


def batch_digest(batch: Any) -> str:
    """sha256 over all that a batch holds."""
    whole = hashlib.sha256()
    _feed(whole, batch)
    return whole.hexdigest()


def _feed(whole: Any, value: Any) -> None:
    if dataclasses.is_dataclass(value):
        value = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        for name in value:
            whole.update(repr(name).encode())
            _feed(whole, value[name])
    elif isinstance(value, list | tuple):
        whole.update(b"%d:" % len(value))
        for item in value:
            _feed(whole, item)
    elif hasattr(value, "shape"):
        array = np.asarray(value)
        whole.update(f"{array.dtype}{array.shape}".encode() + array.tobytes())
    else:
        whole.update(repr(value).encode())
