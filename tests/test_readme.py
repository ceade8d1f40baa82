"""What the README shows is what the commands print."""

import re

import pytest

from tests.conftest import DEMO_INPUTS, DEMO_SHARES, ROOT, digest
from wikiloom import COMMANDS, main

README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_build_prints_what_the_readme_shows(tmp_path, demo_dataset, capsys):
    assert main(["build", *map(str, (*DEMO_INPUTS, *DEMO_SHARES)), "--out", str(tmp_path / "d")]) == 0
    said = capsys.readouterr().out.replace(str(tmp_path / "d"), "demo/dataset")
    assert said in README
    assert digest(tmp_path / "d") == digest(demo_dataset)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_is_in_the_readme(command):
    assert f"wikiloom {command}" in README


def test_every_link_of_the_readme_leads_somewhere():
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert target.startswith("http") or (ROOT / target).exists(), target


def test_makefile_and_docs_name_the_same_targets():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    docs = README + (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    for target in re.findall(r"(?:^|`)make ([a-z-]+)", docs, re.M):
        assert re.search(rf"^{target}:", makefile, re.M), target
