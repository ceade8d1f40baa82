"""Python before 3.11.5 loses its place in a possessive repetition of a group (CPython gh-106052): with one, Debian 12's
Python would make another dataset than others do."""

import re

import pytest

from tests.conftest import ROOT

REPEATED_GROUP = re.compile(r"\)(?:[*+?]|\{[\d,]+\})\+|\(\?>")


@pytest.mark.parametrize("package", ["schemas", "pipelines", "training"])
def test_no_group_is_repeated_possessively(package):
    for path in (ROOT / package).rglob("*.py"):
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            assert not REPEATED_GROUP.search(line), f"{path}:{number}"
