"""The text of an entity and the first mention of it in there; the shards of the table."""

import dataclasses
import re
import tempfile
from pathlib import Path
from unittest import mock

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines import records, sinks
from pipelines.transforms import entities
from pipelines.transforms.entities import entity_text, find_mention
from pipelines.transforms.graph import Graph


def test_text_falls_back_from_lead_to_description_to_label():
    assert entity_text("Lead.", "short", "Name") == ("Lead.", "lead")
    assert entity_text("", "short", "Name") == ("short", "description")
    assert entity_text(None, None, "Name") == ("Name", "label")
    assert entity_text(None, "", None) == ("", "none")


@given(st.text(alphabet="ab _.É1", max_size=20), st.lists(st.text(alphabet="ab .É", max_size=4), max_size=3))
def test_mention_is_the_first_whole_word_one_of_any_name(text, names):
    found = [
        (match.start(), -match.end())
        for name in names
        if name and (match := re.search(rf"(?<!\w){re.escape(name)}(?!\w)", text))
    ]
    expected = {"start": min(found)[0], "end": -min(found)[1]} if found else None
    assert find_mention(text, names) == expected


@pytest.mark.parametrize(
    ("text", "name", "expected"),
    [
        ("東京は首都です。", "東京", (0, 2)),
        ("กรุงเทพเป็นเมือง", "กรุงเทพ", (0, 7)),
        ("Cafe\u0301 Cafe", "Cafe", (6, 10)),
        ("हिन्दी हिन", "हिन", (7, 10)),
        ("यह दिल्ली। वहाँ", "दिल्ली", (3, 9)),
        ("كتابٌ كتاب", "كتاب", (6, 10)),
    ],
    ids=["no spaces", "Thai", "combining accent", "vowel sign", "danda", "Arabic vowel sign"],
)
def test_mention_in_other_scripts(text, name, expected):
    assert find_mention(text, [name]) == dict(zip(("start", "end"), expected, strict=True))


@settings(max_examples=30, deadline=None)
@given(st.lists(st.sets(st.integers(0, 11)), min_size=1, max_size=3), st.integers(1, 5), st.integers(1, 12))
def test_shards_hold_the_records_of_their_rows_however_files_and_batches_are_cut(files, batch_rows, rows_per_shard):
    codes = ("inductive", "codes", "inductive_codes")
    graph = Graph(**{f.name: np.zeros(12, np.int8 if f.name in codes else np.int64) for f in dataclasses.fields(Graph)})
    record = dict.fromkeys(entities.RECORD.names) | {"aliases": [], "categories": []}
    with (
        tempfile.TemporaryDirectory() as name,
        mock.patch.object(records, "BATCH_ROWS", batch_rows),
        mock.patch.object(entities, "BATCH_ROWS", batch_rows),
    ):
        out = Path(name)
        dataclasses.replace(graph, items=np.arange(1, 13)).save(out / "graph")
        np.save(out / "graph_count.npy", np.zeros(12, np.int64))
        paths = [out / f"{number}.arrow" for number in range(len(files))]
        for path, own in zip(paths, files, strict=True):
            rows = [record | {"entity_index": index, "label": f"L{index}"} for index in sorted(own)]
            records.write_records(path, pa.Table.from_pylist(rows, schema=entities.RECORD))
        cuts = sinks.cut_rows(12, rows_per_shard)
        for number, (cut, slices) in enumerate(zip(cuts, entities.cut_records(paths, cuts), strict=True)):
            job = entities.EntityShardJob(*cut, number, len(cuts), slices, out / "graph", out, out / "done.json")
            entities.write_entity_shard(job)
        written = sorted((out / "entities").glob("*.parquet"))
        labels = [label for path in written for label in pq.read_table(path, columns=["label"])["label"].to_pylist()]
    known = set().union(*files)
    assert labels == [f"L{index}" if index in known else None for index in range(12)]
