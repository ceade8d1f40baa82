"""The commands of the training half; each imports what it needs when it runs."""

import dataclasses
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

import tyro

from schemas.errors import DataError, UsageError, printable
from wikiloom import parse

Settings = tyro.conf.UseAppendAction[tuple[str, ...]]
"""KEY=VALUE pairs; the flag may be repeated."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Recipes:
    """List the training recipes."""

    name: tyro.conf.Positional[str] = ""
    """Print this recipe whole, with every setting, instead."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Train:
    """Pre-train a model by a recipe. A run that a signal stops is saved (exit code 75); --resume goes on with it."""

    recipe: tyro.conf.Positional[str]
    """A recipe's name (wikiloom recipes), or a TOML file: RUN/config.toml repeats a run."""
    data: tyro.conf.UseAppendAction[tuple[Path, ...]] = ()
    """The dataset's folder; by default those that the TOML file names. May be given several times: a recipe of two
    graphs takes the second from the second, and masked language modelling the pages of all others."""
    out: Path | None = None
    """The run's folder; by default runs/RECIPE-n."""
    resume: bool = False
    """Go on with the run from its last checkpoint; begin it where --out holds none yet."""
    dry_run: bool = False
    """Take some steps, save nothing, say what memory and time the run takes; token ids that are missing are made."""
    set: Settings = ()
    """KEY=VALUE, a setting of the recipe (wikiloom recipes RECIPE prints all), such as optim.lr=1e-4; may be given
    several times."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Evaluate:
    """Evaluate a run; prints a table and writes RUN/results/TASK-SPLIT-DIGEST8.json."""

    run: tyro.conf.Positional[Path]
    """The run's folder; for a task on examples also a plain encoder's, such as an export."""
    task: str
    """link-prediction, relation-prediction (KEPLER, C-LMKE, LASS and baselines), triple-classification (LMKE too),
    masked (CoLAKE, JAKET), linking or graph-completion (CoLAKE; the last: baselines too), entity-classification
    (JAKET), masked-words (CoLAKE, KEPLER, JAKET, mlm-only); on examples: typing, relation-classification, few-shot,
    kgqa, unseen-entities, glue, for which it is fine-tuned, and probing. docs/evaluation.md says what each is."""
    data: Path | None = None
    """The dataset's folder; by default the one that the run was trained on. For linking, graph-completion, probing and
    what is fine-tuned that of the examples."""
    split: str = "test"
    """train, valid or test."""
    set: Settings = ()
    """KEY=VALUE, a setting of the task's protocol (docs/evaluation.md); may be given several times."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Compare:
    """Runs side by side: those that differ in nothing but their seed are one row, with mean and standard deviation."""

    runs: tyro.conf.Positional[tuple[Path, ...]]
    """Run folders, of train and of baseline; results under other protocols or of other datasets are refused."""
    json: bool = False
    """Print one JSON document instead of tables."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Predict:
    """Ask a run: tails of --head and --relation, heads of --relation and --tail, relations of --head and --tail, or the
    masked words of --text, and for a CoLAKE run the entities that it names."""

    run: tyro.conf.Positional[Path]
    """The run's folder."""
    head: str | None = None
    """An entity: its QID or its label."""
    relation: str | None = None
    """A relation: its PID or its label."""
    tail: str | None = None
    """An entity: its QID or its label."""
    head_text: str | None = None
    """A description, for a head that is not in the data."""
    tail_text: str | None = None
    """A description, for a tail that is not in the data."""
    text: str | None = None
    """A text, with <mask> in it where a word is asked for."""
    top: int = 10
    """Answers to print."""
    json: bool = False
    """Print JSON lines instead of a table."""
    data: Path | None = None
    """The dataset's folder, where it is no longer the one that the run's config.toml names."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Link:
    """Find the entities that texts name: JSON lines {line, start, end, entity, score}, offsets in code points."""

    dataset: tyro.conf.Positional[Path]
    """The folder of a dataset built from Wikipedia: its links are the dictionary."""
    text: Path
    """A file with one text a line, in UTF-8; or a .jsonl file with {"text": ..., "mentions": [{"start", "end"}]} on
    each line, whose mentions, where it has any, are linked in place of those that would be found."""
    run: Path | None = None
    """A CoLAKE run of this dataset, to choose between entities by the text around a mention as well."""
    out: Path | None = None
    """Write a Parquet file instead."""
    set: Settings = ()
    """KEY=VALUE: min_link, context or ner (a spaCy pipeline); may be given several times."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Export:
    """A run as a folder that AutoModel, SentenceTransformer and pipeline("fill-mask") read without Wikiloom."""

    run: tyro.conf.Positional[Path]
    """The run's folder."""
    out: Path
    """The folder to write, new or empty."""
    entities: bool = False
    """Write a vector for each entity of the dataset as well. Where this is killed, the same command goes on with the
    files that it finished."""
    index: bool = False
    """Write an index of Faiss for approximate search among the entities, too."""
    texts: Path | None = None
    """A file with one text a line; texts.parquet will have a vector for each."""
    precision: Literal["fp32", "bf16"] | None = None
    """In which vectors are computed; bf16: matrix products in 16 bits. By default bf16 on a GPU, fp32 on a CPU."""
    data: Path | None = None
    """The dataset's folder, where it is no longer the one that the run's config.toml names."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class ImportWeights:
    """fairseq's weights of RoBERTa or KEPLER as a Hugging Face folder, for encoder.name in a recipe."""

    file: tyro.conf.Positional[Path]
    """A torch file with tensors alone, such as KEPLER's model.pt when it is stripped of its arguments."""
    out: Path
    """The folder to write, new or empty."""
    tokenizer: str | None = None
    """A folder or name of a tokenizer whose tokens have the weights' numbers: that of roberta-base has KEPLER's."""
    dict: Path | None = None
    """Else fairseq's dict.txt, with --bpe."""
    bpe: Path | None = None
    """The folder with GPT-2's encoder.json and vocab.bpe."""
    heads: int | None = None
    """Attention heads of a layer; by default one for 64 dimensions, as in RoBERTa."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Baseline:
    """Train and evaluate a baseline on a dataset."""

    name: tyro.conf.Positional[str] = ""
    """Its name; --list prints them all."""
    data: Path | None = None
    """The dataset's folder."""
    task: str | None = None
    """The task to evaluate it on; by default the one that it is for."""
    out: Path | None = None
    """The run's folder; by default runs/NAME-n."""
    list: bool = False
    """Print the names."""
    set: Settings = ()
    """KEY=VALUE, a setting of the baseline or the task (docs/evaluation.md); may be given several times."""


def run(command: str, arguments: list[str]) -> int:
    """Run one command of this half; returns its exit code."""
    # Waiting threads sleep instead of spinning: on a machine with other work, spinning made training 3 times slower.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    try:
        return COMMANDS[command](arguments)
    except BrokenPipeError:
        raise
    except OSError as error:
        # A folder that can't be written, a full disk: the system's words say it, a traceback would not.
        where = f"{error.filename or 'a file'}: " if error.errno else ""
        raise DataError(f"wikiloom {command}: {where}{error.strerror or error}.") from error


def _recipes(arguments: list[str]) -> int:
    config = parse(Recipes, "recipes", arguments)
    from training.config_file import load_config, recipe_names, to_toml

    if config.name:
        print(to_toml(load_config(config.name)), end="")
        return 0
    width = max(map(len, recipe_names()))
    for name in recipe_names():
        print(f"{name:<{width}}  {load_config(name).about}")
    return 0


def _train(arguments: list[str]) -> int:
    config = parse(Train, "train", arguments)
    from training.config_file import load_config

    load_config(config.recipe, settings(config.set))  # a wrong recipe or key ends here, before torch is imported
    from training.train import train

    return train(
        config.recipe,
        next(iter(config.data), None),
        config.out,
        resume=config.resume,
        dry_run=config.dry_run,
        settings=settings(config.set),
        more=config.data[1:],
    )


def _evaluate(arguments: list[str]) -> int:
    config = parse(Evaluate, "evaluate", arguments)
    from training.evaluation.run import evaluate

    evaluate(config.run, config.task, config.data, config.split, settings(config.set))
    return 0


def _compare(arguments: list[str]) -> int:
    config = parse(Compare, "compare", arguments)
    from training.compare import compare, render, to_json

    if not config.runs:
        raise UsageError("compare needs the folders of one or more runs: wikiloom compare RUN [RUN ...].")
    tables, notes = compare(config.runs)
    print(to_json(tables, notes) if config.json else render(tables))
    for note in notes:
        print(printable(note), file=sys.stderr)
    return 0


def _predict(arguments: list[str]) -> int:
    config = parse(Predict, "predict", arguments)
    from training.predict import predict, render

    answers = predict(
        config.run,
        config.head,
        config.relation,
        config.tail,
        config.head_text,
        config.tail_text,
        config.text,
        config.top,
        data=config.data,
    )
    print(render(answers, as_json=config.json))
    return 0


def _link(arguments: list[str]) -> int:
    config = parse(Link, "link", arguments)
    from training.linking.files import link_file

    print(link_file(config.dataset, config.text, config.run, config.out, settings(config.set)), file=sys.stderr)
    return 0


def _export(arguments: list[str]) -> int:
    config = parse(Export, "export", arguments)
    from training.export import export

    options = {name: value for name, value in vars(config).items() if name not in ("run", "out")}
    print(export(config.run, config.out, **options))
    return 0


def _import_weights(arguments: list[str]) -> int:
    config = parse(ImportWeights, "import-weights", arguments)
    from training.fairseq import import_weights
    from training.fairseq_dictionary import open_vocabulary

    vocabulary = open_vocabulary(config.tokenizer, config.dict, config.bpe)
    print(import_weights(config.file, config.out, vocabulary, config.heads))
    return 0


def _baseline(arguments: list[str]) -> int:
    config = parse(Baseline, "baseline", arguments)
    from training.baselines import NAMES, run_baseline

    if config.list:
        print("\n".join(NAMES))
        return 0
    if not config.name or config.data is None:
        raise UsageError("baseline needs a NAME and --data DIR; wikiloom baseline --list prints the names.")
    print(run_baseline(config.name, config.data, config.task, config.out, settings(config.set)))
    return 0


COMMANDS: dict[str, Callable[[list[str]], int]] = {
    "recipes": _recipes,
    "train": _train,
    "evaluate": _evaluate,
    "compare": _compare,
    "predict": _predict,
    "link": _link,
    "export": _export,
    "import-weights": _import_weights,
    "baseline": _baseline,
}


def settings(pairs: Sequence[str]) -> dict[str, str]:
    """--set's KEY=VALUE pairs; UsageError for one without an equals sign."""
    found = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise UsageError(f"--set {pair}: expected KEY=VALUE, such as optim.lr=1e-4.")
        found[key] = value
    return found
