"""manifest.json: which files make up a dataset, their digests, and how they came to be."""

import dataclasses
import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar, get_origin

from schemas.errors import DataError
from schemas.seal import is_sealed, sealed

BESIDE = ("README.md", "tokenizer.json", "tokenizer_config.json")
"""Files beside a manifest that it gives the sha256 of, where they are."""
_OF_THE_FILE = ("files", "seal")
"""What a manifest says of its own folder's bytes: made anew each time that it is written."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Shard:
    """One Parquet file."""

    path: str
    """Relative to the dataset's folder, with forward slashes."""
    rows: int
    bytes: int
    row_groups: int
    sha256: str
    """Of the file, for integrity only; the logical digest is the table's."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class TableEntry:
    """One table of the manifest."""

    schema_version: int
    rows: int
    digest: str
    shards: list[Shard]

    def split(self, name: str) -> list[Shard]:
        """The shards of one split (or of the table itself, for a table without splits)."""
        return [shard for shard in self.shards if PurePosixPath(shard.path).name.startswith(f"{name}-")]


_Record = TypeVar("_Record", Shard, TableEntry)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Manifest:
    """What DATASET/manifest.json holds; `rest` keeps inputs, parameters, stages and drops as they stand there."""

    digest: str
    tables: dict[str, TableEntry]
    rest: dict[str, Any]

    def save(self, folder: Path) -> None:
        """Write FOLDER/manifest.json at once: a reader sees the old one or the new one, never a part."""
        document = {
            **self.rest,
            "files": {name: _sha256(folder / name) for name in BESIDE if (folder / name).is_file()},
            "tables": {name: dataclasses.asdict(entry) for name, entry in self.tables.items()},
            "digest": self.digest,
        }
        temporary = folder / ".manifest.json.tmp"
        with temporary.open("w", encoding="utf-8") as file:
            file.write(sealed(document))
            file.flush()
            os.fsync(file.fileno())  # a name may reach the disk before the bytes
        os.replace(temporary, folder / "manifest.json")


def read_manifest(folder: Path | str) -> Manifest:
    """Read and check FOLDER/manifest.json.

    Raises DataError where there is none, where it is not JSON of the right form, or where it names a file outside
    the folder.
    """
    path = Path(folder) / "manifest.json"
    if path.is_symlink():
        raise DataError(f"{path} is a symbolic link: only files inside the dataset are read. Copy it there.")
    if not path.is_file():
        raise DataError(f"{folder} is not a dataset: it has no manifest.json. Make one with wikiloom build or import.")
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        json.dumps(document, ensure_ascii=False).encode()  # half a pair of surrogates is no name, nor any text
        tables = {name: _entry(entry) for name, entry in document.pop("tables").items()}
        digest = str(document.pop("digest"))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        raise DataError(
            f"{path} is not a manifest of a Wikiloom dataset ({reason}). Build the dataset again."
        ) from error
    for entry in tables.values():
        for shard in entry.shards:
            _require_inside(path, shard.path)
    rest = {name: value for name, value in document.items() if name not in _OF_THE_FILE}
    return Manifest(digest=digest, tables=tables, rest=rest)


def check_seal(folder: Path) -> Iterator[str]:
    """A line for the manifest, and for each file beside it, whose bytes are not those that were written.

    An older Wikiloom wrote no seal and no list of files: then there is nothing to check.
    """
    path = folder / "manifest.json"
    data = path.read_bytes()
    document = json.loads(data)
    if not document.keys() & set(_OF_THE_FILE):
        return
    if not is_sealed(data):
        yield f"{path}: its bytes are not those that were sealed. Copy it again, or build again."
    files = document.get("files")
    if not isinstance(files, dict):
        yield f"{path}: files is not a list of sums. Copy it again, or build again."
        return
    for name in BESIDE:
        found = _sha256(folder / name) if (folder / name).is_file() else None
        if found != files.get(name):
            what = "is missing" if found is None else "is not of the bytes that the manifest names"
            yield f"{folder / name} {what}. Copy it again, or build again."


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _entry(entry: dict[str, Any]) -> TableEntry:
    shards = [_typed(Shard(**shard)) for shard in entry["shards"]]
    return _typed(TableEntry(**{**entry, "shards": shards}))


def _typed(record: _Record) -> _Record:
    """The record, where its fields are of the types that they are declared with; else a TypeError."""
    for field in dataclasses.fields(record):
        value, kind = getattr(record, field.name), get_origin(field.type) or field.type
        if type(value) is not kind or (kind is int and not 0 <= value < 2**63):
            raise TypeError(f"{field.name} {value!r:.80}, expected {kind}")
    return record


def _require_inside(manifest: Path, name: str) -> None:
    pure = PurePosixPath(name)
    if pure.is_absolute() or ".." in pure.parts or "\\" in name or ":" in name:
        raise DataError(f"{manifest} names {name!r}: only files inside the dataset are read. Build the dataset again.")
    try:
        # A link is a way out as well: no shard that we write is one.
        is_link = any((manifest.parent / part).is_symlink() for part in [pure, *pure.parents][:-1])
        path = manifest.parent / pure
        is_odd = path.exists() and not path.is_file()
    except OSError as error:
        raise DataError(f"{manifest} names {name!r:.80}: {error.strerror}. Build the dataset again.") from error
    if is_link:
        raise DataError(f"{manifest} names {name!r}, a symbolic link. Replace it by the file itself.")
    if is_odd:
        # A pipe would be waited for without end.
        raise DataError(f"{manifest} names {name!r}, which is no file. Copy it again, or build the dataset again.")
