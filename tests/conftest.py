"""What tests share: the real data's folder, and a dataset built once from the examples."""

import json
import os
import subprocess
import sys
from pathlib import Path

import hypothesis
import pytest
from filelock import FileLock

ROOT = Path(__file__).parent.parent
EXAMPLES = ROOT / "examples"

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ.setdefault("OMP_NUM_THREADS", "1")
# A busy machine is no reason to fail.
hypothesis.settings.register_profile("any-machine", deadline=None, max_examples=50)
hypothesis.settings.register_profile("nightly", deadline=None, max_examples=500)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "any-machine"))


def wikiloom(*words, cwd=None, check=True, timeout=280):
    """Run the console script as a user would; returns the finished process."""
    done = subprocess.run(
        [sys.executable, "-m", "wikiloom", *map(str, words)],
        cwd=cwd or ROOT,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    assert not check or done.returncode == 0, f"{words}: exit {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done


def digest(folder):
    """The logical digest of a dataset."""
    return json.loads((Path(folder) / "manifest.json").read_text())["digest"]


@pytest.fixture(scope="session")
def real_data():
    """The folder of real dumps and benchmarks."""
    folder = os.environ.get("WIKILOOM_DATA")
    if not folder:
        pytest.skip("WIKILOOM_DATA is not set: the test needs real dumps")
    return Path(folder)


def build_once(tmp_path_factory, name, words):
    """Build a dataset once for all test processes of a run."""
    shared = tmp_path_factory.getbasetemp()
    if os.environ.get("PYTEST_XDIST_WORKER"):
        shared = shared.parent
    with FileLock(str(shared / f"{name}.lock")):
        if not (shared / name / "manifest.json").exists():
            wikiloom("build", *words, "--out", shared / name)
    return shared / name


DEMO_INPUTS = ("--wikipedia", EXAMPLES / "enwiki-mini.xml.bz2", "--wikidata", EXAMPLES / "wikidata-mini.json.gz")
DEMO_SHARES = ("--set", "valid_pages=0.05", "--set", "test_pages=0.1", "--set", "passage_chars=300")


@pytest.fixture(scope="session")
def demo_dataset(tmp_path_factory):
    """The dataset of wikiloom demo. Read only."""
    return build_once(tmp_path_factory, "demo", [*DEMO_INPUTS, *DEMO_SHARES])


def sample_inputs(real_data):
    """The command line of the real sample."""
    return (
        "--wikipedia",
        real_data / "wikipedia/enwiki-sample.xml.bz2",
        "--redirects",
        real_data / "wikipedia/enwiki-redirects.tsv",
        "--wikidata",
        real_data / "wikidata/enwiki-sample-wikidata.json.gz",
        "--keep",
        "linked",
    )


@pytest.fixture(scope="session")
def sample_dataset(tmp_path_factory, real_data):
    """98 real articles. Read only."""
    return build_once(tmp_path_factory, "sample", sample_inputs(real_data))
