"""The sink: what lands in the shards does not depend on how the rows came."""

import dataclasses
import itertools

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines import sinks
from schemas import TABLES
from schemas.digest import TableDigest

REDIRECTS, PAGES = TABLES["redirects"], TABLES["pages"]
SMALL_GROUPS = dataclasses.replace(PAGES, row_group_rows=5)


def pages(ids):
    rows = [
        {
            "page_id": i,
            "revision_id": i + 1,
            "timestamp": None if i % 3 else 1_000 * i,
            "title": f"T{i}",
            "entity": f"Q{i}" if i % 2 else None,
            "split": "test" if i % 5 == 0 else "train",
            "text": "é" * (i % 7),
            "sections": [{"title": "s", "level": 2, "start": 0, "end": i}] * (i % 3),
            "lead_end": 0,
            "links": [],
        }
        for i in ids
    ]
    return pa.Table.from_pylist(rows, schema=PAGES.schema)


def build(folder, ranges, rows_per_shard):
    folders = [folder / str(number) for number in range(len(ranges))]
    for part, ids in zip(folders, ranges, strict=True):
        with sinks.RunWriter(part, PAGES) as writer:
            for start in range(0, len(ids), 30):
                piece = ids[start : start + 30]
                writer.add(pages(piece), np.array(piece, dtype=np.uint64))
    files = [path for part in folders for path in sinks.runs(part, PAGES)]
    jobs = sinks.plan_shards(SMALL_GROUPS, files, rows_per_shard)
    shards = [sinks.write_shard(SMALL_GROUPS, job, folder / "out") for job in jobs]
    return sinks.table_entry(SMALL_GROUPS, folder / "out", shards)


@pytest.mark.parametrize(
    "ranges", [[range(100)], [range(50), range(50, 100)], [range(99, -1, -1)], [range(0, 100, 2), [], range(1, 100, 2)]]
)
@pytest.mark.parametrize("rows_per_shard", [1_000, 7])
@pytest.mark.parametrize("run_bytes", [1_000, 1 << 27])
def test_digest_and_rows_do_not_depend_on_ranges_runs_or_shards(
    tmp_path, ranges, rows_per_shard, run_bytes, monkeypatch
):
    monkeypatch.setattr(sinks, "RUN_BYTES", run_bytes)
    monkeypatch.setattr(sinks, "RUN_BATCH_ROWS", 4)
    monkeypatch.setattr(sinks, "MERGE_ROWS", 12)
    entry = build(tmp_path, [list(ids) for ids in ranges], rows_per_shard)
    expected = TableDigest(PAGES)
    for split in ("train", "valid", "test"):
        whole = pages(range(100))
        expected.update(whole.filter(pa.array([s == split for s in whole["split"].to_pylist()])))
    assert entry.digest == expected.hexdigest()
    assert entry.rows == 100
    assert sum(shard.row_groups for shard in entry.shards) >= 100 / 5
    assert len(entry.split("train")) == -(-80 // rows_per_shard)
    assert not entry.split("valid")


def test_empty_table_has_one_file_without_a_row_group(tmp_path):
    shards = sinks.write_table(REDIRECTS, REDIRECTS.schema.empty_table(), tmp_path)
    assert [shard.row_groups for shard in shards] == [0]
    assert pq.ParquetFile(tmp_path / shards[0].path).num_row_groups == 0


def test_row_groups_stay_below_the_byte_cap(tmp_path, monkeypatch):
    monkeypatch.setattr(sinks, "ROW_GROUP_BYTES", 1_000)
    sinks.write_table(PAGES, pages(range(200)), tmp_path)
    shard = next((tmp_path / "pages").glob("train-*"))
    file = pq.ParquetFile(shard)
    groups = [file.read_row_group(i) for i in range(file.num_row_groups)]
    assert all(group.nbytes <= 1_000 or group.num_rows == 1 for group in groups)
    assert sum(group.num_rows for group in groups) == file.metadata.num_rows


@given(st.lists(st.integers(0, 99), min_size=0, max_size=5))
def test_digest_does_not_depend_on_how_rows_are_cut(cuts):
    whole = pages(range(100))
    expected, pieces = TableDigest(PAGES), TableDigest(PAGES)
    expected.update(whole)
    edges = [0, *sorted(cuts), 100]
    for start, end in itertools.pairwise(edges):
        pieces.update(whole.slice(start, end - start))
    assert pieces.hexdigest() == expected.hexdigest()


def test_digest_sees_every_value():
    seen = set()
    base = pages(range(10)).to_pylist()
    changes = [{}, {"title": "x"}, {"entity": None}, {"entity": ""}, {"text": "y"}, {"lead_end": 1}, {"timestamp": 5}]
    for change in changes:
        digest = TableDigest(PAGES)
        digest.update(pa.Table.from_pylist([{**base[1], **change}, *base[2:]], schema=PAGES.schema))
        seen.add(digest.hexdigest())
    assert len(seen) == len(changes)
