"""Blocks of text: every token once, and a block is masked alike wherever it is read."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.data.batch import columns
from training.data.groups import MemoryGroups, SomeRows
from training.data.special import SpecialTokens
from training.data.stream import Part
from training.data.text import TextBlocks, TextFeed

SPECIAL = SpecialTokens(bos=0, pad=1, eos=2, unk=3, mask=4)


def texts(lengths, rows_per_group=3):
    rows = [{"page_id": 7 * i, "ids": list(range(100 * i, 100 * i + length))} for i, length in enumerate(lengths)]
    schema = pa.schema([("page_id", pa.int64()), ("ids", pa.list_(pa.int32()))])
    return MemoryGroups(pa.Table.from_pylist(rows, schema=schema), "texts", rows_per_group)


@given(st.lists(st.integers(0, 30), min_size=1, max_size=9), st.integers(3, 12))
def test_blocks_are_the_texts_cut_by_a_loop(lengths, block):
    blocks = TextBlocks(texts(lengths), "page_id", block)
    found = [row for group in range(len(blocks.sizes)) for row in blocks.read(group).to_pylist()]
    own = block - 2
    expected = [
        {"text": 7 * i, "place": place, "ids": list(range(100 * i + place, 100 * i + min(length, place + own)))}
        for i, length in enumerate(lengths)
        for place in range(0, length, own)
    ]
    assert found == expected
    assert blocks.sizes.tolist() == [blocks.read(group).num_rows for group in range(len(blocks.sizes))]


def test_a_held_out_slice_and_the_rest_are_all_rows():
    groups = texts([5] * 20)
    some, rest = np.array([0, 4, 5, 6, 19]), np.setdiff1d(np.arange(20), [0, 4, 5, 6, 19])
    for numbers in (some, rest):
        part = SomeRows(groups, numbers)
        found = [row["page_id"] for group in range(len(part.sizes)) for row in part.read(group).to_pylist()]
        assert found == (7 * numbers).tolist() and part.sizes.sum() == len(numbers)


@pytest.mark.parametrize("epoch", [0, 3])
def test_a_block_is_masked_alike_in_any_batch_and_anew_each_epoch(epoch):
    blocks = TextBlocks(texts([40] * 12), "page_id", 12)
    feed = TextFeed(SPECIAL, 2_000, 0.5, 0, "t")
    rows = columns(pa.concat_tables(blocks.read(group) for group in range(4)))

    def masked(numbers, epoch):
        return feed.batch(Part(rows.take(np.array(numbers)), np.full(len(numbers), epoch)))

    whole, alone = masked(range(48), epoch), masked([17], epoch)
    assert (whole.ids[17] == alone.ids[0]).all() and (whole.labels[17] == alone.labels[0]).all()
    assert (whole.labels != masked(range(48), epoch + 1).labels).any()
