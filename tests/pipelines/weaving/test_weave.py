"""wikiloom weave: texts of one dataset, graphs of others."""

import json
import shutil
from collections import Counter

import numpy as np
import pyarrow as pa
import pytest

from pipelines.audit import audit
from pipelines.config import Parameters
from pipelines.runner import beam_options
from pipelines.transforms import example_texts
from pipelines.transforms.example_texts import as_pages, number_examples
from pipelines.validate import validate
from pipelines.weaving.config import Weave
from pipelines.weaving.run import weave
from schemas.dataset import Dataset
from schemas.errors import DataError, UsageError
from schemas.examples import EXAMPLES
from tests.conftest import wikiloom
from tests.pipelines.planting import Copy, new_dataset, new_graph


def woven(out, text, *graphs, **options):
    """The new dataset, valid and without a leak."""
    told = Weave(text=text, graph=graphs, out=out, **options)
    weave(told, beam_options([], 1, []))
    assert list(validate(out)) == []
    assert audit(out, exclude_triples=told.exclude_triples).violations == []
    return Dataset(out)


def example(number, text, *mentions, split="train", **columns):
    own = [dict(zip(("start", "end", "entity", "role"), mention, strict=True)) for mention in mentions]
    return {
        "example_id": f"e{number}",
        "task": "few-shot",
        "split": split,
        "group": "g",
        "text": text,
        "mentions": own,
        **columns,
    }


@pytest.fixture
def sentences(tmp_path):
    """Examples about Q0 and Q1; Q9 is in no graph."""
    rows = [
        example(0, "Ada met Bob.", (0, 3, "Q0", "head"), (8, 11, "Q1", "tail")),
        example(1, "Cy met Ada. Ada left.", (0, 2, "Q9", "head"), (7, 10, "Q0", "tail"), (12, 15, "Q0", "tail")),
        example(2, "Nobody came.", (0, 6, None, "target")),
        example(3, "Bob is out.", (0, 3, "Q1", "target"), split="test", label="P7", relation="P7"),
    ]
    rows = [{"labels": [], "answers": [], "options": [], **row} for row in rows]
    relations = [{"relation": "P7", "relation_index": 0, "label": "is out of"}]
    return new_dataset(tmp_path / "text", {"examples": rows, "relations": relations}, language="en").folder


def test_a_dataset_woven_with_itself_has_the_same_tables(demo_dataset, tmp_path):
    made = woven(tmp_path / "d", demo_dataset, demo_dataset).manifest
    built = Dataset(demo_dataset).manifest
    assert {name: entry.digest for name, entry in made.tables.items()} == {
        name: entry.digest for name, entry in built.tables.items() if name != "rejects"
    }
    assert [file["sha256"] for file in made.rest["inputs"]] == [built.digest] * 2
    assert made.rest["parameters"]["passage_chars"] == 300, "passages are cut as the text dataset's were"


def test_sentences_of_examples_become_graphs_with_the_train_facts_of_their_mentions(sentences, tmp_path):
    graph = new_graph(tmp_path / "g", [(0, 0, 1, "train"), (0, 0, 2, "test"), (1, 0, 2, "train")], {0: "Ada"}).folder
    made = woven(tmp_path / "d", sentences, graph)
    rows = {row["text"]: row for row in made.read("wk_graphs").to_pylist()}
    index = {row["entity"]: row["entity_index"] for row in made.read("entities").to_pylist()}
    assert set(rows) == {"Ada met Bob.", "Cy met Ada. Ada left.", "Bob is out."}
    first, second, third = (rows[text] for text in ("Ada met Bob.", "Cy met Ada. Ada left.", "Bob is out."))
    assert [(m["start"], m["end"], m["entity_index"]) for m in first["mentions"]] == [
        (0, 3, index["Q0"]),
        (8, 11, index["Q1"]),
    ]
    facts = [(t["anchor"], t["head_index"], t["tail_index"]) for t in first["triples"]]
    assert facts == [(0, index["Q0"], index["Q1"]), (1, index["Q1"], index["Q2"])], "no test fact"
    assert [(m["start"], m["entity_index"]) for m in second["mentions"]] == [(7, index["Q0"])]
    assert (first["split"], third["split"]) == ("train", "test")
    examples = {row["example_id"]: row for row in made.read("examples").to_pylist()}
    assert [m["entity"] for m in examples["e1"]["mentions"]] == [None, "Q0", "Q0"], "Q9 is in no graph"
    assert made.manifest.rest["drops"] == {
        "link_entities": {"entity_not_in_graph": 1},
        "wk_graphs": {"no_linked_entity": 1},
    }
    assert made.manifest.rest["graph"]["wk_graphs"] == {"split_column": "split", "texts": "examples"}
    relations = {row["relation"]: (row["label"], row["frequency"]) for row in made.read("relations").to_pylist()}
    assert relations == {"P0": (None, 2), "P7": ("is out of", 0)}, "the task's classes stay"


def test_a_fact_that_is_train_in_one_and_test_in_another_is_test_and_in_no_graph(sentences, tmp_path):
    one = new_graph(tmp_path / "one", [(0, 0, 1, "test"), (0, 0, 2, "train")]).folder
    two = new_graph(tmp_path / "two", [(0, 0, 1, "train"), (1, 0, 0, "train")]).folder
    digests = set()
    for number, graphs in enumerate(((one, two), (two, one))):
        made = woven(tmp_path / f"d{number}", sentences, *graphs)
        facts = {(row["head"], row["tail"]): row["split"] for row in made.read("triples").to_pylist()}
        assert facts == {("Q0", "Q1"): "test", ("Q0", "Q2"): "train", ("Q1", "Q0"): "train"}
        assert made.manifest.rest["drops"]["graph"] == {"held_out_elsewhere": 1}
        assert made.manifest.rest["stages"]["graph"] == {"in": 4, "out": {"triples": 3}}
        digests.add(made.digest)
    assert len(digests) == 1, "the graphs say nothing more, so their order leaves no trace"


def test_excluded_facts_are_left_out_and_counted(sentences, tmp_path):
    graph = new_graph(tmp_path / "g", [(0, 0, 1, "train"), (1, 0, 2, "train")]).folder
    listed = tmp_path / "facts.tsv"
    listed.write_text("Q0\tP0\tQ1\nQ7\tP0\tQ1\n")
    made = woven(tmp_path / "d", sentences, graph, exclude_triples=listed)
    assert [(row["head"], row["tail"]) for row in made.read("triples").to_pylist()] == [("Q1", "Q2")]
    assert made.manifest.rest["graph"]["excluded_triples"] == {"listed": 2, "found": 1, "removed": 1}
    assert all(len(row["triples"]) <= 1 for row in made.read("wk_graphs").to_pylist())


def test_pages_are_woven_with_another_graph_and_keep_only_its_entities(demo_dataset, tmp_path):
    pages = Dataset(demo_dataset)
    known = pages.read("entities").to_pylist()[:40]
    rows = [{**row, "entity_index": i, "label": f"other {row['entity']}"} for i, row in enumerate(known)]
    facts = [(i, 0, i + 1) for i in range(39)]
    triples = [
        {
            "head": known[h]["entity"],
            "relation": "P9999",
            "tail": known[t]["entity"],
            "head_index": h,
            "relation_index": r,
            "tail_index": t,
            "split": "train",
        }
        for h, r, t in facts
    ]
    relations = [{"relation": "P9999", "relation_index": 0}]
    graph = new_dataset(tmp_path / "g", {"entities": rows, "relations": relations, "triples": triples}).folder
    made = woven(tmp_path / "d", demo_dataset, graph)
    ours = {row["entity"] for row in known}
    links = [link for row in made.read("pages").to_pylist() for link in row["links"]]
    before = [link for row in pages.read("pages").to_pylist() for link in row["links"]]
    assert [link["entity"] for link in links] == [link["entity"] if link["entity"] in ours else None for link in before]
    lost = sum(link["entity"] is not None and link["entity"] not in ours for link in before)
    assert made.manifest.rest["drops"]["link_entities"] == {"entity_not_in_graph": lost}
    entities = {row["entity"]: row for row in made.read("entities").to_pylist()}
    assert all(row["label"] == f"other {entity}" for entity, row in entities.items())
    for row in known:
        assert entities[row["entity"]]["page_id"] == row["page_id"]
        assert entities[row["entity"]]["mention_count"] == row["mention_count"]


def test_a_graph_that_its_example_does_not_bear_out_is_found(sentences, tmp_path):
    graph = new_graph(tmp_path / "g", [(0, 0, 1, "train")]).folder
    made = woven(tmp_path / "d", sentences, graph)
    copy = Copy(made.folder, tmp_path / "copy")
    copy.edit("examples", "train", lambda rows: rows[0].update(text="Eve met Bob."))
    lines = list(validate(copy.folder))
    assert len(lines) == 1 and "its text is not that of its example at start and end" in lines[0]
    copy = Copy(made.folder, tmp_path / "other")
    copy.edit("examples", "train", lambda rows: rows[0]["mentions"][0].update(entity="Q77"))
    assert any("entity Q77 is not in table entities" in line for line in validate(copy.folder))


def test_numbers_of_examples_are_hashes_of_their_ids_and_differ_also_where_hashes_do_not(monkeypatch):
    ids = pa.chunked_array([[f"id{i}" for i in range(50)]])
    free = number_examples(ids)
    assert len(set(free.tolist())) == 50 and free.max() < 2**36
    some = number_examples(ids.take(pa.array(range(10, 20))))
    assert some.tolist() == free[10:20].tolist(), "an example keeps its number among others"
    monkeypatch.setattr(example_texts, "NUMBERS", 7)
    crowded = number_examples(ids)
    assert len(set(crowded.tolist())) == 50


def test_of_mentions_that_overlap_the_first_and_longest_is_a_link():
    spans = [
        (4, 8, "Q2", "tail"),
        (0, 3, "Q1", "head"),
        (0, 5, "Q3", "target"),
        (5, 6, "Q4", "tail"),
        (6, 8, None, "tail"),
    ]
    row = {**example(0, "abcdefgh", *spans), "labels": [], "answers": [], "options": []}
    pages = as_pages(pa.Table.from_pylist([row, row], schema=EXAMPLES.schema), np.array([3, 1])).to_pylist()
    for page in pages:
        assert [(link["start"], link["end"], link["entity"]) for link in page["links"]] == [(0, 5, "Q3"), (5, 6, "Q4")]


def test_what_can_not_be_woven_is_one_clear_line(sentences, demo_dataset, tmp_path):
    graph = new_graph(tmp_path / "g", [(0, 0, 1, "train")]).folder
    bare = new_dataset(tmp_path / "bare", {"entities": [], "relations": [], "triples": []}).folder
    with pytest.raises(DataError, match="neither pages nor examples"):
        woven(tmp_path / "d", graph, graph)
    with pytest.raises(DataError, match="has no triple"):
        woven(tmp_path / "d", sentences, bare)
    other = Copy(graph, tmp_path / "other")
    other.document(lambda d: d.update(graph={"wk_graphs": {"split_column": "inductive_split"}}))
    with pytest.raises(DataError, match="hold out different splits"):
        woven(tmp_path / "d", sentences, graph, other.folder)
    with pytest.raises(DataError, match="is not a dataset"):
        woven(tmp_path / "d", tmp_path, graph)
    with pytest.raises(DataError, match="is one of the datasets that are woven"):
        woven(graph, sentences, graph)
    with pytest.raises(DataError, match="holds another dataset"):
        woven(bare, sentences, graph)
    assert Dataset(graph).rows("triples") == 1
    with pytest.raises(UsageError, match="--graph: expected one dataset or several"):
        Weave(text=sentences, graph=(), out=tmp_path / "d")
    assert not (tmp_path / "d" / "manifest.json").exists()


def test_the_command_weaves_once_and_says_so(sentences, tmp_path):
    graphs = [new_graph(tmp_path / name, [(0, 0, 1, "train")]).folder for name in ("one", "two")]
    words = ["weave", "--text", sentences, "--graph", graphs[0], "--graph", graphs[1], "--out", tmp_path / "d"]
    assert "wk_graphs 3" in wikiloom(*words).stdout
    assert "unchanged, nothing to do" in wikiloom(*words).stdout
    assert not (tmp_path / "d" / ".build").exists()
    inputs = json.loads((tmp_path / "d/manifest.json").read_text())["inputs"]
    assert [file["role"] for file in inputs] == ["text", "graph", "graph"]
    assert Parameters().passage_chars == Dataset(tmp_path / "d").manifest.rest["parameters"]["passage_chars"]


@pytest.mark.slow
def test_metaqas_questions_are_woven_with_its_graph(real_data, tmp_path):
    shutil.copytree(real_data / "kg/metaqa", tmp_path / "files", ignore=shutil.ignore_patterns("*-hop"))
    (tmp_path / "files/1-hop").mkdir()
    questions = (real_data / "kg/metaqa/1-hop/test.txt").read_text().splitlines(keepends=True)[::50]
    (tmp_path / "files/1-hop/test.txt").write_text("".join(questions))
    wikiloom("import", "metaqa", "--from", tmp_path / "files", "--out", tmp_path / "m")
    made = woven(tmp_path / "d", tmp_path / "m", tmp_path / "m", neighbors=10)
    assert (made.rows("triples"), made.rows("wk_graphs"), made.rows("examples")) == (129_235, 199, 199)
    entities = made.read("entities")["entity"].to_pylist()
    heads = Counter(made.read("triples")["head"].to_pylist())
    topics = {row["text"]: row["mentions"][0]["entity"] for row in made.read("examples").to_pylist()}
    for row in made.read("wk_graphs").to_pylist():
        (mention,) = row["mentions"]
        assert entities[mention["entity_index"]] == topics[row["text"]]
        assert len(row["triples"]) == min(heads[topics[row["text"]]], 10), "all that the topic has, up to --neighbors"
