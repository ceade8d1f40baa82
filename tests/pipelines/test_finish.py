"""The small tables at the end of a build."""

import dataclasses
import tempfile
from collections import Counter
from pathlib import Path
from unittest import mock

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines import finish, records
from pipelines.records import RecordWriter
from pipelines.transforms.align import ANCHOR_COUNTS
from pipelines.transforms.graph import Graph
from pipelines.transforms.neighbourhood import Neighbourhood

ITEMS = np.array([30, 10, 20])
"""In the order of their indices."""
ranges = st.lists(
    st.dictionaries(
        st.tuples(st.text("\0aä\u4e2d\U0001f600", max_size=3), st.sampled_from(ITEMS.tolist())), st.integers(1, 9)
    ),
    min_size=1,
    max_size=4,
)


@settings(max_examples=60, deadline=None)
@given(ranges, st.integers(1, 3), st.integers(1, 3))
def test_anchors_are_added_up_and_sorted_however_they_are_cut(counts, at_once, batch_rows):
    codes = ("inductive", "codes", "inductive_codes")
    empty = {
        field.name: np.empty(0, np.int8 if field.name in codes else np.int64) for field in dataclasses.fields(Graph)
    }
    entities = Neighbourhood.of(Graph(**{**empty, "items": ITEMS}))
    expected = Counter()
    with (
        tempfile.TemporaryDirectory() as name,
        mock.patch.object(finish, "BATCH_ROWS", batch_rows),
        mock.patch.object(records, "BATCH_ROWS", batch_rows),
        mock.patch.object(finish, "ANCHOR_BATCHES", at_once),
    ):
        folders = [Path(name) / str(number) for number in range(len(counts))]
        for folder, own in zip(folders, counts, strict=True):
            with RecordWriter(folder / "anchors.arrow", ANCHOR_COUNTS) as writer:
                for (surface, item), count in sorted(own.items()):
                    writer.add({"surface": surface, "item": item, "count": count})
                    expected[surface.encode(), ITEMS.tolist().index(item)] += count
        rows = finish.anchor_rows(folders, entities).to_pylist()
    found = [((row["surface"].encode(), row["entity_index"]), row["count"]) for row in rows]
    assert found == sorted(expected.items())
