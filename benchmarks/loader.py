"""The loader beside bare pyarrow and Hugging Face datasets, on 2 million token rows of 1,024-row groups.

    python -m benchmarks.loader [--rows N] [--hf-rows N] [--rounds N]

The rows are those of a built dataset's tokens (the real sample where WIKILOOM_DATA is set, else examples/), repeated in
random order under new ids. CPU time of one process, side by side; prints the figures and writes results/loader.json.
"""

import argparse
import itertools
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.samples import ROOT, sample_dumps
from benchmarks.timing import best_cpu_seconds, save
from schemas.dataset import Dataset
from schemas.hashing import random_u64
from schemas.manifest import Manifest, Shard, TableEntry
from schemas.tables import TOKEN_TABLES
from training.config import DataConfig
from training.data.collate import COLUMNS
from training.data.groups import ParquetGroups
from training.data.loader import Loader
from training.data.stream import SOLE, Rank

TABLE = TOKEN_TABLES["wk_graphs"]
GROUP_ROWS, SHARDS = 1_024, 8
BATCH = 480
"""Rows of a global batch, as in the test of ranks."""
SHUFFLES = ((480, 64, 4_096), (2_048, 64, 4_096), (2_048, 256, 2_048), (2_048, 256, 4_096))
"""(batch, lanes, window): the default ones, and those of colake-base last."""
EPOCHS = 10
PLACES = {"early": 0.0, "at 40 %": 0.4, "at 60 %": 0.6, "at 95 %": 0.95, "where a window ends": 0.25}
"""Of first batches in an epoch; the last one needs two windows, as one batch in some hundred does."""


def build_sample(folder: Path) -> Path:
    """A dataset with tokens/tiny, built by the commands."""
    pages, facts = sample_dumps()
    out = folder / "dataset"
    words = ["build", "--wikipedia", pages, "--wikidata", facts, "--keep", "linked", "--out", out]
    for command in (
        words,
        ["train-tokenizer", out, "--out", folder / "t"],
        ["tokenize", out, "--tokenizer", folder / "t"],
    ):
        subprocess.run([sys.executable, "-m", "wikiloom", *map(str, command)], cwd=ROOT, check=True, stdout=sys.stderr)
    return out / "tokens" / "t"


def repeat(tokens: Path, folder: Path, rows: int) -> Dataset:
    """`rows` token rows in SHARDS files, drawn from the train split; the row's number is its id."""
    sample = Dataset(tokens, TOKEN_TABLES).read("wk_graphs", "train").combine_chunks()
    shards, per_shard = [], rows // SHARDS
    for number in range(SHARDS):
        ids = np.arange(number * per_shard, (number + 1) * per_shard)
        drawn = (random_u64(0, "benchmark", ids) % np.uint64(sample.num_rows)).astype(np.int64)
        table = sample.take(pa.array(drawn))
        place = table.schema.get_field_index("graph_id")
        table = table.set_column(place, table.schema.field(place), pa.array(ids)).cast(TABLE.schema)
        name = f"wk_graphs/train-{number:05d}-of-{SHARDS:05d}.parquet"
        (folder / "wk_graphs").mkdir(parents=True, exist_ok=True)
        pq.write_table(table, folder / name, compression="zstd", row_group_size=GROUP_ROWS, write_page_checksum=True)
        size = (folder / name).stat().st_size
        shards.append(Shard(path=name, rows=per_shard, bytes=size, row_groups=per_shard // GROUP_ROWS, sha256=""))
    entry = TableEntry(schema_version=TABLE.version, rows=rows, digest="", shards=shards)
    Manifest(digest="benchmark", tables={"wk_graphs": entry}, rest={}).save(folder)
    return Dataset(folder, TOKEN_TABLES)


def open_loader(dataset: Dataset, batch: int = BATCH, rank: Rank = SOLE, **settings: int) -> Loader:
    """A rank's loader of the graphs, of the default settings but for these."""
    groups = ParquetGroups(dataset, "wk_graphs", "train", COLUMNS)
    options = DataConfig(digest=dataset.digest, **{"ahead": 0, **settings})
    return Loader({"wk_graphs": groups}, {"wk_graphs": batch}, options, seed=0, rank=rank)


def decode_bare(dataset: Dataset) -> None:
    """Every row group in order, by pyarrow alone."""
    for shard in dataset.shards("wk_graphs", "train"):
        with pq.ParquetFile(dataset.folder / shard.path) as file:
            for group in range(file.num_row_groups):
                file.read_row_group(group, columns=COLUMNS, use_threads=False)


class Epochs:
    """A loader that goes on: each call reads the next epoch's batches, flat values and where each row begins."""

    def __init__(self, dataset: Dataset, **settings: int) -> None:
        self.loader = open_loader(dataset, **settings)
        self.done = 0

    def __call__(self) -> None:
        """Read an epoch."""
        start, self.done = self.done, self.done + int(self.loader.epoch_steps)
        with self.loader.batches(start, self.done, lambda _step, parts: parts) as batches:
            for _ in batches:
                pass


def load_first(dataset: Dataset, place: float) -> None:
    """A loader opened anew, and its first batch at this part of an epoch."""
    loader = open_loader(dataset)
    loader.take(int(place * loader.epoch_steps))


def measure_speed(dataset: Dataset, rounds: int) -> dict[str, float]:
    """Rows a CPU second, beside bare decoding; CPU seconds of first batches."""
    rows = dataset.rows("wk_graphs")
    runs: dict[str, Callable[[], object]] = {
        "pyarrow": partial(decode_bare, dataset),
        "loader": Epochs(dataset),
        "loader, 1 thread ahead": Epochs(dataset, ahead=4),
        "loader, 2 threads decode": Epochs(dataset, ahead=4, threads=2),
    }
    seconds = best_cpu_seconds(runs, rounds)
    figures = {f"{name} rows/s": round(rows / value) for name, value in seconds.items()}
    figures |= {f"{name} / pyarrow": round(seconds["pyarrow"] / seconds[name], 3) for name in list(runs)[1:]}
    first = best_cpu_seconds({name: partial(load_first, dataset, place) for name, place in PLACES.items()}, rounds)
    figures |= {f"first batch {name} s": round(value, 3) for name, value in first.items()}
    late = max(value for name, value in first.items() if name.startswith("at"))
    figures["first batch late / early"] = round(late / first["early"], 2)
    return {**figures, "first batch of two windows / early": round(first["where a window ends"] / first["early"], 2)}


def measure_peer(dataset: Dataset, rows: int, buffer: int = 10_000) -> dict[str, float]:
    """Rows a CPU second of datasets' streaming with torch format and shuffle, after its buffer is full.

    Row by row, and in batches of the loader's size; nothing is collated.
    """
    try:
        import datasets
    except ImportError:
        print("datasets is not installed (pip install -e '.[bench]'): its figures are left out", file=sys.stderr)
        return {}
    files = [str(dataset.folder / shard.path) for shard in dataset.shards("wk_graphs", "train")]
    stream = datasets.load_dataset("parquet", data_files=files, streaming=True, split="train", columns=COLUMNS)
    stream = stream.shuffle(seed=0, buffer_size=buffer).with_format("torch")
    figures = {}
    for name, items, each in (
        ("datasets", iter(stream), 1),
        ("datasets, in batches", stream.iter(batch_size=BATCH), BATCH),
    ):
        next(items)
        started = time.process_time()
        count = sum(each for _ in itertools.islice(items, rows // each))
        figures[f"{name} rows/s"] = round(count / (time.process_time() - started))
    return figures


def measure_order(dataset: Dataset) -> dict[str, float]:
    """Decodes a row group at 1, 3 and 8 ranks."""
    figures, count = {}, dataset.rows("wk_graphs") // GROUP_ROWS
    for world in (1, 3, 8):
        ranks = [open_loader(dataset, rank=Rank(number, world)) for number in range(world)]
        # One rank after the other: each reads as if it were alone.
        for rank in ranks:
            for step in range(int(rank.epoch_steps)):
                rank.take(step)
        figures[f"decodes a row group, {world} ranks"] = round(sum(rank.decodes for rank in ranks) / count, 3)
    return figures


def used_mb() -> float:
    """What this process has in memory."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def shuffle_figures(dataset: Dataset, batch: int, lanes: int, window: int) -> dict[str, float]:
    """Row groups that a batch draws from, beside a perfect shuffle; MB that the loader holds; its rate."""
    decode_bare(dataset)
    before, count = used_mb(), dataset.rows("wk_graphs") // GROUP_ROWS
    loader = open_loader(dataset, batch, lanes=lanes, window=window)
    steps = range(int(loader.epoch_steps))
    ids = [loader.take(step)["wk_graphs"].columns.numbers["graph_id"] for step in steps]
    found = np.mean([len(np.unique(some // GROUP_ROWS)) for some in ids])
    perfect = count * (1 - (1 - 1 / count) ** batch)
    figures = {"row groups": round(float(found), 1), "of a perfect shuffle's": round(float(found) / perfect, 2)}
    figures["MB held"] = round(used_mb() - before)
    epochs = Epochs(dataset, batch=batch, lanes=lanes, window=window)
    seconds = best_cpu_seconds({"pyarrow": partial(decode_bare, dataset), "loader": epochs}, 2)
    return {**figures, "/ pyarrow": round(seconds["pyarrow"] / seconds["loader"], 3)}


def memory_by_epoch(dataset: Dataset) -> list[float]:
    """MB in memory after each epoch, read ahead as in training."""
    loader = open_loader(dataset, ahead=4)
    steps = math.ceil(loader.epoch_steps)
    with loader.batches(0, EPOCHS * steps, lambda step, _parts: step) as batches:
        return [used_mb() for step in batches if (step + 1) % steps == 0]


def alone(dataset: Dataset, *settings: int) -> Any:
    """shuffle_figures of these settings, or without any memory_by_epoch, in a process of its own."""
    words = [sys.executable, "-m", "benchmarks.loader", "--alone", str(dataset.folder), *map(str, settings)]
    return json.loads(subprocess.run(words, cwd=ROOT, stdout=subprocess.PIPE, check=True, text=True).stdout)


def measure_memory(dataset: Dataset) -> dict[str, float]:
    """Growth over EPOCHS epochs; what each of SHUFFLES holds, and how well it mixes."""
    used = alone(dataset)
    figures = {"MB after epoch 1": round(used[0]), f"growth until epoch {EPOCHS}": round(used[-1] / used[0] - 1, 3)}
    for batch, lanes, window in SHUFFLES:
        found = alone(dataset, batch, lanes, window)
        figures |= {f"batch {batch}, lanes {lanes}, window {window}: {name}": value for name, value in found.items()}
    return figures


def main() -> None:
    """Measure and print all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=2_048 * GROUP_ROWS)
    parser.add_argument("--hf-rows", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--alone", nargs="+", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    pa.set_cpu_count(1)
    if arguments.alone:
        dataset, settings = Dataset(arguments.alone[0], TOKEN_TABLES), map(int, arguments.alone[1:])
        print(json.dumps(shuffle_figures(dataset, *settings) if arguments.alone[1:] else memory_by_epoch(dataset)))
        return
    rows = max(1, arguments.rows // (GROUP_ROWS * SHARDS)) * GROUP_ROWS * SHARDS
    with tempfile.TemporaryDirectory() as name:
        dataset = repeat(build_sample(Path(name)), Path(name, "many"), rows)
        figures: dict[str, float] = {"rows": rows, "row groups": rows // GROUP_ROWS}
        figures |= measure_speed(dataset, arguments.rounds)
        peer = measure_peer(dataset, arguments.hf_rows)
        if peer:
            figures |= {**peer, "loader / datasets": round(figures["loader rows/s"] / max(peer.values()), 1)}
        figures |= measure_order(dataset) | measure_memory(dataset)
    for figure, value in figures.items():
        print(f"{figure}: {value:,}")
    print(save("loader", {"sample": sample_dumps()[0].name.partition(".")[0], "figures": figures}))


if __name__ == "__main__":
    main()
