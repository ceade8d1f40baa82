"""Word-knowledge-graph completion on FewRel's val_wiki, fold by fold: CoLAKE beside embeddings, DKRL and plain rules.

    python -m benchmarks.completion [--folds 0,1,2] [--systems colake,transe] [--work FOLDER] [--split test] [--again]

Ten folds by a hash of the fact. The knowledge graph is CoDEx-M, the Wikipedia sample's triples and FewRel's facts; a
fold's own are excluded from it and from the train graphs, which are the other folds' sentences. Every system ranks the
relations of the same samples. What a fold's system has ranked is kept in the work folder, and of test in
results/completion_ranks.parquet, and not done again; the table over all folds there that every system has been asked
goes to results/completion.json. A fold takes about 27 CPU-minutes. Needs WIKILOOM_DATA.
"""

import argparse
import dataclasses
import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from benchmarks.commands import commands_seconds, wikiloom
from benchmarks.completion_data import FOLDS, fold_dataset, shared_datasets
from benchmarks.timing import RESULTS, save
from schemas.dataset import Dataset
from training.baselines import LEARNED
from training.evaluation import bootstrap
from training.evaluation.graph_completion import (
    METRICS,
    PARTS,
    CompletionQuestions,
    GraphCompletionSettings,
    metric_values,
    prepare,
    sample_ranks,
)
from training.evaluation.settings import read_settings
from training.evaluation.tasks import TASKS
from training.metrics import table as aligned
from training.runs import load_run

COLAKE = {
    "train.steps": "900",
    "train.valid_every": "300",
    "train.save_every": "900",
    "train.threads": "1",
    "encoder.layers": "3",
    "colake.encode_graphs": "16",
    "colake.masking": "code",
    "memory.lr_scale": "1.0",
}
"""colake-tiny's settings that the figures depend on, chosen on the valid part of fold 0. Most graphs have one fact, and
masking = code asks for at least one."""
NO_TRIPLES = {"colake.drop_neighbours": "1.0"}
SETTINGS = {
    **{name: {"epochs": "24"} for name in ("transe", "distmult", "complex", "rotate")},
    "dkrl": {"epochs": "8", "dim": "64"},
}
"""As many epochs as take each about the CPU time that CoLAKE's steps take."""
RULES = TASKS["graph-completion"].rules
SYSTEMS = ("colake", "colake-no-triples", *SETTINGS, *RULES)
RESAMPLES = 1_000
KEPT = RESULTS / "completion_ranks.parquet"
"""A row for each fold and system: what a document of the work folder holds, protocol and ranks as JSON."""
NESTED = ("protocol", "ranks")
Documents = dict[int, dict[str, dict[str, Any]]]
"""By fold and system: what ask_once wrote."""
LEADING = ("macro_mrr", "mrr")


@dataclasses.dataclass(frozen=True)
class Fold:
    """A fold's folder and dataset."""

    folder: Path
    dataset: Dataset
    split: str

    def questions(self, unseen_input: str = "mask", *, words: bool = False) -> CompletionQuestions:
        """Its samples, with words for what reads them."""
        settings = read_settings(GraphCompletionSettings, {"unseen_input": unseen_input}, "graph-completion")
        return prepare(self.dataset, self.split, settings, self.dataset.tokens("tiny") if words else None)


def main() -> int:
    """Run and print; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folds", default="0", help=f"numbers below {FOLDS} with commas; 0 by default")
    parser.add_argument("--systems", default=",".join(SYSTEMS), help="names with commas; all by default")
    parser.add_argument("--work", type=Path, default=Path("runs/completion"), help="where folds are kept")
    parser.add_argument("--split", choices=("valid", "test"), default="test", help="valid: to choose settings by")
    parser.add_argument("--again", action="store_true", help="also what results/ has")
    chosen = parser.parse_args()
    folds, systems = chosen.folds.split(","), chosen.systems.split(",")
    if unknown := [name for name in (*folds, *systems) if name not in (*map(str, range(FOLDS)), *SYSTEMS)]:
        parser.error(f"{', '.join(unknown)}: folds are 0 to {FOLDS - 1}, systems {', '.join(SYSTEMS)}")
    if "WIKILOOM_DATA" not in os.environ:
        print("WIKILOOM_DATA is not set: no FewRel and no CoDEx-M to complete.")
        return 0
    torch.set_num_threads(1)
    kept = read_kept(KEPT) if chosen.split == "test" else {}
    for number in map(int, folds):
        if missing := [name for name in systems if chosen.again or name not in kept.get(number, {})]:
            folder = chosen.work / f"fold-{number}"
            dataset = Dataset(fold_dataset(number, folder, shared_datasets(chosen.work)))
            for system in missing:
                ask_once(Fold(folder, dataset, chosen.split), system)
    own = ranked_folds(chosen.work, chosen.split)
    found = {number: kept.get(number, {}) | own.get(number, {}) for number in kept.keys() | own.keys()}
    if chosen.split == "test":
        write_kept(found, KEPT)
    whole = {number: documents for number, documents in found.items() if documents.keys() >= set(SYSTEMS)}
    if not whole:
        print(f"No fold has {', '.join(SYSTEMS)} yet.")
        return 0
    figures = table(whole)
    show(figures)
    if chosen.split == "test":
        print(save("completion", figures))
    return 0


def ask_once(fold: Fold, system: str) -> None:
    """Rank the fold's samples by a system, unless that is done; colake also with the names of unseen entities."""
    path = fold.folder / fold.split / f"{system}.json"
    if path.is_file():
        return
    began = cpu_seconds()
    questions, ranks = ranked(fold, system)
    names = fold.dataset.read("relations", columns=["relation"])["relation"].to_pylist()
    document: dict[str, Any] = {
        "cpu_seconds": round(cpu_seconds() - began, 1),
        "protocol": questions.protocol,
        "samples": [sample.example_id for sample in questions.samples],
        "relations": [names[sample.relation] for sample in questions.samples],
        "inductive": questions.inductive.tolist(),
        "ranks": ranks,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(document) + "\n", encoding="utf-8")
    os.replace(temporary, path)
    print(f"{path}: {document['cpu_seconds']:.0f} CPU seconds", flush=True)


def ranked(fold: Fold, system: str) -> tuple[CompletionQuestions, dict[str, list[float]]]:
    """The questions, and the ranks by what was asked: the system's name, or "colake, names"."""
    if system in SETTINGS:
        kind, questions = LEARNED[system], fold.questions()
        settings = kind.resolve(read_settings(kind.settings, SETTINGS[system], system), questions.facts)
        model = kind.train(settings, fold.dataset, questions.facts)
        scorer = kind.scorer(model, settings, fold.dataset, questions.facts)
        return questions, {system: ranks_of(scorer, questions)}
    if system in RULES:
        questions = fold.questions()
        return questions, {system: ranks_of(RULES[system](questions), questions)}
    run = fold.folder / system
    changes = COLAKE | (NO_TRIPLES if system != "colake" else {})
    words = [f"--set={key}={value}" for key, value in changes.items()]
    resume = ["--resume"] if (run / "config.toml").is_file() else []
    wikiloom("train", "colake-tiny", "--data", fold.dataset.folder, "--out", run, *words, *resume)
    model, questions = load_run(run, fold.dataset.folder).model, fold.questions(words=True)
    ranks = {system: ranks_of(model, questions)}
    if system == "colake":
        ranks["colake, names"] = ranks_of(model, fold.questions("name", words=True))
    return questions, ranks


def ranks_of(system: Any, questions: CompletionQuestions) -> list[float]:
    """Realistic ranks of the samples."""
    return sample_ranks(system, questions).by("realistic").tolist()


def cpu_seconds() -> float:
    """Of this process and its children that have ended."""
    return time.process_time() + commands_seconds()


def ranked_folds(work: Path, split: str) -> Documents:
    """What the folds of a work folder have been asked so far."""
    found: Documents = {}
    for path in sorted(work.glob(f"fold-*/{split}/*.json")):
        number = int(path.parent.parent.name.removeprefix("fold-"))
        found.setdefault(number, {})[path.stem] = json.loads(path.read_text(encoding="utf-8"))
    return found


def read_kept(path: Path) -> Documents:
    """What write_kept wrote; nothing where there is no such file."""
    found: Documents = {}
    for row in pq.read_table(path).to_pylist() if path.is_file() else ():
        document = row | {name: json.loads(row[name]) for name in NESTED}
        found.setdefault(document.pop("fold"), {})[document.pop("system")] = document
    return found


def write_kept(found: Documents, path: Path) -> None:
    """The folds' documents as Parquet, by fold."""
    rows = [
        {"fold": fold, "system": system, **document, **{name: json.dumps(document[name]) for name in NESTED}}
        for fold, documents in sorted(found.items())
        for system, document in documents.items()
    ]
    pq.write_table(pa.Table.from_pylist(rows), path, compression="zstd")


def table(found: Documents) -> dict[str, Any]:
    """The metrics of every system over the samples of all these folds, and CoLAKE's distance from each."""
    folds = sorted(found)
    read = {system: [found[fold][system] for fold in folds] for system in SYSTEMS}
    first = read["colake"]
    for name, documents in read.items():
        if [one["samples"] for one in documents] != [one["samples"] for one in first]:
            raise SystemExit(f"{name} was asked other samples than colake: remove its files and run it again.")
    relations = np.unique([name for one in first for name in one["relations"]], return_inverse=True)[1]
    inductive = np.array([flag for one in first for flag in one["inductive"]], dtype=bool)
    values = {}
    for documents in read.values():
        for name in documents[0]["ranks"]:
            ranks = [rank for one in documents for rank in one["ranks"][name]]
            values[name] = metric_values(torch.tensor(ranks, dtype=torch.float64))
    return {
        "folds": folds,
        "cpu_seconds": {name: [one["cpu_seconds"] for one in documents] for name, documents in read.items()},
        "samples": [{**one["protocol"]["samples"], "left_out": one["protocol"]["left_out"]} for one in first],
        "protocol": first[0]["protocol"],
        "settings": {"colake": COLAKE, "colake-no-triples": NO_TRIPLES, **SETTINGS},
        **{
            part: _part({name: own[chosen] for name, own in values.items()}, relations[chosen])
            for part, chosen in zip(PARTS, (~inductive, inductive), strict=True)
        },
    }


def _part(values: dict[str, np.ndarray], relations: np.ndarray) -> dict[str, Any]:
    """Of one part: each system's metrics, and of LEADING their intervals and how far CoLAKE is ahead, in pairs."""
    names = [*METRICS, *(f"macro_{name}" for name in METRICS)]
    rows = {}
    for system, own in values.items():
        means = dict(zip(names, bootstrap.means(own, relations).ravel().round(4).tolist(), strict=True))
        more = values["colake"] - own
        intervals, distances = (_intervals(each, relations, names) for each in (own, more))
        ahead = dict(zip(names, bootstrap.means(more, relations).ravel().round(4).tolist(), strict=True))
        rows[system] = {
            **means,
            "intervals": intervals,
            "colake_less_this": {name: [ahead[name], *ends] for name, ends in distances.items()},
        }
    return rows


def _intervals(values: np.ndarray, relations: np.ndarray, names: Sequence[str]) -> dict[str, list[float]]:
    drawn = bootstrap.interval(bootstrap.resampled(values, relations, seed=0, resamples=RESAMPLES))
    ends = dict(zip(names, drawn.reshape(2, -1).T.round(4).tolist(), strict=True))
    return {name: ends[name] for name in LEADING}


def show(figures: dict[str, Any]) -> None:
    """The tables on the terminal."""
    shown = ("macro_mrr", "mrr", "hits@1", "hits@3", "hits@10", "mr")
    for part in PARTS:
        rows = [["system", *shown, "colake is ahead (macro_mrr)"]]
        for system, row in figures[part].items():
            ahead = "{:+.3f} [{:+.3f}, {:+.3f}]".format(*row["colake_less_this"]["macro_mrr"])
            rows.append([system, *(f"{row[name]:.3f}" for name in shown), ahead])
        print(f"\n{part}, folds {figures['folds']}\n{aligned(rows)}")


if __name__ == "__main__":
    sys.exit(main())
