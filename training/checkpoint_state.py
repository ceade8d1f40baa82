"""state.json of a checkpoint: what it says of the files beside it, and whether they are as they were written.

Beside the run's counters it has the bytes and the xxh3_128 of each file, and a seal over all of itself. Hashes are for
integrity only, and read at memory speed; each rank writes those of its own files, which the first one gathers.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import xxhash

from schemas.errors import DataError
from schemas.seal import is_sealed, sealed

VERSION = 4
"""1 had the table of entities in model.safetensors, and no state of the loader; 2 no shards and no groups; 3 neither
hashes of the files nor a seal."""
_UNSEALED = 3
STATE = "state.json"
_HASHES = ".hashes-{:05d}.json"
_BLOCK = 1 << 22


def write_hashes(folder: Path, files: Sequence[Path], rank: int) -> None:
    """What a rank's files hold, for `write_state`."""
    hashes = {str(path.relative_to(folder)): _hash(path) for path in files}
    (folder / _HASHES.format(rank)).write_text(json.dumps(hashes), encoding="utf-8")


def write_state(folder: Path, document: dict[str, Any], ranks: int) -> None:
    """state.json, with what all ranks have said of their files."""
    hashes: dict[str, str] = {}
    for path in [folder / _HASHES.format(rank) for rank in range(ranks)]:
        hashes |= json.loads(path.read_text(encoding="utf-8"))
        path.unlink()
    whole = {**document, "bytes": sizes(folder), "xxh3_128": dict(sorted(hashes.items()))}
    (folder / STATE).write_text(sealed(whole), encoding="utf-8")


def read_state(folder: Path) -> dict[str, Any]:
    """state.json of a checkpoint, checked against its files' sizes.

    Raises DataError for a checkpoint that is damaged or that another version wrote.
    """
    try:
        data = (folder / STATE).read_bytes()
        state = json.loads(data)
        version, expected, found = state.get("version"), dict(state["bytes"]), sizes(folder)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise _damaged(folder, folder / STATE, f"is damaged ({type(error).__name__})") from error
    if version not in (_UNSEALED, VERSION):
        raise DataError(
            f"{folder} has version {version}; this Wikiloom reads versions {_UNSEALED} and {VERSION}. "
            "Go on with the Wikiloom that wrote it, or train a new run."
        )
    if version == VERSION and not is_sealed(data):
        raise _damaged(folder, folder / STATE, "is damaged: its bytes are not those that were sealed")
    for name in sorted({*expected, *found}):
        if expected.get(name) != found.get(name):
            what = f"{found.get(name, 'no')} bytes, expected {expected.get(name, 'no file')}"
            raise _damaged(folder, folder / name, f"is damaged: {what}")
    return state


def require_whole(folder: Path, part: str) -> dict[str, Any]:
    """state.json, once every byte of the files whose names begin with `part` has been read and found as written.

    Raises DataError as read_state does, and for a file that is damaged. Version 3 has sizes only.
    """
    state = read_state(folder)
    if state["version"] == VERSION:
        for name in sizes(folder):
            if name.startswith(part) and _hash(folder / name) != state["xxh3_128"].get(name):
                raise _damaged(
                    folder, folder / name, f"is damaged: its bytes are not those that {STATE} has the hash of"
                )
    return state


def sizes(folder: Path) -> dict[str, int]:
    """The bytes of each safetensors file, by its path in the folder."""
    return {str(path.relative_to(folder)): path.stat().st_size for path in sorted(folder.rglob("*.safetensors"))}


def _hash(path: Path) -> str:
    whole = xxhash.xxh3_128()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            whole.update(block)
    return whole.hexdigest()


def _damaged(folder: Path, path: Path, what: str) -> DataError:
    return DataError(f"{path} {what}. Remove {folder} to go back to the one before.")
