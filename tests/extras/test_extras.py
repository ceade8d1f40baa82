"""Each extra alone, from a wheel: its own commands work, another's say the pip line."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest

from pipelines.validate import validate
from schemas.manifest import read_manifest
from tests.conftest import DEMO_INPUTS, DEMO_SHARES, ROOT, digest, sample_inputs
from tests.extras.environments import make_environment, run_python
from tests.training.links import write_links
from wikiloom import COMMANDS

pytestmark = [pytest.mark.extras, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder), str(ROOT)]
    subprocess.run(command, check=True)
    return next(folder.glob("wikiloom-*.whl"))


@pytest.fixture(scope="module", params=["pipelines", "training"])
def alone(request, wheel, tmp_path_factory):
    """(extra, wikiloom of an environment that holds the wheel with this extra only)."""
    folder = tmp_path_factory.mktemp(request.param)
    python = make_environment(folder, [f"wikiloom[{request.param}] @ file://{wheel}"])
    return request.param, python.with_name("wikiloom"), folder


def run(wikiloom, folder, *words):
    environment = {**os.environ, "PYTHONPATH": ""}
    command = [str(wikiloom), *map(str, words)]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def test_the_wheel_holds_the_code_the_recipes_and_nothing_else(wheel):
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}
    code = [path for folder in ("schemas", "pipelines", "training") for path in (ROOT / folder).rglob("*.*")]
    files = {path.relative_to(ROOT).as_posix() for path in code if path.is_file() and "__pycache__" not in path.parts}
    assert held == {"wikiloom.py", *files}
    assert "training/recipes/colake-base.toml" in held
    assert {Path(name).suffix for name in held} == {".py", ".toml", ".json", ".jsonl", ".tsv"}


def test_all_extras_resolve_together(tmp_path):
    uv = shutil.which("uv") or Path(sys.executable).with_name("uv")
    if not Path(uv).exists():
        pytest.skip("uv is not installed: pip would download every package")
    links = {"UV_FIND_LINKS": os.environ["PIP_FIND_LINKS"]} if os.environ.get("PIP_FIND_LINKS") else {}
    words = [uv, "pip", "compile", "--quiet", "--all-extras", "--constraint", ROOT / "constraints.txt"]
    words += ["--output-file", tmp_path / "all.txt", ROOT / "pyproject.toml"]
    done = subprocess.run(words, env={**os.environ, **links}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    pinned = {line.split("==")[0] for line in (ROOT / "constraints.txt").read_text().splitlines()}
    resolved = re.findall(r"^([\w.-]+)==", (tmp_path / "all.txt").read_text(), re.M)
    assert {"google-cloud-dataflow-client", "moto", "pykeen", "torch"} <= set(resolved) <= pinned


def test_one_extra_gives_its_help_and_names_the_pip_line_of_the_other(alone):
    extra, wikiloom, folder = alone
    assert run(wikiloom, folder, "--help").returncode == 0
    for command, (half, _) in COMMANDS.items():
        done = run(wikiloom, folder, command, "--help")
        if half == extra:
            assert done.returncode == 0, done.stderr
            assert "usage" in done.stdout
        else:
            other = "training" if extra == "pipelines" else "pipelines"
            assert (done.returncode, f"pip install '.[{other}]'" in done.stderr) == (2, True), done.stderr
            assert len(done.stderr.splitlines()) == 1


def test_the_wheel_builds_from_another_folder(alone, demo_dataset):
    extra, wikiloom, folder = alone
    if extra != "pipelines":
        pytest.skip("only pipelines builds")
    done = run(wikiloom, folder, "build", *DEMO_INPUTS, *DEMO_SHARES, "--out", folder / "d")
    assert done.returncode == 0, done.stderr
    assert digest(folder / "d") == digest(demo_dataset)
    assert run(wikiloom, folder, "validate", folder / "d").returncode == 0
    assert run(wikiloom, folder, "train-tokenizer", folder / "d", "--out", folder / "t").returncode == 0
    assert run(wikiloom, folder, "tokenize", folder / "d", "--tokenizer", folder / "t").returncode == 0


@pytest.fixture
def cluster(alone, tmp_path):
    """Beam's options for a job service and a pool of workers that have the wheel only and run in another folder."""
    extra, wikiloom, _ = alone
    if extra != "pipelines":
        pytest.skip("only pipelines builds")
    (tmp_path / "workers").mkdir()
    python = wikiloom.with_name("python")
    # The pool starts plain "python".
    environment = {**os.environ, "PYTHONPATH": "", "PATH": f"{python.parent}:{os.environ['PATH']}"}
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    service, pool = (
        subprocess.Popen(
            [str(python), "-m", f"apache_beam.runners.{module}", *map(str, words)],
            cwd=tmp_path / "workers",
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for module, words in (
            ("portability.local_job_service_main", ["--job_port", 0, "--port_file", tmp_path / "port"]),
            ("worker.worker_pool_main", ["--service_port", port]),
        )
    )
    try:
        wait_for(lambda: (tmp_path / "port").is_file() and (tmp_path / "port").read_text())
        wait_for(lambda: socket.socket().connect_ex(("localhost", port)) == 0)
        yield [
            "--runner=PortableRunner",
            f"--job_endpoint=localhost:{(tmp_path / 'port').read_text()}",
            "--environment_type=EXTERNAL",
            f"--environment_config=localhost:{port}",
        ]
    finally:
        pool.send_signal(signal.SIGINT)  # at which it ends its workers
        service.kill()
        try:
            pool.wait(timeout=30)
        except subprocess.TimeoutExpired:
            pool.kill()  # a suite that was started in the background has SIGINT ignored, and its children too
        pool.wait(), service.wait()


def wait_for(condition):
    for _ in range(600):
        if condition():
            return
        time.sleep(0.1)
    raise AssertionError("nothing answers")


@pytest.mark.parametrize("which", ["demo_dataset", pytest.param("sample_dataset", marks=pytest.mark.slow)])
def test_workers_with_the_wheel_only_build_the_same_over_grpc(alone, cluster, which, request, tmp_path):
    _, wikiloom, _ = alone
    expected = digest(request.getfixturevalue(which))
    words = [*DEMO_INPUTS, *DEMO_SHARES, "--set", "join=cogbk"]
    if which == "sample_dataset":
        words = sample_inputs(request.getfixturevalue("real_data"))
    (tmp_path / "here").mkdir()
    words = [os.path.relpath(word, tmp_path / "here") if isinstance(word, Path) else word for word in words]
    done = run(wikiloom, tmp_path / "here", "build", *words, "--out", "d", *cluster)
    assert (done.returncode, done.stderr) == (0, "")
    assert digest(tmp_path / "here/d") == expected
    assert list((tmp_path / "workers").iterdir()) == []


def test_training_alone_says_how_to_get_what_it_lacks(alone, demo_dataset, tmp_path):
    extra, wikiloom, folder = alone
    if extra != "training":
        pytest.skip("only training trains")
    assert run(wikiloom, folder, "recipes").returncode == 0
    done = run(wikiloom, folder, "train", "kepler-tiny", "--data", demo_dataset, "--out", tmp_path / "r")
    if not (Path(demo_dataset) / "tokens").exists():
        assert done.returncode in (1, 2)
        assert "pip install '.[pipelines]'" in done.stderr
        assert "Traceback" not in done.stderr
    missing = run(wikiloom, folder, "baseline", "transe", "--data", demo_dataset, "--out", tmp_path / "b")
    assert missing.returncode == 2
    assert "[baselines]" in missing.stderr


@pytest.mark.slow
def test_spacy_splits_the_sentences_of_a_build(wheel, demo_dataset, tmp_path):
    python = make_environment(tmp_path, [f"wikiloom[pipelines,spacy] @ file://{wheel}"])
    words = ["build", *DEMO_INPUTS, *DEMO_SHARES, "--set", "sentences=spacy", "--out", tmp_path / "d"]
    done = run(python.with_name("wikiloom"), tmp_path, *words)
    assert done.returncode == 0, done.stderr
    assert list(validate(tmp_path / "d")) == []
    made, usual = read_manifest(tmp_path / "d"), read_manifest(demo_dataset)
    assert made.rest["parameters"]["spacy"].startswith("3.")
    assert abs(made.tables["wk_graphs"].rows - usual.tables["wk_graphs"].rows) < 0.05 * usual.tables["wk_graphs"].rows


SPACY_SCRIPT = """
import json, sys, spacy
dataset, folder = sys.argv[1:]
def told(doc):
    return [[span.text, span.start_char, span.kb_id_, span.label_] for span in doc.ents]
text = "Paris Hilton left Paris for Parisian 東京, 東京."
linker = spacy.blank("en")
linker.add_pipe("wikiloom_linker", config={"dataset": dataset})
named = spacy.blank("en")
patterns = [{"label": "PERSON", "pattern": "Paris Hilton"}, {"label": "GPE", "pattern": "Troy"}]
named.add_pipe("entity_ruler").add_patterns(patterns)
named.to_disk(folder)
named.add_pipe("wikiloom_linker", config={"dataset": dataset, "mentions": "ents"})
both = spacy.load(folder)
both.add_pipe("wikiloom_linker", config={"dataset": dataset})
print(json.dumps({
    "dictionary": told(linker(text)),
    "ents": told(named("Paris Hilton of Troy")),
    "both": told(both("Paris Hilton of Troy")),
    "many": [told(doc) for doc in linker.pipe(["Paris", "no"])],
    "torch": "torch" in sys.modules,
}))
"""


@pytest.mark.slow
def test_spacy_finds_the_linker_without_an_import_and_the_linker_takes_spacys_entities(wheel, tmp_path):
    # Without torch, which only a run needs.
    python = make_environment(tmp_path, [f"wikiloom[spacy] @ file://{wheel}", "jaxtyping", "marisa-trie", "numba"])
    dataset = write_links(tmp_path / "d")
    found = run_python(python, SPACY_SCRIPT, [dataset, tmp_path / "named"], tmp_path)
    hilton = ["Paris Hilton", 0, "Q47899", "ENTITY"]
    assert found["dictionary"][:2] == [hilton, ["Paris", 18, "Q90", "ENTITY"]]
    assert [span[0] for span in found["dictionary"][2:]] == ["東京", "東京"]
    assert found["ents"] == [["Paris Hilton", 0, "Q47899", "PERSON"], ["Troy", 16, "", "GPE"]]
    assert found["both"] == [hilton, ["Troy", 16, "", "GPE"]]
    assert found["many"] == [[["Paris", 0, "Q90", "ENTITY"]], []]
    assert found["torch"] is False
    script = (
        "import json, sys; from pathlib import Path; from schemas.dataset import Dataset; "
        "from training.linking import LinkSettings, open_linker; "
        "linker = open_linker(Dataset(Path(sys.argv[1])), LinkSettings(ner=sys.argv[2])); "
        "print(json.dumps([[link.start, link.end] for link in linker.link('Paris Hilton of Troy, Paris')]))"
    )
    assert run_python(python, script, [dataset, tmp_path / "named"], tmp_path) == [[0, 12]]
