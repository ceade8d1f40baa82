"""Reading a dump by ranges beside reading it in sequence, interleaved in one run, CPU time; and peak memory.

    python benchmarks/reading.py [DUMP.xml.bz2]

The dump's pages are repeated, with new ids and titles: to 73 and 290 MB for memory, to 36 MB in each container for
time. Sequential is the bare decoder: bz2, isal, zstd. Without a dump it reads examples/. Writes results/reading.json.
"""

import bz2
import gzip
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.timing import best_cpu_seconds, save
from pipelines.sources.lines import read_lines
from pipelines.sources.members import GZIP, zstd
from pipelines.sources.ranges import Range, plan_ranges, read_bytes
from pipelines.sources.wikipedia import RawPage, read_pages, read_siteinfo
from pipelines.wikitext import Site, parse

ROUNDS = 3
SIZES_MB = (73, 290)
TIMED_MB = 36
TARGETS_MB = (4, 1)
"""Compressed megabytes of a range; a build's own is 64, where a block read twice costs less still."""
PART = 4_000_000
"""Bytes of text in a stream, member or frame."""
READERS = {"bytes": read_bytes, "pages": read_pages, "lines": partial(read_lines, max_bytes=1 << 28)}

Decode = Callable[[Path], None]


def repeated(dump: Path, size: int) -> Iterator[bytes]:
    """A dump of about `size` bytes: header, the pages again and again with new ids and titles, footer."""
    text = b"".join(piece for part in plan_ranges(str(dump)) for piece in read_bytes(part))
    start = text.index(b"<page>")
    pages = text[start : text.rindex(b"</page>") + 7].split(b"<page>")[1:]
    yield text[:start]
    written = number = 0
    while written < size:
        before, title, rest = pages[number % len(pages)].partition(b"</title>")
        head, _, tail = rest.partition(b"<id>")
        number += 1
        page = b"<page>%s %d%s%s<id>%d%s" % (before, number, title, head, number, tail[tail.index(b"</id>") :])
        written += len(page)
        yield page
    yield b"</mediawiki>\n"


def write_containers(folder: Path, text: bytes) -> dict[str, tuple[Path, Decode]]:
    """The dump in each container that can be cut, with its bare decoder."""
    parts = [text[start : start + PART] for start in range(0, len(text), PART)]
    files: dict[str, tuple[bytes, Decode]] = {
        "bz2, one stream": (bz2.compress(text), bare(bz2.BZ2Decompressor)),
        "bz2, streams": (b"".join(map(bz2.compress, parts)), bare(bz2.BZ2Decompressor)),
        "gzip, members": (b"".join(map(gzip.compress, parts)), bare(GZIP.new_decoder)),
        "zstd, frames": (b"".join(map(zstd.compress, parts)), bare(zstd.ZstdDecompressor)),
    }
    for number, (data, _) in enumerate(files.values()):
        (folder / str(number)).write_bytes(data)
    return {name: (folder / str(number), decode) for number, (name, (_, decode)) in enumerate(files.items())}


def bare(new_decoder: Callable[[], Any]) -> Decode:
    """Decodes a file from its beginning to its end, and drops what it gets."""

    def decode(path: Path) -> None:
        decoder = new_decoder()
        with path.open("rb") as file:
            while chunk := file.read(1 << 16):
                while chunk:
                    decoder.decompress(chunk)
                    chunk = decoder.unused_data if decoder.eof else b""
                    decoder = new_decoder() if decoder.eof else decoder

    return decode


def by_ranges(read: Callable[[Range], Iterator[object]], target_mb: int) -> Decode:
    """Plans a file's ranges and reads them one after the other."""

    def decode(path: Path) -> None:
        for part in plan_ranges(str(path), target_mb << 20):
            for _ in read(part):
                pass

    return decode


def measure_time(folder: Path, text: bytes) -> dict[str, dict[str, float]]:
    """What reading by ranges costs in each container, as a multiple of decoding and reading in sequence."""
    (folder / "plain").write_bytes(text)
    containers = write_containers(folder, text)
    jobs: dict[str, Callable[[], None]] = {}
    for what, read in READERS.items():
        jobs[f"plain {what}"] = partial(by_ranges(read, 1 << 20), folder / "plain")
        for name, (path, decode) in containers.items():
            jobs[f"{name} bare"] = partial(decode, path)
            for target in TARGETS_MB:
                jobs[f"{name} {what} {target}"] = partial(by_ranges(read, target), path)
    best = best_cpu_seconds(jobs, ROUNDS)
    figures: dict[str, dict[str, float]] = {}
    for name in containers:
        bare_seconds = best[f"{name} bare"]
        figures[name] = {"bare decoder, MB/s": round(len(text) / 1e6 / bare_seconds, 1)}
        for what in READERS:
            sequence = bare_seconds + (best[f"plain {what}"] if what != "bytes" else 0)
            for target in TARGETS_MB:
                ratio = best[f"{name} {what} {target}"] / sequence
                figures[name][f"{what} by ranges of {target} MB, to sequence"] = round(ratio, 2)
    return figures


def read_and_scan(dump: str) -> int:
    """Peak memory in MB of this process after it read and scanned a dump."""
    site = Site.from_siteinfo(read_siteinfo(dump), "en")
    for part in plan_ranges(dump):
        for page in read_pages(part):
            if isinstance(page, RawPage) and page.text and not page.redirect:
                parse(page.text, site)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10


def peak_megabytes(dump: Path) -> int:
    """Peak memory of a process that reads and scans a dump."""
    words = [sys.executable, __file__, "--peak", str(dump)]
    return int(subprocess.run(words, capture_output=True, check=True, text=True).stdout)


def main(dump: Path) -> None:
    """Measure memory, then time."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        # Memory comes first: a child begins with the peak of its parent.
        peaks = {}
        for size in SIZES_MB:
            path = folder / f"{size}.xml.bz2"
            with bz2.open(path, "wb") as file:
                file.writelines(repeated(dump, size * 10**6))
            peaks[f"{size} MB of XML"] = peak_megabytes(path)
        figures: dict[str, dict[str, float]] = {"reader and scanner, peak memory in MB": peaks}
        figures |= measure_time(folder, b"".join(repeated(dump, TIMED_MB * 10**6)))
    for title, rows in figures.items():
        print(title, *(f"  {what}: {value}" for what, value in rows.items()), sep="\n")
    print(f"wrote {save('reading', {'dump': dump.name, 'figures': figures})}")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--peak"]:
        print(read_and_scan(sys.argv[2]))
    else:
        examples = Path(__file__).parent.parent / "examples" / "enwiki-mini.xml.bz2"
        main(Path(sys.argv[1]) if sys.argv[1:] else examples)
