"""Build and train from an object store and into it: 50 ms for an answer, and one request in twenty fails."""

import shutil
import signal
import subprocess
import sys
import time

import pytest

from schemas.store import Mirror
from tests.cluster.object_store import served
from tests.conftest import DEMO_INPUTS, DEMO_SHARES, ROOT, digest
from training.checkpoint import checkpoints
from training.metrics import read_metrics
from training.runs import load_run
from wikiloom import main

pytest.importorskip("moto", reason="scripts/setup .venv pipelines,training,baselines,dev,cluster installs the store")
pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]

BUCKET = "s3://wikiloom"
STEPS = 40
SETTINGS = {"train.threads": 1, "train.steps": STEPS, "train.save_every": 10, "train.log_every": 1}
SETTINGS |= {"train.valid_every": STEPS, "train.valid_batches": 1, "train.batch_size": 8, "encoder.dropout": 0.1}
SETTINGS |= {"encoder.hidden_size": 16, "encoder.intermediate_size": 32}


@pytest.fixture
def store(tmp_path, monkeypatch):
    with served() as (faulty, address):
        for name, value in (
            ("AWS_ENDPOINT_URL", address),
            ("AWS_ACCESS_KEY_ID", "x"),
            ("AWS_SECRET_ACCESS_KEY", "x"),
            ("AWS_REGION", "us-east-1"),
            ("WIKILOOM_CACHE", str(tmp_path / "cache")),
        ):
            monkeypatch.setenv(name, value)
        mirror = Mirror(BUCKET)
        mirror._store = mirror._store.__class__(
            endpoint_override=address.removeprefix("http://"), scheme="http", allow_bucket_creation=True
        )
        mirror._store.create_dir("wikiloom")
        yield faulty


def train_words(data, out):
    return ["train", "colake-tiny", "--data", data, "--out", out, "--resume"] + [
        f"--set={key}={value}" for key, value in SETTINGS.items()
    ]


def stopped_at(step, words, cache):
    """Run a command in a process of its own and stop it by SIGTERM after that step; returns the exit code."""
    process = subprocess.Popen([sys.executable, "-m", "wikiloom", *words], cwd=ROOT)
    until = time.monotonic() + 400
    while process.poll() is None and time.monotonic() < until:
        if any(line["step"] >= step for run in cache.glob("*/run") for line in read_metrics(run)):
            process.send_signal(signal.SIGTERM)
            break
        time.sleep(0.05)
    return process.wait(timeout=400)


def learnt(run, data):
    model = load_run(run, data).model.model
    return {**model.state_dict(), "memory": model.memory.weight}


def test_from_dumps_in_a_store_to_a_run_in_it_that_loses_its_machine(store, demo_dataset, tmp_path):
    began = time.monotonic()
    dumps = Mirror(f"{BUCKET}/dumps")
    for path in (DEMO_INPUTS[1], DEMO_INPUTS[3]):
        dumps.path.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, dumps.path)
    assert dumps.push() == 2
    inputs = [f"--wikipedia={BUCKET}/dumps/{DEMO_INPUTS[1].name}", f"--wikidata={BUCKET}/dumps/{DEMO_INPUTS[3].name}"]
    assert main(["build", *inputs, *DEMO_SHARES, "--out", f"{BUCKET}/dataset"]) == 0
    assert main(["validate", f"{BUCKET}/dataset"]) == 0
    assert main(["train-tokenizer", f"{BUCKET}/dataset", "--out", f"{BUCKET}/tokenizer"]) == 0
    assert main(["tokenize", f"{BUCKET}/dataset", "--tokenizer", f"{BUCKET}/tokenizer", "--name", "tiny"]) == 0
    built = time.monotonic()

    words = train_words(f"{BUCKET}/dataset", f"{BUCKET}/run")
    assert stopped_at(15, words, tmp_path / "cache") == 75
    shutil.rmtree(tmp_path / "cache")  # another machine
    assert main(words) == 0
    trained = time.monotonic()

    (data,), (run,) = (list((tmp_path / "cache").glob(f"*/{name}")) for name in ("dataset", "run"))
    assert digest(data) == digest(demo_dataset)
    assert main(train_words(str(data), str(tmp_path / "whole"))) == 0
    ours, theirs = learnt(run, data), learnt(tmp_path / "whole", data)
    assert all((ours[name] == theirs[name]).all() for name in theirs)
    losses = [
        [(line["step"], line["train/loss"]) for line in read_metrics(folder) if "train/loss" in line]
        for folder in (run, tmp_path / "whole")
    ]
    assert losses[0] == losses[1]
    kept = Mirror(f"{BUCKET}/run")
    kept.fetch()
    assert [path.name for path in checkpoints(kept.path)] == [path.name for path in checkpoints(run)]
    assert store.failed > store.requests / 50
    print(f"built in {built - began:.0f} s, trained in {trained - built:.0f} s, ", end="")
    print(f"{store.failed} of {store.requests} requests failed")
