"""JAKET's categories of held-out entities on FB15k-237, beside its baselines: the order of the paper's table 3.

    python -m benchmarks.jaket [--runs NAME ...] [--seeds 0 1 2] [--work FOLDER] [--again]

FB15k-237 with its short texts and CoDEx's types (`import fb15k-237 --types`), whose classes of ten entities or more are
told of entities that are held out by hash. Each run is `wikiloom train jaket-tiny --set ...` and `wikiloom evaluate
--task entity-classification`; all systems have about the same CPU time, so that those that encode no description in
their steps take more of them. Values were chosen on valid. CPU minutes are of training, one thread. What has been run
is kept in results/jaket.json, run by run, with its values, the rules beside it and the protocol, and is not run again.
Needs WIKILOOM_DATA.
"""

import argparse
import json
import os
import shutil
import statistics
import sys
from collections.abc import Mapping
from pathlib import Path

from benchmarks.commands import commands_seconds, wikiloom
from benchmarks.kept import Run, do_missing, find, kept_runs, read_choice
from training.metrics import table as aligned

COMMON = {
    "train.threads": "1",
    "train.flat_memory": "false",
    "train.batch_size": "8",
    "train.valid_batches": "1",
    "train.valid_every": "100000",
    "train.save_every": "100000",
    "jaket.block_length": "64",
    "jaket.least_links": "0",
    "jaket.description_length": "32",
    "jaket.refresh_first": "40",
    "jaket.roots": "32",
}
STEPS = {"memory": "600", "encoder": "120"}
GRAPH = {"jaket.inverse": "true", "train.steps": STEPS["memory"]}
RUNS: dict[str, Mapping[str, str]] = {
    "JAKET": GRAPH,
    "without edges": {"jaket.neighbours": "0", "train.steps": STEPS["memory"]},
    "encoder and graph network": {**GRAPH, "jaket.knowledge": "random"},
    "graph network alone": {
        **GRAPH,
        "jaket.knowledge": "random",
        "jaket.word_weight": "0",
        "jaket.entity_weight": "0",
    },
    "encoder alone": {"jaket.knowledge": "none", "train.steps": STEPS["encoder"]},
}


def main() -> int:
    """Run what is missing, and print all; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    chosen = read_choice(parser, "runs/benchmark-jaket", RUNS)
    wanted = [a_run(name, seed) for seed in chosen.seeds for name in chosen.runs]
    do_missing("jaket", wanted, lambda run: finished(run, chosen.work), again=chosen.again)
    print(shown())
    return 0


def a_run(name: str, seed: int) -> Run:
    """A run that is not done yet."""
    return {"system": name, "seed": seed, "values": {**COMMON, **RUNS[name]}}


def finished(run: Run, work: Path) -> Run:
    """Train, and ask test: cpu_minutes, metrics, baselines, protocol, digest."""
    data, out = dataset_of(work), work / run["system"].replace(" ", "-") / str(run["seed"])
    shutil.rmtree(out, ignore_errors=True)
    began, values = commands_seconds(), {**run["values"], "seed": str(run["seed"])}
    wikiloom("train", "jaket-tiny", "--data", data, "--out", out, *(f"--set={k}={v}" for k, v in values.items()))
    minutes = (commands_seconds() - began) / 60
    wikiloom("evaluate", out, "--task", "entity-classification")
    (path,) = out.glob("results/entity-classification-test-*.json")
    result = json.loads(path.read_text(encoding="utf-8"))
    kept = {key: result[key] for key in ("metrics", "baselines", "protocol", "digest")}
    return {"cpu_minutes": round(minutes, 2), **kept}


def dataset_of(work: Path) -> Path:
    """FB15k-237 with types and token ids, made where it is not there."""
    folder, tokenizer = work / "fb15k-237", work / "tokenizer"
    if not (folder / "tokens/tiny/manifest.json").is_file():
        data = Path(os.environ["WIKILOOM_DATA"]) / "kg"
        types = data / "codex-m/entity2types.json"
        wikiloom("import", "fb15k-237", "--from", data / "fb15k-237", "--types", types, "--out", folder)
        wikiloom("train-tokenizer", folder, "--out", tokenizer, "--vocab-size", "4000")
        wikiloom("tokenize", folder, "--tokenizer", tokenizer, "--name", "tiny")
    return folder


def shown() -> str:
    """A line for each system: mean and standard deviation over its seeds; and the rules."""
    rows, rules, kept = [["system", "accuracy", "seeds", "CPU min"]], {}, kept_runs("jaket")
    for name in RUNS:
        seeds = {one["seed"] for one in kept}
        own = [done for seed in sorted(seeds) if (done := find(a_run(name, seed), kept))]
        if own:
            accuracies = [one["metrics"]["all"]["accuracy"] for one in own]
            spread = f" ± {statistics.stdev(accuracies):.3f}" if len(own) > 1 else ""
            minutes = statistics.fmean(one["cpu_minutes"] for one in own)
            rows.append([name, f"{statistics.fmean(accuracies):.3f}{spread}", str(len(own)), f"{minutes:.1f}"])
            rules = own[0]["baselines"]
    return aligned([*rows, *([rule, f"{found['all']['accuracy']:.3f}", "", ""] for rule, found in rules.items())])


if __name__ == "__main__":
    sys.exit(main())
