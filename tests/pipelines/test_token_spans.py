"""Which tokens are those of a stretch of characters, beside a loop over all tokens, for every kind of tokenizer."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.transforms.token_spans import EntityPlaces, apart, token_spans
from tests.pipelines import tokenizers

TEXTS = ["Harry Potter points his wand.", "Été à Zürich, naïve façade", "", "世界 and the world", "a  b"]
ENCODERS = {name: tokenizers.encoder(make(TEXTS * 3)) for name, make in tokenizers.KINDS.items()}
stretches = st.lists(st.tuples(st.integers(0, len(TEXTS) - 1), st.integers(0, 29), st.integers(1, 9)), max_size=12)


def slow_span(offsets, start, end):
    """The first and the last token that has one of the characters, by a loop."""
    own = [place for place, (begin, stop) in enumerate(offsets) if begin < end and stop > start]
    return (own[0], own[-1] + 1) if own else None


@settings(max_examples=60)
@given(stretches, st.sampled_from(sorted(ENCODERS)))
def test_a_span_has_every_token_with_one_of_the_characters(found, kind):
    encoded = ENCODERS[kind].encode(TEXTS, offsets=True)
    rows, starts, sizes = np.array(sorted(found), dtype=np.int64).reshape(-1, 3).T
    ends = np.minimum(starts + sizes, [len(TEXTS[row]) for row in rows]) if len(rows) else starts
    spans = token_spans(TEXTS, encoded, rows, starts, ends)
    first = np.append(0, np.cumsum(encoded.lengths))
    for row, start, end, span in zip(rows, starts, ends, spans.tolist(), strict=True):
        if start >= end:
            continue
        expected = slow_span(encoded.offsets[first[row] : first[row + 1]], start, end)
        assert tuple(span) == expected if expected else span[0] >= span[1]


def test_links_that_share_a_token_are_not_both_kept():
    rows = np.array([0, 0, 0, 1, 1, 2])
    spans = np.array([[0, 2], [1, 3], [3, 4], [0, 1], [1, 1], [5, 7]])
    assert apart(rows, spans).tolist() == [True, False, True, True, False, True]
    assert apart(rows[:0], spans[:0]).tolist() == []


@pytest.mark.parametrize("entities", [["Q1", "Q30", "Q7"], []])
def test_entities_are_found_by_their_ids(entities, tmp_path):
    EntityPlaces.save(pa.chunked_array([entities], pa.string()), tmp_path / "places")
    places = EntityPlaces.open(tmp_path / "places")
    wanted = ["Q7", None, "Q2", "Q1", "Q7"]
    expected = [entities.index(one) if one in entities else -1 for one in wanted]
    assert places.find(pa.array(wanted, pa.string())).tolist() == expected
