"""Fine-tuning on a sample of FewRel's val_wiki: relation classification, and 5-way 1-shot by Proto and by PAIR.

    python -m benchmarks.finetuning [RUN|FOLDER ...] [--seeds N] [--tasks NAMES] [--form markers] [--work FOLDER]

val_wiki has 16 relations. Of each, 30 examples are taken by hash; for relation classification they are divided into
train, valid and test, for few-shot learning the relations are: 6, 5 and 5. Runs of any system and plain folders are
learned in one form; without any, all-MiniLM-L6-v2 is, where it is installed. The budgets are small ones for a CPU, and
no measure of a system at its best. Writes results/finetuning.json, where other systems' and tasks' figures stay as
they are. Needs WIKILOOM_DATA.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.completion_data import real_data, wikiloom
from benchmarks.timing import RESULTS, save
from schemas.dataset import Dataset
from schemas.hashing import hash_string, random_u64
from schemas.packaged import packaged_model
from training.evaluation.starts import open_start
from training.evaluation.tasks import open_examination
from training.labelled_encoder import Start
from training.metrics import table

MINILM = "sentence-transformers/all-MiniLM-L6-v2"
EXAMPLES = 30
"""Of each relation."""
SUPERVISED = {"train.json": 18, "dev.json": 6, "test.json": 6}
"""The same, divided."""
TASKS = {
    "relation-classification": {"epochs": "3", "batch_size": "16", "lr": "3e-4", "seeds": "2"},
    "few-shot proto": {"steps": "60", "batch_size": "2", "lr": "1e-4", "dropout": "0.1", "seeds": "2"},
    "few-shot pair": {
        "steps": "16",
        "batch_size": "1",
        "lr": "1e-4",
        "select_every": "12",
        "select_episodes": "10",
        "seeds": "1",
    },
}
"""The settings that differ from the tasks' own. Learning rates are larger ones, for a small encoder, and not tuned."""
FEW_SHOT = {"divide": "6,5,5", "select_every": "20", "select_episodes": "200", "episodes": "500"}
PAIR_EPISODES = "30"


def main() -> int:
    """Run and print; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("start", type=Path, nargs="*", help="runs, or plain encoders' folders")
    parser.add_argument("--seeds", help="of each task; by default 2, 2 and 1")
    parser.add_argument("--tasks", default=",".join(TASKS), help="names with commas; all by default")
    parser.add_argument("--form", choices=("markers", "start"), default="markers")
    parser.add_argument("--work", type=Path, default=Path("runs/finetuning"), help="where the datasets are kept")
    chosen = parser.parse_args()
    if unknown := [name for name in chosen.tasks.split(",") if name not in TASKS]:
        parser.error(f"no task {', '.join(unknown)}, only {', '.join(TASKS)}")
    packaged = packaged_model(MINILM)
    if "WIKILOOM_DATA" not in os.environ or not (chosen.start or packaged):
        print("Nothing measured: WIKILOOM_DATA is not set, or no run is given and no encoder installed ('.[minilm]').")
        return 0
    torch.set_num_threads(1)
    datasets = make_datasets(real_data() / "eval/fewrel", chosen.work)
    more = {"form": chosen.form, **({"seeds": chosen.seeds} if chosen.seeds else {})}
    figures = {"form": chosen.form, "examples_of_a_relation": EXAMPLES, "systems": kept(chosen.form)}
    for folder in chosen.start or [packaged]:
        start = open_start(folder)
        name = start.name if chosen.start else MINILM
        done = figures["systems"].setdefault(name, {})
        for task in chosen.tasks.split(","):
            done[task] = measured(task, start, datasets, more)
            path = save("finetuning", figures)
    show(figures["systems"])
    print(path)
    return 0


def kept(form: str) -> dict[str, Any]:
    """What was measured before in this form and on this sample, by system and task."""
    path = RESULTS / "finetuning.json"
    before = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    alike = (before.get("form"), before.get("examples_of_a_relation")) == (form, EXAMPLES)
    return before["systems"] if alike else {}


def make_datasets(source: Path, work: Path) -> dict[str, Dataset]:
    """The sample as it is published, and as ERNIE's authors arrange theirs; made once."""
    published = json.loads((source / "val_wiki.json").read_text(encoding="utf-8"))
    sample = {relation: _chosen(relation, found) for relation, found in published.items()}
    supervised: dict[str, list[dict[str, Any]]] = {name: [] for name in SUPERVISED}
    for relation, instances in sample.items():
        ends = np.cumsum([0, *SUPERVISED.values()])
        for name, begin, end in zip(SUPERVISED, ends[:-1], ends[1:], strict=True):
            supervised[name] += [_arranged(relation, instance) for instance in instances[begin:end]]
    return {
        "few-shot": _imported(work / "few-shot", {"val_wiki.json": sample}),
        "relation-classification": _imported(work / "relation-classification", supervised),
    }


def _chosen(relation: str, instances: list[Any]) -> list[Any]:
    order = np.argsort(random_u64(0, "finetuning/examples", hash_string(relation), np.arange(len(instances))))
    return [instances[i] for i in order[:EXAMPLES]]


def _arranged(relation: str, instance: Mapping[str, Any]) -> dict[str, Any]:
    """{text, ents, label}, where a mention at the very beginning is said to begin at 1."""
    tokens, ends = instance["tokens"], []
    starts = np.cumsum([0, *(len(token) + 1 for token in tokens)])
    for end in ("h", "t"):
        _, entity, places = instance[end]
        first, last = places[0][0], places[0][-1]
        ends.append([entity, int(starts[first]) or 1, int(starts[last]) + len(tokens[last]), 1.0])
    return {"text": " ".join(tokens), "ents": ends, "label": relation}


def _imported(folder: Path, files: Mapping[str, Any]) -> Dataset:
    if not (folder / "dataset" / "manifest.json").is_file():
        (folder / "files").mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            (folder / "files" / name).write_text(json.dumps(content), encoding="utf-8")
        wikiloom("import", "fewrel", "--from", folder / "files", "--out", folder / "dataset")
    return Dataset(folder / "dataset")


def measured(task: str, start: Start, datasets: Mapping[str, Dataset], more: Mapping[str, str]) -> dict[str, Any]:
    """Accuracy and what goes with it, the rule's, and CPU seconds of all seeds."""
    name, _, method = task.partition(" ")
    settings = {**(FEW_SHOT if method else {}), **TASKS[task], **more, "device": "cpu"}
    if method:
        settings |= {"method": method, **({"episodes": PAIR_EPISODES} if method == "pair" else {})}
    examination = open_examination(name, datasets[name], "test", settings)
    began = time.process_time()
    metrics = examination.task.ask(start, examination.questions)
    spent = time.process_time() - began
    rule = examination.task.ask(examination.rule("majority"), examination.questions)
    shown = {part: _rounded(metrics[part]) for part in ("all", "macro", "frozen") if part in metrics}
    return {**shown, "majority": _rounded(rule["all"]), "settings": settings, "cpu_seconds": round(spent, 1)}


def _rounded(values: Mapping[str, float]) -> dict[str, float]:
    return {name: round(value, 4) for name, value in values.items()}


def show(systems: Mapping[str, Mapping[str, Any]]) -> None:
    """The table."""
    rows = [["system", "task", "accuracy", "sd", "+-", "macro F1", "frozen", "majority", "seeds", "CPU s"]]
    for system, tasks in systems.items():
        for task, found in tasks.items():
            own = found["all"]
            values = [own["accuracy"], own.get("accuracy_sd"), own.get("interval"), found.get("macro", {}).get("f1")]
            values += [found.get("frozen", {}).get("accuracy"), found["majority"]["accuracy"]]
            cells = ["-" if value is None else f"{value:.3f}" for value in values]
            rows.append([system, task, *cells, found["settings"]["seeds"], f"{found['cpu_seconds']:.0f}"])
    print(table(rows))


if __name__ == "__main__":
    sys.exit(main())
