"""The work folder of a build: one build at a time in it, and of its files only those that the build asks for."""

import contextlib
import fcntl
import os
import shutil
import socket
from collections.abc import Collection, Iterator
from pathlib import Path

from pipelines.records import read_json, write_json
from schemas.errors import DataError


@contextlib.contextmanager
def locked(work: Path) -> Iterator[None]:
    """Keep other builds out of a work folder, which is made where there is none.

    The lock goes with its process, so a killed build leaves none. Raises DataError where another build holds it, or
    where nothing can be written.
    """
    try:
        work.mkdir(parents=True, exist_ok=True)
        lock = (work / "lock").open("a+")
    except OSError as error:
        raise DataError(f"{work.parent}: {error.strerror}. Give --out a folder that can be written.") from error
    with lock as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            holder = file.read(200).strip() or "a process"
            message = f"{work.parent}: another build ({holder}) is writing it. Wait for its end, or write to another."
            raise DataError(message) from None
        if not _is_at(file.fileno(), work / "lock"):
            raise DataError(f"{work.parent}: another build has just ended in it. Run the same command again.")
        file.truncate(0)
        file.write(f"process {os.getpid()} on {socket.gethostname()}")
        file.flush()
        yield


def require_ours(out: Path) -> None:
    """DataError where `out` is somebody's folder: neither empty, nor a dataset, nor one that was begun."""
    if out.exists() and not out.is_dir():
        raise DataError(f"{out} is a file. Give --out a folder.")
    ours = (out / ".build/lock").is_file() or (out / "manifest.json").is_file()
    if out.is_dir() and {entry.name for entry in out.iterdir()} - {".build"} and not ours:
        raise DataError(f"{out} is not empty and holds no dataset. Give --out a new folder.")


def keep_only(folder: Path, key: str, names: Collection[str] = ()) -> None:
    """Make `folder` that of `key`: what another key left in it is removed, but for `names`."""
    if (folder / "key.json").is_file() and read_json(folder / "key.json") == key:
        return
    if folder.is_dir():
        (folder / "key.json").unlink(missing_ok=True)
        for entry in sorted(folder.iterdir()):
            if entry.name not in names:
                shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
    write_json(folder / "key.json", key)


def _is_at(descriptor: int, path: Path) -> bool:
    """Is the open file still the one at `path`? A build that is done may have removed it in between."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False
