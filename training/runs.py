"""Run folders: config.toml, metrics.jsonl, TensorBoard events, checkpoints/, results/, curves.png."""

import dataclasses
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from torch import nn

from schemas.dataset import Dataset
from schemas.errors import DataError, UsageError
from training.checkpoint import checkpoints, load_memory, load_model, read_state, refuse_pickles
from training.config import Config
from training.config_file import differences, load_config, read_config, to_toml, with_data
from training.data.special import load_tokenizer
from training.models.colake import ColakePredictor
from training.models.kepler import Kepler, KeplerScorer
from training.systems import Source, build_model, entity_descriptions, open_source


@dataclasses.dataclass(frozen=True)
class Run:
    """A trained run, loaded."""

    folder: Path
    config: Config
    dataset: Dataset
    tokens: Dataset
    model: Any
    """ColakePredictor for CoLAKE, else the trained module."""
    tokenizer: Tokenizer
    source: Source

    @property
    def network(self) -> Any:
        """The module that was trained, with its `encoder` and its `word_head`."""
        return self.model.model if isinstance(self.model, ColakePredictor) else self.model

    def scorer(self) -> KeplerScorer:
        """Scores of all entities for link prediction; DataError for a system that has none."""
        if not isinstance(self.model, Kepler):
            raise DataError(
                f"{self.folder} is a {self.config.system} run, which does not rank triples. "
                "Use a KEPLER run, or evaluate this one with --task masked."
            )
        return KeplerScorer(self.model, entity_descriptions(self.config, self.source))


def load_run(folder: Path, data: Path | None = None) -> Run:
    """The newest checkpoint of a run, on the dataset it was trained on (`data`, where it has moved since).

    Raises DataError where the folder is no run, has no checkpoint, holds a pickle, or where the dataset is another.
    """
    config = read_config(folder)
    refuse_pickles(folder)
    saved = checkpoints(folder)
    if not saved:
        raise DataError(f"{folder} has no checkpoint yet. Finish it: wikiloom train {folder}/config.toml --resume")
    dataset = Dataset(data or config.data.folder)
    require_digest(folder, config, dataset)
    source = open_source(dataset, dataset.tokens(config.data.tokens))
    torch.manual_seed(config.seed)
    model = build_model(config, source, training=False)
    read_state(saved[-1])
    load_model(saved[-1], model)
    load_memory(saved[-1], model.memory)
    return Run(
        folder, config, dataset, source.tokens, _answering(config, source, model), load_tokenizer(source.tokens), source
    )


def _answering(config: Config, source: Source, model: nn.Module) -> Any:
    model.eval()
    if config.system != "colake":
        return model
    return ColakePredictor(model, source.special, source.sizes, config.encoder.max_positions - 2)


def require_digest(folder: Path, config: Config, dataset: Dataset) -> None:
    """DataError where the run was trained on another dataset."""
    if config.data.digest and config.data.digest != dataset.digest:
        raise DataError(
            f"{folder} was trained on dataset {config.data.digest[:8]}, but {dataset.folder} is {dataset.digest[:8]}. "
            "Give the dataset it was trained on with --data, or train a new run."
        )


def open_config(recipe: str, data: Path | None, settings: dict[str, str]) -> tuple[Config, Dataset]:
    """The config of a run and the dataset it is for: `data`, or what the TOML file names."""
    config = load_config(recipe, settings)
    if data is None and not config.data.folder:
        raise UsageError(f"train {recipe} needs --data DIR, the dataset to learn from.")
    dataset = Dataset(data or config.data.folder)
    if data is None:
        require_digest(Path(recipe), config, dataset)
    return with_data(config, dataset.folder.resolve(), dataset.digest), dataset


def choose_folder(recipe: str, config: Config, out: Path | None, *, resume: bool) -> Path:
    """--out, or runs/RECIPE-n: the next free n, or with --resume the last one; RUN/config.toml resumes RUN itself."""
    if out is not None:
        return out
    if resume and Path(recipe).name == "config.toml":
        return Path(recipe).parent
    name = config.recipe if recipe.endswith(".toml") else recipe
    pattern = re.compile(rf"{re.escape(name)}-(\d+)")
    found = [pattern.fullmatch(path.name) for path in Path("runs").glob(f"{name}-*")]
    last = max((int(match[1]) for match in found if match), default=0)
    if resume and not last:
        raise UsageError(f"There is no run of {name} under runs/ to resume. Name it with --out.")
    return Path("runs") / f"{name}-{last if resume else last + 1}"


def resolved(config: Config, ranks: int = 1, threads: int | None = None) -> Config:
    """The config with the number of threads that will be used: its own, else `threads`, else min(2, cores for each of
    the host's `ranks`)."""
    number = config.train.threads or threads or max(1, min(2, len(os.sched_getaffinity(0)) // ranks))
    return dataclasses.replace(config, train=dataclasses.replace(config.train, threads=number))


def require_free(folder: Path) -> None:
    """UsageError where a new run's folder is taken."""
    if (folder / "config.toml").exists():
        raise UsageError(f"{folder} already holds a run: add --resume to go on with it, or choose another --out.")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{folder} is not empty, and not a run. Choose another --out.")


def begin(folder: Path, config: Config) -> None:
    """A new run folder with its config.toml, written at once; one that is there stays as it is."""
    if (folder / "config.toml").exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    temporary = folder / ".config.toml.tmp"
    temporary.write_text(to_toml(config), encoding="utf-8")
    os.replace(temporary, folder / "config.toml")


def resumed(folder: Path, config: Config, say: Callable[[str], None]) -> Config:
    """The config to go on with; says where another number of threads ends in other bits.

    Raises DataError where the run was on another dataset, UsageError where its config was another.
    """
    before = read_config(folder)
    refuse_pickles(folder)
    if before.data.digest != config.data.digest:
        raise DataError(
            f"{folder} was trained on dataset {before.data.digest[:8]}, but {config.data.folder} is "
            f"{config.data.digest[:8]}. Resume it on its own dataset, or train a new run."
        )
    changed = differences(config, before)
    if changed:
        more = f" and {len(changed) - 3} more" if len(changed) > 3 else ""
        raise UsageError(
            f"{folder} was trained with another config: {'; '.join(changed[:3])}{more}. "
            f"Resume it as it was (wikiloom train {folder}/config.toml --resume), or train a new run."
        )
    config = resolved(config, threads=before.train.threads)
    if config.train.threads != before.train.threads:
        say(
            f"warning: {folder} began with {before.train.threads} threads and goes on with {config.train.threads}: "
            "the weights will be close to an unbroken run's, not bit-identical"
        )
    return config


def open_tokens(dataset: Dataset, config: Config) -> Dataset:
    """tokens/NAME of the dataset, made by wikiloom's own commands where there is none."""
    name = config.data.tokens
    folder = dataset.folder / "tokens" / name
    if not (folder / "manifest.json").is_file():
        print(f"{dataset.folder} has no tokens/{name}: making them", file=sys.stderr, flush=True)
        tokenizer = config.encoder.name
        if config.encoder.name == "tiny":
            tokenizer = str(folder)
            if not (folder / "tokenizer.json").is_file():
                size = str(config.data.vocab_size)
                _wikiloom("train-tokenizer", str(dataset.folder), "--out", tokenizer, "--vocab-size", size)
        _wikiloom("tokenize", str(dataset.folder), "--tokenizer", tokenizer, "--name", name)
    return dataset.tokens(name)


def _wikiloom(*arguments: str) -> None:
    # By command, not by import: training never loads the pipelines' half.
    done = subprocess.run([sys.executable, "-m", "wikiloom", *arguments], check=False)
    if done.returncode:
        raise DataError(f"wikiloom {' '.join(arguments)} failed (exit {done.returncode}); its message is above.")
