"""The files of a benchmark by their published names: plain, compressed, or inside the archive that they came in.

Archive members are streamed, never extracted; an archive that names a file outside of itself is refused.
"""

import contextlib
import dataclasses
import lzma
import os
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from pipelines.sources.ranges import Range, Truncated, read_blocks
from schemas.errors import DataError, nearest

BLOCK = 4 << 20
"""Bytes read of an archive's member at a time."""
_COMPRESSED = ("", ".gz", ".bz2", ".zst")
TAR_ENDINGS = (".tar", ".tar.gz", ".tgz", ".tar.bz2")
_DAMAGE = (tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, UnicodeDecodeError, EOFError, OSError)
"""What the standard library raises for an archive that is cut or damaged."""


@dataclasses.dataclass(frozen=True)
class File:
    """One published file; its text names it in messages."""

    name: str
    """As published, without the ending of a compression."""
    path: Path
    member: str = ""
    """Where `path` is an archive: the name in it."""

    def __str__(self) -> str:
        return f"{self.path}, member {self.member}" if self.member else str(self.path)

    def blocks(self) -> Iterator[bytes]:
        """Its bytes, decompressed; DataError where they are cut or damaged."""
        if self.member:
            with _damage(self), _open_member(self.path, self.member) as file:
                while block := file.read(BLOCK):
                    yield block
            return
        for block in read_blocks(Range(str(self.path), 0, self.path.stat().st_size)):
            if isinstance(block, Truncated):
                raise DataError(f"{self}: cut or damaged ({block}). Fetch it again.")
            yield block

    def read(self) -> bytes:
        """All its bytes: for small files."""
        return b"".join(self.blocks())


class Published:
    """The published files in a folder, or in one archive."""

    def __init__(self, source: Path, *, alone: bool = False) -> None:
        """`alone`: a file that is no archive will do, as the folder of itself."""
        if not source.exists():
            raise DataError(f"{source} is missing. Give --from the folder with the files' published names.")
        if source.is_file() and not alone and not source.name.endswith((".zip", *TAR_ENDINGS)):
            raise DataError(f"{source} is a file. Give --from the folder that it is in, or an archive.")
        self.source = source
        self._found: dict[str, list[File]] = {}
        self._archives: dict[str, list[File]] | None = None
        paths = [path for path in source.iterdir() if path.is_file()] if source.is_dir() else [source] * alone
        for path in sorted(paths, key=lambda path: (len(path.name), path.name)):
            self._found.setdefault(_bare(path.name), []).append(File(_bare(path.name), path))

    def find(self, *names: str) -> File | None:
        """The file with the first of these names that is there, the plain one before those that are compressed.

        Archives are looked into for what does not lie beside them; DataError where two of them have it.
        """
        for name in names:
            if here := self._found.get(name):
                return here[0]
            files = self._in_archives(name)
            if len(files) > 1:
                raise DataError(f"{self.source}: {name} is in two archives ({files[0]}; {files[1]}). Keep one.")
            if files:
                return files[0]
        return None

    def require(self, *names: str) -> File:
        """The same; DataError where none is there."""
        found = self.find(*names)
        if found is None:
            known = sorted({*self._found, *(self._archives or {})})
            wanted = " or ".join(names)
            hint = next((tail for name in names if (tail := nearest(name, known))), "")
            raise DataError(
                f"{self.source}: expected {wanted} (plain, .gz, or inside a .zip or .tar.gz), found none.{hint}"
            )
        return found

    def all(self) -> list[File]:
        """Every file of the folder, by name."""
        return [file for _, files in sorted(self._found.items()) for file in files]

    def _in_archives(self, name: str) -> list[File]:
        if self._archives is None:
            self._archives = {}
            here = [self.source] if self.source.is_file() else [f.path for own in self._found.values() for f in own]
            for path in here:
                for file in _members(path):
                    self._archives.setdefault(file.name, []).append(file)
        return self._archives.get(name, [])


def _members(archive: Path) -> list[File]:
    """The files of an archive; none for what is no archive."""
    whole = File(archive.name, archive)
    if archive.name.endswith(".zip"):
        with _damage(whole), zipfile.ZipFile(archive) as file:
            names = [info.filename for info in file.infolist() if not info.is_dir()]
    elif archive.name.endswith(TAR_ENDINGS):
        with _damage(whole), tarfile.open(archive) as file:
            names = [member.name for member in file if member.isfile()]
    else:
        return []
    for name in names:
        pure = PurePosixPath(name.replace("\\", "/"))
        if pure.is_absolute() or ".." in pure.parts:
            raise DataError(f"{archive}: its member {name!r} lies outside of the archive. Fetch it from its publisher.")
    return [File(PurePosixPath(name).name, archive, name) for name in names]


@contextlib.contextmanager
def _open_member(archive: Path, member: str) -> Iterator[BinaryIO]:
    if archive.name.endswith(".zip"):
        with zipfile.ZipFile(archive) as whole, whole.open(member) as file:
            yield file  # type: ignore[misc]
        return
    with tarfile.open(archive) as whole:
        # By getmember the whole archive would be read for its index, and then again.
        own = next(info for info in whole if info.name == member and info.isfile())
        yield whole.extractfile(own)  # type: ignore[misc]


@contextlib.contextmanager
def _damage(file: File) -> Iterator[None]:
    try:
        yield
    except _DAMAGE as error:
        raise DataError(f"{file}: cut or damaged ({error or type(error).__name__}). Fetch it again.") from error
    except RuntimeError as error:  # zipfile's, for what is encrypted or of a method that it does not know
        raise DataError(f"{file}: {error}. Unpack it, and give --from the folder.") from error


def _bare(name: str) -> str:
    """A name without the ending of its compression; archives keep theirs."""
    stem, ending = os.path.splitext(name)
    return stem if ending in _COMPRESSED and not name.endswith(TAR_ENDINGS) else name
