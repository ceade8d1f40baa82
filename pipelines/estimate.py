"""--dry-run: what a build reads, and what it will take: CPU, minutes, memory, disk.

The two stages that read dumps, which take the most, are run on a piece from the middle of each kind of dump, in a
temporary folder. What follows them is taken from RATES, at the speed at which this machine read that piece.
"""

import dataclasses
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pyarrow.compute as pc

from pipelines.config import Build
from pipelines.inputs import Plan
from pipelines.records import read_json, read_records
from pipelines.sources.containers import decode, detect
from pipelines.sources.ranges import Range
from pipelines.transforms.articles import WikipediaJob, read_wikipedia_range
from pipelines.transforms.statements import WikidataJob, read_wikidata_range

PIECES = {"wikipedia": 8 << 20, "wikidata": 64 << 20}
"""Decoded bytes that are read of a dump: less than a second's work."""
_HEAD = 4096


@dataclasses.dataclass(frozen=True)
class Rates:
    """What a build took, one core: CPU ms and kB on disk for a MB of XML, CPU us and bytes of memory for one record.

    Measured by benchmarks/build.py (results/build.json) and benchmarks/scale.py (docs/scale.md).
    """

    wikipedia_ms: float = 85.1
    """From plain XML; how fast a piece is read here, beside this, is how fast the others will be."""
    align_ms: float = 8.3
    wk_graphs_ms: float = 26.1
    tables_ms: float = 7.1
    align_kb: float = 637.0
    wk_graphs_kb: float = 232.0
    dataset_kb: float = 266.0
    entity_bytes: float = 56.0
    """A row of entities in the dataset, and once more in the work folder."""
    fact_bytes: float = 7.1
    """A row of triples in the dataset."""
    graph_bytes: float = 65.0
    """A triple in the work folder."""
    entity_us: float = 33.0
    """A row of entities; an item that is not kept costs next to nothing."""
    title_us: float = 11.3
    """A title (article or redirect), in the steps that are one process: plan_alignment and the anchors table."""
    statement_us: float = 1.6
    triple_us: float = 3.9
    title_bytes: float = 215.0
    item_bytes: float = 56.0
    triple_bytes: float = 130.0
    worker_mb: float = 576.0
    """A process with its code, on ranges of 64 MB."""


RATES = Rates()


@dataclasses.dataclass(frozen=True)
class Reading:
    """A stage that reads dumps, scaled up from a piece."""

    ranges: int
    stored_mb: float
    """As the dumps lie on the disk."""
    decoded_mb: float
    cpu_seconds: float
    disk_mb: float
    """What the stage leaves in the work folder."""
    records: dict[str, int]
    """items, statements, properties; articles, redirects."""
    ms: float
    """CPU ms of a decoded MB, without decompression."""


NOTHING = Reading(0, 0.0, 0.0, 0.0, 0.0, {}, 0.0)


@dataclasses.dataclass(frozen=True)
class Estimate:
    """What a build will take."""

    readings: dict[str, Reading]
    cpu_seconds: dict[str, float]
    """By stage, of all processes together."""
    alone_seconds: float
    """Of these in a step that is one process."""
    minutes: float
    memory_mb: float
    work_mb: float
    dataset_mb: float


def estimate(config: Build, plan: Plan) -> Estimate:
    """Read a piece of each kind of dump and scale it up."""
    wikipedia = _read(
        plan.wikipedia,
        lambda part, folder: read_wikipedia_range(WikipediaJob(part, folder, plan.site)),
        begins=b"<page>",
        size=PIECES["wikipedia"],
    )
    wikidata = _read(
        plan.wikidata,
        lambda part, folder: read_wikidata_range(WikidataJob(part, folder, config.language)),
        begins=b"\n",
        size=PIECES["wikidata"],
    )
    speed, xml = wikipedia.ms / RATES.wikipedia_ms or 1.0, wikipedia.decoded_mb
    titles = sum(wikipedia.records.values())
    items, statements = (wikidata.records.get(name, 0) for name in ("items", "statements"))
    entities = items if config.keep == "all" else min(items, wikipedia.records["articles"])
    triples = statements * entities / max(items, 1)
    alone = speed * (titles * RATES.title_us + statements * RATES.statement_us + triples * RATES.triple_us) / 1e6
    cpu = {
        "wikidata": wikidata.cpu_seconds,
        "wikipedia": wikipedia.cpu_seconds,
        "align, graph, wk_graphs": alone + speed * xml * (RATES.align_ms + RATES.wk_graphs_ms) / 1e3,
        "tables": speed * (xml * RATES.tables_ms / 1e3 + entities * RATES.entity_us / 1e6),
    }
    left_mb, dataset_mb = _disk(xml, entities, triples)
    processes = min(config.workers, max(wikipedia.ranges, wikidata.ranges))
    first = max(titles * RATES.title_bytes, items * RATES.item_bytes + triples * RATES.triple_bytes) / 1e6
    return Estimate(
        readings={"wikidata": wikidata, "wikipedia": wikipedia},
        cpu_seconds=cpu,
        alone_seconds=alone,
        minutes=(alone + (sum(cpu.values()) - alone) / processes) / 60,
        memory_mb=processes * RATES.worker_mb + first,
        work_mb=wikidata.disk_mb + wikipedia.disk_mb + left_mb,
        dataset_mb=dataset_mb,
    )


def _disk(xml: float, entities: int, triples: float) -> tuple[float, float]:
    """MB that the later stages leave in the work folder, and those of the dataset, for so many MB of XML."""
    left = xml * (RATES.align_kb + RATES.wk_graphs_kb) / 1e3 + triples * RATES.graph_bytes / 1e6
    dataset = xml * RATES.dataset_kb / 1e3 + triples * RATES.fact_bytes / 1e6
    rows = entities * RATES.entity_bytes / 1e6
    return left + rows, dataset + rows


def _read(ranges: Sequence[Range], run: Callable[[Range, Path], None], *, begins: bytes, size: int) -> Reading:
    """Run a stage on a piece of the middle range, from the first record that begins in it."""
    if not ranges:
        return NOTHING
    part = ranges[len(ranges) // 2]
    started = time.process_time()
    piece, ratio = read_piece(part, size)
    decoded = time.process_time()
    piece = piece[max(piece.find(begins), 0) :] if part.start else piece
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name, "out")
        Path(name, "piece").write_bytes(piece)
        begun = time.process_time()
        run(Range(str(Path(name, "piece")), 0, len(piece)), folder)
        seconds = time.process_time() - begun
        disk, records = sum(path.stat().st_size for path in folder.iterdir()), _records(folder)
    stored = sum(part.end - part.start for part in ranges)
    pieces = stored * ratio / max(len(piece), 1)
    return Reading(
        ranges=len(ranges),
        stored_mb=stored / 1e6,
        decoded_mb=stored * ratio / 1e6,
        cpu_seconds=pieces * (seconds + decoded - started),
        disk_mb=pieces * disk / 1e6,
        records={kind: round(pieces * count) for kind, count in records.items()},
        ms=1e9 * seconds / max(len(piece), 1),
    )


def _records(folder: Path) -> dict[str, int]:
    """What a stage found in a piece."""
    counts = dict(read_json(folder / "done.json")["out"])
    if "items" in counts:
        tails = read_records(folder / "items.arrow", ["tails"])["tails"]
        counts["statements"] = pc.sum(pc.list_value_length(tails)).as_py() or 0
    return counts


def read_piece(part: Range, size: int) -> tuple[bytes, float]:
    """(the first decoded bytes of a range, `size` or a little more; decoded bytes for one on the disk)."""
    with open(part.path, "rb") as file:
        kind = detect(part.path, file.read(_HEAD))
        if kind == "plain":
            file.seek(part.start)
            return file.read(min(size, part.end - part.start)), 1.0
        blocks: list[bytes] = []
        length, position = 0, part.end
        for block in decode(file, kind, part.start, part.end):
            if isinstance(block, bytes):
                blocks.append(block)
                length += len(block)
            if length >= size:
                # How far the decoder has read: a little behind the block.
                position = min(file.tell(), part.end)
                break
    return b"".join(blocks), length / (position - part.start)


def print_estimate(config: Build, plan: Plan) -> None:
    """Ranges, records, CPU, time, memory and disk of a build."""
    found = estimate(config, plan)
    for name, reading in found.readings.items():
        if not reading.ranges:
            continue
        records = "".join(f", {count:,} {kind}" for kind, count in reading.records.items() if count)
        size = f"{_size(reading.stored_mb)}, {_size(reading.decoded_mb)} decoded"
        print(f"{name}: {reading.ranges} range{'s' * (reading.ranges > 1)}, {size}{records}")
    cpu = ", ".join(f"{name} {_time(seconds)}" for name, seconds in found.cpu_seconds.items())
    print(f"CPU: {cpu}; {_time(found.alone_seconds)} of it in one process")
    print(
        f"in all: {_time(60 * found.minutes)} with --workers {config.workers}, {_size(found.memory_mb)} of memory, "
        f"{_size(found.work_mb)} of disk for {config.out}/.build and {_size(found.dataset_mb)} for the dataset"
    )
    print("Estimated from a piece of each dump and the rates in docs/scale.md. Nothing written.")


def _time(seconds: float) -> str:
    return (
        f"{seconds:.1f} s"
        if seconds < 120
        else f"{seconds / 60:.0f} min"
        if seconds < 7200
        else f"{seconds / 3600:.1f} h"
    )


def _size(megabytes: float) -> str:
    return f"{megabytes:.1f} MB" if megabytes < 1000 else f"{megabytes / 1e3:,.1f} GB"
