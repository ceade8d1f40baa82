"""The sink: what lands in the shards does not depend on how the rows came."""

import dataclasses
import itertools
import os
import tempfile
from pathlib import Path
from unittest import mock

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines import sinks
from pipelines.card import write_card
from pipelines.records import write_json, write_records
from pipelines.transforms.facts import Statements
from pipelines.transforms.graph import save_columns
from schemas import TABLES
from schemas.digest import TableDigest
from schemas.manifest import Manifest

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


def expected_digest(count):
    """That of so many pages, all in memory."""
    expected = TableDigest(PAGES)
    for split in ("train", "valid", "test"):
        whole = pages(range(count))
        expected.update(whole.filter(pa.array([s == split for s in whole["split"].to_pylist()])))
    return expected.hexdigest()


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
    assert entry.digest == expected_digest(100)
    assert entry.rows == 100
    assert sum(shard.row_groups for shard in entry.shards) >= 100 / 5
    assert len(entry.split("train")) == -(-80 // rows_per_shard)
    assert not entry.split("valid")


@settings(max_examples=20, deadline=None)
@given(
    st.permutations(range(60)),
    st.lists(st.integers(0, 60), max_size=3),
    st.fixed_dictionaries(
        {
            "RUN_BYTES": st.sampled_from([1, 2_000, 1 << 27]),
            "RUN_BATCH_ROWS": st.integers(1, 70),
            "ROW_GROUP_BYTES": st.sampled_from([1, 700, 5_000, 1 << 26]),
            "MERGE_ROWS": st.integers(1, 70),
            "DIGEST_BYTES": st.sampled_from([1, 3_000, 1 << 23]),
        }
    ),
    st.integers(9, 80),
)
def test_digest_does_not_depend_on_what_fits_into_memory(ids, cuts, sizes, rows_per_shard):
    edges = [0, *sorted(cuts), 60]
    ranges = [ids[start:end] for start, end in itertools.pairwise(edges)]
    with tempfile.TemporaryDirectory() as name, mock.patch.multiple(sinks, **sizes):
        entry = build(Path(name), ranges, rows_per_shard)
        files = [pq.ParquetFile(Path(name) / "out" / shard.path) for shard in entry.split("train")]
        assert sum(file.metadata.num_rows for file in files) == 48
    assert (entry.digest, entry.rows) == (expected_digest(60), 60)


def test_rows_that_grow_are_merged_in_pieces_of_the_byte_cap(tmp_path, monkeypatch):
    for name, value in {"RUN_BATCH_ROWS": 4, "ROW_GROUP_BYTES": 20_000}.items():
        monkeypatch.setattr(sinks, name, value)
    for part in range(2):
        ids = range(part, 400, 2)
        rows = pages(ids).to_pylist()
        grown = [row | {"split": "train", "text": "x" * (1_000 if row["page_id"] >= 40 else 1)} for row in rows]
        with sinks.RunWriter(tmp_path / str(part), PAGES) as writer:
            writer.add(pa.Table.from_pylist(grown, schema=PAGES.schema), np.array(ids, np.uint64))
    job = sinks.plan_shards(PAGES, sorted(tmp_path.rglob("*.arrow")))[0]
    merged = list(sinks.merge(PAGES, job))
    assert sum(group.num_rows for group in merged) == 400
    assert max(group.nbytes for group in merged) < 2 * 20_000


def test_empty_table_has_one_file_without_a_row_group(tmp_path):
    shards = sinks.write_table(REDIRECTS, REDIRECTS.schema.empty_table(), tmp_path)
    assert [shard.row_groups for shard in shards] == [0]
    assert pq.ParquetFile(tmp_path / shards[0].path).num_row_groups == 0


def test_bytes_are_on_the_disk_before_their_name_is(tmp_path, monkeypatch):
    synced, renamed, fsync, replace = {}, [], os.fsync, os.replace

    def noted(descriptor):
        fsync(descriptor)
        synced[os.fstat(descriptor).st_ino] = os.fstat(descriptor).st_size

    def checked(source, target):
        stat = os.stat(source)
        assert synced.get(stat.st_ino) == stat.st_size, target
        renamed.append(Path(target).name)
        replace(source, target)

    monkeypatch.setattr(os, "fsync", noted)
    monkeypatch.setattr(os, "replace", checked)
    entry = build(tmp_path, [range(9)], 100)
    manifest = Manifest(digest="", tables={"pages": entry}, rest={"wikiloom": ""})
    write_card(tmp_path / "out", manifest)
    manifest.save(tmp_path / "out")
    write_records(tmp_path / "records.arrow", pages(range(3)))
    save_columns(Statements(*(np.arange(2),) * 3), tmp_path / "graph")
    write_json(tmp_path / "done.json", {})
    files = {path.name for path in tmp_path.rglob("*") if path.is_file()}
    assert set(renamed) == files and {"README.md", "manifest.json", "heads.npy", "pages-000.arrow"} < files


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
