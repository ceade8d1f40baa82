"""Both HTML pages in a headless Chromium with the network off, and pages of hostile and partial datasets."""

import json
import os
import shutil
import subprocess

import pytest

from pipelines.report import write_html
from schemas.dataset import Dataset
from tests.conftest import ROOT
from tests.extras.environments import make_environment
from tests.made_datasets import EXAMPLES_ONLY, GRAPH_ONLY, REST, ROWS, write_dataset, write_run

pytestmark = [pytest.mark.extras, pytest.mark.timeout(900)]
CHROMIUM = next((path for path in map(shutil.which, ("chromium", "chromium-browser", "google-chrome")) if path), None)


@pytest.fixture(scope="module")
def python(tmp_path_factory):
    return make_environment(tmp_path_factory.mktemp("browser"), ["playwright"])


def check(python, out, *words):
    """(exit code, ui.json or what was said) of benchmarks.ui."""
    command = [python, "-m", "benchmarks.ui", *words, "--out", out]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=out, env=environment, capture_output=True, text=True, check=False)
    kept = out / "ui.json"
    return done.returncode, json.loads(kept.read_text())["pages"] if kept.exists() else done.stderr


def test_without_a_chromium_nothing_is_checked_and_it_says_so(python, tmp_path):
    code, said = check(python, tmp_path, "--chromium", "no-such-browser")
    assert code == 1
    assert "no Chromium (no-such-browser) is on the path" in said
    assert "Traceback" not in said


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")
def test_no_page_says_anything_asks_for_anything_or_overflows(python, demo_dataset, tmp_path):
    run = write_run(tmp_path / "kepler", Dataset(demo_dataset).digest)
    write_html(demo_dataset, tmp_path / "describe.html")
    write_html(demo_dataset, tmp_path / "report.html", [run])
    for name, rows in (("hostile", ROWS), ("graph", GRAPH_ONLY), ("examples", EXAMPLES_ONLY)):
        write_html(write_dataset(tmp_path / name, rows, REST), tmp_path / f"{name}.html")
    pages = sorted(tmp_path.glob("*.html"))
    code, found = check(python, tmp_path, *pages)
    assert found.keys() == {page.name for page in pages}
    wrong = {(name, where): what for name, page in found.items() for where, what in page["problems"].items() if what}
    assert (code, wrong) == (0, {})


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")
@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ('<p style="width: 3000px">wide</p>', "overflowing"),
        ('<svg viewBox="0 0 10 10" width="50"><text x="40" y="5">out</text></svg>', "overflowing"),
        ('<img src="http://127.0.0.1:9/a.png">', "requests"),
        ("<script>throw 1</script>", "console"),
        ("<script>let a = 1</script>", "scripts"),
    ],
)
def test_what_is_wrong_with_a_page_is_found(python, tmp_path, body, problem):
    (tmp_path / "page.html").write_text(f"<!doctype html><html><body>{body}</body></html>")
    code, found = check(python, tmp_path, tmp_path / "page.html")
    assert code == 1
    assert all(problem in what for what in found["page.html"]["problems"].values())
