"""Published files from the repositories that hold them, at a fixed commit, each checked against its git blob id."""

import csv
import hashlib
import http.client
import shutil
import urllib.request
from pathlib import Path, PurePosixPath

from pipelines.records import whole_file
from schemas.errors import DataError, UsageError

ADDRESSES = Path(__file__).with_name("addresses.tsv")
"""format, repository, commit, path, blob: what git calls the file's content, a SHA-1 over its length and its bytes."""
HOST = "https://raw.githubusercontent.com"
SECONDS = 60
"""Without a byte, until a download is given up."""


def download(format: str, folder: Path) -> None:
    """Fetch the format's files that `folder` does not have; UsageError where no address with a checksum is known."""
    with ADDRESSES.open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file, delimiter="\t") if row["format"] == format]
    if not rows:
        raise UsageError(f"--download: no address with a checksum is known for {format}. Fetch its files yourself.")
    folder.mkdir(parents=True, exist_ok=True)
    for row in rows:
        path = folder / PurePosixPath(row["path"]).name
        if not path.exists():
            _fetch(f"{HOST}/{row['repository']}/{row['commit']}/{row['path']}", path, row["blob"])


def _fetch(address: str, path: Path, blob: str) -> None:
    print(f"fetching {address}", flush=True)
    try:
        with whole_file(path) as temporary:
            with urllib.request.urlopen(address, timeout=SECONDS) as response, temporary.open("wb") as file:
                shutil.copyfileobj(response, file)
            found = _blob_id(temporary)
            if found != blob:
                raise DataError(f"{address}: its checksum is {found}, expected {blob}. Nothing of it is kept.")
    except (OSError, http.client.HTTPException) as error:
        raise DataError(f"{address}: {error}. Try again, or put the file into {path.parent} yourself.") from error


def _blob_id(path: Path) -> str:
    digest = hashlib.sha1(f"blob {path.stat().st_size}\0".encode(), usedforsecurity=False)
    with path.open("rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()
