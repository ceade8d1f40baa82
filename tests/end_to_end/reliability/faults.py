"""A disk that fails in this process: the k-th call that opens, writes, closes, renames or makes a thing in a folder.

What Python opens is wrapped where it is opened. pyarrow and safetensors write in C++ and Rust: pyarrow is given a file
of Python's to write into, so that each of its writes is a call of its own; safetensors' file is written and then found
too short, as by a disk that is full. With limit_files both are tried with nothing in between.
"""

import builtins
import errno
import io
import os
import resource
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

ERRORS = {
    "open": (errno.ENOSPC, errno.EIO),
    "write": (errno.ENOSPC, errno.EFBIG, errno.EIO),
    "close": (errno.EIO, errno.ENOSPC),
    "rename": (errno.ENOSPC, errno.EIO),
    "mkdir": (errno.ENOSPC, errno.EIO),
    "fsync": (errno.EIO, errno.ENOSPC),
}
"""What the system may say of each kind of call."""


class Fault(NamedTuple):
    """What fails."""

    call: int
    """The first call that does; 0 for none."""
    lasting: bool = False
    """Does every later one as well?"""
    draw: int = 0
    """Chooses the error of those that a call may have."""


class Disk:
    """The calls of this process under a folder, of which one fails, or all from one on. It can't be taken out again."""

    def __init__(self, folder: Path, fault: Fault) -> None:
        self.calls, self._folder, self._fault = 0, str(folder), fault
        self._open = io.open
        io.open = builtins.open = self._opened  # type: ignore[assignment]
        self._fail_before(os, "mkdir", "mkdir")
        self._fail_before(os, "rename", "rename")
        self._fail_before(os, "replace", "rename")
        self._fail_before_fsync()

    def call(self, kind: str, path: str) -> None:
        """Count a call; OSError where it is to fail."""
        self.calls += 1
        fails = self.calls >= self._fault.call if self._fault.lasting else self.calls == self._fault.call
        if self._fault.call and fails:
            number = ERRORS[kind][self._fault.draw % len(ERRORS[kind])]
            raise OSError(number, os.strerror(number), path)

    def is_here(self, path: Any) -> bool:
        """Is it under the folder?"""
        return isinstance(path, str | os.PathLike) and str(path).startswith(self._folder)

    def _opened(self, file: Any, mode: str = "r", buffering: int = -1, *more: Any, **named: Any) -> Any:
        if not self.is_here(file) or not set(mode) & set("wax+"):
            return self._open(file, mode, buffering, *more, **named)
        self.call("open", str(file))
        raw = _File(self, str(file), mode.replace("b", "").replace("t", ""))
        if buffering == 0:
            return raw
        buffered = io.BufferedRandom(raw) if "+" in mode else io.BufferedWriter(raw)
        return buffered if "b" in mode else io.TextIOWrapper(buffered, *more, **named)

    def _fail_before(self, owner: Any, name: str, kind: str) -> None:
        original = getattr(owner, name)

        def failing(path: Any, *arguments: Any, **named: Any) -> Any:
            # A folder that is there already is an error of its own.
            if self.is_here(path) and not (name == "mkdir" and os.path.isdir(path)):
                self.call(kind, str(path))
            return original(path, *arguments, **named)

        setattr(owner, name, failing)

    def _fail_before_fsync(self) -> None:
        original = os.fsync

        def failing(descriptor: int) -> None:
            path = os.readlink(f"/proc/self/fd/{descriptor}")
            if self.is_here(path):
                self.call("fsync", path)
            original(descriptor)

        os.fsync = failing


class _File(io.FileIO):
    def __init__(self, disk: Disk, path: str, mode: str) -> None:
        super().__init__(path, mode)
        self._disk, self._path = disk, path

    def write(self, data: Any) -> int:
        self._disk.call("write", self._path)
        return super().write(data)

    def close(self) -> None:
        if not self.closed:
            super().close()
            self._disk.call("close", self._path)


def arrow_in_python() -> None:
    """Let pyarrow and numpy open and write their files by Python's calls, which a Disk counts."""
    import numpy.lib.format as arrays
    import pyarrow as pa
    import pyarrow.parquet as pq

    new_file = pa.ipc.new_file

    class IpcFile:
        """What pa.ipc.new_file gives for a path: closed, it closes the file."""

        def __init__(self, path: str, schema: Any, **options: Any) -> None:
            self._file = open(path, "wb", 0)  # noqa: SIM115  # close() closes it
            self._writer = new_file(pa.PythonFile(self._file, "w"), schema, **options)
            self.write_table, self.write_batch = self._writer.write_table, self._writer.write_batch

        def __enter__(self) -> Any:
            return self

        def __exit__(self, *_: object) -> None:
            self.close()

        def close(self) -> None:
            try:
                self._writer.close()
            finally:
                self._file.close()

    class ParquetFile(pq.ParquetWriter):
        def __init__(self, path: Path, schema: Any, **options: Any) -> None:
            self._python_file = open(path, "wb", 0)  # noqa: SIM115  # close() closes it
            super().__init__(pa.PythonFile(self._python_file, "w"), schema, **options)

        def close(self) -> None:
            try:
                super().close()
            finally:
                self._python_file.close()

    pa.ipc.new_file, pq.ParquetWriter = IpcFile, ParquetFile
    # Of a file, numpy would write an array in C.
    arrays.write_array.__globals__["isfileobj"] = lambda file: False


def safetensors_on(disk: Disk, *modules: Any) -> None:
    """Let the save_file of these modules fail as the disk does."""
    from safetensors import SafetensorError

    def failing(original: Callable[..., None]) -> Callable[..., None]:
        def save(tensors: Any, path: Any, *more: Any) -> None:
            original(tensors, path, *more)
            if disk.is_here(path):
                try:
                    disk.call("write", str(path))
                except OSError as error:
                    os.truncate(path, Path(path).stat().st_size // 2)
                    raise SafetensorError(
                        f"Error while serializing: I/O error: {error.strerror} (os error {error.errno})"
                    ) from None

        return save

    for module in modules:
        module.save_file = failing(module.save_file)


def limit_files(size: int) -> None:
    """No file of this process may be longer than so many bytes: a write behind that is EFBIG."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
