"""Folders that are written whole or not at all."""

import contextlib
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from schemas.errors import DataError, UsageError


def require_empty(out: Path) -> None:
    """UsageError where `out` is anything but a new or an empty folder."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError(f"{out} is not empty. Choose another --out.")


@contextlib.contextmanager
def whole_folder(out: Path, kept: str | None = None) -> Iterator[Path]:
    """A folder beside `out`, which takes its place at the end.

    Nothing is left of it after an error, or of what an earlier one left, but for its folder `kept`: what that holds of
    finished files is for the same command to go on with. DataError where it can't be written.
    """
    out = out.resolve()
    folder = out.with_name(f".{out.name}.tmp")
    for path in (folder, folder / (kept or "")):
        if path.is_symlink():
            raise DataError(f"{path} is a symbolic link, and what it leads to may be another's. Remove it.")
    if folder.exists() and kept is None:
        print(f"note: {folder}, which an interrupted command left, is begun anew.", file=sys.stderr)
    try:
        _clear(folder, kept)
        folder.mkdir(parents=True, exist_ok=True)
        yield folder
        for path in folder.rglob("*"):
            if path.is_file():
                # safetensors makes files for their owner alone; they are for whoever may read the folder.
                path.chmod(folder.stat().st_mode & 0o666)
        os.replace(folder, out)
    except OSError as error:
        if error.filename and not Path(error.filename).is_relative_to(folder.parent):
            raise DataError(f"{error.filename}: {error.strerror}.") from error
        raise DataError(f"{out} can't be written ({error}). Make room there, or choose another --out.") from error
    finally:
        _clear(folder, kept)
        if folder.exists():
            print(f"{folder} keeps what is finished: the same command goes on with it.", file=sys.stderr)


def finished(path: Path) -> None:
    """Give a file that was written as path.tmp its own name, once it is on the disk."""
    temporary = path.with_name(f"{path.name}.tmp")
    with temporary.open("rb") as file:
        os.fsync(file.fileno())
    os.replace(temporary, path)


def _clear(folder: Path, kept: str | None) -> None:
    """Remove the folder, but for the finished files in its folder `kept`."""
    for path in folder.glob("*"):
        if path.name != kept:
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    files = list((folder / kept).glob("*")) if kept else []
    for path in files:
        if path.suffix == ".tmp":
            path.unlink()
    if all(path.suffix == ".tmp" for path in files):
        shutil.rmtree(folder, ignore_errors=True)
