"""Run folders: config.toml, metrics.jsonl, TensorBoard events, checkpoints/, results/, curves.png."""

import dataclasses
import os
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from torch import nn

from schemas.dataset import Dataset
from schemas.errors import DataError, UsageError
from training.checkpoint import checkpoints, load_memory, load_model, refuse_pickles
from training.config import Config
from training.config_file import differences, load_config, read_config, to_toml, with_data
from training.data.special import load_tokenizer
from training.data.triples import GRAPHS
from training.encoders import TiedHead
from training.models.colake import ColakePredictor
from training.sources import Source, graph_count, open_sources
from training.systems import SYSTEMS, build_model

UNFINISHED = ".config.toml.tmp"
"""config.toml until it is whole."""


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
    """Of `dataset`."""
    graph: str = GRAPHS[0]
    """Which of a KEPLER run's graphs `dataset` is."""

    @property
    def network(self) -> Any:
        """The module that was trained, with its `encoder` and its `word_head`."""
        return self.model.model if isinstance(self.model, ColakePredictor) else self.model

    @property
    def word_head(self) -> TiedHead | None:
        """What says which words are masked; None where it was not trained along, so that it says nothing."""
        head = self.network.word_head
        return head if all(parameter.requires_grad for parameter in head.parameters()) else None

    def scorer(self) -> Any:
        """What ranks entities or tells facts from others (training/scoring.py), made on a CUDA device where there is
        one; DataError for a system that does neither."""
        scorer = SYSTEMS[self.config.system].scorer
        if scorer is None:
            raise DataError(
                f"{self.folder} is a {self.config.system} run, which does not rank triples. "
                "Use a run of KEPLER, C-LMKE or LASS, or a baseline's."
            )
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        return scorer(self.config, self.source, self.model.to(device), self.graph)


def load_run(folder: Path, data: Path | None = None) -> Run:
    """The newest checkpoint of a run, on the dataset it was trained on (`data`, where it has moved since; of a run on
    two graphs the one that `data` is).

    Raises DataError where the folder is no run, has no checkpoint, holds a pickle, or where the dataset is another.
    """
    config = read_config(folder)
    refuse_pickles(folder)
    saved = checkpoints(folder)
    if not saved:
        raise DataError(f"{folder} has no checkpoint yet. Finish it: wikiloom train {folder}/config.toml --resume")
    datasets, asked = _graphs(folder, config, data)
    first = open_sources(config, datasets, [graph.tokens(config.data.tokens) for graph in datasets])
    torch.manual_seed(config.seed)
    model = build_model(config, first, training=False)
    load_model(saved[-1], model)
    load_memory(saved[-1], model.memory)
    source = [first, *first.more][asked]
    answering, tokenizer = _answering(config, source, model), load_tokenizer(source.tokens)
    return Run(folder, config, datasets[asked], source.tokens, answering, tokenizer, source, GRAPHS[asked])


def _graphs(folder: Path, config: Config, data: Path | None) -> tuple[list[Dataset], int]:
    """(the datasets whose graphs a run has learned, which of them `data` is); it stands in for that one's folder."""
    digests, (*folders,) = _digests(config)[: graph_count(config)], map(Path, _folders(config))
    # Those that gave their pages alone are needed no more.
    for other, digest in zip(folders[len(digests) :], config.data.more_digests[len(digests) - 1 :], strict=True):
        if (other / "manifest.json").is_file():
            require_digest(folder, digest, Dataset(other))
    asked = 0
    if data is not None:
        given = Dataset(data).digest
        asked = digests.index(given) if given in digests else 0
        folders[asked] = data
    datasets = [Dataset(each) for each in folders[: len(digests)]]
    for dataset, digest in zip(datasets, digests, strict=True):
        require_digest(folder, digest, dataset)
    return datasets, asked


def _answering(config: Config, source: Source, model: nn.Module) -> Any:
    model.eval()
    if config.system != "colake":
        return model
    return ColakePredictor(model, source.special, source.sizes, config.encoder.max_positions - 2)


def require_digest(folder: Path, digest: str, dataset: Dataset) -> None:
    """DataError where the run was trained on another dataset than this."""
    if digest and digest != dataset.digest:
        raise DataError(
            f"{folder} was trained on dataset {digest[:8]}, but {dataset.folder} is {dataset.digest[:8]}. "
            "Give the dataset it was trained on with --data, or train a new run."
        )


def open_config(recipe: str, data: Sequence[Path], settings: dict[str, str]) -> tuple[Config, list[Dataset]]:
    """The config of a run and the datasets it is for: `data`, or what the TOML file names.

    Raises UsageError where the recipe takes more of them, or fewer.
    """
    config = load_config(recipe, settings)
    named = [folder for folder in _folders(config) if folder]
    if not data and not named:
        raise UsageError(f"train {recipe} needs --data DIR, the dataset to learn from.")
    datasets = [Dataset(folder) for folder in data or named]
    if not data:
        for dataset, digest in zip(datasets, _digests(config), strict=False):
            require_digest(Path(recipe), digest, dataset)
    first, *more = [(dataset.folder.resolve(), dataset.digest) for dataset in datasets]
    config = with_data(config, *first, more)
    _require_number(recipe, config, len(datasets))
    return config, datasets


def _require_number(recipe: str, config: Config, datasets: int) -> None:
    graphs, kepler = graph_count(config), config.kepler
    if datasets < graphs:
        raise UsageError(f"train {recipe} learns from two graphs: give it --data DIR twice.")
    if len({*_digests(config)}) < datasets:
        raise UsageError(f"train {recipe}: one dataset is given as --data twice.")
    whole = {"kepler": kepler.blocks > 0 and kepler.corpus == "pages", "mlm-only": config.mlm.corpus == "pages"}
    if datasets > graphs and not whole.get(config.system, False):
        raise UsageError(
            f"train {recipe} learns from {graphs} --data DIR, {datasets} are given: a further one gives its pages to "
            "masked language modelling, and this recipe reads no pages."
        )


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
    """The config with the number of threads that will be used: its own, else `threads`, else _usual_threads."""
    number = config.train.threads or threads or _usual_threads(ranks)
    return dataclasses.replace(config, train=dataclasses.replace(config.train, threads=number))


def _usual_threads(ranks: int) -> int:
    """OMP_NUM_THREADS, else min(2, cores for each of the host's `ranks`). Of several ranks torchrun sets the variable,
    to 1, for want of knowing better."""
    told = os.environ.get("OMP_NUM_THREADS", "")
    if ranks == 1 and told.isdecimal() and int(told):
        return int(told)
    return max(1, min(2, len(os.sched_getaffinity(0)) // ranks))


def require_free(folder: Path) -> None:
    """UsageError where a new run's folder is taken."""
    if (folder / "config.toml").exists():
        raise UsageError(f"{folder} already holds a run: add --resume to go on with it, or choose another --out.")
    # A kill in `begin` leaves the config under another name, and no run.
    if folder.exists() and (not folder.is_dir() or {path.name for path in folder.iterdir()} - {UNFINISHED}):
        raise UsageError(f"{folder} is not empty, and not a run. Choose another --out.")


def begin(folder: Path, config: Config) -> None:
    """A new run folder with its config.toml, written at once; one that is there stays as it is."""
    if (folder / "config.toml").exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    temporary = folder / UNFINISHED
    temporary.write_text(to_toml(config), encoding="utf-8")
    os.replace(temporary, folder / "config.toml")


def resumed(folder: Path, config: Config, say: Callable[[str], None]) -> Config:
    """The config to go on with; says where another number of threads ends in other bits.

    Raises DataError where the run was on another dataset, UsageError where its config was another.
    """
    before = read_config(folder)
    refuse_pickles(folder)
    for was, now, name in zip(_digests(before), _digests(config), _folders(config), strict=False):
        if was != now:
            raise DataError(
                f"{folder} was trained on dataset {was[:8]}, but {name} is {now[:8]}. "
                "Resume it on its own dataset, or train a new run."
            )
    if len(_digests(before)) != len(_digests(config)):
        raise DataError(
            f"{folder} was trained on {len(_digests(before))} datasets, and {len(_digests(config))} are given. "
            "Resume it on its own, each with a --data, or train a new run."
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


def _digests(config: Config) -> list[str]:
    return [config.data.digest, *config.data.more_digests]


def _folders(config: Config) -> list[str]:
    return [config.data.folder, *config.data.more_folders]


def open_all_tokens(datasets: Sequence[Dataset], config: Config) -> list[Dataset]:
    """tokens/NAME of each dataset, made by the first one's tokenizer; DataError where one's are by another."""
    first = open_tokens(datasets[0], config)
    found = [first]
    for dataset in datasets[1:]:
        folder = dataset.folder / "tokens" / config.data.tokens
        if not (folder / "manifest.json").is_file():
            print(f"{dataset.folder} has no tokens/{folder.name}: making them", file=sys.stderr, flush=True)
            _wikiloom("tokenize", str(dataset.folder), "--tokenizer", str(first.folder), "--name", folder.name)
        tokens = dataset.tokens(folder.name)
        if tokens.manifest.rest.get("tokenizer") != first.manifest.rest.get("tokenizer"):
            raise DataError(
                f"{folder} was made by another tokenizer than {first.folder}. Make it again: wikiloom tokenize "
                f"{dataset.folder} --tokenizer {first.folder} --name {folder.name}"
            )
        found.append(tokens)
    return found


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
