"""The notebook runs over the demo's dataset in an environment without our code, and shows what it showed."""

import os
import shutil
import subprocess

import pytest

from tests.conftest import EXAMPLES
from tests.extras.environments import make_environment

pytestmark = [pytest.mark.extras, pytest.mark.timeout(900)]
NEEDS = ["nbclient", "ipykernel", "datasets", "duckdb", "pandas", "polars", "pyarrow"]


def test_the_notebook_shows_what_it_showed(demo_dataset, tmp_path):
    python = make_environment(tmp_path, NEEDS)
    (tmp_path / "examples").mkdir()
    (tmp_path / "demo").mkdir()
    (tmp_path / "demo" / "dataset").symlink_to(demo_dataset)
    shutil.copy(EXAMPLES / "dataset.ipynb", tmp_path / "examples")
    environment = {**os.environ, "PYTHONPATH": "", "HF_HOME": str(tmp_path / "hf"), "HF_HUB_OFFLINE": "1"}
    environment["PATH"] = f"{python.parent}:{os.environ['PATH']}"
    command = [python, EXAMPLES / "run_notebook.py", tmp_path / "examples" / "dataset.ipynb", "--check"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{done.stdout}{done.stderr[-2000:]}\nIf that is right: examples/run_notebook.py"
