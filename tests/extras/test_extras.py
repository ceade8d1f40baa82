"""Each extra alone, from a wheel: its own commands work, another's say the pip line."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pipelines.validate import validate
from schemas.manifest import read_manifest
from tests.conftest import DEMO_INPUTS, DEMO_SHARES, ROOT, digest
from tests.extras.environments import make_environment
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


def test_spacy_splits_the_sentences_of_a_build(wheel, demo_dataset, tmp_path):
    python = make_environment(tmp_path, [f"wikiloom[pipelines,spacy] @ file://{wheel}"])
    words = ["build", *DEMO_INPUTS, *DEMO_SHARES, "--set", "sentences=spacy", "--out", tmp_path / "d"]
    done = run(python.with_name("wikiloom"), tmp_path, *words)
    assert done.returncode == 0, done.stderr
    assert list(validate(tmp_path / "d")) == []
    made, usual = read_manifest(tmp_path / "d"), read_manifest(demo_dataset)
    assert made.rest["parameters"]["spacy"].startswith("3.")
    assert abs(made.tables["wk_graphs"].rows - usual.tables["wk_graphs"].rows) < 0.05 * usual.tables["wk_graphs"].rows
