"""Row groups on a disk or a network that fails: damage is named, outages are waited for, nothing is skipped."""

import dataclasses
import errno
import io
import os

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.sinks import table_entry, write_table
from schemas import TOKEN_TABLES
from schemas.dataset import Dataset
from schemas.errors import DataError
from schemas.manifest import Manifest
from tests.training.data.rows import loader
from training.data import faults
from training.data.faults import Damaged, Unreadable
from training.data.groups import ParquetGroups


@pytest.fixture
def pages(tmp_path):
    small = dataclasses.replace(TOKEN_TABLES["pages"], row_group_rows=7)
    rows = pa.Table.from_pylist(
        [{"page_id": i, "split": "train", "ids": list(range(i % 5)), "mentions": []} for i in range(100)],
        schema=small.schema,
    )
    shards = write_table(small, rows, tmp_path, rows_per_shard=30)
    Manifest(digest="d", tables={"pages": table_entry(small, tmp_path, shards)}, rest={}).save(tmp_path)
    return tmp_path


def groups(folder):
    return ParquetGroups(Dataset(folder, TOKEN_TABLES), "pages", "train", ["page_id", "ids"])


def damage(folder, number):
    """Spoil the first row group of one shard; returns the shard's name."""
    shard = folder / Dataset(folder, TOKEN_TABLES).shards("pages", "train")[number].path
    data = bytearray(shard.read_bytes())
    data[30:120] = bytes(90)
    shard.write_bytes(bytes(data))
    return shard.name


def test_row_groups_follow_the_shards_in_sort_order(pages):
    source = groups(pages)
    assert source.sizes.tolist() == [6, 6, 6, 7] * 4  # 4 shards of 25 rows
    rows = pa.concat_tables(source.read(group) for group in range(16))
    assert rows["page_id"].to_pylist() == list(range(100))
    assert rows["ids"].to_pylist() == [list(range(i % 5)) for i in range(100)]


def test_a_split_without_rows_has_no_row_groups(pages):
    assert len(ParquetGroups(Dataset(pages, TOKEN_TABLES), "pages", "valid", ["ids"]).sizes) == 0


def test_a_row_group_with_a_wrong_checksum_is_named(pages):
    name, source = damage(pages, 1), groups(pages)
    with pytest.raises(Damaged, match=f"{name}, row group 0, is damaged"):
        source.read(4)
    assert source.read(5).num_rows == 6


def test_a_cut_file_is_damaged_where_it_is_cut(pages):
    source = groups(pages)
    shard = pages / Dataset(pages, TOKEN_TABLES).shards("pages", "train")[0].path
    shard.write_bytes(shard.read_bytes()[:200])
    with pytest.raises(Damaged, match=f"{shard.name}, row group 3, is damaged"):
        source.read(3)


def test_a_run_in_quarantine_leaves_real_damage_out_and_one_that_fails_does_not(pages):
    damage(pages, 2)
    with pytest.raises(DataError, match="row group 0, is damaged"):
        loader({"s": groups(pages)}, {"s": 50}, lanes=4).take(0)
    one = loader({"s": groups(pages)}, {"s": 50}, lanes=4, on_corrupt="quarantine")
    numbers = [n for step in range(4) for n in one.take(step)["s"].columns.numbers["page_id"].tolist()]
    assert one.state(4)["left_out"] == {"s": [8]}
    assert len(numbers) == 200 and set(numbers) == set(range(100)) - set(range(50, 56))


FAILURES = [OSError(number, "it failed") for number in (errno.ETIMEDOUT, errno.ECONNRESET, errno.EIO)]


class Flaky(io.FileIO):
    """A file on a network; every so-many-th read of all files fails."""

    every, calls = 10**9, 0

    def read(self, size=-1):
        Flaky.calls += 1
        if Flaky.calls % Flaky.every == 0:
            raise FAILURES[Flaky.calls // Flaky.every % 3]
        return super().read(size)


@pytest.fixture
def flaky(monkeypatch):
    """Makes every so-many-th read fail from now on; the pauses that are taken are noted, not waited for."""
    pauses, whole = [], pq.ParquetFile

    def spoil(every):
        monkeypatch.setattr(Flaky, "every", every)
        monkeypatch.setattr(Flaky, "calls", 0)
        monkeypatch.setattr(pq, "ParquetFile", lambda path, **options: whole(Flaky(path), **options))
        return pauses

    monkeypatch.setattr(faults.time, "sleep", pauses.append)
    return spoil


@pytest.mark.parametrize("policy", ["fail", "quarantine"])
def test_a_network_that_fails_now_and_then_costs_pauses_and_no_row(pages, flaky, policy):
    pauses = flaky(every=7)
    one = loader({"s": groups(pages)}, {"s": 25}, lanes=4, on_corrupt=policy)
    numbers = [n for step in range(4) for n in one.take(step)["s"].columns.numbers["page_id"].tolist()]
    assert sorted(numbers) == list(range(100)) and not one.state(4)["left_out"].get("s")
    assert pauses and max(pauses) <= 1.0


@pytest.mark.parametrize("policy", ["fail", "quarantine"])
def test_a_network_that_stays_away_ends_the_run_under_either_policy(pages, flaky, policy):
    one = loader({"s": groups(pages)}, {"s": 25}, lanes=4, on_corrupt=policy)
    pauses = flaky(every=1)
    with pytest.raises(Unreadable, match=r"train-0000.-of-00004\.parquet can't be read after 7 tries"):
        one.take(0)
    assert pauses == list(faults.PAUSES)
    with pytest.raises(Unreadable, match=r"train-00000-of-00004\.parquet can't be read after 7 tries"):
        groups(pages)


def test_a_file_whose_disk_went_away_is_opened_anew(pages, monkeypatch):
    pauses, whole, opened = [], pq.ParquetFile, []
    monkeypatch.setattr(faults.time, "sleep", pauses.append)

    def open_file(path, **options):
        opened.append(pa.OSFile(str(path)))
        return whole(opened[-1], **options)

    source = groups(pages)
    monkeypatch.setattr(pq, "ParquetFile", open_file)
    first = source.read(0)
    # The system's answer where a pipe is read as a file stands for ESTALE, which only a network gives.
    ends = os.pipe()
    os.dup2(ends[0], opened[0].fileno())
    for end in ends:
        os.close(end)
    assert source.read(0).equals(first)
    assert pauses == [0.5] and len(opened) == 2


def test_a_file_that_is_gone_is_not_waited_for(pages, flaky):
    pauses = flaky(every=10**9)
    one = loader({"s": groups(pages)}, {"s": 25}, lanes=4)
    for shard in Dataset(pages, TOKEN_TABLES).shards("pages", "train"):
        (pages / shard.path).unlink()
    with pytest.raises(Unreadable, match="can't be read"):
        one.take(0)
    assert not pauses


def test_threads_read_as_one_does(pages):
    runs = []
    for threads in (1, 4):
        with loader({"s": groups(pages)}, {"s": 25}, lanes=4, threads=threads).batches(0, 8, lambda _s, p: p) as parts:
            runs.append([part["s"].columns.numbers["page_id"].tolist() for part in parts])
    assert runs[0] == runs[1] and np.unique(np.concatenate(runs[0])).tolist() == list(range(100))
