"""Vectors of every entity, in Parquet files of which each appears whole: an export that was killed keeps those it has.

A file is a pure function of the run, the precision and its rows; its metadata say which ones. B rows, D hidden.
"""

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
import xxhash
from jaxtyping import Float
from torch import Tensor

from schemas.errors import DataError
from schemas.table import column
from training.data.groups import ParquetGroups, RowGroups
from training.feeds.kepler import DESCRIBED, described
from training.folders import finished
from training.metrics import progress
from training.models.colake import ColakePredictor
from training.models.kepler import Kepler
from training.runs import Run
from training.vectors import ROWS, Precision, TextEncoder, longest_text, vector_column, written

ENTITIES = "entities"
"""The folder in an export."""
ROWS_OF_FILE = 32_768
"""Of these entities, those of like length are encoded together; a kill costs no more than their time."""


def write_entities(run: Run, folder: Path, precision: Precision) -> list[Path]:
    """A row for each entity of the dataset, in its order: its id, its label, its vector; returns the files in order.

    CoLAKE's are the rows of its table, KEPLER's the encodings of the descriptions. Files that are there and that this
    command would write are left as they are. DataError for a run of a system that has no vectors of entities.
    """
    vectors = _vectors(run, precision)
    names = Reader(ParquetGroups(run.dataset, "entities", None, ["entity", "label"]))
    schema, total = _schema(run, precision), run.dataset.rows("entities")
    paths = _paths(folder, total)
    _keep(folder, paths, schema, total)
    with progress(total, _rows_of(paths), 1, what="entities", unit="entities") as report:
        for path, start in zip(paths, range(0, total, ROWS_OF_FILE), strict=True):
            if path.exists():
                continue
            rows = min(ROWS_OF_FILE, total - start)
            own, named = vectors(start, rows), names.take(start, rows)
            with written(path.with_name(f"{path.name}.tmp"), schema) as write:
                for first in range(0, rows, ROWS):
                    some = named.slice(first, ROWS)
                    write([some["entity"], some["label"], own[first : first + ROWS]])
            finished(path)
            report(start + rows)
    return paths


class Reader:
    """The rows of some row groups, asked for in their order; no more is held than what is asked for and a row group."""

    def __init__(self, groups: RowGroups) -> None:
        self._groups, self._group, self._first, self._held = groups, 0, 0, groups.schema.empty_table()

    def take(self, start: int, rows: int) -> pa.Table:
        """Rows from `start` on, which is not before the end of the last ones; what is between is not read."""
        sizes = self._groups.sizes
        while self._first + self._held.num_rows < start + rows:
            held, size = self._first + self._held.num_rows, int(sizes[self._group])
            if held + size <= start:
                self._first, self._held = held + size, self._groups.schema.empty_table()
            else:
                read = self._groups.read(self._group).cast(self._groups.schema)
                self._held = pa.concat_tables([self._held, read])
            self._group += 1
        taken = self._held.slice(start - self._first, rows)
        self._held, self._first = self._held.slice(start - self._first + rows), start + rows
        return taken.combine_chunks()


def _vectors(run: Run, precision: Precision) -> Callable[[int, int], Float[Tensor, "B D"]]:
    """(the first entity, how many) -> their vectors; asked for in order."""
    if isinstance(run.model, ColakePredictor):
        memory = run.model.model.memory
        return lambda start, rows: memory.pull(torch.arange(start, start + rows))
    if not isinstance(run.model, Kepler):
        system = run.config.system
        raise DataError(f"{run.folder} is a {system} run, which has no vectors of entities. Leave out --entities.")
    encoder = TextEncoder(run, precision)
    tokens = Reader(ParquetGroups(run.tokens, "entities", None, list(DESCRIBED)))
    return lambda start, rows: encoder.encode(described(run.config, run.source, tokens.take(start, rows)).tokens)


def _schema(run: Run, precision: Precision) -> pa.Schema:
    """With all that the vectors follow from in the metadata."""
    columns = [
        column("entity", pa.string(), "entity, e.g. Q42"),
        column("label", pa.string(), "its name in the dataset", nullable=True),
        vector_column(int(run.network.encoder.config.hidden_size)),
    ]
    source = {
        "dataset_digest": run.dataset.digest,
        "tokens_digest": run.tokens.digest,
        "weights": _digest(run),
        "precision": "fp32" if isinstance(run.model, ColakePredictor) else precision,  # rows of a table as they are
        "longest_text": str(longest_text(run)),
        "rows_of_file": str(ROWS_OF_FILE),
    }
    return pa.schema(columns).with_metadata(source)


def _digest(run: Run) -> str:
    """Of all weights but an entity memory's, which no step leaves as they were."""
    digest = xxhash.xxh3_128()
    for name, value in sorted(run.network.state_dict().items()):
        digest.update(name.encode())
        digest.update(value.cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


def _paths(folder: Path, total: int) -> list[Path]:
    files = -(-total // ROWS_OF_FILE)
    return [folder / f"entities-{number:05d}-of-{files:05d}.parquet" for number in range(files)]


def _keep(folder: Path, paths: list[Path], schema: pa.Schema, total: int) -> None:
    """Remove what another export left, and say so; the folder is there then."""
    folder.mkdir(exist_ok=True)
    rows = np.minimum(ROWS_OF_FILE, total - np.arange(0, total, ROWS_OF_FILE)).tolist()
    expected = dict(zip(paths, rows, strict=True))
    others = [(path, _other(path, schema, expected.get(path))) for path in sorted(folder.iterdir())]
    others = [(path, why) for path, why in others if why]
    for path, _ in others:
        path.unlink()
    if others:
        print(
            f"note: {len(others)} files in {folder} are of another export ({others[0][1]}): they are made again.",
            file=sys.stderr,
        )


def _other(path: Path, schema: pa.Schema, rows: int | None) -> str:
    """What makes the file one of another export; nothing for one of this."""
    if rows is None:
        return "other files"
    try:
        footer = pq.read_metadata(path)
    except (OSError, pa.ArrowException):
        return "damaged"
    differing = [key.decode() for key, value in schema.metadata.items() if (footer.metadata or {}).get(key) != value]
    return ", ".join(differing) or ("other rows" if footer.num_rows != rows else "")


def _rows_of(paths: list[Path]) -> int:
    return sum(pq.read_metadata(path).num_rows for path in paths if path.exists())
