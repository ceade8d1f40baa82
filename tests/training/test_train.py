"""The loop: a run is a pure function of its config, killed or not."""

import inspect
import json
import math
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from schemas.errors import DataError, UsageError
from tests.conftest import ROOT
from tests.training.seals import reseal
from tests.training.synthetic import World, make_dataset
from training import step as one_step
from training import train as loop
from training.checkpoint import Checkpoints, checkpoints
from training.config_file import read_config
from training.metrics import read_metrics
from training.runs import load_run, require_free
from training.train import train

SMALL = {
    "train.threads": "1",
    "train.steps": "6",
    "train.save_every": "2",
    "train.valid_every": "3",
    "train.log_every": "1",
    "train.valid_batches": "2",
    "train.batch_size": "8",
    "encoder.hidden_size": "16",
    "encoder.intermediate_size": "32",
    "encoder.dropout": "0.1",
    "optim.warmup_steps": "1",
    "kepler.blocks": "4",
}


def run(recipe, data, out, resume=False, **changes):
    settings = SMALL | {key.replace("_", ".", 1): str(value) for key, value in changes.items()}
    return train(recipe, data, out, resume=resume, dry_run=False, settings=settings)


def weights(folder):
    newest = checkpoints(folder)[-1]
    files = [*newest.glob("model/*.safetensors"), *newest.glob("memory-*.safetensors")]
    return {(file.name, name): value.numpy().tobytes() for file in files for name, value in load_file(file).items()}


def losses(folder):
    """The lines of the log, but for how fast it went."""
    lines = read_metrics(folder)
    return [{name: value for name, value in line.items() if not name.startswith("speed/")} for line in lines]


@pytest.fixture(scope="module")
def unkilled(made_up, tmp_path_factory):
    """Finished runs, never killed, by recipe."""
    folders = {}
    for recipe in ("colake-tiny", "kepler-tiny"):
        folders[recipe] = tmp_path_factory.mktemp("unkilled") / recipe
        assert run(recipe, made_up, folders[recipe]) == 0
    return folders


class Killed(BaseException):
    """Stands for SIGKILL: nothing of ours catches it."""


OWNERS = {"train_step": one_step, "save": Checkpoints}
"""Where the loop finds what is not its own."""


def kill_when(monkeypatch, name, call):
    """Make the `call`-th use of a function of the loop the last thing that happens."""
    owner = OWNERS.get(name, loop)
    calls, original = [], getattr(owner, name)

    def killing(*args, **kwargs):
        calls.append(name)
        if len(calls) == call:
            raise Killed
        return original(*args, **kwargs)

    monkeypatch.setattr(owner, name, killing)


@pytest.mark.parametrize("recipe", ["colake-tiny", "kepler-tiny"])
@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("validate", 1),
        ("train_step", 2),
        ("train_step", 4),
        ("validate", 2),
        ("save", 2),
        ("draw_curves", 1),
    ],
)
def test_a_run_killed_anywhere_and_resumed_has_the_same_bits(
    recipe, name, call, made_up, unkilled, tmp_path, monkeypatch
):
    with monkeypatch.context() as patch:
        kill_when(patch, name, call)
        with pytest.raises(Killed):
            run(recipe, made_up, tmp_path / "run")
    assert run(recipe, made_up, tmp_path / "run", resume=True) == 0
    assert weights(tmp_path / "run") == weights(unkilled[recipe])
    assert losses(tmp_path / "run") == losses(unkilled[recipe])


def test_what_a_micro_batch_left_and_a_learnt_temperature_are_as_in_a_run_that_is_not_killed(
    made_up, tmp_path, monkeypatch
):
    objective = {"kepler_pre_batch": 3, "kepler_loss": "infonce", "kepler_learn_temperature": "true"}
    objective |= {"kepler_self_adversarial": 0, "kepler_temperature": 2, "train_micro_batch": 4}
    assert run("kepler-tiny", made_up, tmp_path / "whole", **objective) == 0
    with monkeypatch.context() as patch:
        kill_when(patch, "train_step", 4)
        with pytest.raises(Killed):
            run("kepler-tiny", made_up, tmp_path / "run", **objective)
    assert run("kepler-tiny", made_up, tmp_path / "run", resume=True, **objective) == 0
    assert weights(tmp_path / "run") == weights(tmp_path / "whole")
    assert losses(tmp_path / "run") == losses(tmp_path / "whole")
    comparison = load_run(tmp_path / "run").model.comparisons["ke"]
    assert (comparison.pre_batch.entities[:, 0] >= 0).all()
    assert comparison.log_scale.item() != pytest.approx(-math.log(2), abs=1e-6)
    # Of what went before, the loss knows: without it, a run has other weights.
    assert run("kepler-tiny", made_up, tmp_path / "without", **objective | {"kepler_pre_batch": 0}) == 0
    assert losses(tmp_path / "without")[2] != losses(tmp_path / "whole")[2]


@pytest.mark.parametrize("optimizer", ["adam", "adagrad"])
def test_an_entity_memory_on_the_host_learns_the_same_killed_or_not(optimizer, made_up, tmp_path, monkeypatch):
    rows, settings = [], {"encoder_dropout": 0.0, "memory_optimizer": optimizer}
    for backend in ("device", "host"):
        folder = tmp_path / backend
        assert run("colake-tiny", made_up, folder, memory_backend=backend, **settings) == 0
        rows.append(load_run(folder).model.model.memory.weight)
    assert torch.allclose(*rows, atol=1e-5)
    with monkeypatch.context() as patch:
        kill_when(patch, "train_step", 4)
        with pytest.raises(Killed):
            run("colake-tiny", made_up, tmp_path / "run", memory_backend="host", **settings)
    assert run("colake-tiny", made_up, tmp_path / "run", resume=True, memory_backend="host", **settings) == 0
    assert weights(tmp_path / "run") == weights(tmp_path / "host")


def test_a_checkpoint_without_its_entity_memory_is_refused(made_up, tmp_path):
    run("colake-tiny", made_up, tmp_path / "run", train_steps=2)
    (path,) = checkpoints(tmp_path / "run")[-1].glob("memory-*")
    path.rename(path.with_name("memory-00000-of-00002.safetensors"))
    reseal(path.parent)
    with pytest.raises(DataError, match="has not all parts of its entity memory"):
        load_run(tmp_path / "run")


def test_a_kill_amid_a_checkpoint_leaves_the_one_before(made_up, unkilled, tmp_path, monkeypatch):
    original = os.replace

    def cut(source, target):
        if str(target).endswith("step-00000004"):
            raise Killed
        original(source, target)

    with monkeypatch.context() as patch:
        patch.setattr("training.checkpoint.os.replace", cut)
        with pytest.raises(Killed):
            run("colake-tiny", made_up, tmp_path / "run")
    assert [folder.name for folder in checkpoints(tmp_path / "run")] == ["step-00000002"]
    assert run("colake-tiny", made_up, tmp_path / "run", resume=True) == 0
    assert weights(tmp_path / "run") == weights(unkilled["colake-tiny"])
    assert not list((tmp_path / "run/checkpoints").glob(".*"))


def test_what_a_kill_amid_the_last_save_left_goes_with_a_resume(made_up, unkilled, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(unkilled["colake-tiny"], folder)
    kept = sorted(path.name for path in (folder / "checkpoints").iterdir())
    for left in (".step-00000002.old.tmp", "step-00000001"):  # half removed, and not yet removed
        shutil.copytree(checkpoints(unkilled["colake-tiny"])[0], folder / "checkpoints" / left)
    assert run("colake-tiny", made_up, folder, resume=True) == 0
    assert sorted(path.name for path in (folder / "checkpoints").iterdir()) == kept


def started(recipe, data, out, *more, **changes):
    """The command, as a process of its own."""
    settings = SMALL | {key.replace("_", ".", 1): str(value) for key, value in changes.items()}
    words = [sys.executable, "-m", "wikiloom", "train", recipe, "--data", str(data), "--out", str(out), *more]
    words += [f"--set={key}={value}" for key, value in settings.items()]
    return subprocess.Popen(words, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def killed_when(process, seen):
    """SIGKILL, as soon as this is so."""
    deadline = time.monotonic() + 120
    while not seen() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    process.kill()
    process.wait()


def test_a_real_sigkill_and_a_resume_have_the_same_bits(made_up, unkilled, tmp_path):
    folder = tmp_path / "run"
    killed_when(started("kepler-tiny", made_up, folder), lambda: checkpoints(folder))
    assert run("kepler-tiny", made_up, folder, resume=True) == 0
    assert weights(folder) == weights(unkilled["kepler-tiny"])


@pytest.mark.slow
@pytest.mark.parametrize("recipe", ["colake-tiny", "kepler-tiny"])
def test_five_sigkills_leave_the_bits_of_one_go(recipe, made_up, tmp_path):
    settings = {"train_steps": 40, "train_save_every": 3, "train_valid_every": 40}
    assert run(recipe, made_up, tmp_path / "whole", **settings) == 0
    folder = tmp_path / "killed"
    for kill in range(5):
        resume = ["--resume"] if (folder / "config.toml").is_file() else []
        process = started(recipe, made_up, folder, *resume, **settings)
        killed_when(process, lambda: any(line["step"] >= 7 * kill + 4 for line in read_metrics(folder)))  # noqa: B023
        assert process.returncode == -signal.SIGKILL
    assert run(recipe, made_up, folder, resume=True, **settings) == 0
    assert weights(folder) == weights(tmp_path / "whole")
    assert losses(folder) == losses(tmp_path / "whole")


KILLED_AMID_ITS_SECOND_SAVE = """
import os, signal, sys
from training import checkpoint
from training.cli import run

write, folders = checkpoint.write, []

def killing(folder, *more):
    files = write(folder, *more)
    folders.append(folder.name)
    if folders == ["model", "optimizer", "model"]:
        os.kill(os.getpid(), signal.SIGKILL)
    return files

checkpoint.write = killing
run("train", sys.argv[1:])
"""


def test_a_real_sigkill_while_a_checkpoint_is_written_leaves_the_one_before(made_up, unkilled, tmp_path):
    folder = tmp_path / "run"
    words = ["colake-tiny", "--data", str(made_up), "--out", str(folder)]
    words += [f"--set={key}={value}" for key, value in SMALL.items()]
    done = subprocess.run([sys.executable, "-c", KILLED_AMID_ITS_SECOND_SAVE, *words], cwd=ROOT, check=False)
    assert done.returncode == -signal.SIGKILL
    assert [path.name for path in checkpoints(folder)] == ["step-00000002"]
    assert (folder / "checkpoints/.step-00000004.tmp/model").is_dir()
    assert run("colake-tiny", made_up, folder, resume=True) == 0
    assert weights(folder) == weights(unkilled["colake-tiny"])
    assert not list((folder / "checkpoints").glob(".*"))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves_and_exits_75_and_resuming_has_the_same_bits(number, made_up, unkilled, tmp_path, monkeypatch):
    original = one_step.train_step

    def interrupted(*args, **kwargs):
        if args[3] == 2:
            os.kill(os.getpid(), number)
        return original(*args, **kwargs)

    before = signal.getsignal(number)
    with monkeypatch.context() as patch:
        patch.setattr(one_step, "train_step", interrupted)
        assert run("colake-tiny", made_up, tmp_path / "run") == 75
    assert signal.getsignal(number) is before
    assert checkpoints(tmp_path / "run")[-1].name == "step-00000003"
    assert (tmp_path / "run/curves.png").is_file()
    assert run("colake-tiny", made_up, tmp_path / "run", resume=True) == 0
    assert weights(tmp_path / "run") == weights(unkilled["colake-tiny"])


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
    settings = SMALL | {"train.steps": "1000"}
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
    assert took > 975 * each and rate == pytest.approx(8 / each, rel=0.2)


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
