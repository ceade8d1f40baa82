"""show: one graph is found without reading the table, printed by label, and drawn as it is."""

import math
import xml.etree.ElementTree as ET
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from pipelines import lookup, sinks
from pipelines.lookup import find_graph, find_page
from pipelines.report.drawing import draw_graph, on_paper
from schemas.dataset import Dataset
from schemas.hashing import row_order
from schemas.manifest import Manifest
from schemas.tables import TABLES
from tests.made_datasets import GRAPH_ONLY, REST, ROWS, write_dataset
from wikiloom import main

GOLDEN = Path(__file__).parent / "golden" / "graph.svg"
CURIE = {
    "graph_id": 7,
    "text": "Marie Curie was a physicist & chemist who worked in Paris with Pierre Curie.",
    "mentions": [
        {"start": 0, "end": 11, "entity_index": 0},
        {"start": 52, "end": 57, "entity_index": 1},
        {"start": 63, "end": 75, "entity_index": 2},
    ],
    "triples": [
        {"anchor": 0, "head_index": 0, "relation_index": 0, "tail_index": 1},
        {"anchor": 0, "head_index": 0, "relation_index": 1, "tail_index": 2},
        {"anchor": 2, "head_index": 2, "relation_index": 2, "tail_index": 3},
    ],
}


@pytest.fixture(scope="module")
def many_graphs(tmp_path_factory):
    """9,000 graphs in shards of 4,000 rows, row groups of 1,024."""
    folder = tmp_path_factory.mktemp("many")
    ids = np.array([page << 27 | start for page in range(1, 3_001) for start in (0, 7, 200)])
    ids = ids[np.argsort(row_order(ids))].tolist()
    rows = [{**ROWS["wk_graphs"][0], "graph_id": i, "page_id": i >> 27, "split": "train"} for i in ids]
    for row in rows[::10]:
        row["split"] = "valid"
    table = pa.Table.from_pylist(rows, TABLES["wk_graphs"].schema)
    shards = sinks.write_table(TABLES["wk_graphs"], table, folder, 4_000)
    entry = sinks.table_entry(TABLES["wk_graphs"], folder, shards)
    Manifest(digest="", tables={"wk_graphs": entry}, rest={}).save(folder)
    return Dataset(folder), rows


def test_every_graph_is_found_and_no_other(many_graphs):
    dataset, rows = many_graphs
    for row in [*rows[:3], *rows[::97], *rows[-3:]]:
        assert find_graph(dataset, row["graph_id"]) == row
    for absent in (0, 1, (1 << 27) + 1, 3_001 << 27, 2**63 - 1):
        assert find_graph(dataset, absent) is None


def test_a_search_reads_a_logarithm_of_the_row_groups(many_graphs, monkeypatch):
    dataset, rows = many_graphs
    read = Counter()
    inner = lookup.read_group
    monkeypatch.setattr(
        lookup, "read_group", lambda path, group, columns: read.update([columns is None]) or inner(path, group, columns)
    )
    find_graph(dataset, rows[5_000]["graph_id"])
    shards = dataset.shards("wk_graphs")
    most = sum(math.ceil(math.log2(len(shards) + 1)) + math.ceil(math.log2(s.row_groups + 1)) + 1 for s in shards[:2])
    assert read[True] == 1
    assert read[False] <= most


def test_a_page_is_found_by_its_id(demo_dataset):
    dataset = Dataset(demo_dataset)
    for row in dataset.read("pages", columns=["page_id", "title", "entity", "split"]).to_pylist()[::40]:
        assert find_page(dataset, row["page_id"]) == row
    assert find_page(dataset, 0) is None


def test_the_drawing_of_any_graph_has_its_nodes_and_edges(demo_dataset, tmp_path, capsys):
    dataset = Dataset(demo_dataset)
    for row in dataset.read("wk_graphs").to_pylist()[::150]:
        out = tmp_path / "g.svg"
        assert main(["show", str(demo_dataset), "--graph", str(row["graph_id"]), "--svg", str(out)]) == 0
        drawn = Counter(name for node in ET.parse(out).iter() for name in node.get("class", "").split())
        assert drawn["anchor"] == len(row["mentions"])
        assert drawn["fact"] == drawn["relation"] == drawn["tail"] == len(row["triples"])
        assert drawn["edge"] == 2 * len(row["triples"])
        said = " ".join(capsys.readouterr().out.split())
        assert f"{len(row['mentions'])} anchors, {len(row['triples'])} facts" in said
        assert sum(said.count(f"[{row['text'][m['start'] : m['end']]}]") > 0 for m in row["mentions"]) == len(
            row["mentions"]
        )


def test_the_drawing_is_the_golden_file():
    entities = {0: "Marie Curie", 1: "Paris", 2: "Pierre Curie", 3: "physicist"}
    drawn = on_paper(draw_graph(CURIE, entities, {0: "work location", 1: "spouse", 2: "occupation"}))
    assert drawn == GOLDEN.read_text(encoding="utf-8"), (
        "look at the drawing; if it is right, write it to golden/graph.svg"
    )


def test_a_hostile_graph_stays_printable_and_its_drawing_is_xml(tmp_path, capsys):
    folder = write_dataset(tmp_path / "d", ROWS, REST)
    assert main(["show", str(folder), "--graph", "3", "--svg", str(tmp_path / "g.svg")]) == 0
    assert all(line.isprintable() for line in capsys.readouterr().out.splitlines())
    tags = {node.tag.rpartition("}")[2] for node in ET.parse(tmp_path / "g.svg").iter()}
    assert tags == {"svg", "title", "desc", "rect", "path", "text", "g"}
    assert (tmp_path / "g.svg").stat().st_size < 20_000


@pytest.mark.parametrize(
    ("graph", "code", "expected"),
    [
        ("999", 1, "has no graph 999. An id is page_id * 2^27"),
        (str(2**63), 2, "expected a graph_id of wk_graphs, a whole number such as"),
        ("Paris", 2, "expected a graph_id of wk_graphs, a whole number such as"),
        ("-1", 2, "graph"),
        ("", 2, "expected a graph_id"),
    ],
)
def test_an_id_that_is_none_is_one_line_that_says_what_ids_look_like(tmp_path, capsys, graph, code, expected):
    folder = write_dataset(tmp_path / "d", ROWS, REST)
    assert main(["show", str(folder), f"--graph={graph}"]) == code
    said = capsys.readouterr().err
    assert expected in said
    assert len(said.splitlines()) == 1


def test_a_dataset_without_graphs_says_so(tmp_path, capsys):
    folder = write_dataset(tmp_path / "d", GRAPH_ONLY, {})
    assert main(["show", str(folder), "--graph", "1"]) == 1
    assert "has no word-knowledge graph" in capsys.readouterr().err


@pytest.mark.parametrize("svg", ["file/g.svg", "folder", "."])
def test_a_drawing_that_can_t_be_written_is_one_line(tmp_path, capsys, monkeypatch, svg):
    folder = write_dataset(tmp_path / "d", ROWS, REST)
    (tmp_path / "file").write_text("")
    (tmp_path / "folder").mkdir()
    monkeypatch.chdir(tmp_path)
    assert main(["show", str(folder), "--graph", "3", "--svg", svg]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert f"{svg} can't be written" in line
    assert not list(tmp_path.rglob(".*.tmp"))
