"""What the README shows is what the commands print."""

import os
import re
import subprocess
import sys

import pytest

from tests.conftest import DEMO_INPUTS, DEMO_SHARES, ROOT, digest
from wikiloom import COMMANDS, main

README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_build_prints_what_the_readme_shows(tmp_path, demo_dataset, capsys):
    assert main(["build", *map(str, (*DEMO_INPUTS, *DEMO_SHARES)), "--out", str(tmp_path / "d")]) == 0
    said = capsys.readouterr().out.replace(str(tmp_path / "d"), "demo/dataset")
    assert said in README
    assert digest(tmp_path / "d") == digest(demo_dataset)


@pytest.mark.slow
def test_a_graph_of_ones_own_goes_from_three_files_to_an_answer(tmp_path):
    section = README.split("## A knowledge graph of your own")[1].split("\n## ")[0]
    commands, shown = re.findall(r"```(?:bash)?\n(.*?)```", section, re.S)
    script = f'set -e\nwikiloom() {{ "{sys.executable}" -m wikiloom "$@"; }}\n{commands}'
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        ["bash", "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    said, shown = done.stdout.splitlines(), shown.splitlines()
    assert said[:-3] == shown[:-3], "import, vocabulary, tokens and the table's head are the same on any machine"
    # Scores, and what a tiny model takes for the next best, depend on how a processor rounds.
    answers = [[row.split() for row in lines[-3:]] for lines in (said, shown)]
    assert [answers[0][0][:3], answers[0][0][4]] == [answers[1][0][:3], answers[1][0][4]]
    assert [[row[0], len(row)] for row in answers[0]] == [[row[0], len(row)] for row in answers[1]]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_is_in_the_readme(command):
    assert f"wikiloom {command}" in README


def test_makefile_and_docs_name_the_same_targets():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    docs = README + (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    for target in re.findall(r"(?:^|`)make ([a-z-]+)", docs, re.M):
        assert re.search(rf"^{target}:", makefile, re.M), target
