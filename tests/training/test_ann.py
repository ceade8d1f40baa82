"""Indices for approximate search: the metric that was trained, nearly all of the true neighbours, queries that run."""

import ast
import contextlib
import io

import faiss
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from training import ann, entity_vectors
from training.ann import write_index
from training.card import MEASURES, Contents, write_card
from training.export import export
from training.runs import load_run
from training.train import train
from training.vectors import vector_column

WIDTH, ROWS, QUERIES = 32, 6_000, 50
EXACT = {
    "l1": lambda vectors, query: np.abs(vectors - query).sum(axis=1),
    "l2": lambda vectors, query: np.linalg.norm(vectors - query, axis=1),
    "cosine": lambda vectors, query: -vectors @ query / np.linalg.norm(vectors, axis=1),
}


@pytest.fixture(scope="module")
def made():
    """Vectors in clusters near a plane of few dimensions and of unequal length, as encoders make them; queries beside
    some of them."""
    draw = np.random.default_rng(0)
    centres, plane = draw.normal(size=(60, 12)), draw.normal(size=(12, WIDTH))
    vectors = (centres[draw.integers(60, size=ROWS)] + 0.5 * draw.normal(size=(ROWS, 12))) @ plane
    vectors = (vectors + 0.2 * draw.normal(size=(ROWS, WIDTH))) * draw.uniform(0.5, 2, size=(ROWS, 1))
    return vectors.astype(np.float32), (vectors[:QUERIES] + 0.5 * draw.normal(size=(QUERIES, WIDTH))).astype(np.float32)


@pytest.fixture(scope="module")
def files(made, tmp_path_factory):
    """The vectors in two files."""
    folder = tmp_path_factory.mktemp("entities")
    for number, part in enumerate(np.split(made[0], [ROWS // 3])):
        column = pa.FixedSizeListArray.from_arrays(part.reshape(-1), type=vector_column(WIDTH).type)
        pq.write_table(pa.table({"vector": column}), folder / f"{number}.parquet")
    return sorted(folder.iterdir())


def recall(found, vectors, queries, metric):
    """The share of the ten nearest by the exact order that is among those found."""
    nearest = [np.argsort(EXACT[metric](vectors, query))[:10] for query in queries]
    return np.mean([len(set(own) & set(rows)) / 10 for own, rows in zip(nearest, found, strict=True)])


def searched(path, queries, metric, rows):
    index = faiss.read_index(str(path))
    assert index.ntotal == ROWS
    normed = queries / np.linalg.norm(queries, axis=1, keepdims=True) if metric == "cosine" else queries
    return index, index.search(np.ascontiguousarray(normed), rows)[1]


@pytest.mark.parametrize("metric", EXACT)
def test_a_graph_of_neighbours_finds_nearly_all_of_the_ten_nearest(files, made, tmp_path, metric):
    write_index(files, WIDTH, metric, tmp_path / "index")
    index, found = searched(tmp_path / "index", made[1], metric, 10)
    names = {"l1": faiss.METRIC_L1, "l2": faiss.METRIC_L2, "cosine": faiss.METRIC_INNER_PRODUCT}
    assert isinstance(index, faiss.IndexHNSWFlat) and index.metric_type == names[metric]
    assert recall(found, *made, metric) > 0.98


@pytest.mark.parametrize("metric", EXACT)
def test_codes_find_candidates_that_hold_nearly_all_of_the_ten_nearest(files, made, tmp_path, monkeypatch, metric):
    monkeypatch.setattr(ann, "HNSW_ROWS", 1_000)
    write_index(files, WIDTH, metric, tmp_path / "index")
    index, found = searched(tmp_path / "index", made[1], metric, 100)
    assert isinstance(index, faiss.IndexIVFPQ) and index.nprobe == ann.PROBED and index.pq.M == WIDTH // 4
    assert (index.metric_type == faiss.METRIC_INNER_PRODUCT) == (metric == "cosine")
    assert recall(found, *made, metric) > 0.95
    assert (tmp_path / "index").stat().st_size < made[0].nbytes / 4


def test_the_norm_that_was_trained_is_another_order_than_the_other_norm(made):
    """Else the tests above would not tell the metrics apart."""
    vectors, queries = made
    other = [np.argsort(EXACT["l2"](vectors, query))[:10] for query in queries]
    assert recall(other, vectors, queries, "l1") < 0.9


@pytest.mark.parametrize(("width", "parts"), [(768, 192), (384, 96), (16, 4), (30, 6), (7, 1), (2, 1)])
def test_a_code_has_about_a_byte_for_four_dimensions(width, parts):
    assert ann._parts(width) == parts


@pytest.mark.parametrize(("recipe", "metric"), [("kepler-wiki-tiny", "l1"), ("colake-tiny", "cosine")])
def test_the_query_on_the_card_runs(made_up, tmp_path, monkeypatch, recipe, metric):
    monkeypatch.setattr(entity_vectors, "ROWS_OF_FILE", 64)
    settings = {"train.steps": "1", "train.batch_size": "4", "train.valid_batches": "1", "train.threads": "1"}
    train(recipe, made_up, tmp_path / "run", resume=False, dry_run=False, settings=settings)
    out = export(tmp_path / "run", tmp_path / "out", entities=True, index=True)
    card = (out / "README.md").read_text()
    assert f"It measures\n{MEASURES[metric]}" in card
    code = card.split("## Nearest entities")[1].split("```python\n")[1].split("```")[0]
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        exec(code.replace("FOLDER", str(out)), {})
    rows = ast.literal_eval(said.getvalue())
    assert len(rows) == 10 and rows[0].keys() == {"entity", "label"}
    if metric == "cosine":
        assert rows[0]["entity"] == "Q1", "nothing is nearer to an entity than itself"
    many = Contents(entities=2_000_000, texts=None, index=True, precision="fp32")
    write_card(load_run(tmp_path / "run"), "many", many, tmp_path / "many.md")
    assert ("put 100 candidates in its order" in (tmp_path / "many.md").read_text()) == (metric == "l1")
