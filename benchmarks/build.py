"""What a build costs beside the bare functions that it runs, its peak memory, and the sink beside bare pyarrow.

    python benchmarks/build.py [--wikipedia DUMP.xml.bz2 --wikidata DUMP.json.gz] [--rounds N]

The dump's pages are repeated, with new ids and titles, to 73 and 290 MB of XML. The bare functions read, parse, align
and cut the same pages in a plain loop: no Beam, no file written, rows passed in memory. Each run is a process of its
own, one worker; the differences between the two sizes leave out what every start costs. The dump as it is, with all
items kept, tells what an entity and a triple cost. The sink writes sorted shards of rows that come batch by batch in
the order of a dump, bare pyarrow the same rows in their final order, from memory; every text has letters of its own,
else the copies of a text would compress by one another. Without dumps it reads those in the folder WIKILOOM_DATA,
else examples/. Writes results/build.json.
"""

import argparse
import bz2
import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.reading import SIZES_MB, repeated
from benchmarks.samples import ROOT, sample_dumps
from benchmarks.timing import best_cpu_seconds, save
from pipelines import sinks
from pipelines.config import Build
from pipelines.estimate import estimate
from pipelines.inputs import plan_inputs
from pipelines.sources.ranges import plan_ranges
from pipelines.sources.wikidata import read_entities
from pipelines.sources.wikipedia import RawPage, read_pages, read_siteinfo
from pipelines.transforms.align import page_rows
from pipelines.transforms.articles import ArticleRow, article_columns, article_row, batches, read_page
from pipelines.transforms.neighbourhood import Neighbourhood
from pipelines.transforms.passages import Cutter
from pipelines.transforms.sentences import make_splitter
from pipelines.transforms.titles import NO_ITEM, TitleIndex, are_in
from pipelines.transforms.wk_graphs import GraphRules, Tally, batch_graphs
from pipelines.wikitext import Article, Site
from schemas.dataset import Dataset
from schemas.hashing import random_u64, row_order
from schemas.manifest import read_manifest
from schemas.tables import TABLES

RULES = GraphRules(language="en", sentences="rules", passage_chars=600, neighbors=15, seed=0)
KEEP = ("--keep", "linked")
SUNK = {"pages": "page_id", "wk_graphs": "graph_id"}
"""Tables that a build writes by ranges and merges, and what their keys are made from."""
SUNK_AT_ONCE = 1_000


class Cost(NamedTuple):
    """Of one process."""

    cpu_seconds: float
    peak_mb: float


def run(words: Sequence[str | Path]) -> Cost:
    """Run a command; what it costs is what the system counted when it ended."""
    process = subprocess.Popen([sys.executable, *map(str, words)], cwd=ROOT, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{words}: exit code {process.returncode}")
    return Cost(usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def run_bare(dump: Path, wikidata: Path, work: Path) -> None:
    """The functions of every range's stages, with the indices of the build in `work`."""
    for piece in plan_ranges(str(wikidata)):
        for _ in read_entities(piece, "en", Counter()):
            pass
    site = Site.from_siteinfo(read_siteinfo(str(dump)), "en")
    index, kept = TitleIndex.load(work / "titles"), np.load(work / "titles/kept_items.npy")
    neighbourhood = Neighbourhood.load(work / "graph/neighbourhood")
    cutter, tally, links = Cutter(make_splitter("rules", "en"), RULES.passage_chars), Tally(), Counter[str]()
    for piece in plan_ranges(str(dump)):
        for rows in batches(read_articles(read_pages(piece), site)):
            articles = pa.Table.from_batches([article_columns(rows)])
            items = index.find_titles([row.title for row in rows])
            items = np.where(are_in(items, kept), items, NO_ITEM)
            pages = page_rows(articles, items, np.zeros(len(rows), np.int8), index, kept, links)
            for batch in pages.combine_chunks().to_batches():
                batch_graphs(batch, neighbourhood, cutter, RULES, tally)


def read_articles(pages: Iterator[object], site: Site) -> Iterator[ArticleRow]:
    """The articles among pages."""
    for page in pages:
        if isinstance(page, RawPage) and isinstance(article := read_page(page, site), Article):
            yield article_row(page, article, site)


def measure_builds(dump: Path, wikidata: Path, folder: Path, rounds: int) -> dict[str, float]:
    """CPU seconds of builds and of the bare functions, best of the rounds; peak memory, greatest of the rounds."""
    figures: dict[str, float] = {}
    costs: dict[int, dict[str, float]] = {}
    for size in SIZES_MB:
        with bz2.open(folder / f"{size}.xml.bz2", "wb") as file:
            file.writelines(repeated(dump, size * 10**6))
    for number in range(rounds):
        for size in SIZES_MB:
            path, out = folder / f"{size}.xml.bz2", folder / f"{size}-{number}"
            words = ["-m", "wikiloom", "build", "--wikipedia", path, "--wikidata", wikidata, *KEEP, "--out", out]
            built = run(words)
            bare = run([__file__, "--bare", path, wikidata, out / ".build"])
            costs[size] = stage_costs(out)
            for name, cost in (("build", built), ("bare", bare)):
                cpu, peak = f"{name} {size} MB CPU s", f"{name} {size} MB peak MB"
                figures[cpu] = round(min(figures.get(cpu, cost.cpu_seconds), cost.cpu_seconds), 2)
                figures[peak] = round(max(figures.get(peak, 0), cost.peak_mb))
    small, large = SIZES_MB
    slopes = [figures[f"{name} {large} MB CPU s"] - figures[f"{name} {small} MB CPU s"] for name in ("build", "bare")]
    rates = {
        f"{name} of XML": float(f"{(costs[large][name] - costs[small][name]) / (large - small):.3g}")
        for name in costs[small]
    }
    estimated = compare_estimate(folder / f"{large}.xml.bz2", wikidata, folder / f"{large}-0", figures, large)
    return {**figures, "build / bare": round(slopes[0] / slopes[1], 2), **rates, **estimated}


def measure_records(dump: Path, wikidata: Path, folder: Path, rounds: int) -> dict[str, float]:
    """What an entity and a triple take in a build with --keep all: bytes; CPU beside a build that keeps few items."""
    seconds: dict[str, float] = {}
    for number in range(rounds):
        for keep in ("linked", "all"):
            out = folder / f"{keep}-{number}"
            words = ["--wikipedia", dump, "--wikidata", wikidata, "--keep", keep, "--out", out]
            run(["-m", "wikiloom", "build", *words])
            taken = read_manifest(out).rest["stages"]["tables"]["cpu_seconds"]
            seconds[keep] = min(seconds.get(keep, taken), taken)
    few, whole = (read_manifest(folder / f"{keep}-0") for keep in ("linked", "all"))
    entities, triples = whole.tables["entities"], whole.tables["triples"]
    work = folder / "all-0" / ".build"
    more = entities.rows - few.tables["entities"].rows
    return {
        "work bytes an item": round(
            disk_bytes(work / "wikidata") / whole.rest["stages"]["wikidata"]["out"]["items"], 1
        ),
        "tables CPU us an entity": round(1e6 * (seconds["all"] - seconds["linked"]) / more, 1),
        "dataset bytes an entity": round(sum(shard.bytes for shard in entities.shards) / entities.rows, 1),
        "work bytes an entity": round(disk_bytes(work / "tables" / "entities") / entities.rows, 1),
        "dataset bytes a triple": round(sum(shard.bytes for shard in triples.shards) / triples.rows, 1),
        "work bytes a triple": round(disk_bytes(work / "graph") / triples.rows, 1),
    }


def compare_estimate(
    dump: Path, wikidata: Path, out: Path, figures: dict[str, float], megabytes: int
) -> dict[str, float]:
    """What --dry-run says of a build, beside what it took."""
    config = Build(wikipedia=(dump,), wikidata=(wikidata,), keep="linked", out=out)
    found = estimate(config, plan_inputs(config))
    taken = {
        "CPU": (sum(found.cpu_seconds.values()), figures[f"build {megabytes} MB CPU s"]),
        "memory": (found.memory_mb, figures[f"build {megabytes} MB peak MB"]),
        "disk": (found.work_mb + found.dataset_mb, disk_bytes(out) / 1e6),
    }
    ratios = {f"estimated / taken, {name}": round(first / second, 2) for name, (first, second) in taken.items()}
    return {"piece CPU ms a MB of XML": round(found.readings["wikipedia"].ms, 1), **ratios}


def stage_costs(out: Path) -> dict[str, float]:
    """What a build's stages took and left: CPU ms and kB, by name; for two sizes, the slope is a rate a MB."""
    stages = read_manifest(out).rest["stages"]
    cpu = {f"{name} CPU ms a MB": 1e3 * stage["cpu_seconds"] for name, stage in stages.items() if name != "graph"}
    folders = {"wikipedia": ["wikipedia"], "align": ["titles", "align"], "wk_graphs": ["wk_graphs"]}
    disk = {
        f"{name} kB a MB": sum(disk_bytes(out / ".build" / one) for one in own) / 1e3 for name, own in folders.items()
    }
    return {**cpu, **disk, "dataset kB a MB": (disk_bytes(out) - disk_bytes(out / ".build")) / 1e3}


def disk_bytes(folder: Path) -> int:
    """Bytes of all files in a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def measure_sink(dataset: Path, folder: Path, rounds: int) -> dict[str, float]:
    """Rows a CPU second of the sink as a share of bare pyarrow's."""
    figures: dict[str, float] = {}
    for name, column in SUNK.items():
        arriving = with_own_letters(Dataset(dataset).read(name).sort_by(column).combine_chunks())
        final = arriving.take(pa.array(np.argsort(sort_keys(name, arriving))))
        runs: dict[str, Callable[[], object]] = {
            "pyarrow": partial(write_bare, name, final, folder / "bare.parquet"),
            "sink": partial(sink, name, arriving, folder / name),
            "digest": partial(sink, name, arriving, folder / name, with_digest=True),
        }
        seconds = best_cpu_seconds(runs, rounds)
        figures[f"{name} pyarrow rows/s"] = round(final.num_rows / seconds["pyarrow"])
        figures[f"{name} sink / pyarrow"] = round(seconds["pyarrow"] / seconds["sink"], 2)
        figures[f"{name} sink and logical digest / pyarrow"] = round(seconds["pyarrow"] / seconds["digest"], 2)
    return figures


def sort_keys(name: str, rows: pa.Table) -> npt.NDArray[np.uint64]:
    """The sink's key of each row: pages come in its order, word-knowledge graphs page by page, in no order of it."""
    numbers = rows[SUNK[name]].to_numpy()
    return row_order(numbers) if name == "wk_graphs" else numbers.astype(np.uint64)


def with_own_letters(rows: pa.Table) -> pa.Table:
    """Texts of the same lengths and frequencies; each has its letters exchanged in its own way."""
    letters = "abcdefghijklmnopqrstuvwxyz"
    orders = np.argsort(random_u64(0, "letters", np.arange(rows.num_rows)[:, None], np.arange(26)), axis=1)
    names = ["".join(letters[place] for place in order) for order in orders.tolist()]
    texts = [
        text.translate(str.maketrans(letters, own)) for text, own in zip(rows["text"].to_pylist(), names, strict=True)
    ]
    return rows.set_column(rows.schema.get_field_index("text"), rows.schema.field("text"), pa.array(texts))


def write_bare(name: str, rows: pa.Table, path: Path) -> None:
    """The rows as they are, with the sink's codec and row groups."""
    table = TABLES[name]
    with pq.ParquetWriter(path, table.schema, compression="zstd") as writer:
        writer.write_table(rows.cast(table.schema), row_group_size=table.row_group_rows)


def sink(name: str, rows: pa.Table, folder: Path, with_digest: bool = False) -> None:
    """The rows as a stage gives them, batch by batch, to sorted shards."""
    table, keys = TABLES[name], sort_keys(name, rows)
    with sinks.RunWriter(folder, table) as writer:
        for start in range(0, rows.num_rows, SUNK_AT_ONCE):
            writer.add(rows.slice(start, SUNK_AT_ONCE), keys[start : start + SUNK_AT_ONCE])
    jobs = sinks.plan_shards(table, sinks.runs(folder, table))
    shards = [sinks.write_shard(table, job, folder) for job in jobs]
    if with_digest:
        sinks.table_entry(table, folder, shards)


def main() -> None:
    """Measure and print all."""
    dump, facts = sample_dumps()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--wikipedia", type=Path, default=dump)
    parser.add_argument("--wikidata", type=Path, default=facts)
    parser.add_argument("--rounds", type=int, default=2)
    arguments = parser.parse_args()
    dump, facts = arguments.wikipedia.absolute(), arguments.wikidata.absolute()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        figures = measure_builds(dump, facts, folder, arguments.rounds)
        figures |= measure_records(dump, facts, folder, arguments.rounds)
        figures |= measure_sink(folder / f"{SIZES_MB[-1]}-0", folder, arguments.rounds + 1)
    for name, value in figures.items():
        print(f"{name}: {value:,}")
    print(save("build", {"dumps": [dump.name, facts.name], "figures": figures}))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--bare"]:
        run_bare(*map(Path, sys.argv[2:]))
    else:
        main()
