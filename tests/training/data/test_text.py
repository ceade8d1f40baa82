"""Blocks of text: every token once, and a block is masked alike wherever it is read."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.data.batch import columns, ragged
from training.data.groups import MemoryGroups, SomeRows
from training.data.special import SpecialTokens
from training.data.stream import Part
from training.data.text import MlmFeed, TextBlocks, TextFeed, written_out

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


words = st.integers(0, 9_999)
mentions = st.lists(words, max_size=3)


@given(st.lists(st.lists(st.tuples(st.booleans(), words, mentions), max_size=8), min_size=1, max_size=5))
def test_a_text_written_out_has_its_words_and_its_mentions_in_place(texts):
    expected, units, spans, own = [], [], [], []
    for text in texts:
        ids, marked, places, anchors = [], [], [], []
        for is_anchor, word, mention in text:
            marked.append(-1 - len(places) if is_anchor else word)
            if is_anchor:
                places.append({"start": len(ids), "end": len(ids) + len(mention)})
                anchors += mention
            ids += mention if is_anchor else [word]
        for rows, row in ((expected, ids), (units, marked), (spans, places), (own, anchors)):
            rows.append(row)
    span = pa.struct([("start", pa.int32()), ("end", pa.int32())])
    found = written_out(
        ragged(pa.array(units, pa.list_(pa.int32()))),
        ragged(pa.array(spans, pa.list_(span))),
        ragged(pa.array(own, pa.list_(pa.int32()))),
    )
    assert [
        found.values[a:b].tolist() for a, b in zip(found.cu_seqlens, found.cu_seqlens[1:], strict=False)
    ] == expected


@given(st.lists(st.integers(1, 40), min_size=1, max_size=12), st.integers(10, 200))
def test_a_batch_has_every_text_once_in_pieces_of_so_many_tokens(lengths, tokens):
    blocks = TextBlocks(texts(lengths, rows_per_group=99), "page_id", 100)
    rows = columns(blocks.read(0))
    batch = MlmFeed(TextFeed(SPECIAL, 2_000, 0.15, 0, "t"), tokens).batch(Part(rows, np.zeros(len(lengths), np.int64)))
    assert batch.lengths.tolist() == sorted(length + 2 for length in lengths)
    assert all(len(piece.ids) == 1 or piece.ids.numel() <= tokens for piece in batch.pieces)
    labelled = sum(int((piece.labels >= 0).sum()) for piece in batch.pieces)
    assert batch.counts == {"word": labelled} and batch.sizes["padded_tokens"] == sum(
        p.ids.numel() for p in batch.pieces
    )
