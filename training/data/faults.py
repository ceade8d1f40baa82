"""What can go wrong while reading, and what becomes of it.

Bytes that do not come are asked for again, and end the run in the end; bytes that come but are not what was written end
it at once, or, under data.on_corrupt = "quarantine", cost the run that row group.
"""

import sys
import time
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import numpy as np
from jaxtyping import Bool

from schemas.errors import DataError, first_line

ResultT = TypeVar("ResultT")

PAUSES = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0)
"""Seconds before each further try to read what a disk or a network did not give."""
PERMANENT = (FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError)
"""What no further try mends."""
MAX_QUARANTINED = 100
"""Row groups of a run that may be left out: more than that is no accident, and would not fit the saved state."""


class Damaged(DataError):
    """A row group whose bytes came, but are not what was written: a checksum or decode error."""


class Unreadable(DataError):
    """A file whose bytes did not come, after all tries. It may be whole, so it is never left out."""


Agree = Callable[[Bool[np.ndarray, " G"]], Bool[np.ndarray, " G"]]
"""What any rank holds true, told to all of them: called by all ranks alike, in the same order."""


def alone(bad: Bool[np.ndarray, " G"]) -> Bool[np.ndarray, " G"]:
    """The agreement of a single rank."""
    return bad


def among(group: Any) -> Agree:
    """The agreement of the ranks of a torch.distributed process group for tensors on the CPU."""
    import torch
    from torch import distributed

    def agree(bad: Bool[np.ndarray, " G"]) -> Bool[np.ndarray, " G"]:
        votes = torch.from_numpy(bad.astype(np.uint8))
        distributed.all_reduce(votes, distributed.ReduceOp.MAX, group=group)
        return votes.numpy().astype(bool)

    return agree


class Quarantine:
    """The row groups of each stream that are left out; the same on all ranks."""

    def __init__(self, policy: str, agree: Agree = alone) -> None:
        """`policy` is "fail" or "quarantine"."""
        self._policy, self._agree = policy, agree
        self.groups: dict[str, list[int]] = {}
        """By stream."""

    def __getstate__(self) -> dict[str, Any]:
        # For the worker processes: they leave out the same, and agree with nobody.
        return {**self.__dict__, "_agree": alone}

    def grows(self, stream: str, count: int, found: Mapping[int, Damaged]) -> bool:
        """Add what any rank found damaged among the stream's `count` row groups; whether that was new to all.

        Raises the first fault itself under the policy "fail", DataError where too many are left out.
        """
        if self._policy == "fail":
            for fault in found.values():
                raise fault
            return False
        bad = np.zeros(count, dtype=bool)
        bad[list(found)] = True
        known = self.groups.setdefault(stream, [])
        new = np.setdiff1d(np.flatnonzero(self._agree(bad)), known).tolist()
        known += new
        for group in sorted(found):
            print(f"left out: {str(found[group]).partition('. Run')[0]}", file=sys.stderr, flush=True)
        total = sum(map(len, self.groups.values()))
        if total > MAX_QUARANTINED:
            raise DataError(f"{total} row groups are damaged, more than {MAX_QUARANTINED}. Build the dataset again.")
        return bool(new)


def retried(action: Callable[[], ResultT], what: str) -> ResultT:
    """The action's result, tried again after each of PAUSES where the system fails it (OSError).

    Unreadable when all tries failed, or where no further one could help. What pyarrow says of bytes that came is an
    OSError too, but has no number of the system's: it is raised as it is.
    """
    for pause in (*PAUSES, None):
        try:
            return action()
        except OSError as error:
            if error.errno is None:
                raise
            if pause is None or isinstance(error, PERMANENT):
                tries = "" if isinstance(error, PERMANENT) else f" after {len(PAUSES) + 1} tries"
                reason = first_line(error)
                raise Unreadable(
                    f"{what} can't be read{tries} ({reason}). See that the disk or network it lies on answers, "
                    "then go on with --resume."
                ) from error
            time.sleep(pause)
    raise AssertionError("unreachable")
