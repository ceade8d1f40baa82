"""Descriptions in pieces: every text as it is, in shapes that recur."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from training.data.batch import Ragged, offsets
from training.data.special import SpecialTokens
from training.data.triples import WIDTH, descriptions

SPECIAL = SpecialTokens(bos=0, pad=1, eos=2, unk=3, mask=4)


def texts_of(lengths):
    """Texts of these lengths, no two tokens alike."""
    return Ragged(5 + np.arange(sum(lengths), dtype=np.int64), offsets(np.array(lengths, dtype=np.int64)))


@given(
    lengths=st.lists(st.integers(1, 150), min_size=1, max_size=40),
    max_length=st.sampled_from([3, 40, 128, 130]),
    encode_tokens=st.integers(1, 2_000),
)
def test_pieces_hold_every_text_once_in_order_and_few_shapes(lengths, max_length, encode_tokens):
    texts = texts_of(lengths)
    described = descriptions(texts, texts, SPECIAL, max_length=max_length, encode_tokens=encode_tokens)
    order = described.by_length(np.arange(len(lengths)))
    pieces = described.pieces(order)
    found = [row[real].tolist() for piece in pieces for row, real in zip(piece.ids, piece.real, strict=True)]
    expected = [[0, *texts.slice(i, i + 1).values[: max_length - 2].tolist(), 2] for i in order.tolist()]
    assert found == expected
    assert all((piece.ids[~piece.real] == SPECIAL.pad).all() for piece in pieces)
    longest = min(max(lengths), max_length - 2) + 2
    assert {piece.ids.shape[1] for piece in pieces} <= {longest, *range(WIDTH, longest, WIDTH)}
    rows = [len(piece.ids) for piece in pieces]
    assert set(rows[1:]) <= {max(1, encode_tokens // longest)} and rows[0] <= max(1, encode_tokens // longest)
