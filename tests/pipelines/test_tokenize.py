"""Tokenizers and token tables."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.transforms.tokenize import splice_anchors


def slow_splice(ids, offsets, mentions):
    """One token and one mention at a time."""
    units = [
        (start, token)
        for token, (start, end) in zip(ids, offsets, strict=True)
        if not any(start < mention_end and end > mention_start for mention_start, mention_end in mentions)
    ]
    units += [(start, -1 - k) for k, (start, _) in enumerate(mentions)]
    return [unit for _, unit in sorted(units, key=lambda pair: pair[0])]


@given(st.lists(st.integers(0, 60), max_size=24, unique=True), st.lists(st.integers(0, 60), max_size=12, unique=True))
def test_splicing_equals_the_slow_way(token_edges, mention_edges):
    token_edges, mention_edges = sorted(token_edges), sorted(mention_edges)
    offsets = list(zip(token_edges[::2], token_edges[1::2], strict=False))
    mentions = list(zip(mention_edges[::2], mention_edges[1::2], strict=False))
    ids = list(range(100, 100 + len(offsets)))
    array = np.array(offsets, np.int64).reshape(-1, 2)
    units = splice_anchors(np.array(ids, np.int32), array, mentions)
    assert units.tolist() == slow_splice(ids, offsets, mentions)


@pytest.mark.parametrize(
    ("offsets", "mentions", "expected"),
    [
        ([(0, 2), (3, 5), (6, 8)], [(3, 5)], [100, -1, 102]),
        ([(0, 8)], [(3, 5)], [-1]),
        ([(0, 2), (2, 9)], [(3, 4), (5, 6)], [100, -1, -2]),
        ([], [(0, 3)], [-1]),
        ([(0, 2)], [], [100]),
    ],
)
def test_splicing_by_example(offsets, mentions, expected):
    ids = np.arange(100, 100 + len(offsets), dtype=np.int32)
    assert splice_anchors(ids, np.array(offsets, np.int64).reshape(-1, 2), mentions).tolist() == expected
