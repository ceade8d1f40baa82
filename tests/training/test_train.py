"""The loop: a run is a pure function of its config."""

import inspect
import json
import random
import re
import time

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from schemas.errors import DataError, UsageError
from tests.training.seals import reseal
from tests.training.small_runs import SMALL, Killed, kill_when, run, weights
from tests.training.synthetic import World, make_dataset
from training import train as loop
from training.checkpoint import checkpoints
from training.config_file import read_config
from training.metrics import read_metrics
from training.runs import load_run, require_free
from training.train import train


def test_a_frozen_encoder_stays_as_it_was_while_what_stands_upon_it_learns(made_up, tmp_path):
    assert run("kepler-tiny", made_up, tmp_path, encoder_frozen="true") == 0
    first, last = (
        {name: value for file in folder.glob("model/*.safetensors") for name, value in load_file(file).items()}
        for folder in checkpoints(tmp_path)[-2:]
    )
    moved = {name for name in first if not torch.equal(first[name], last[name])}
    head = ("dense.weight", "dense.bias", "norm.weight", "norm.bias", "bias")
    assert moved == {"relation.weight", *(f"word_head.{name}" for name in head)}
    assert run("kepler-tiny", made_up, tmp_path, resume=True, encoder_frozen="true") == 0


def test_global_generators_do_not_matter(made_up, unkilled, tmp_path):
    random.seed(1)
    np.random.seed(2)  # the point of the test
    torch.manual_seed(3)
    assert run("colake-tiny", made_up, tmp_path / "run") == 0
    assert weights(tmp_path / "run") == weights(unkilled["colake-tiny"])


GENERATORS = [
    (random, [name for name in dir(random) if inspect.ismethod(getattr(random, name)) and name != "seed"]),
    (np.random, [name for name in dir(np.random) if type(getattr(np.random, name)).__name__.endswith("method")]),
    (torch, ["rand", "randn", "randint", "randperm", "rand_like", "randn_like", "randint_like", "multinomial"]),
    (torch, ["normal", "bernoulli", "poisson", "dropout"]),
    (torch.Tensor, ["random_", "uniform_", "normal_", "bernoulli_", "bernoulli", "multinomial", "exponential_"]),
]


@pytest.mark.parametrize("recipe", ["colake-tiny", "kepler-tiny"])
def test_a_run_never_asks_a_global_generator(recipe, made_up, tmp_path, monkeypatch):
    plain = {"encoder_dropout": 0.0, "train_steps": 20}  # more than an epoch; dropout is what torch's own is for
    assert run(recipe, made_up, tmp_path / "expected", **plain) == 0
    original = loop._loop

    def poisoned(*_args, **_kwargs):
        raise AssertionError("a global generator was asked")

    def poisoned_loop(*args):
        with monkeypatch.context() as patch:
            for owner, names in GENERATORS:
                for name in names:
                    patch.setattr(owner, name, poisoned)
            return original(*args)

    monkeypatch.setattr(loop, "_loop", poisoned_loop)
    assert run(recipe, made_up, tmp_path / "poisoned", **plain) == 0
    assert weights(tmp_path / "poisoned") == weights(tmp_path / "expected")


def test_another_seed_is_another_run(made_up, unkilled, tmp_path):
    assert (
        train("colake-tiny", made_up, tmp_path / "run", resume=False, dry_run=False, settings=SMALL | {"seed": "1"})
        == 0
    )
    assert weights(tmp_path / "run") != weights(unkilled["colake-tiny"])


def test_a_run_leaves_config_metrics_events_checkpoints_and_curves(unkilled, made_up):
    folder = unkilled["kepler-tiny"]
    config = read_config(folder)
    assert config.recipe == "kepler-wiki-tiny" and config.data.folder == str(made_up) and config.train.threads == 1
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    terms = {"valid/ke", "valid/mlm", "weight/ke", "weight/mlm"}
    assert set(lines[0]) == {"step", *terms} and lines[0]["step"] == 0
    plain = {"grad_norm", "lr", "entities", "padded_tokens"}
    speed = {f"speed/{name}" for name in ("samples", "tokens", "tflops", "loader_wait", "memory_mb")}
    assert set(lines[1]) - speed == {"step", "train/loss", "train/ke", "train/mlm", *plain}
    assert set(lines[1]) > speed and all(lines[1][name] >= 0 for name in speed)
    assert [line["step"] for line in lines if "valid/ke" in line] == [0, 3, 6]
    assert [folder.name for folder in checkpoints(folder)] == ["step-00000004", "step-00000006"]
    assert list((folder / "tensorboard").glob("events.*"))
    assert (folder / "curves.png").read_bytes().startswith(b"\x89PNG")


def test_a_finished_run_resumes_to_itself(made_up, unkilled, capsys):
    folder = unkilled["kepler-tiny"]
    before = weights(folder)
    assert run("kepler-tiny", made_up, folder, resume=True) == 0
    assert weights(folder) == before


def test_config_toml_repeats_a_run(unkilled, tmp_path):
    path = unkilled["colake-tiny"] / "config.toml"
    assert train(str(path), None, tmp_path / "again", resume=False, dry_run=False, settings={}) == 0
    assert weights(tmp_path / "again") == weights(unkilled["colake-tiny"])


def test_resuming_at_other_threads_warns(made_up, tmp_path, monkeypatch, capsys):
    with monkeypatch.context() as patch:
        kill_when(patch, "train_step", 4)
        with pytest.raises(Killed):
            run("colake-tiny", made_up, tmp_path / "run")
    run("colake-tiny", made_up, tmp_path / "run", resume=True, train_threads=2)
    assert "began with 1 threads and goes on with 2" in capsys.readouterr().err
    assert read_config(tmp_path / "run").train.threads == 1


def test_resuming_another_config_or_dataset_says_what_differs(made_up, unkilled, tmp_path):
    folder = unkilled["colake-tiny"]
    with pytest.raises(UsageError, match=r"optim\.lr was 0\.002, now 0\.5"):
        run("colake-tiny", made_up, folder, resume=True, optim_lr=0.5)
    other = make_dataset(tmp_path / "other", World(4, seed=5))
    with pytest.raises(DataError, match="was trained on dataset"):
        run("colake-tiny", other, folder, resume=True)
    with pytest.raises(DataError, match="was trained on dataset"):
        load_run(folder, other)


@pytest.mark.parametrize("place", ["checkpoints/step-00000006/model.pt", "optimizer.bin", "results/x.pkl"])
def test_a_planted_pickle_is_refused_unread(place, made_up, tmp_path):
    folder = tmp_path / "run"
    run("colake-tiny", made_up, folder)
    planted = folder / place
    planted.parent.mkdir(exist_ok=True)
    planted.write_bytes(b"\x80\x04cos\nsystem\n")
    for action in (lambda: load_run(folder), lambda: run("colake-tiny", made_up, folder, resume=True)):
        with pytest.raises(DataError, match=f"{planted.name} may hold pickled objects"):
            action()


@pytest.mark.parametrize(
    ("name", "spoil", "says"),
    [
        ("model/*", lambda data: data[:-10], "is damaged"),
        ("state.json", lambda data: b"{", "is damaged"),
        ("state.json", lambda data: data.replace(b'"version": 4', b'"version": 9'), "has version 9"),
        (
            "state.json",
            lambda data: data.replace(b'"version": 4', b'"version": 1'),
            "version 1; this .* versions 3 and 4",
        ),
        ("state.json", lambda data: data.replace(b'"step": 2', b'"step": 3'), "not those that were sealed"),
        ("model/*", lambda data: b"\xff" * len(data), "its bytes are not those"),
    ],
)
def test_a_damaged_checkpoint_is_named(name, spoil, says, made_up, tmp_path):
    run("colake-tiny", made_up, tmp_path / "run", train_steps=2)
    (path,) = checkpoints(tmp_path / "run")[-1].glob(name)
    path.write_bytes(spoil(path.read_bytes()))
    with pytest.raises(DataError, match=says):
        load_run(tmp_path / "run")


def test_a_checkpoint_without_its_entity_memory_is_refused(made_up, tmp_path):
    run("colake-tiny", made_up, tmp_path / "run", train_steps=2)
    (path,) = checkpoints(tmp_path / "run")[-1].glob("memory-*")
    path.rename(path.with_name("memory-00000-of-00002.safetensors"))
    reseal(path.parent)
    with pytest.raises(DataError, match="has not all parts of its entity memory"):
        load_run(tmp_path / "run")


def test_a_folder_with_a_run_or_other_files_is_not_written_over(made_up, unkilled, tmp_path):
    with pytest.raises(UsageError, match="already holds a run: add --resume"):
        run("colake-tiny", made_up, unkilled["colake-tiny"])
    (tmp_path / "letter.txt").write_text("mine")
    with pytest.raises(UsageError, match="is not empty"):
        run("colake-tiny", made_up, tmp_path)


def test_a_kill_before_a_run_has_its_config_leaves_a_free_folder(tmp_path):
    (tmp_path / ".config.toml.tmp").write_text("system = ")
    require_free(tmp_path)


def test_a_run_that_can_not_begin_leaves_no_folder(made_up, tmp_path):
    if not torch.cuda.is_available():
        with pytest.raises(UsageError, match="has none"):
            run("colake-tiny", made_up, tmp_path / "run", train_device="cuda")
    with pytest.raises(DataError, match="fewer than one batch of 4096"):
        run("colake-tiny", made_up, tmp_path / "run", train_batch_size=4096)
    assert not (tmp_path / "run").exists()


def test_runs_are_numbered_and_resume_takes_the_last(made_up, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match="no run of colake-tiny"):
        run("colake-tiny", made_up, None, resume=True)
    for number in (1, 2):
        run("colake-tiny", made_up, None, train_steps=1)
        assert capsys.readouterr().out.strip() == f"runs/colake-tiny-{number}"
    assert run("colake-tiny", made_up, None, resume=True, train_steps=1) == 0
    assert capsys.readouterr().out.strip() == "runs/colake-tiny-2"


def test_resume_begins_a_run_where_out_holds_none_and_says_so(made_up, tmp_path, capsys):
    assert run("colake-tiny", made_up, tmp_path / "run", resume=True, train_steps=1) == 0
    assert f"{tmp_path / 'run'} holds no run yet: beginning one" in capsys.readouterr().err
    assert run("colake-tiny", made_up, tmp_path / "run", resume=True, train_steps=1) == 0
    assert "no run yet" not in capsys.readouterr().err


@pytest.mark.parametrize("recipe", ["colake-tiny", "kepler-tiny"])
def test_a_dry_run_saves_nothing_and_says_what_would_happen(recipe, made_up, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    settings = SMALL | {"train.steps": "400"}  # so few that even a busy machine tells seconds
    began = time.monotonic()
    assert train(recipe, made_up, None, resume=False, dry_run=True, settings=settings) == 0
    seconds = time.monotonic() - began
    said = capsys.readouterr().err
    assert not list(tmp_path.iterdir())
    memory, took, each, rate = (
        float(re.search(pattern, said)[1].replace(",", ""))
        for pattern in (r"memory: ([\d,]+) MB", r"time: ([\d.]+) s", r"; ([\d.]+) s a step", r"rate: ([\d,]+) samples")
    )
    assert 100 < memory < 10_000
    assert each < seconds / 20  # twenty steps, and more, were taken
    assert took + 0.5 > 375 * each and rate == pytest.approx(8 / each, rel=0.2)


@pytest.mark.parametrize("recipe", ["colake-tiny", "kepler-tiny"])
def test_a_dataset_without_valid_pages_is_validated_on_a_held_out_slice(recipe, tmp_path, capsys):
    data = make_dataset(tmp_path / "data", World(5), valid_pages=False)
    run(recipe, data, tmp_path / "run", train_steps=1)
    assert "the valid split has 0 rows" in capsys.readouterr().err
    assert any(name.startswith("valid/") for name in read_metrics(tmp_path / "run")[0])


def test_a_graph_without_pages_trains_kepler_on_descriptions_and_refuses_colake(tmp_path, capsys):
    data = make_dataset(tmp_path / "data", World(5), pages=False)
    run("kepler-tiny", data, tmp_path / "run", train_steps=1)
    assert "has no pages" in capsys.readouterr().err
    with pytest.raises(DataError, match="has no wk_graphs in its train split"):
        run("colake-tiny", data, tmp_path / "other", train_steps=1)


def test_scoring_a_colake_run_says_what_it_is_for(unkilled):
    with pytest.raises(DataError, match="does not rank triples"):
        load_run(unkilled["colake-tiny"]).scorer()
    assert load_run(unkilled["kepler-tiny"]).scorer().entities.shape[1] == 16


@pytest.mark.parametrize("recipe", ["colake-base", "kepler-wiki-base"])
def test_base_recipes_train_from_a_local_hugging_face_folder(recipe, made_up, tmp_path):
    from transformers import RobertaConfig, RobertaForMaskedLM

    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    RobertaForMaskedLM(RobertaConfig(vocab_size=500, max_position_embeddings=514, **sizes)).save_pretrained(
        tmp_path / "hf"
    )
    settings = {"encoder.name": str(tmp_path / "hf"), "data.tokens": "tiny", "data.lanes": "4", "train.threads": "1"}
    settings |= {"train.steps": "2", "train.batch_size": "8", "train.micro_batch": "4", "train.valid_batches": "1"}
    settings |= {"kepler.blocks": "4", "optim.lr": "1e-3", "optim.warmup_steps": "0"}
    assert train(recipe, made_up, tmp_path / "run", resume=False, dry_run=False, settings=settings) == 0
    assert load_run(tmp_path / "run").config.encoder.name == str(tmp_path / "hf")


def test_both_systems_learn(made_up, tmp_path):
    for recipe in ("colake-tiny", "kepler-tiny"):
        run(
            recipe, made_up, tmp_path / recipe, train_steps=40, train_batch_size=16, train_valid_every=40, optim_lr=0.01
        )
        lines = [line for line in read_metrics(tmp_path / recipe) if any(name.startswith("valid/") for name in line)]
        first, last = lines[0], lines[-1]
        assert all(last[name] < first[name] for name in first if name.startswith("valid/")), (first, last)
