"""What two datasets differ in."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines import diff as diffing
from pipelines.diff import diff
from pipelines.row_hashes import NameHashes, row_hashes
from schemas.hashing import hash_strings
from schemas.pages import PAGES
from tests.pipelines.planting import Copy, new_dataset
from wikiloom import main

LINK = {"start": 0, "end": 1, "target": "T", "entity": None, "source": "link"}
PAGE = {
    "page_id": 1,
    "revision_id": 2,
    "timestamp": None,
    "title": "T",
    "entity": None,
    "split": "train",
    "text": "é",
    "sections": [],
    "lead_end": 0,
    "links": [LINK, LINK | {"target": "U"}],
}
NAMES = NameHashes(np.empty(0, np.uint64), np.empty(0, np.uint64))


def page_hashes(*rows):
    table = pa.Table.from_pylist(list(rows), schema=PAGES.schema)
    return row_hashes(table, PAGES.schema.names, NAMES).tolist()


@pytest.mark.parametrize(
    "change",
    [
        {"page_id": 3},
        {"timestamp": 0},
        {"entity": ""},
        {"entity": "Q1"},
        {"text": ""},
        {"links": [LINK]},
        {"links": [LINK | {"target": "U"}, LINK]},
        {"links": [LINK | {"entity": ""}, LINK | {"target": "U"}]},
        {"links": [LINK | {"start": 1, "end": 0}, LINK | {"target": "U"}]},
        {"links": []},
        {"sections": [{"title": "", "level": 0, "start": 0, "end": 0}]},
    ],
)
def test_a_row_s_hash_sees_every_value_and_its_place(change):
    one, other, again = page_hashes(PAGE, PAGE | change, PAGE)
    assert one == again
    assert one != other


@given(st.lists(st.sampled_from([PAGE, PAGE | {"links": []}, PAGE | {"entity": "Q1"}]), max_size=6))
def test_a_row_s_hash_does_not_depend_on_its_neighbours(rows):
    assert page_hashes(*rows) == [page_hashes(row)[0] for row in rows]


def test_indices_count_as_the_names_they_stand_for():
    schema = pa.schema({"entity_index": pa.int32(), "relation_index": pa.int32()})
    one, other = (
        pa.table({"entity_index": entities, "relation_index": [0, 0]}, schema=schema) for entities in ([0, 1], [1, 0])
    )
    relations = hash_strings(["P1"])
    before, after = (NameHashes(hash_strings(names), relations) for names in (["Q1", "Q2"], ["Q2", "Q1"]))
    assert row_hashes(one, schema.names, before).tolist() == row_hashes(other, schema.names, after).tolist()
    assert row_hashes(one, schema.names, before).tolist() != row_hashes(one, schema.names, after).tolist()


ROWS = st.dictionaries(st.integers(0, 9), st.sampled_from("ab"), max_size=8)


@settings(max_examples=30, deadline=None)
@given(ROWS, ROWS, st.integers(1, 4))
def test_rows_are_found_by_their_key(tmp_path_factory, a, b, part_rows):
    folders = [tmp_path_factory.mktemp(name) for name in "ab"]
    for folder, rows in zip(folders, (a, b), strict=True):
        redirects = [{"title": str(title), "target": target} for title, target in sorted(rows.items())]
        new_dataset(folder, {"redirects": redirects})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(diffing, "PART_ROWS", part_rows)
        lines = list(diff(*folders))
    only_a, only_b = len(a.keys() - b.keys()), len(b.keys() - a.keys())
    changed = sum(a[key] != b[key] for key in a.keys() & b.keys())
    if a == b:
        assert lines == []
    else:
        assert lines[0].endswith(f": {only_a} only in A, {only_b} only in B, {changed} changed")
        assert sum("changed: " in line for line in lines) == min(changed, 3)


def test_equal_rejects_are_counted(tmp_path):
    reject = {"stage": "wikidata", "reason": "invalid_json"}
    new_dataset(tmp_path / "a", {"rejects": [reject] * 3})
    new_dataset(tmp_path / "b", {"rejects": [reject]})
    assert "2 only in A, 0 only in B, 0 changed" in next(diff(tmp_path / "a", tmp_path / "b"))


def test_a_dataset_is_equal_to_its_copy(demo_dataset, tmp_path, capsys):
    copy = Copy(demo_dataset, tmp_path / "d")
    assert main(["diff", str(demo_dataset), str(copy.folder)]) == 0
    assert "equal" in capsys.readouterr().out


def test_differences_are_told_from_the_manifest_to_the_rows(demo_dataset, tmp_path, capsys):
    copy = Copy(demo_dataset, tmp_path / "d")
    copy.document(lambda d: d["parameters"].update(neighbors=3))
    copy.document(lambda d: d["inputs"][0].update(sha256="0" * 64))
    copy.document(lambda d: d["drops"]["graph"].update(head_not_kept=1))
    copy.document(lambda d: d["stages"]["graph"].update(cpu_seconds=10**6))
    title = copy.rows("redirects")[0]["title"]
    copy.edit("redirects", None, lambda rows: rows.pop(0))
    copy.edit("anchors", None, lambda rows: rows[0].update(count=10**6))
    assert main(["diff", str(demo_dataset), str(copy.folder)]) == 1
    said = capsys.readouterr().out
    for expected in (
        "parameters.neighbors: 15 -> 3",
        "sha256 0000000000000000",
        "drops.graph.head_not_kept",
        "table redirects: 24 rows -> 23 rows",
        f"redirects, only in A: {title}",
        "anchors.count: 1 changed",
        "-> 1000000",
    ):
        assert expected in said
    assert "cpu_seconds" not in said
    assert "table pages" not in said


def test_tables_of_other_schemas_are_not_compared_row_by_row(demo_dataset, tmp_path):
    copy = Copy(demo_dataset, tmp_path / "d")
    copy.document(lambda d: d["tables"]["pages"].update(schema_version=2) or d.update(digest="0" * 64))
    copy.document(lambda d: d["tables"].pop("anchors"))
    lines = list(diff(demo_dataset, copy.folder))
    assert lines == ["table pages: schema version 1 -> 2; rows are not compared", "table anchors: only in A"]
