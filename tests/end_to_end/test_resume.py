"""A build goes on where it stopped, and does again only what depends on a change."""

import gzip
import shutil
import signal
import subprocess
import sys
import time

import pytest

from pipelines import tables
from pipelines.validate import validate
from pipelines.work import locked
from schemas.errors import DataError
from schemas.manifest import read_manifest
from tests.conftest import DEMO_INPUTS, DEMO_SHARES, EXAMPLES, ROOT, digest
from wikiloom import main


def build(*words):
    """The build command in this process: Beam is imported once for all tests."""
    assert main(["build", *map(str, words)]) == 0


@pytest.fixture
def dataset(demo_dataset, tmp_path):
    """A copy of the demo's dataset, work files and all."""
    return shutil.copytree(demo_dataset, tmp_path / "d")


def files(out):
    """The work files of each stage and table: path -> what tells whether it was written again."""
    return {
        path.relative_to(out / ".build"): (path.stat().st_ino, path.stat().st_mtime_ns)
        for path in (out / ".build").rglob("*.*")
        if path.is_file()
    }


def redone(before, after):
    """Stages and tables with files that were written between the two."""
    written = [path for path, stamp in after.items() if before.get(path) != stamp]
    return {" ".join(path.parts[:2]) if path.parts[0] == "tables" else path.parts[0].split(".")[0] for path in written}


def test_a_finished_build_is_left_alone(dataset, capsys):
    before = (dataset / "manifest.json").stat().st_mtime_ns
    for more in ([], ["--set", "range_mb=1"], ["--only", "graph"]):
        build(*DEMO_INPUTS, *DEMO_SHARES, *more, "--out", dataset)
        assert "unchanged" in capsys.readouterr().out
    assert (dataset / "manifest.json").stat().st_mtime_ns == before


ENDS = {"entities", "relations", "wk_graphs"}
CHANGES = {
    "neighbors": (["--neighbors", "1"], {"wk_graphs"}, ENDS),
    "exclude": (["--exclude-triples", "FILE"], {"graph", "wk_graphs"}, ENDS | {"triples", "anchors"}),
    "redirects": (
        ["--redirects", EXAMPLES / "enwiki-mini-redirects.tsv"],
        {"titles", "align", "graph", "wk_graphs"},
        ENDS | {"triples", "anchors", "pages", "redirects", "rejects"},
    ),
    "mentions": (["--set", "self_mentions=true"], {"align", "wk_graphs"}, ENDS | {"pages"}),
    "shards": (["--set", "rows_per_shard=100"], set(), ENDS | {"triples", "anchors", "pages", "redirects", "rejects"}),
}


QUICK = ("exclude", "redirects")
"""Between them every stage but the dumps' own is done again."""


@pytest.mark.parametrize(
    "change", [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in CHANGES]
)
def test_a_change_does_again_what_depends_on_it_and_nothing_else(dataset, tmp_path, change):
    words, stages, of_tables = CHANGES[change]
    (tmp_path / "x.tsv").write_text("Q90\tP17\tQ142\n")
    words = [*DEMO_INPUTS, *DEMO_SHARES, *(tmp_path / "x.tsv" if word == "FILE" else word for word in words)]
    before = files(dataset)
    build(*words, "--out", dataset)
    assert redone(before, files(dataset)) == stages | {f"tables {name}" for name in of_tables} | {"tables"}
    build(*words, "--out", tmp_path / "anew")
    assert digest(dataset) == digest(tmp_path / "anew")
    assert list(validate(dataset)) == []


@pytest.mark.slow
def test_of_two_files_only_the_changed_one_is_read_again(tmp_path):
    lines = gzip.decompress(DEMO_INPUTS[3].read_bytes()).splitlines(keepends=True)
    words = [*DEMO_INPUTS[:2], "--wikidata", tmp_path / "a.json", tmp_path / "b.json", *DEMO_SHARES]
    (tmp_path / "a.json").write_bytes(b"".join(lines[:300]) + b"]\n")
    (tmp_path / "b.json").write_bytes(b"[\n" + b"".join(lines[300:]))
    build(*words, "--out", tmp_path / "d")
    before = files(tmp_path / "d")
    (tmp_path / "b.json").write_bytes(b"[\n" + b"".join(lines[310:]))
    build(*words, "--out", tmp_path / "d")
    after = files(tmp_path / "d")
    read = {path.parts[1] for path, stamp in after.items() if path.name == "done.json" and before.get(path) != stamp}
    kept = {path.parent for path, stamp in after.items() if path.name == "done.json" and before.get(path) == stamp}
    assert sorted(path.parts[0] for path in kept) == ["wikidata", "wikipedia"]
    assert len([path for path in after if path.parts[0] == "wikidata" and path.name == "done.json"]) == 2
    assert read
    build(*words, "--out", tmp_path / "anew")
    assert digest(tmp_path / "d") == digest(tmp_path / "anew")


def test_without_work_files_the_dataset_is_all_that_stays(demo_dataset, tmp_path):
    build(*DEMO_INPUTS, *DEMO_SHARES, "--set", "keep_work=false", "--out", tmp_path / "d")
    assert not (tmp_path / "d/.build").exists()
    assert digest(tmp_path / "d") == digest(demo_dataset)


def test_work_files_without_the_shards_that_they_speak_of_are_no_table(dataset):
    next((dataset / "pages").glob("train-*")).unlink()
    build(*DEMO_INPUTS, *DEMO_SHARES, "--neighbors", 1, "--out", dataset)
    assert list(validate(dataset)) == []


class Stop(Exception):
    """What a test puts in the place of a kill."""


def test_the_old_dataset_is_whole_until_the_new_one_is_and_no_half_one_validates(dataset, tmp_path, monkeypatch):
    """A stop before each step of the exchange: a dataset is whole, or it is none."""
    words, before = [*DEMO_INPUTS, *DEMO_SHARES, "--neighbors", 1], digest(dataset)
    done, limit = 0, 0

    def step(function):
        def stopping(*arguments, **options):
            nonlocal done
            if done == limit:
                raise Stop
            done += 1
            return function(*arguments, **options)

        return stopping

    def publish(writer):
        with monkeypatch.context() as patch:
            for place, name in ((shutil, "rmtree"), (tables.Path, "rename"), (tables.Path, "unlink")):
                patch.setattr(place, name, step(getattr(place, name)))
            exchange(writer)

    exchange = tables.TableWriter.publish
    monkeypatch.setattr(tables.TableWriter, "publish", publish)
    while True:
        done = 0
        try:
            main(["build", *map(str, words), "--out", str(dataset)])
            break
        except Stop:
            if limit == 0:
                assert digest(dataset) == before
                assert list(validate(dataset)) == []
            else:
                with pytest.raises(DataError):
                    read_manifest(dataset)
        limit += 1
    assert limit > 3
    monkeypatch.undo()
    build(*words, "--out", tmp_path / "anew")
    assert digest(dataset) == digest(tmp_path / "anew")
    assert list(validate(dataset)) == []


def test_a_second_build_in_the_same_folder_is_refused(tmp_path, capsys):
    with locked(tmp_path / "d/.build"):
        assert main(["build", *map(str, DEMO_INPUTS), "--out", str(tmp_path / "d")]) == 1
    assert "another build (process " in (said := capsys.readouterr().err)
    assert len(said.splitlines()) == 1


def test_only_runs_one_stage_and_the_rest_goes_on(demo_dataset, tmp_path):
    for stage in ("wikidata", "wikipedia", "align", "graph", "wk_graphs"):
        build(*DEMO_INPUTS, *DEMO_SHARES, "--only", stage, "--out", tmp_path / "d")
        assert not (tmp_path / "d/manifest.json").exists()
    build(*DEMO_INPUTS, *DEMO_SHARES, "--out", tmp_path / "d")
    assert digest(tmp_path / "d") == digest(demo_dataset)


def test_only_asks_for_the_stages_before_it_with_these_parameters(tmp_path, capsys):
    words = ["build", *map(str, DEMO_INPUTS), "--out", str(tmp_path / "d"), "--only"]
    for stage in ("wikidata", "wikipedia", "align"):
        assert main([*words, stage]) == 0
    assert main([*words, "graph", "--seed", "1"]) == 1
    assert "needs stage align" in capsys.readouterr().err


def test_a_build_goes_on_by_another_path_to_its_folder(demo_dataset, tmp_path, monkeypatch):
    for stage in ("wikidata", "wikipedia", "align"):
        build(*DEMO_INPUTS, *DEMO_SHARES, "--only", stage, "--out", tmp_path / "d")
    (tmp_path / "d/.build/align.json").unlink()
    next((tmp_path / "d/.build/align").glob("?" * 16 + "/done.json")).unlink()
    monkeypatch.chdir(tmp_path)
    build(*DEMO_INPUTS, *DEMO_SHARES, "--out", "d")
    assert digest(tmp_path / "d") == digest(demo_dataset)


def test_what_a_killed_build_left_half_written_is_removed_and_nothing_of_another_command(dataset):
    half = [dataset / folder / ".x.parquet.1.tmp" for folder in ("entities", "pages", ".build/align", "tokens/t")]
    for path in half:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"PAR1")
    (dataset / "manifest.json").unlink()
    build(*DEMO_INPUTS, *DEMO_SHARES, "--out", dataset)
    assert [path.exists() for path in half] == [False, False, False, True]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_a_build_with_one_line_and_code_75(tmp_path, number):
    words = [sys.executable, "-m", "wikiloom", "build", *map(str, DEMO_INPUTS), *DEMO_SHARES, "--out", tmp_path / "d"]
    with subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        while process.poll() is None and not (tmp_path / "d/.build/wikidata.json").exists():
            time.sleep(0.01)
        process.send_signal(number)
        said = process.communicate(timeout=60)
    assert (process.returncode, *said) == (
        75,
        "",
        "stopped; what is done is kept: run the same command again to go on\n",
    )
