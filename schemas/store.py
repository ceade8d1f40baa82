"""Object stores: the one place that speaks to them. Commands work on copies on this machine's disk.

Words of a command line that name a place in a store (s3://BUCKET/..., gs://BUCKET/..., or file:///... for one that is
mounted) are replaced by the paths of copies under WIKILOOM_CACHE (else ~/.cache/wikiloom). What the store holds is
copied here first; what the command writes is copied back while it runs, and when it ends, however it ends. The store is
what counts: a copy is made equal to it before the command begins, where a file's size or time differ.

Files that say that those beside them are whole (state.json, manifest.json) are copied last; what was removed here is
removed there after that, but for a manifest, which goes before the files that it spoke of are changed. So a run that
loses its machine goes on elsewhere from the last checkpoint that was copied whole, and no dataset is half an older one.
Names that begin with a dot (a build's work folder, files that are being written) stay here.
"""

import contextlib
import fcntl
import hashlib
import os
import re
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from typing import Any

from pyarrow import fs

from schemas.errors import DataError, UsageError, WikiloomError, first_line

PLACE = re.compile(r"(?P<option>--[\w-]+=)?(?P<uri>(s3|gs|file)://.+)", re.S)
MANIFEST = "manifest.json"
WHOLE = ("state.json", MANIFEST)
"""Files that say that those beside them are whole, in the order in which they are written."""
PUSH_SECONDS = 30.0
"""How often what a command has written is copied while it runs."""
ATTEMPTS = 10
"""Of one request, by the store's own library, with growing pauses."""
TRIES = 3
"""Of a file, where its requests fail all the same, or less of it comes than there is."""
AT_ONCE = 8
"""Files that are copied at once: a store answers slowly, and to many."""
CHUNK = 8 << 20


@contextlib.contextmanager
def mirrored(words: Sequence[str]) -> Iterator[list[str]]:
    """The words with paths of copies in the place of places in stores, as long as the block runs; what goes wrong in it
    is told of the places.

    Raises DataError where a store does not answer or refuses, UsageError where the ranks of several hosts would each
    write to a copy of their own.
    """
    found = {word: match for word in words if (match := PLACE.fullmatch(word))}
    _require_one_host(words)
    mirrors = {match["uri"]: Mirror(match["uri"]) for match in found.values()}
    written = _written_to(words)
    for uri, mirror in mirrors.items():
        # What the first rank of this host writes to, it alone copies here, before it meets the others.
        if os.environ.get("LOCAL_RANK", "0") == "0" or uri != written:
            mirror.fetch()
    paths = {word: f"{match['option'] or ''}{mirrors[match['uri']].path}" for word, match in found.items()}
    replaced = [paths.get(word, word) for word in words]
    with contextlib.ExitStack() as stack:
        if os.environ.get("RANK", "0") == "0":  # the first rank copies back
            for mirror in mirrors.values():
                stack.enter_context(mirror.pushing())
        stack.enter_context(_told_of_places(mirrors.values()))
        yield replaced


class Mirror:
    """A file or folder of a store, and its copy."""

    def __init__(self, uri: str) -> None:
        scheme, _, place = uri.partition("://")
        self.uri, self._place = uri, place.rstrip("/") if scheme != "file" else place
        self._store = _open_store(scheme, self._place)
        cache = Path(os.environ.get("WIKILOOM_CACHE") or Path.home() / ".cache/wikiloom")
        key = hashlib.sha256(uri.rstrip("/").encode()).hexdigest()[:16]
        self.path = (cache / key / PurePosixPath(self._place).name).absolute()
        self._known: dict[str, tuple[int, int]] = {}
        """Bytes and time of the copy's files when they were last equal to the store's."""

    def fetch(self) -> None:
        """Make the copy equal to what the store holds; nothing is there yet for a folder to write to."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with (self.path.parent / "lock").open("w") as lock, _clearly(self.uri):
            # The ranks of a host share a copy.
            fcntl.flock(lock, fcntl.LOCK_EX)
            listed = self._listed()
            for name in self._files().keys() - listed.keys():
                (self.path / name).unlink()
            _all(lambda name: self._get(name, listed[name]), [name for name in listed if not self._equal(listed, name)])
            self._known = self._files()

    @contextlib.contextmanager
    def pushing(self) -> Iterator[None]:
        """Copy back what is written within the block: now and then, and at its end."""
        ended = threading.Event()

        def push_now_and_then() -> None:
            while not ended.wait(PUSH_SECONDS):
                try:
                    self.push()
                except DataError as error:
                    print(f"warning: {error}", file=sys.stderr, flush=True)

        thread = threading.Thread(target=push_now_and_then, daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()
            if self.push():
                print(f"copied to {self.uri}", file=sys.stderr, flush=True)
                self._take_times()

    def push(self) -> int:
        """Copy what is new or changed, and remove what is no more; returns how many files that were."""
        with _clearly(self.uri):
            files = self._files()
            changed = [name for name in files if self._known.get(name) != files[name]]
            gone = [name for name in self._known if name not in files]
            old = [name for name in self._known if PurePosixPath(name).name == MANIFEST and name in {*changed, *gone}]
            _all(self._remove, old)
            _all(self._put, [name for name in changed if PurePosixPath(name).name not in WHOLE])
            for last in WHOLE:
                _all(self._put, [name for name in changed if PurePosixPath(name).name == last])
            _all(self._remove, [name for name in gone if name not in old])
            self._known = files
            return len(changed) + len(gone)

    def _listed(self) -> dict[str, Any]:
        """What the store holds, by its name below the place, "" for the place itself as a file."""
        (root,) = self._store.get_file_info([self._place])
        if root.type == fs.FileType.File:
            return {"": root}
        selector = fs.FileSelector(self._place, recursive=True, allow_not_found=True)
        infos = [info for info in self._store.get_file_info(selector) if info.type == fs.FileType.File]
        files = {info.path[len(self._place) :].lstrip("/"): info for info in infos}
        return {name: info for name, info in files.items() if not _hidden(name) and _is_whole(name, files)}

    def _files(self) -> dict[str, tuple[int, int]]:
        """Bytes and time of each file of the copy."""
        paths = [self.path] if self.path.is_file() else sorted(self.path.rglob("*"))
        found = {}
        for path in paths:
            name = path.relative_to(self.path).as_posix() if path != self.path else ""
            with contextlib.suppress(FileNotFoundError):  # removed by the command meanwhile
                if not _hidden(name) and path.is_file() and not path.is_symlink():
                    stat = path.stat()
                    found[name] = (stat.st_size, stat.st_mtime_ns)
        return found

    def _equal(self, listed: dict[str, Any], name: str) -> bool:
        with contextlib.suppress(FileNotFoundError):
            stat = (self.path / name).stat()
            return (stat.st_size, stat.st_mtime_ns) == (listed[name].size, listed[name].mtime_ns)
        return False

    def _get(self, name: str, info: Any) -> None:
        path = self.path / name
        if not path.resolve().is_relative_to(self.path.resolve()):
            raise DataError(f"{self.uri} holds {name!r}, a name that leads out of its folder. Remove it there.")
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.part")
        with self._store.open_input_stream(info.path, compression=None) as source, temporary.open("wb") as target:
            while block := source.read(CHUNK):
                target.write(block)
        if temporary.stat().st_size != info.size:
            raise OSError(f"{temporary.stat().st_size} of {info.size} bytes came of {name or path.name}")
        os.utime(temporary, ns=(info.mtime_ns, info.mtime_ns))
        os.replace(temporary, path)

    def _put(self, name: str) -> None:
        remote = self._remote(name)
        with contextlib.suppress(FileNotFoundError), (self.path / name).open("rb") as source:
            if isinstance(self._store, fs.LocalFileSystem):
                self._store.create_dir(str(PurePosixPath(remote).parent))
            with self._store.open_output_stream(remote, compression=None) as target:
                while block := source.read(CHUNK):
                    target.write(block)

    def _remove(self, name: str) -> None:
        with contextlib.suppress(FileNotFoundError):  # removed by a try before
            self._store.delete_file(self._remote(name))

    def _take_times(self) -> None:
        """Give the copy's files the times of the store's, by which the next command knows them for equal."""
        with _clearly(self.uri):
            for name, info in self._listed().items():
                if self._known.get(name, (None,))[0] == info.size:
                    os.utime(self.path / name, ns=(info.mtime_ns, info.mtime_ns))

    def _remote(self, name: str) -> str:
        return f"{self._place}/{name}" if name else self._place


def _open_store(scheme: str, place: str) -> fs.FileSystem:
    """pyarrow's file system of a scheme; credentials and addresses are those of the store's own environment."""
    if scheme == "file":
        return fs.LocalFileSystem()
    if scheme == "gs":
        return fs.GcsFileSystem()
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or ""
    options: dict[str, Any] = {"retry_strategy": fs.AwsStandardS3RetryStrategy(max_attempts=ATTEMPTS)}
    if endpoint:
        kind, _, address = endpoint.rpartition("://")
        options |= {"scheme": kind or "https", "endpoint_override": address}
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    if region or not endpoint:
        with _clearly(f"s3://{place}"):
            options["region"] = region or fs.resolve_s3_region(place.partition("/")[0])
    return fs.S3FileSystem(**options)


def _all(function: Callable[[str], None], names: Sequence[str]) -> None:
    def tried(name: str) -> None:
        for _ in range(TRIES - 1):
            with contextlib.suppress(OSError):
                return function(name)
        function(name)

    with ThreadPoolExecutor(AT_ONCE) as threads:
        list(threads.map(tried, names))


def _hidden(name: str) -> bool:
    return any(part.startswith(".") for part in PurePosixPath(name).parts)


def _is_whole(name: str, files: dict[str, Any]) -> bool:
    """Not a part of a checkpoint whose copying was cut off."""
    saved = re.match(r"((?:.*/)?checkpoints/[^/]+)/", name)
    return saved is None or f"{saved[1]}/state.json" in files


def _require_one_host(words: Sequence[str]) -> None:
    one_host = int(os.environ.get("WORLD_SIZE", 1)) == int(os.environ.get("LOCAL_WORLD_SIZE", 1))
    if not one_host and _written_to(words):
        raise UsageError("The ranks of several hosts write one run: give --out a folder on a disk that they share.")


def _written_to(words: Sequence[str]) -> str | None:
    """The place in a store that --out names."""
    pairs = [f"{before}={word}" for before, word in zip(["", *words], words, strict=False)]
    matches = [re.match(r"(?:.*=)?--out=((?:s3|gs|file)://.+)", pair, re.S) for pair in pairs]
    return next((match[1] for match in matches if match), None)


@contextlib.contextmanager
def _told_of_places(mirrors: Iterable[Mirror]) -> Iterator[None]:
    """Errors name places where they would name copies, which the user knows nothing of."""
    try:
        yield
    except WikiloomError as error:
        message = str(error)
        for mirror in mirrors:
            message = message.replace(str(mirror.path), mirror.uri.rstrip("/"))
        error.args = (message,)
        raise


@contextlib.contextmanager
def _clearly(uri: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = first_line(error, 300)
        raise DataError(f"{uri}: {reason}. Check the place, the rights to it, and that the store answers.") from error
