"""CoLAKE on held-out pages of a sample: masked relations, anchors and tails, beside plain rules and beside itself
without what the paper adds.

    python -m benchmarks.colake [--seeds 0 1 2] [--systems NAME ...] [--work FOLDER] [--set KEY=VALUE ...]

The dataset is built here from the real sample where WIKILOOM_DATA is set, else from examples/. Every system is
colake-tiny with the settings of SYSTEMS, for each seed; a run that is in --work already is taken as it is, and systems
that are not named are reported where --work has them. Intervals are 95 % by a bootstrap over the queries, each query's
value being its mean over the seeds, and paired where two systems are compared. CPU minutes are those of the whole
command, on one thread. Writes results/colake.json.
"""

import argparse
import dataclasses
import json
import resource
import shutil
import subprocess
import sys
from collections.abc import Sequence, Set
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch import Tensor

from benchmarks.samples import sample_dumps
from benchmarks.timing import save
from schemas.dataset import Dataset
from training.config_file import load_config
from training.data.graphs import Graph
from training.evaluation import bootstrap, masked
from training.evaluation.masked_rules import Cooccurrence, Frequency, Majority, TrainGraphs
from training.runs import load_run
from training.systems import build_model

ROOT = Path(__file__).parent.parent
RECIPE = "colake-tiny"
PAGES = ("valid_pages=0.1", "test_pages=0.15")
"""Held-out pages: of the sample's 98 articles, the default of 1 % would be one."""
SYSTEMS: dict[str, dict[str, str]] = {
    RECIPE: {},
    "without triples": {"colake.drop_neighbours": "1"},
    "all neighbours kept": {"colake.drop_neighbours": "0"},
    "mentions beside their anchors": {"data.tokens": "beside"},
    "no types, no soft positions": {"colake.flat": "true"},
    "rows begin at random": {"colake.initial_rows": "random"},
}
BLIND = {"without triples": {"relation", "tail"}, "mentions beside their anchors": {"entity"}}
"""What a system is not asked for: relations and facts that it never saw; anchors whose names it reads."""
SETTINGS = masked.MaskedSettings(unseen="skip")
RESAMPLES = 2_000
MEASURES = ("accuracy", "mrr", "hits@10")
Values = dict[str, np.ndarray]
"""Of each kind of query: (queries, MEASURES)."""


@dataclasses.dataclass(frozen=True)
class GivenTail:
    """A relation by its share among the train facts of the same tail: the count that a model has to beat."""

    train: TrainGraphs

    def relation_logits(self, graphs: Sequence[Graph], triple: np.ndarray) -> Tensor:
        """Shares given the tail, and a thousandth of the overall ones."""
        train = self.train
        counts = np.zeros((train.entities, train.relations))
        np.add.at(counts, (train.facts[:, 2], train.facts[:, 1]), 1)
        shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
        tails = [graph.triples[k, 2] for graph, k in zip(graphs, triple, strict=True)]
        return torch.from_numpy(shares[tails] + train.relation_counts / train.relation_counts.sum() / 1_000)


def main() -> int:
    """Run and print; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--systems", nargs="+", default=list(SYSTEMS), choices=list(SYSTEMS))
    parser.add_argument("--work", type=Path, default=ROOT / "runs/benchmark-colake", help="kept between calls")
    parser.add_argument("--set", nargs="*", default=[], help="KEY=VALUE of every run")
    chosen = parser.parse_args()
    data = built(chosen.work / "dataset")
    for name in chosen.systems:
        for seed in chosen.seeds:
            trained(chosen.work, data, name, seed, chosen.set)
    runs = {name: done for name in SYSTEMS if (done := finished(chosen.work, name))}
    figures = report(data, runs) | {"settings": chosen.set}
    print(json.dumps(figures, indent=1))
    print(save("colake", figures))
    return 0


def built(folder: Path) -> Path:
    """The dataset with tokens/tiny, and tokens/beside whose texts keep the mentions."""
    if not folder.is_dir():
        pages, facts = sample_dumps()
        command("build", "--wikipedia", pages, "--wikidata", facts, "--keep", "linked", *sets(PAGES), "--out", folder)
        size = load_config(RECIPE).data.vocab_size
        command("train-tokenizer", folder, "--out", folder.parent / "tiny", "--vocab-size", size)
        command("tokenize", folder, "--tokenizer", folder.parent / "tiny", "--name", "tiny")
        keep_mentions(folder / "tokens")
    return folder


def keep_mentions(tokens: Path) -> None:
    """tokens/beside: tokens/tiny, but each anchor follows its own words instead of replacing them."""
    shutil.copytree(tokens / "tiny", tokens / "beside")
    for path in (tokens / "beside" / "wk_graphs").glob("*.parquet"):
        table, rows = pq.read_table(path, partitioning=None), []
        for row in table.select(["units", "spans", "mention_ids"]).to_pylist():
            own, units = iter(row["mention_ids"]), []
            for unit in row["units"]:
                span = row["spans"][-1 - unit] if unit < 0 else {"start": 0, "end": 0}
                units += [*(next(own) for _ in range(span["end"] - span["start"])), unit]
            rows.append(units)
        place = table.schema.get_field_index("units")
        table = table.set_column(place, table.schema.field(place), pa.array(rows, table.schema.field(place).type))
        pq.write_table(table, path, compression="zstd", row_group_size=1_024, write_page_checksum=True)


def run_name(name: str) -> str:
    """The system's name as a folder's."""
    return name.replace(" ", "-").replace(",", "")


def finished(work: Path, name: str) -> list[Path]:
    """The system's finished runs, by seed."""
    return sorted(path.parent for path in work.glob(f"{run_name(name)}-[0-9]*/cpu.json"))


def trained(work: Path, data: Path, name: str, seed: int, given: list[str]) -> None:
    """A run, unless it is there; its CPU minutes are in cpu.json."""
    folder = work / f"{run_name(name)}-{seed}"
    if (folder / "cpu.json").is_file():
        return
    shutil.rmtree(folder, ignore_errors=True)
    pairs = [f"{key}={value}" for key, value in SYSTEMS[name].items()]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    own = ("train.threads=1", f"seed={seed}")
    command("train", RECIPE, "--data", data, "--out", folder, *sets((*own, *pairs, *given)))
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    (folder / "cpu.json").write_text(json.dumps({"minutes": round(seconds / 60, 2)}))


def report(data: Path, runs: dict[str, list[Path]]) -> dict[str, Any]:
    """Every figure: of the systems, of the rules, and of the paired differences from the first system."""
    dataset = Dataset(data)
    questions = masked.prepare(dataset, "test", SETTINGS, dataset.tokens("tiny"))
    asked = {name: [answers(folder, name) for folder in folders] for name, folders in runs.items()}
    train = questions.train
    rules = {rule.__name__: rule(train) for rule in (Majority, Frequency, Cooccurrence, GivenTail)}
    found = {name: mean_values(seeds) for name, seeds in asked.items()}
    found |= {name: values_of(rule, questions) for name, rule in rules.items()}
    ours = found.get(RECIPE, {})
    return {
        "digest": dataset.digest,
        "protocol": questions.protocol,
        "systems": {name: described(values) for name, values in found.items()},
        "accuracy_of_each_seed": {
            name: {kind: [round(float(seed[kind][:, 0].mean()), 4) for seed in seeds] for kind in seeds[0]}
            for name, seeds in asked.items()
        },
        "colake_minus": {
            name: described({kind: ours[kind] - values[kind] for kind in values if kind in ours})
            for name, values in found.items()
            if ours and name != RECIPE
        },
        "cpu_minutes": {name: [minutes(folder) for folder in folders] for name, folders in runs.items()},
        "relations_moved": {name: [moved(folder) for folder in folders] for name, folders in runs.items()},
    }


def answers(folder: Path, name: str) -> Values:
    """What one run answers; its graphs are those of its own tokens."""
    run = load_run(folder)
    questions = masked.prepare(run.dataset, "test", SETTINGS, run.tokens)
    return values_of(run.model, questions, BLIND.get(name, set()))


def values_of(predictor: Any, questions: masked.MaskedQuestions, blind: Set[str] = frozenset()) -> Values:
    """Each query's chance to be answered right, reciprocal rank, and hits@10."""
    found = {}
    for kind in masked.KINDS:
        if kind in blind or not hasattr(predictor, f"{kind}_logits"):
            continue
        ranks = masked.ranks(predictor, questions, kind)
        rank, tied = ranks.by("realistic"), (ranks.pessimistic - ranks.optimistic + 1).double()
        right = torch.where(ranks.optimistic == 1, 1 / tied, torch.zeros_like(tied))
        found[kind] = torch.stack([right, 1 / rank, (rank <= 10).double()], dim=1).numpy()
    if "relation" in found:
        found["between_anchors"] = found["relation"][questions.between_anchors]
    return found


def mean_values(seeds: list[Values]) -> Values:
    """Each query's mean over the seeds."""
    return {kind: np.mean([seed[kind] for seed in seeds], axis=0) for kind in seeds[0]}


def described(values: Values) -> dict[str, Any]:
    """Mean and interval of each measure."""
    out = {}
    for kind, rows in values.items():
        groups = np.zeros(len(rows), dtype=np.int64)
        low, high = bootstrap.interval(bootstrap.resampled(rows, groups, seed=0, resamples=RESAMPLES))[:, 0]
        out[kind] = {"queries": len(rows)} | {
            name: [round(float(number), 4) for number in numbers]
            for name, *numbers in zip(MEASURES, rows.mean(axis=0), low, high, strict=True)
        }
    return out


def moved(folder: Path) -> float:
    """The mean cosine of a relation's vector with what it began as: 1 where the table was never trained."""
    run = load_run(folder)
    torch.manual_seed(run.config.seed)
    before = build_model(run.config, run.source).relation.weight[:-1]
    after = run.model.model.relation.weight[:-1]
    return round(float(torch.cosine_similarity(before, after).mean().detach()), 4)


def minutes(folder: Path) -> float:
    """CPU minutes of a run."""
    return float(json.loads((folder / "cpu.json").read_text())["minutes"])


def sets(pairs: Sequence[str]) -> list[str]:
    """--set of each pair."""
    return [f"--set={pair}" for pair in pairs]


def command(*words: object) -> None:
    """One of wikiloom's commands."""
    subprocess.run([sys.executable, "-m", "wikiloom", *map(str, words)], cwd=ROOT, check=True, stdout=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
