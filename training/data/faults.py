"""What can go wrong while reading, and what becomes of it.

Bytes that do not come are asked for again, and end the run in the end; bytes that come but are not what was written end
it at once, or, under data.on_corrupt = "quarantine", cost the run that row group.
"""

import io
import os
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from jaxtyping import Bool

from schemas.errors import DataError

ResultT = TypeVar("ResultT")

read_at = os.pread
"""What reads a file, for tests to fail."""

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


class RetryingFile(io.RawIOBase):
    """A file opened for reading whose every call is tried again, with growing pauses, when the system fails it."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path, self._place, self._descriptor = path, 0, -1
        self._size: int = retried(lambda: os.fstat(self._opened()).st_size, str(path))

    def readable(self) -> bool:
        """It is."""
        return True

    def seekable(self) -> bool:
        """It is."""
        return True

    def tell(self) -> int:
        """Where the next read begins."""
        return self._place

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Where the next read begins; returns it."""
        self._place = offset + (0, self._place, self._size)[whence]
        return self._place

    def read(self, size: int = -1) -> bytes:
        """The next bytes: fewer than `size` only at the end of the file."""
        size = max(0, min(size if size >= 0 else self._size, self._size - self._place))
        data = retried(lambda: self._read_whole(size), str(self._path))
        self._place += len(data)
        return data

    def close(self) -> None:
        """Close the file under it."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
        self._descriptor = -1
        super().close()

    def _opened(self) -> int:
        if self._descriptor < 0:
            self._descriptor = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        return self._descriptor

    def _read_whole(self, size: int) -> bytes:
        try:
            data = read_at(self._opened(), size, self._place)
            while len(data) < size and (more := read_at(self._opened(), size - len(data), self._place + len(data))):
                data += more
        except OSError:
            # The next try opens the file anew: a mount that came back does not know the old one.
            os.close(self._descriptor)
            self._descriptor = -1
            raise
        return data


def retried(action: Callable[[], ResultT], what: str) -> ResultT:
    """The action's result, tried again after each of PAUSES where the system fails it (OSError).

    Unreadable when all tries failed, or where no further one could help.
    """
    for pause in (*PAUSES, None):
        try:
            return action()
        except OSError as error:
            if pause is None or isinstance(error, PERMANENT):
                tries = "" if isinstance(error, PERMANENT) else f" after {len(PAUSES) + 1} tries"
                reason = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
                raise Unreadable(
                    f"{what} can't be read{tries} ({reason}). See that the disk or network it lies on answers, "
                    "then go on with --resume."
                ) from error
            time.sleep(pause)
    raise AssertionError("unreachable")
