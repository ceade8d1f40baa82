"""Small dumps cut at every byte: into ranges, and off."""

import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from pipelines.sources import Reject
from pipelines.sources.multistream import plan_dump
from pipelines.sources.ranges import Range, plan_ranges, split
from pipelines.sources.wikidata import read_entities
from pipelines.sources.wikipedia import read_pages, read_siteinfo
from schemas.errors import DataError
from schemas.hashing import random_u64
from tests.end_to_end.reliability.mutations import tolerant
from tests.end_to_end.reliability.outcome import MAX_FAILURES, Outcome
from tests.pipelines.sources.inputs import SKIPPABLE, array, compress, dump, entity, page, words

ABOUT = (
    "small dumps of both kinds, plain, bz2, gzip and zstd of one and of several parts, and multistream with its index, "
    "each with every byte as the place of a cut: the union of the ranges is the sequential read, and a file that ends "
    "there gives the records before it and a reject, or is refused"
)
COUNT = 100_000

_PRIME = 1_000_003
"""Walks through all tries of a round in an order in which neighbours differ."""
_ENDS = ("plain", "bz2", "gz", "zst")
Read = Callable[[Range], Iterator[Any]]


class File(NamedTuple):
    """A small dump."""

    name: str
    data: bytes
    read: Read
    index: bytes | None = None
    """Of a multistream dump."""


def run(count: int, seed: int) -> Outcome:
    """Rounds of new small files, each file cut at every byte in each way."""
    failures: list[str] = []
    number = rounds = 0
    begun = time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        while number < count and len(failures) < MAX_FAILURES:
            files = make_files(seed, rounds)
            tries = [(file, way, at) for file in files for way in _ways(file) for at in range(1, len(file.data))]
            whole = {file.name: _sequence(file, Path(folder)) for file in files}
            for step in range(min(len(tries), count - number)):
                file, way, at = tries[step * _PRIME % len(tries)]
                if fault := tolerant(WAYS[way], file, at, Path(folder), whole[file.name]):
                    told = f"{file.name} of {len(file.data)} bytes {way} at {at}"
                    failures.append(f"seed {seed}, round {rounds}, {told}: {fault}")
                number += 1
            rounds += 1
    rate = round(number / max(time.process_time() - begun, 1e-9))
    return Outcome(number, failures[:MAX_FAILURES], {"cuts a CPU second": rate, "rounds of files": rounds})


def make_files(seed: int, number: int) -> list[File]:
    """Dumps of three pages and of four entities, in every container; the texts are drawn anew each round."""
    sizes = (random_u64(seed, "fuzz_ranges", number, range(7)) % 40).tolist()
    pages = [page(i + 1, words(size + 1, number * 7 + i)) for i, size in enumerate(sizes[:3])]
    entities = [entity(i + 1, words(size + 1, number * 7 + i)) for i, size in enumerate(sizes[3:])]
    files = []
    for kind, data, read in (("pages", dump(pages), read_pages), ("entities", array(entities), _read_entities)):
        files += [File(f"{kind}, {end}", compress(data, end), read) for end in _ENDS]
        files += [File(f"{kind}, {end} of parts", compress(data, end, 4), read) for end in _ENDS[1:]]
    streams = [dump(pages[:1]).rpartition(b"</")[0], pages[1].encode(), pages[2].encode() + b"</mediawiki>\n"]
    packed = [compress(part, "bz2") for part in streams]
    starts = [len(b"".join(packed[:i])) for i in range(len(packed))]
    index = "".join(f"{start}:{i + 1}:Page {i + 1}\n" for i, start in enumerate(starts)).encode()
    files.append(File("pages, multistream", b"".join(packed), read_pages, index))
    data = dump(pages)
    frames = SKIPPABLE.join([compress(data[:200], "zst"), compress(data[200:], "zst")])
    return [*files, File("pages, zst with a skippable frame", frames, read_pages)]


def cut_once(file: File, at: int, folder: Path, whole: Sequence[Any]) -> str | None:
    """Two ranges, where what is left behind the byte is enough for a range."""
    path = _write(file, folder)
    return _differs(file, split(path, lambda start, end: at if start <= at < end else None, 1), whole)


def cut_often(file: File, at: int, folder: Path, whole: Sequence[Any]) -> str | None:
    """Ranges of so many bytes each, with the index where there is one."""
    path = _write(file, folder)
    if "plain" in file.name:
        return _differs(file, split(path, lambda start, end: start, at), whole)
    index = None
    if file.index is not None:
        index = str(folder / "index")
        Path(index).write_bytes(file.index)
    return _differs(file, plan_dump(path, index, at), whole)


def cut_off(file: File, at: int, folder: Path, whole: Sequence[Any]) -> str | None:
    """The file ends there: what is read is the beginning of the whole and says that it was cut, however it is read."""
    path = _write(file._replace(data=file.data[:at]), folder)
    try:
        if file.read is read_pages:
            read_siteinfo(path)  # refuses what no page begins in, as a build does before it reads
        found = _read(file, plan_ranges(path))
    except DataError:
        return None
    records = [one for one in found if not isinstance(one, Reject)]
    rejects = [one.reason for one in found if isinstance(one, Reject)]
    if records != list(whole[: len(records)]):
        return f"{records} are not the first of {whole}"
    if rejects != ["truncated"] and (rejects or len(records) < len(whole)):
        return f"{len(records)} of {len(whole)} records and the rejects {rejects}"
    return _differs(file, plan_ranges(path, max(1, at // 3)), found)


WAYS = {"cut": cut_once, "cut into ranges": cut_often, "cut off": cut_off}


def _ways(file: File) -> list[str]:
    """Only a plain file can be cut anywhere; in others the planner finds the parts' beginnings."""
    return [way for way in WAYS if way != "cut" or "plain" in file.name]


def _differs(file: File, ranges: Sequence[Range], whole: Sequence[Any]) -> str | None:
    found = _read(file, ranges)
    if found == list(whole):
        return None
    return f"ranges from {[one.start for one in ranges]} give {found}, expected {list(whole)}"


def _sequence(file: File, folder: Path) -> list[Any]:
    return _read(file, plan_ranges(_write(file, folder), 1 << 30))


def _read(file: File, ranges: Sequence[Range]) -> list[Any]:
    return [one for part in ranges for one in file.read(part)]


def _read_entities(part: Range) -> Iterator[Any]:
    return read_entities(part, "en", Counter())


def _write(file: File, folder: Path) -> str:
    path = folder / "dump"
    path.write_bytes(file.data)
    return str(path)
