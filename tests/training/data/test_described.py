"""Descriptions with the place of the entity's own name, and rows by length."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.data.batch import by_length
from training.data.described import described
from training.data.special import SpecialTokens

SPECIAL = SpecialTokens(bos=0, pad=1, eos=2, unk=3, mask=4)
ROWS = [
    {"ids": [10, 11, 12, 13], "name_ids": [11, 12], "mention_start": 1, "mention_end": 3},
    {"ids": [20, 21], "name_ids": [22, 23], "mention_start": -1, "mention_end": -1},
    {"ids": [], "name_ids": [30], "mention_start": -1, "mention_end": -1},
    {"ids": [40, 41, 42, 43, 44, 45], "name_ids": [45], "mention_start": 5, "mention_end": 6},
    {"ids": [50, 51, 52], "name_ids": [50, 51], "mention_start": -1, "mention_end": -1},
]


def texts_and_ends(**options):
    made = described(pa.Table.from_pylist(ROWS), SPECIAL, max_length=6, encode_tokens=100, **options)
    cuts = made.tokens.cu_seqlens
    texts = [made.tokens.values[cuts[row] : cuts[row + 1]].tolist() for row in range(len(ROWS))]
    return texts, made.ends.tolist(), made


def test_an_entity_is_read_at_its_name_or_at_the_beginning():
    texts, ends, _ = texts_and_ends()
    assert texts[:3] == [[0, 10, 11, 12, 13, 2], [0, 20, 21, 2], [0, 30, 2]]
    # The name of the fourth one is cut away.
    assert ends == [[2, 3], [0, 0], [0, 0], [0, 0], [0, 0]]


def test_with_names_what_is_not_named_is_read_behind_its_name():
    texts, ends, _ = texts_and_ends(names=True)
    assert texts == [
        [0, 10, 11, 12, 13, 2],
        [0, 22, 23, 20, 21, 2],
        [0, 30, 2],
        [0, 45, 40, 41, 42, 2],
        [0, 50, 51, 52, 2],  # it begins with its name, which is not written twice
    ]
    assert ends == [[2, 3], [1, 2], [1, 1], [1, 1], [1, 2]]
    for text, (first, last), row in zip(texts, ends, ROWS, strict=True):
        assert text[first : last + 1] == row["name_ids"]


def test_pieces_have_every_description_once():
    _, _, made = texts_and_ends(names=True)
    wanted = np.array([4, 0, 2])
    rows = [row for piece in made.pieces(wanted) for row in piece.rows.tolist()]
    assert sorted(rows) == [0, 1, 2]


@given(st.lists(st.integers(1, 30), max_size=20), st.integers(1, 100))
def test_rows_by_length_fill_pieces_and_no_more(lengths, tokens):
    found = by_length(np.array(lengths, dtype=np.int64), tokens)
    assert sorted(row for piece in found for row in piece) == list(range(len(lengths)))
    sizes = [[lengths[row] for row in piece] for piece in found]
    assert [size for piece in sizes for size in piece] == sorted(lengths)
    for number, piece in enumerate(sizes):
        assert len(piece) == 1 or len(piece) * max(piece) <= tokens
        if number:  # it would not have fitted into the piece before
            assert (len(sizes[number - 1]) + 1) * piece[0] > tokens


@pytest.mark.parametrize("names", [False, True])
def test_no_entities_are_no_pieces(names):
    _, _, made = texts_and_ends(names=names)
    assert list(made.pieces(np.empty(0, dtype=np.int64))) == []
