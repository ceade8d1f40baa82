"""Recipes: every one loads, and a wrong key or value says what is right."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import DataError, UsageError
from training.config import Config
from training.config_file import differences, load_config, read_config, recipe_names, to_toml
from training.runs import resolved


@pytest.mark.parametrize("name", recipe_names())
def test_every_recipe_loads_and_survives_its_own_toml(name, tmp_path):
    config = load_config(name)
    (tmp_path / "config.toml").write_text(to_toml(config))
    assert read_config(tmp_path) == config
    assert config.about


def test_an_alias_is_the_recipe_that_it_stands_for():
    assert load_config("kepler-tiny") == load_config("kepler-wiki-tiny")


@given(st.text(max_size=20))
def test_any_text_survives_toml(tmp_path_factory, text):
    config = Config(recipe="r", system="colake", about=text.encode("utf-8", "replace").decode())
    folder = tmp_path_factory.mktemp("toml")
    (folder / "config.toml").write_text(to_toml(config), encoding="utf-8", newline="")
    assert read_config(folder) == config


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("optim.lr", "1e-2", 0.01),
        ("train.steps", "7", 7),
        ("colake.logq", "true", True),
        ("kepler.norm", "2", 2),
        ("optim.schedule", "linear", "linear"),
        ("encoder.name", "3", "3"),
        ("seed", "5", 5),
    ],
)
def test_set_is_typed_by_the_field(key, value, expected):
    found = load_config("colake-tiny", {key: value})
    for part in key.split("."):
        found = getattr(found, part)
    assert found == expected and type(found) is type(expected)


@pytest.mark.parametrize(
    ("recipe", "settings", "says"),
    [
        ("colake-tinny", {}, "Did you mean colake-tiny?"),
        ("nowhere.toml", {}, "no such file"),
        ("colake-tiny", {"optim.lrr": "1"}, "Did you mean optim.lr?"),
        ("colake-tiny", {"about": "\udcff"}, "expected text in UTF-8"),
        ("colake-tiny", {"optim": "1"}, "there is no key 'optim'"),
        ("colake-tiny", {"kepler.norm": "3"}, "expected 1 or 2"),
        ("colake-tiny", {"train.steps": "0"}, "expected a whole number at least 1"),
        ("colake-tiny", {"optim.lr": "nan"}, "expected a number above 0"),
        ("colake-tiny", {"optim.schedule": "cosine"}, "expected constant or linear or polynomial"),
        ("colake-tiny", {"kepler.in_batch": "maybe"}, "expected true or false"),
        ("colake-tiny", {"colake.masking": "papers"}, "expected paper or code"),
        ("colake-tiny", {"data.on_corrupt": "skip"}, "expected fail or quarantine"),
        ("colake-tiny", {"data.on_corrupt": "quarantine", "data.workers": "1"}, "needs data.workers = 0"),
        ("colake-tiny", {"train.micro_batch": "5"}, "no multiple of train.micro_batch"),
        ("colake-tiny", {"encoder.heads": "3"}, "no multiple of encoder.heads"),
        ("colake-tiny", {"recipe": "../x"}, "it names folders"),
        ("kepler-tiny", {"kepler.loss": "nce"}, "expected margin or infonce"),
        ("kepler-tiny", {"kepler.loss": "infonce"}, "kepler.self_adversarial weighs the negatives of"),
        ("kepler-tiny", {"kepler.score": "cosine"}, "has no distance for kepler.gamma"),
        ("kepler-tiny", {"kepler.in_batch": "false", "kepler.self_negatives": "false"}, "leaves no negatives"),
        ("kepler-tiny", {"kepler.two_way": "true"}, "kepler.two_way does nothing with kepler.loss"),
        ("kepler-rel-tiny", {"encoder.frozen": "true", "kepler.blocks": "0"}, "leaves nothing to learn"),
        ("kepler-tiny", {"kepler.max_length": "1"}, "expected a whole number at least 4"),
    ],
)
def test_a_wrong_recipe_or_setting_says_what_is_right(recipe, settings, says):
    with pytest.raises(UsageError, match=says.replace("?", r"\?").replace(".", r"\.")):
        load_config(recipe, settings)


@pytest.mark.parametrize(
    ("toml", "says"),
    [
        ("system = 'colake'\n[colake]\nnegative = 3", "unknown key 'colake.negative'. Did you mean colake.negatives?"),
        ("system = 'colake'\ncolake = 3", "colake should be a section"),
        ("system = 'colake'\n[seed]\nx = 1", "seed should be a value"),
        ("system = 'transe'", "system = 'transe'"),
        ("system = 'colake'\n[optim]\nlr = 'fast'", "optim.lr = 'fast'"),
        ("system = ", "is not TOML"),
        ("", "system"),
    ],
)
def test_a_wrong_file_says_where(tmp_path, toml, says):
    path = tmp_path / "mine.toml"
    path.write_text(toml)
    with pytest.raises(UsageError) as error:
        load_config(str(path))
    assert says in str(error.value) and str(path) in str(error.value)


def test_a_folder_without_config_is_no_run(tmp_path):
    with pytest.raises(DataError, match="is not a run"):
        read_config(tmp_path)


def test_differences_name_the_keys_but_not_threads_or_place():
    before = load_config("colake-tiny")
    after = dataclasses.replace(
        load_config("colake-tiny", {"optim.lr": "1.0", "train.threads": "7"}),
        data=dataclasses.replace(before.data, folder="elsewhere"),
    )
    assert differences(after, before) == [f"optim.lr was {before.optim.lr}, now 1.0"]


@pytest.mark.parametrize(("told", "ranks", "threads"), [("1", 1, 1), ("3", 1, 3), ("1", 2, 2), ("0", 1, 2), ("", 1, 2)])
def test_threads_are_those_of_the_environment_for_a_run_of_one_rank(told, ranks, threads, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", told)
    monkeypatch.setattr("os.sched_getaffinity", lambda _process: set(range(8)))
    assert resolved(load_config("colake-tiny", {}), ranks).train.threads == threads
    assert resolved(load_config("colake-tiny", {"train.threads": "5"}), ranks).train.threads == 5
