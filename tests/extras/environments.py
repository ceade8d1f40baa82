"""Environments that tests make for themselves: uv where it can be had, pip otherwise."""

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.conftest import ROOT


def make_environment(folder, requirements):
    """A new environment under `folder` with the requirements at our constraints; returns its python."""
    environment = Path(folder) / "env"
    subprocess.run([sys.executable, "-m", "venv", str(environment)], check=True)
    python = environment / "bin/python"
    links = {"UV_FIND_LINKS": os.environ["PIP_FIND_LINKS"]} if os.environ.get("PIP_FIND_LINKS") else {}
    options = ["--quiet", "--constraint", str(ROOT / "constraints.txt"), *requirements]
    uv = Path(sys.executable).with_name("uv")
    commands = [[str(python), "-m", "pip", "install", *options]]
    if uv.exists():
        commands.insert(0, [str(uv), "pip", "install", "--python", str(python), *options])
    for command in commands:
        done = subprocess.run(command, env={**os.environ, **links}, capture_output=True, text=True, check=False)
        if done.returncode == 0:
            return python
    raise AssertionError(f"{requirements} can't be installed: {done.stderr[-2000:]}")


def run_python(python, script, arguments, folder):
    """Run a script away from the checkout; its last line is JSON."""
    environment = {**os.environ, "HF_HOME": str(folder / "hf"), "HF_HUB_OFFLINE": "1", "PYTHONPATH": ""}
    command = [str(python), "-c", script, *map(str, arguments)]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])
