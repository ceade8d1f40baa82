"""Facts as text, beside loops over single tokens."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.data.batch import ragged_rows
from training.data.sequences import HIDDEN, Layout, filled, fitted, named, sequences
from training.data.special import SpecialTokens

SPECIAL = SpecialTokens(bos=0, pad=1, eos=2, unk=3, mask=4)
LAYOUTS = [
    {},
    {"separated": True},
    {"holders": True},
    {"holders": True, "separated": True, "budgets": (4, 2, 3)},
]


def popped(parts, room):
    """The authors' loop."""
    a, b, c = (list(part) for part in parts)
    while len(a) + len(b) + len(c) > room:
        if len(a) >= len(b) and len(a) >= len(c):
            a.pop()
        elif len(c) >= len(a) and len(c) >= len(b):
            c.pop()
        else:
            b.pop()
    return a, b, c


@given(st.lists(st.tuples(*[st.integers(0, 12)] * 3), min_size=1, max_size=20), st.integers(0, 30))
def test_the_longest_part_loses_tokens_as_in_the_authors_loop(lengths, room):
    kept = fitted(np.array(lengths), room)
    assert kept.tolist() == [[len(part) for part in popped([range(n) for n in row], room)] for row in lengths]


@st.composite
def facts(draw):
    texts = st.lists(st.lists(st.integers(5, 99), max_size=9), min_size=1, max_size=6)
    tables = [draw(texts) for _ in range(2)]
    rows = st.tuples(*(st.integers(HIDDEN, len(tables[table]) - 1) for table in (0, 1, 0)))
    return tables, draw(st.lists(rows, min_size=1, max_size=12)), draw(st.integers(13, 40))


@pytest.mark.parametrize("layout", LAYOUTS, ids=str)
@given(facts())
def test_a_sequence_is_its_parts_between_specials(layout, made):
    (entities, relations), rows, length = made
    whole = Layout(SPECIAL, length, **layout)
    tables = [ragged_rows(table) for table in (entities, relations, entities)]
    found = sequences(tables, np.array(rows), whole)
    for n, row in enumerate(rows):
        parts = [[] if i == HIDDEN else table[i] for i, table in zip(row, (entities, relations, entities), strict=True)]
        parts = [part[:budget] for part, budget in zip(parts, whole.budgets or (99, 99, 99), strict=True)]
        expected, places, holders = [SPECIAL.bos], [], []
        for p, part in enumerate(popped(parts, length - whole.around(3))):
            if p and whole.separated:
                expected.append(SPECIAL.eos)
            if whole.holders:
                holders.append(len(expected))
                expected.append(SPECIAL.mask)
            places.append((len(expected), len(expected) + len(part)))
            expected += part
        own = found.tokens.slice(n, n + 1)
        assert own.values.tolist() == [*expected, SPECIAL.eos]
        assert len(own.values) <= length
        assert list(zip(found.starts[n].tolist(), found.ends[n].tolist(), strict=True)) == places
        assert found.holders[n].tolist() == holders


@given(facts(), st.integers(1, 200))
def test_pieces_hold_every_sequence_once_within_their_bound(made, tokens):
    (entities, relations), rows, length = made
    layout = Layout(SPECIAL, length, holders=True)
    found = sequences([ragged_rows(t) for t in (entities, relations, entities)], np.array(rows), layout)
    pieces = found.pieces(tokens)
    assert sorted(n for piece in pieces for n in piece.rows.tolist()) == list(range(len(rows)))
    for piece in pieces:
        assert piece.ids.numel() <= tokens or len(piece.ids) == 1
        assert piece.real[:, -1].any()
        for place, n in enumerate(piece.rows.tolist()):
            assert piece.ids[place][piece.real[place]].tolist() == found.tokens.slice(n, n + 1).values.tolist()
            assert (piece.ids[place][~piece.real[place]] == SPECIAL.pad).all()
            assert piece.starts[place].tolist() == found.starts[n].tolist()
            assert piece.ends[place].tolist() == found.ends[n].tolist()
            assert (piece.ids[place][piece.holders[place]] == SPECIAL.mask).all()


def test_a_row_without_text_takes_the_other():
    texts, names = ragged_rows([[5, 6], [], []]), ragged_rows([[7], [8, 9], []])
    found = filled(filled(texts, names), ragged_rows([[SPECIAL.unk]] * 3))
    assert [found.slice(n, n + 1).values.tolist() for n in range(3)] == [[5, 6], [8, 9], [SPECIAL.unk]]


@given(st.lists(st.tuples(*[st.lists(st.integers(5, 7), max_size=4)] * 2), max_size=12))
def test_a_name_stands_before_what_does_not_begin_with_it(rows):
    names, texts = (ragged_rows([row[side] for row in rows]) for side in (0, 1))
    found = named(texts, names)
    expected = [text if text[: len(name)] == name else name + text for name, text in rows]
    assert [found.slice(i, i + 1).values.tolist() for i in range(len(rows))] == expected
