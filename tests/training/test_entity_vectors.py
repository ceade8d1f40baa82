"""Vectors of entities: resumed after a kill with the same bytes, never mixed with another run's, equal to a text's."""

import json
import os
import re
import signal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import DataError, UsageError
from tests.conftest import ROOT
from training import ann, entity_vectors, folders, vectors
from training.data.groups import MemoryGroups
from training.entity_vectors import Reader
from training.export import export
from training.predict import predict
from training.runs import load_run
from training.train import train

SETTINGS = {
    "train.steps": "2",
    "train.batch_size": "4",
    "train.valid_batches": "1",
    "train.threads": "1",
    "encoder.hidden_size": "16",
    "encoder.intermediate_size": "32",
    "encoder.heads": "2",
    "kepler.blocks": "4",
    "kepler.max_length": "24",
}
FILES = 7


@pytest.fixture(scope="module")
def runs(made_up, tmp_path_factory):
    """Two KEPLER runs of one dataset, which read fewer tokens of a description than there are positions."""
    folder = tmp_path_factory.mktemp("runs")
    for seed in ("0", "1"):
        train(
            "kepler-wiki-tiny", made_up, folder / seed, resume=False, dry_run=False, settings=SETTINGS | {"seed": seed}
        )
    return folder / "0", folder / "1"


@pytest.fixture(autouse=True)
def small_files(monkeypatch):
    """So that there are several."""
    monkeypatch.setattr(entity_vectors, "ROWS_OF_FILE", 16)


@pytest.fixture(scope="module")
def unbroken(runs, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(entity_vectors, "ROWS_OF_FILE", 16)
        return export(runs[0], tmp_path_factory.mktemp("unbroken") / "out", entities=True)


def content(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def in_a_child(work):
    """Fork, work there, and return how the child ended: its signal, or 0."""
    child = os.fork()
    if not child:
        try:
            work()
        finally:
            os._exit(0)
    return os.waitpid(child, 0)[1] & 0x7F


def killed(run, out, after, *, named):
    """An export that is killed at its file number `after`: before that has its name, or just after."""
    calls = 0

    def finish(path):
        nonlocal calls
        calls += 1
        if calls > after and not named:
            os.kill(os.getpid(), signal.SIGKILL)
        folders.finished(path)
        if calls > after:
            os.kill(os.getpid(), signal.SIGKILL)

    def work():
        entity_vectors.finished = finish
        export(run, out, entities=True)

    assert in_a_child(work) == signal.SIGKILL


@pytest.mark.parametrize(("after", "named"), [(0, False), (3, True), (4, False), (FILES - 1, True)])
def test_an_export_that_was_killed_goes_on_and_ends_with_the_same_bytes(runs, unbroken, tmp_path, after, named):
    killed(runs[0], tmp_path / "out", after, named=named)
    left = list((tmp_path / ".out.tmp" / "entities").glob("*.parquet"))
    assert not (tmp_path / "out").exists() and len(left) == after + named
    nodes = {path.name: path.stat().st_ino for path in left}
    out = export(runs[0], tmp_path / "out", entities=True)
    assert content(out) == content(unbroken) and len(list((out / "entities").iterdir())) == FILES
    assert nodes.items() <= {path.name: path.stat().st_ino for path in (out / "entities").iterdir()}.items()
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_link_beside_the_export_is_not_followed(runs, tmp_path):
    others = tmp_path / "others"
    others.mkdir()
    (others / "precious").write_text("")
    (tmp_path / ".out.tmp").symlink_to(others)
    with pytest.raises(DataError, match="is a symbolic link"):
        export(runs[0], tmp_path / "out", entities=True)
    assert (others / "precious").exists() and not (tmp_path / "out").exists()


def test_an_export_that_failed_keeps_what_it_finished_and_says_where(runs, unbroken, tmp_path, monkeypatch, capsys):
    whole = vectors.TextEncoder.encode
    calls = []

    def failing(encoder, framed):
        calls.append(1)
        if len(calls) > 2:
            raise KeyboardInterrupt
        return whole(encoder, framed)

    monkeypatch.setattr(vectors.TextEncoder, "encode", failing)
    with pytest.raises(KeyboardInterrupt):
        export(runs[0], tmp_path / "out", entities=True)
    assert "the same command goes on with it" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / ".out.tmp").iterdir()] == ["entities"]
    assert len(list((tmp_path / ".out.tmp" / "entities").iterdir())) == 2
    monkeypatch.undo()
    monkeypatch.setattr(entity_vectors, "ROWS_OF_FILE", 16)
    assert content(export(runs[0], tmp_path / "out", entities=True)) == content(unbroken)


@pytest.mark.parametrize(
    ("run", "precision", "rows", "why"),
    [(1, None, 16, r"\(weights\)"), (0, "bf16", 16, r"\(precision\)"), (0, None, 40, r"\(other files\)")],
)
def test_what_another_export_left_is_named_and_not_taken(
    runs, unbroken, tmp_path, monkeypatch, capsys, run, precision, rows, why
):
    whole = folders.finished
    monkeypatch.setattr(entity_vectors, "ROWS_OF_FILE", rows)
    monkeypatch.setattr(entity_vectors, "finished", lambda path: (whole(path), 1 / 0))
    with pytest.raises(ZeroDivisionError):
        export(runs[run], tmp_path / "out", entities=True, precision=precision)
    monkeypatch.setattr(entity_vectors, "finished", whole)
    monkeypatch.setattr(entity_vectors, "ROWS_OF_FILE", 16)
    out = export(runs[0], tmp_path / "out", entities=True)
    (note,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("note:")]
    assert re.search(why, note) and "another export" in note
    assert content(out) == content(unbroken)


def test_a_damaged_file_that_was_left_is_made_again(runs, unbroken, tmp_path):
    killed(runs[0], tmp_path / "out", 1, named=True)
    (path,) = (tmp_path / ".out.tmp" / "entities").glob("*00001-of*.parquet")
    path.write_bytes(path.read_bytes()[:-20])
    assert content(export(runs[0], tmp_path / "out", entities=True)) == content(unbroken)


def test_left_files_go_where_entities_are_no_longer_asked_for(runs, tmp_path, capsys):
    killed(runs[0], tmp_path / "out", 1, named=True)
    out = export(runs[0], tmp_path / "out")
    assert "begun anew" in capsys.readouterr().err and not (out / "entities").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_the_files_say_what_their_vectors_follow_from(runs, unbroken):
    run = load_run(runs[0])
    metadata = pq.read_schema(next((unbroken / "entities").iterdir())).metadata
    assert metadata[b"dataset_digest"].decode() == run.dataset.digest and metadata[b"longest_text"] == b"24"
    assert metadata[b"precision"] == b"fp32" and len(metadata[b"weights"]) == 32


def test_every_entity_is_there_once_with_the_vector_that_ranks_it(runs, unbroken):
    run, table = load_run(runs[0]), pq.read_table(unbroken / "entities")
    assert table["entity"].to_pylist() == run.dataset.read("entities", columns=["entity"])["entity"].to_pylist()
    assert torch.allclose(torch.tensor(table["vector"].to_pylist()), run.scorer().entities, atol=1e-5)


def test_a_text_has_the_vector_of_the_entity_that_it_describes(runs, unbroken, tmp_path):
    from sentence_transformers import SentenceTransformer

    run = load_run(runs[0])
    texts = run.dataset.read("entities", columns=["text"])["text"].to_pylist()
    assert max(len(text.split()) for text in texts) > 24, "no text is cut"
    (tmp_path / "texts.txt").write_text("\n".join(texts) + "\n")
    out = export(runs[0], tmp_path / "out", texts=tmp_path / "texts.txt")
    own = np.array(pq.read_table(unbroken / "entities")["vector"].to_pylist())
    assert np.abs(np.array(pq.read_table(out / "texts.parquet")["vector"].to_pylist()) - own).max() < 1e-5
    assert np.abs(SentenceTransformer(str(out), device="cpu").encode(texts) - own).max() < 1e-5
    rows = predict(runs[0], head_text=texts[3], relation="P1", top=200)
    same = predict(runs[0], head="Q4", relation="P1", top=200)
    assert [row["entity"] for row in rows] == [row["entity"] for row in same]
    assert [row["score"] for row in rows] == pytest.approx([row["score"] for row in same], abs=1e-4)


def test_bf16_is_near_and_the_card_says_it(runs, unbroken, tmp_path):
    out = export(runs[0], tmp_path / "out", entities=True, precision="bf16")
    ours, whole = (np.array(pq.read_table(folder / "entities")["vector"].to_pylist()) for folder in (out, unbroken))
    assert 0 < np.abs(ours - whole).max() < 0.1
    assert "16 bits (bf16)" in (out / "README.md").read_text()
    assert "encoded in 32 bits" in (unbroken / "README.md").read_text()


@given(st.lists(st.integers(1, 300), min_size=1, max_size=60), st.integers(1, 400))
def test_pieces_hold_every_text_once_and_no_more_padding_than_their_bound(lengths, bound):
    lengths = np.array(lengths)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(vectors, "PADDED_TOKENS", bound)
        pieces = list(vectors.pieces(np.argsort(lengths, kind="stable"), lengths))
    assert sorted(np.concatenate(pieces).tolist()) == list(range(len(lengths)))
    assert all(len(piece) == 1 or len(piece) * lengths[piece].max() <= bound for piece in pieces)


@given(st.integers(1, 50), st.integers(1, 12), st.lists(st.booleans(), min_size=10, max_size=10), st.integers(1, 9))
def test_a_reader_gives_each_window_its_rows_whatever_is_left_out(rows, group, taken, window):
    reader = Reader(MemoryGroups(pa.table({"row": np.arange(rows)}), "rows", group))
    for start, is_taken in zip(range(0, rows, window), taken, strict=False):
        if is_taken:
            own = reader.take(start, min(window, rows - start))["row"].to_pylist()
            assert own == list(range(start, min(start + window, rows)))


def test_a_reader_reads_nothing_of_what_is_left_out():
    groups = MemoryGroups(pa.table({"row": np.arange(100)}), "rows", 10)
    read, whole = [], groups.read
    object.__setattr__(groups, "read", lambda number: read.append(number) or whole(number))
    reader = Reader(groups)
    reader.take(0, 10)
    reader.take(75, 10)
    assert read == [0, 7, 8]


def test_an_index_without_its_entities_or_its_library_is_one_clear_line(runs, tmp_path, monkeypatch):
    with pytest.raises(UsageError, match="add --entities"):
        export(runs[0], tmp_path / "out", index=True)
    monkeypatch.setattr(ann.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"pip install '\.\[ann\]'"):
        export(runs[0], tmp_path / "out", entities=True, index=True)
    assert list(tmp_path.iterdir()) == []


def test_the_documented_figures_are_the_kept_ones():
    kept = json.loads((ROOT / "benchmarks" / "results" / "entity_vectors.json").read_text(encoding="utf-8"))
    page = " ".join((ROOT / "docs" / "export.md").read_text(encoding="utf-8").split())
    padded = kept["padded_per_real"]
    assert f"of FB15k-237's {kept['texts']:,}, {padded['window']} tokens with padding" in page
    assert f"had {padded['pieces of 1,024']} and 32 texts as they come have {padded['as they come']}." in page
    assert f"first {kept['rows_timed']:,} of them" in page and f"encoded {kept['times_as_fast']} times as fast" in page
