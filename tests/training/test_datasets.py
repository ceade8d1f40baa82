"""Several datasets in a run: a second graph, further text, one tokenizer, and the same bits after a kill."""

import numpy as np
import pytest

from schemas.dataset import Dataset
from schemas.errors import DataError, UsageError
from tests.pipelines.imports.made import imported, write
from tests.training.small_runs import SMALL, Killed, kill_when, losses, weights
from tests.training.synthetic import World, make_dataset
from training.cli import run as command
from training.config_file import load_config, read_config
from training.data.text import ID_SPACE
from training.runs import load_run, open_config
from training.sources import open_sources
from training.systems import build_system
from training.train import train


@pytest.fixture(scope="module")
def folders(made_up, tmp_path_factory):
    """A dataset, a smaller graph without pages in its words, and pages in its words. Read only."""
    folder, words = tmp_path_factory.mktemp("datasets"), World()
    graph = make_dataset(folder / "graph", World(3, seed=1), pages=False, vocabulary=words)
    return [made_up, graph, make_dataset(folder / "text", World(4, seed=2), vocabulary=words)]


def run(recipe, data, out, resume=False, **changes):
    settings = SMALL | {"kepler.second_batch": "4"} if "w+w" in recipe else SMALL
    settings = settings | {key.replace("_", ".", 1): str(value) for key, value in changes.items()}
    return train(recipe, data[0], out, resume=resume, dry_run=False, settings=settings, more=data[1:])


def system_of(recipe, data, **changes):
    settings = SMALL | {key.replace("_", ".", 1): str(value) for key, value in changes.items()}
    config, datasets = open_config(recipe, data, settings)
    source = open_sources(config, datasets, [dataset.tokens("tiny") for dataset in datasets])
    return build_system(config, source)


def test_two_graphs_and_further_text_learn_the_same_bits_killed_or_not(folders, tmp_path, monkeypatch):
    assert run("kepler-w+w-tiny", folders, tmp_path / "whole") == 0
    with monkeypatch.context() as patch:
        kill_when(patch, "train_step", 4)
        with pytest.raises(Killed):
            run("kepler-w+w-tiny", folders, tmp_path / "killed")
    # Its config.toml names all three.
    config = str(tmp_path / "killed" / "config.toml")
    assert train(config, None, None, resume=True, dry_run=False, settings={}) == 0
    assert weights(tmp_path / "killed") == weights(tmp_path / "whole")
    assert losses(tmp_path / "killed") == losses(tmp_path / "whole")
    assert read_config(tmp_path / "whole").data.more_digests == tuple(Dataset(each).digest for each in folders[1:])


def test_each_stream_gives_its_quota_and_text_comes_from_all_pages(folders):
    system = system_of("kepler-w+w-tiny", folders, kepler_second_batch=4, kepler_blocks=6)
    texts = []
    for step in range(20):
        rows = system.loader.take(step)
        assert {name: part.columns.rows for name, part in rows.items()} == {"triples": 8, "triples2": 4, "text": 6}
        texts.append(rows["text"].columns.numbers["text"])
    assert set(np.concatenate(texts) // ID_SPACE) == {0, 1}


def test_the_pages_of_a_further_dataset_serve_a_graph_that_has_none(folders):
    _, graph, text = folders
    system = system_of("kepler-wiki-tiny", [graph, text])
    assert not any("has no pages" in note for note in system.notes)
    assert any("has no pages" in note for note in system_of("kepler-wiki-tiny", [graph]).notes)
    assert set(system.loader.take(0)["text"].columns.numbers["text"] // ID_SPACE) == {1}


@pytest.mark.parametrize(
    ("recipe", "numbers", "changes", "says"),
    [
        ("kepler-w+w-tiny", [0], {}, "learns from two graphs: give it --data DIR twice"),
        ("kepler-w+w-tiny", [0, 0], {}, "one dataset is given as --data twice"),
        ("kepler-w+w-tiny", [0, 1, 2], {"kepler.blocks": "0"}, "learns from 2 --data DIR, 3 are given"),
        ("kepler-ke-tiny", [0, 2], {}, "learns from 1 --data DIR, 2 are given"),
        ("kepler-onlydesc-tiny", [0, 2], {}, "this recipe reads no pages"),
        ("mlm-only-tiny", [0, 2], {}, "this recipe reads no pages"),
        ("colake-tiny", [0, 2], {}, "this recipe reads no pages"),
    ],
)
def test_a_number_of_datasets_that_a_recipe_has_no_use_for_is_refused(recipe, numbers, changes, says, folders):
    with pytest.raises(UsageError, match=says.replace("(", r"\(")):
        open_config(recipe, [folders[number] for number in numbers], changes)


def test_a_further_dataset_without_pages_or_with_other_tokens_is_refused(folders, tmp_path):
    with pytest.raises(DataError, match="has no pages for masked language modelling"):
        system_of("kepler-wiki-tiny", folders[:2])
    other = make_dataset(tmp_path / "other", World(4, seed=2))
    with pytest.raises(DataError, match="was made by another tokenizer than"):
        run("kepler-tiny", [folders[0], other], tmp_path / "run")


def test_a_run_is_resumed_and_read_on_its_own_datasets_alone(folders, tmp_path):
    run("kepler-tiny", [folders[0], folders[2]], tmp_path / "run", train_steps=2)
    with pytest.raises(DataError, match="was trained on 2 datasets, and 1 are given"):
        run("kepler-tiny", folders[:1], tmp_path / "run", resume=True, train_steps=2)
    another = make_dataset(tmp_path / "another", World(4, seed=3), vocabulary=World())
    with pytest.raises(DataError, match="was trained on dataset"):
        run("kepler-tiny", [folders[0], another], tmp_path / "run", resume=True, train_steps=2)
    assert load_run(tmp_path / "run").dataset.folder == folders[0].resolve()
    with pytest.raises(DataError, match="was trained on dataset"):
        load_run(tmp_path / "run", folders[2])  # it gave its pages, and has no part in the graph
    config = tmp_path / "run" / "config.toml"
    config.write_text(config.read_text().replace(str(folders[2]), str(another)))
    with pytest.raises(DataError, match="was trained on dataset"):
        load_run(tmp_path / "run")


def test_the_folders_are_given_by_data_and_not_by_set():
    with pytest.raises(UsageError, match="give each dataset a --data DIR of its own"):
        load_config("kepler-tiny", {"data.more_folders": "x"})


def test_plain_text_is_imported_tokenized_and_read_beside_the_pages(made_up, tmp_path, capsys):
    lines = "".join(f"city{number} is a city .\n\n" for number in range(24))
    text = imported("text", write(tmp_path / "books", {"one.txt": lines}), tmp_path / "text")
    settings = [word for key, value in (SMALL | {"train.steps": "2"}).items() for word in ("--set", f"{key}={value}")]
    words = ["kepler-tiny", "--data", str(made_up), "--data", str(text.folder), "--out", str(tmp_path / "run")]
    assert command("train", [*words, *settings]) == 0
    assert text.tokens("tiny").rows("pages") == 24
    # Text alone is enough for whoever learns no graph.
    alone = ["mlm-only-tiny", "--data", str(text.folder), "--out", str(tmp_path / "alone"), "--set", "mlm.corpus=pages"]
    assert command("train", [*alone, *settings]) == 0
