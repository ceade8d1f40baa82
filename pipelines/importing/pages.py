"""The pages of an import: plain texts, numbered in the order in which they are read and split by hash as a build's."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines import sinks
from pipelines.config import Parameters
from pipelines.importing.source import PAGE_TEXTS, Pages
from pipelines.records import read_record_batches
from pipelines.transforms import split
from schemas.manifest import Shard
from schemas.pages import PAGES

SEED = 0


def write_pages(pages: Pages, folder: Path) -> list[Shard]:
    """Write the table pages into `folder`; the texts are read now, so their counts and rejects end here."""
    path, count = folder / "texts.arrow", 0
    folder.mkdir(parents=True, exist_ok=True)
    with pa.ipc.new_file(str(path), PAGE_TEXTS) as writer:
        for batch in pages.batches:
            writer.write_batch(batch)
            count += batch.num_rows
    shares = Parameters()
    codes = split.pages(np.arange(count), seed=SEED, valid=shares.valid_pages, test=shares.test_pages)
    first = 0
    with sinks.RunWriter(folder / "runs", PAGES) as runs:
        for batch in read_record_batches(path):
            ids = np.arange(first, first + batch.num_rows)
            runs.add(_rows(batch, ids, codes[ids]), ids.astype(np.uint64))
            first += batch.num_rows
    return [
        sinks.write_shard(PAGES, job, folder) for job in sinks.plan_shards(PAGES, sinks.runs(folder / "runs", PAGES))
    ]


def _rows(texts: pa.RecordBatch, ids: np.ndarray, codes: np.ndarray) -> pa.Table:
    """Pages that are all lead, without sections, links and a time."""
    nothing = pa.array(np.zeros(len(ids) + 1, np.int32))
    lists = {name: PAGES.schema.field(name).type for name in ("sections", "links")}
    columns = {
        "page_id": ids,
        "revision_id": np.zeros(len(ids), np.int64),
        "timestamp": pa.nulls(len(ids), pa.timestamp("ms")),
        "title": texts["title"],
        "entity": pa.nulls(len(ids), pa.string()),
        "split": pa.array(split.NAMES).take(pa.array(codes)),
        "text": texts["text"],
        "lead_end": pc.utf8_length(texts["text"]),
        **{
            name: pa.ListArray.from_arrays(nothing, pa.array([], kind.value_type), type=kind)
            for name, kind in lists.items()
        },
    }
    return pa.table({name: columns[name] for name in PAGES.schema.names}).cast(PAGES.schema)
