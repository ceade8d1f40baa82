"""schemas <- pipelines, schemas <- training; the two never import each other."""

import ast

import pytest

from tests.conftest import ROOT

ALLOWED = {
    "schemas": {"schemas"},
    "pipelines": {"schemas", "pipelines", "wikiloom"},
    "training": {"schemas", "training", "wikiloom"},
}
FORBIDDEN = {
    "schemas": {"torch", "transformers", "apache_beam", "lxml", "msgspec"},
    "pipelines": {"torch", "transformers", "pykeen"},
    "training": {"apache_beam", "lxml"},
}


@pytest.mark.parametrize("package", ALLOWED)
def test_no_wall_is_crossed(package):
    ours = {"schemas", "pipelines", "training", "wikiloom"}
    for path in (ROOT / package).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) and node.module else []
            roots = {name.split(".")[0] for name in names}
            assert roots & ours <= ALLOWED[package], path
            assert not roots & FORBIDDEN[package], path
