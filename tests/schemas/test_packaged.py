"""Models that a package carries are found where it is installed, and never imported."""

import sys

import pytest

from schemas.packaged import PACKAGES, package_hint, packaged_model

MODULE = "made_up_model"


@pytest.fixture(autouse=True)
def made_up(monkeypatch):
    monkeypatch.setitem(PACKAGES, "a/model", (MODULE, "files", "made-up"))


def test_a_package_is_found_in_the_first_place_that_has_the_models_folder(tmp_path, monkeypatch):
    for place in ("b", "a"):
        (tmp_path / place / MODULE).mkdir(parents=True)
        monkeypatch.syspath_prepend(tmp_path / place)
    # Without __init__.py it is a namespace of both.
    assert packaged_model("a/model") is None
    (tmp_path / "a" / MODULE / "files").write_text("a file")
    (tmp_path / "b" / MODULE / "files").mkdir()
    assert packaged_model("a/model") == tmp_path / "b" / MODULE / "files"
    assert packaged_model("roberta-base") is None and MODULE not in sys.modules


def test_a_module_of_one_file_and_one_that_is_not_there_have_no_model(tmp_path, monkeypatch):
    assert packaged_model("a/model") is None
    (tmp_path / f"{MODULE}.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    assert packaged_model("a/model") is None


def test_the_hint_is_the_extra_that_brings_it():
    assert package_hint("a/model") == " pip install '.[made-up]' from the checkout brings it."
    assert package_hint("roberta-base") == ""
