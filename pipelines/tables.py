"""The tables of a build: written into the work folder, moved into the dataset when all of them are whole."""

import dataclasses
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipelines import sinks
from pipelines.records import read_json, save_array, write_json
from pipelines.runner import run_jobs
from pipelines.transforms.entities import EntityShardJob, RecordJob, cut_records, record_range, write_entity_shard
from pipelines.work import keep_only
from schemas.manifest import Shard, TableEntry
from schemas.table import Table
from schemas.tables import TABLES


@dataclasses.dataclass(frozen=True)
class TableWriter:
    """Writes tables; those that are whole under the same key it leaves alone.

    A table has a folder of its own in `folder`, with its shards, their markers and, last of all, entry.json.
    """

    folder: Path
    out: Path
    """The dataset, where a table lies once it is published."""
    keys: Mapping[str, str]
    """Key of each "table NAME"."""
    rows_per_shard: int
    """0 for each table's own default."""
    options: Any
    definitions: Mapping[str, Table] = dataclasses.field(default_factory=lambda: TABLES)
    """The tables that there are, by name."""
    entries: dict[str, TableEntry] = dataclasses.field(default_factory=dict)
    """What is whole, for the manifest."""

    def write(self, name: str, make_rows: Callable[[], pa.Table]) -> None:
        """Write a table that fits into memory; its rows are only made where it is not whole."""
        if not self._is_whole(name):
            rows = make_rows()
            self._finish(name, sinks.write_table(self.definitions[name], rows, self.folder / name, self._rows(name)))

    def write_shards(self, name: str, write: Callable[[Path], Sequence[Shard]]) -> None:
        """Write a table that may be larger than memory: `write` is given its folder."""
        if not self._is_whole(name):
            self._finish(name, write(self.folder / name))

    def merge(self, runs: Mapping[str, Sequence[Path]]) -> None:
        """Write tables from their sorted runs, all in one Beam job."""
        jobs = {name: self._merge_jobs(name, files) for name, files in runs.items() if not self._is_whole(name)}
        run_jobs("write tables", [job for own in jobs.values() for job in own], sinks.merge_shard, self.options)
        for name, own in jobs.items():
            self._finish(name, [Shard(**read_json(job.marker)) for job in own])

    def write_entities(
        self,
        sources: Sequence[tuple[Path, Path | None]],
        graph: Path,
        entities: int,
        count: Callable[[], npt.NDArray[np.int64]],
    ) -> None:
        """Write so many entities from (items or leads, winning rows); `count` is each one's graph_count, shape (E,)."""
        folder, table = self.folder / "entities", TABLES["entities"]
        if self._is_whole("entities"):
            return
        save_array(folder / "graph_count.npy", count())
        records = [
            RecordJob(path, winning, graph / "neighbourhood", folder / "records" / f"{number:05d}")
            for number, (path, winning) in enumerate(sources)
        ]
        run_jobs("entities", records, record_range, self.options)
        cuts = sinks.cut_rows(entities, self._rows("entities"))
        if not cuts:
            self._finish("entities", sinks.write_table(table, table.schema.empty_table(), folder))
            return
        slices = cut_records([job.folder / "records.arrow" for job in records], cuts)
        jobs = [
            EntityShardJob(*cut, number, len(cuts), own, graph, folder, folder / f"{number}.json")
            for number, (cut, own) in enumerate(zip(cuts, slices, strict=True))
        ]
        run_jobs("write entities", jobs, write_entity_shard, self.options)
        self._finish("entities", [Shard(**read_json(job.marker)) for job in jobs])

    def publish(self) -> None:
        """Move the tables into the dataset. It has no manifest from here on: the caller writes the new one.

        A build that is killed in between goes on here: what has moved is whole where it is.
        """
        (self.out / "manifest.json").unlink(missing_ok=True)
        for name, table in self.definitions.items():
            staged = self.folder / name / table.folder
            if name not in self.entries or staged.is_dir():
                shutil.rmtree(self.out / table.folder, ignore_errors=True)
            if staged.is_dir():
                staged.rename(self.out / table.folder)

    def _is_whole(self, name: str) -> bool:
        folder = self.folder / name
        keep_only(folder, self.keys[f"table {name}"])
        if not (folder / "entry.json").is_file():
            return False
        document = read_json(folder / "entry.json")
        entry = TableEntry(**{**document, "shards": [Shard(**shard) for shard in document["shards"]]})
        root = folder if (folder / self.definitions[name].folder).is_dir() else self.out
        paths = [(root / shard.path, shard.bytes) for shard in entry.shards]
        if all(path.is_file() and path.stat().st_size == size for path, size in paths):
            self.entries[name] = entry
            return True
        shutil.rmtree(folder)
        keep_only(folder, self.keys[f"table {name}"])
        return False

    def _finish(self, name: str, shards: Sequence[Shard]) -> None:
        entry = sinks.table_entry(self.definitions[name], self.folder / name, shards)
        write_json(self.folder / name / "entry.json", dataclasses.asdict(entry))
        self.entries[name] = entry

    def _merge_jobs(self, name: str, files: Sequence[Path]) -> list[sinks.MergeJob]:
        folder, table = self.folder / name, self.definitions[name]
        plan = sinks.plan_shards(table, files, self._rows(name))
        return [sinks.MergeJob(table, job, folder, folder / f"{job.name}.json") for job in plan]

    def _rows(self, name: str) -> int:
        return sinks.rows_of_shard(self.definitions[name], self.rows_per_shard)
