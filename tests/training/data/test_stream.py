"""Rows by number, whatever the shards and row groups."""

import dataclasses

import numpy as np
import pyarrow as pa
import pytest

from pipelines.sinks import table_entry, write_table
from schemas import TOKEN_TABLES
from schemas.dataset import Dataset
from schemas.errors import DataError
from schemas.manifest import Manifest
from training.data.batch import Ragged, offsets, ragged
from training.data.splits import train_and_valid
from training.data.stream import RowReader


@pytest.fixture
def pages(tmp_path):
    small = dataclasses.replace(TOKEN_TABLES["pages"], row_group_rows=7)
    rows = pa.Table.from_pylist(
        [{"page_id": i, "split": "train", "ids": list(range(i % 5))} for i in range(100)], schema=small.schema
    )
    shards = write_table(small, rows, tmp_path, rows_per_shard=30)
    Manifest(digest="d", tables={"pages": table_entry(small, tmp_path, shards)}, rest={}).save(tmp_path)
    return tmp_path


def reader(folder, keep=32):
    return RowReader(Dataset(folder, TOKEN_TABLES), "pages", "train", ["page_id", "ids"], keep)


@pytest.mark.parametrize("keep", [1, 3, 100])
def test_rows_come_in_the_order_asked_for(pages, keep):
    wanted = np.array([99, 0, 30, 29, 0, 58, 99])
    rows = reader(pages, keep).take(wanted)
    assert rows["page_id"].to_pylist() == wanted.tolist()
    assert rows["ids"].to_pylist() == [list(range(i % 5)) for i in wanted]


def test_row_groups_are_decoded_once_while_they_are_kept(pages):
    source = reader(pages)
    for start in range(0, 100, 10):
        source.take(np.arange(start, start + 10))
    assert source.decodes == 16  # 4 shards of 25 rows, 4 row groups each


def test_lengths_are_those_of_every_row(pages):
    assert reader(pages).lengths("ids").tolist() == [i % 5 for i in range(100)]


def test_no_rows_and_no_split_are_empty(pages):
    assert reader(pages).take(np.empty(0, dtype=np.int64)).num_rows == 0
    assert RowReader(Dataset(pages, TOKEN_TABLES), "pages", "valid", ["ids"]).rows == 0


def test_a_damaged_row_group_is_named(pages):
    source = reader(pages)
    shard = pages / Dataset(pages, TOKEN_TABLES).shards("pages", "train")[0].path
    data = bytearray(shard.read_bytes())
    data[30:120] = bytes(90)
    shard.write_bytes(bytes(data))
    with pytest.raises(DataError, match=f"{shard.name}, row group 0, is damaged"):
        source.take(np.arange(7))


def test_ragged_columns_equal_pylists_also_for_slices_and_structs():
    lists = [[1, 2], [], [3], [4, 5, 6]]
    column = pa.chunked_array([pa.array(lists[:2], pa.list_(pa.int32())), pa.array(lists[2:], pa.list_(pa.int32()))])
    found = ragged(column.slice(1, 3))
    assert found.values.tolist() == [3, 4, 5, 6] and found.cu_seqlens.tolist() == [0, 0, 1, 4]
    structs = pa.array([[{"a": 1, "b": 2}], [{"a": 3, "b": 4}, {"a": 5, "b": 6}]]).slice(1, 1)
    assert ragged(structs, "b").values.tolist() == [4, 6]


def test_taking_and_padding_equal_python():
    lists = [[1, 2], [], [3], [4, 5, 6]]
    rows = Ragged(np.array([1, 2, 3, 4, 5, 6]), offsets(np.array([len(row) for row in lists])))
    taken = rows.take(np.array([3, 1, 0, 3]))
    assert taken.padded(-1).tolist() == [[4, 5, 6], [-1, -1, -1], [1, 2, -1], [4, 5, 6]]
    assert rows.rows.tolist() == [0, 0, 2, 3, 3, 3] and rows.within.tolist() == [0, 1, 0, 0, 1, 2]


@pytest.mark.parametrize(
    ("train", "valid", "held"), [(600, 100, None), (600, 5, 32), (100, 5, 10), (90, 9, None), (5, 0, None)]
)
def test_too_small_a_valid_split_gives_way_to_a_slice_of_train_and_says_so(train, valid, held):
    parts = train_and_valid("s", train, valid, least=32, seed=0, digest="d")
    if held is None:
        assert (parts.train.count, parts.valid.count, parts.note) == (train, valid, None)
        return
    assert "held out by hash and not trained on" in parts.note and f"{held} of the {train} train rows" in parts.note
    both = np.concatenate([parts.train.subset, parts.valid.subset])
    assert sorted(both.tolist()) == list(range(train)) and parts.valid.count == held
