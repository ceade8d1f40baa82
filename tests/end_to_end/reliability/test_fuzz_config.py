"""Some configs in every run of the tests, more in the slow ones; and faults are seen."""

import dataclasses

import pytest

from schemas.errors import UsageError
from tests.end_to_end.reliability import fuzz_config
from training.config_file import load_config


@pytest.mark.parametrize("count", [150, pytest.param(10_000, marks=pytest.mark.slow)])
def test_any_config_is_valid_or_refused(count):
    outcome = fuzz_config.run(count, 0)
    assert outcome.tried == count and outcome.failures == [] and outcome.figures["of them valid"] > count / 20


@pytest.mark.parametrize("toml", ["a = " + "[" * 2_000, "seed = " + "9" * 5_000, "a = {b=" + "{a=" * 2_000])
def test_toml_without_end_is_refused(toml, tmp_path):
    path = tmp_path / "recipe.toml"
    path.write_text(toml, encoding="utf-8")
    with pytest.raises(UsageError, match="is not TOML: "):
        load_config(str(path))


def test_a_loader_that_raises_or_forgets_is_reported(monkeypatch):
    def forgetful(recipe, settings=None):
        config = load_config(recipe, settings)
        return dataclasses.replace(config, seed=config.seed + 1)

    def raising(recipe, settings=None):
        raise TypeError("unhashable type: 'list'")

    for loader, words in ((forgetful, " becomes Config("), (raising, "TypeError: unhashable type: 'list'")):
        monkeypatch.setattr(fuzz_config, "load_config", loader)
        assert any(words in line for line in fuzz_config.run(60, 0).failures)
