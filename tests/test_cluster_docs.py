"""Commands of the pages on clusters: the parsers take them, or the page says why they were not run."""

import re

import pytest

from tests.command_lines import commands, require_parsed, require_torchrun
from tests.conftest import ROOT

PAGES = ["dataflow", "flink-spark", "training-cluster"]
ELSEWHERE = {"docker", "gcloud", "kubectl", "sbatch"}
"""Programs that this project neither has nor parses."""


def page(name):
    return (ROOT / f"docs/{name}.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", PAGES)
def test_the_parsers_take_every_command(name):
    found = set()
    for words in commands(page(name)):
        found.add(words[0])
        if words[0] == "wikiloom":
            require_parsed(words[1:])
        elif words[0] == "torchrun":
            require_torchrun(words[1:])
        else:
            assert words[0] in ELSEWHERE | {"export"}, words
    assert found & {"wikiloom", "torchrun"}


@pytest.mark.parametrize("name", PAGES)
def test_what_no_parser_takes_says_why_it_was_not_run(name):
    for before, block in re.findall(r"([^\n]+(?:\n[^\n]+)*)\n\n```\n(.*?)```", page(name), re.S):
        if {words[0] for words in commands(f"```\n{block}```")} & ELSEWHERE:
            assert re.search(r"not run here[\w ]*,? for want of", before, re.I), block
