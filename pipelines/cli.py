"""The commands of the pipelines half; each imports what it needs when it runs."""

import dataclasses
import json
import logging
import re
from collections.abc import Callable
from pathlib import Path

import tyro

from pipelines.config import Build
from pipelines.importing.config import Import
from pipelines.vocabulary import Vocabulary
from pipelines.weaving.config import Weave
from schemas.errors import DataError, UsageError, printable
from wikiloom import parse


@dataclasses.dataclass(frozen=True, kw_only=True)
class Describe:
    """Say what is in a dataset: inputs, counts, drops by reason, splits."""

    data: tyro.conf.Positional[Path]
    """The dataset's folder."""
    html: Path | None = None
    """Write one self-contained page instead of tables on the terminal."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Show:
    """Show one word-knowledge graph: its passage with the anchors marked, and its facts by label."""

    data: tyro.conf.Positional[Path]
    """The dataset's folder."""
    graph: str
    """A graph_id of wk_graphs; wikiloom describe shows some."""
    svg: Path | None = None
    """Also draw it into this file."""
    tokens: str | None = None
    """A name under tokens/: also show the graph's nodes as a model reads them."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Validate:
    """Check a dataset: files, schemas, digests, offsets, references, splits."""

    data: tyro.conf.Positional[Path]
    """The dataset's folder."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Audit:
    """Report leaks: held-out facts in graphs (exit code 1), and what gives valid and test facts away."""

    data: tyro.conf.Positional[Path]
    """The dataset's folder."""
    exclude_triples: Path | None = None
    """Facts that must not be in it: the file of the build's --exclude-triples, "head TAB relation TAB tail"."""
    overlap: float = 0.8
    """Relations are near inverses or duplicates where such a share of the pairs of both is common."""
    json: bool = False
    """Print the whole report as JSON."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Diff:
    """Say what differs in two datasets: inputs, parameters, counts, rows. Like diff: exit code 0 equal, 1 different."""

    a: tyro.conf.Positional[Path]
    """A dataset's folder."""
    b: tyro.conf.Positional[Path]
    """Another's."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Explain:
    """Say why an item or a title is in a dataset or not, and where; exit code 1 where nothing is known of it."""

    data: tyro.conf.Positional[Path]
    """The dataset's folder."""
    name: tyro.conf.Positional[str]
    """An item (Q42), a relation (P31), a title, a redirect, or a label."""
    json: bool = False
    """Print all of it as JSON."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainTokenizer(Vocabulary):
    """Train a SentencePiece vocabulary on a dataset's texts, for any language."""

    data: tyro.conf.Positional[Path]
    """The dataset's folder."""
    out: Path
    """Folder for tokenizer.json."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Tokenize:
    """Write token ids beside a dataset, under tokens/NAME. Any other option goes to Apache Beam, as --runner."""

    data: tyro.conf.Positional[Path]
    """The dataset's folder."""
    tokenizer: str
    """A folder with tokenizer.json, or a model's name on the Hugging Face hub."""
    name: str = ""
    """NAME; by default the last part of the tokenizer's name."""
    max_length: int = 512
    """Tokens of an entity's or a relation's text, at most."""
    workers: int = 1
    """Worker processes; one alone encodes on all cores."""
    range_mb: int = 32
    """Megabytes of a table that one worker reads at a time."""

    def __post_init__(self) -> None:
        for name, low, high in (("max_length", 8, 100_000), ("workers", 1, 1_024), ("range_mb", 1, 100_000)):
            if not low <= getattr(self, name) <= high:
                option = name.replace("_", "-")
                raise UsageError(f"--{option} {getattr(self, name)}: expected {low} to {high}.")
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", self.folder):
            raise UsageError(f"--name {self.folder!r}: expected letters, digits, '.', '_' and '-' only.")

    @property
    def folder(self) -> str:
        """NAME."""
        return self.name or Path(self.tokenizer).name


def run(command: str, arguments: list[str]) -> int:
    """Run one command of this half; returns its exit code."""
    try:
        return COMMANDS[command](arguments)
    except BrokenPipeError:
        raise
    except OSError as error:
        # A folder that can't be written, a full disk: the system's words say it, a traceback would not.
        raise DataError(f"wikiloom {command}: {error.filename or 'a file'}: {error.strerror or error}.") from error


def _build(arguments: list[str]) -> int:
    config, others = parse(Build, "build", arguments, passing_on=True)
    config.parameters  # noqa: B018  # a wrong --set ends here, before Beam is imported
    # Beam's imports and workers tell of optional packages that no build needs.
    logging.getLogger().setLevel(logging.ERROR)
    from pipelines.build import build
    from pipelines.runner import beam_options
    from pipelines.stopping import stoppable

    ours = ["--" + field.name.replace("_", "-") for field in dataclasses.fields(Build)]
    options = beam_options(others, config.workers, ours)
    with stoppable("run the same command again to go on"):
        build(config, options)
    return 0


def _describe(arguments: list[str]) -> int:
    config = parse(Describe, "describe", arguments)
    from pipelines.report import describe_terminal, write_html

    if config.html is None:
        describe_terminal(config.data)
    else:
        write_html(config.data, config.html)
        print(f"wrote {config.html}")
    return 0


def _show(arguments: list[str]) -> int:
    config = parse(Show, "show", arguments)
    from pipelines.show import show_graph

    show_graph(config.data, config.graph, config.svg, config.tokens)
    return 0


def _validate(arguments: list[str]) -> int:
    config = parse(Validate, "validate", arguments)
    from pipelines.validate import validate
    from schemas.manifest import read_manifest

    problems = 0
    for problem in validate(config.data):
        problems += 1
        print(printable(problem))
    if problems:
        print(f"{config.data}: {problems} problem{'s' * (problems > 1)}")
        return 1
    print(f"{config.data}: ok, {len(read_manifest(config.data).tables)} tables, 0 problems")
    return 0


def _audit(arguments: list[str]) -> int:
    config = parse(Audit, "audit", arguments)
    if not 0 < config.overlap <= 1:
        raise UsageError(f"--overlap {config.overlap}: expected a share above 0, at most 1.")
    from pipelines.audit import audit, print_report

    report = audit(config.data, exclude_triples=config.exclude_triples, overlap=config.overlap)
    if config.json:
        print(json.dumps({**report.document, "violations": report.violations}, ensure_ascii=False, indent=1))
    else:
        print_report(report)
    return 1 if report.violations else 0


def _diff(arguments: list[str]) -> int:
    config = parse(Diff, "diff", arguments)
    from pipelines.diff import diff
    from schemas.manifest import read_manifest

    digests = [read_manifest(folder).digest[:8] for folder in (config.a, config.b)]
    print(printable(f"A {digests[0]} {config.a}\nB {digests[1]} {config.b}"))
    for line in diff(config.a, config.b):
        print(printable(line))
    equal = digests[0] == digests[1]
    print("equal: every table has the same rows" if equal else "different")
    return 0 if equal else 1


def _explain(arguments: list[str]) -> int:
    config = parse(Explain, "explain", arguments)
    if not config.name.strip():
        raise UsageError("explain needs an item or a title, found an empty name. See wikiloom explain --help.")
    from pipelines.explain import explain, lines

    document = explain(config.data, config.name)
    text = json.dumps(document, ensure_ascii=False, indent=1) if config.json else "\n".join(lines(document))
    print(printable(text))
    return 0 if document["found"] else 1


def _train_tokenizer(arguments: list[str]) -> int:
    config = parse(TrainTokenizer, "train-tokenizer", arguments)
    from pipelines.train_tokenizer import train_tokenizer
    from schemas.dataset import Dataset

    trained = train_tokenizer(Dataset(config.data), config.out, config)
    print(f"{config.out}: a vocabulary of {trained.pieces:,} pieces, from {trained.lines:,} lines of text")
    for reason, lines in trained.dropped.items():
        print(f"  {lines:,} lines left out: {reason}")
    return 0


def _tokenize(arguments: list[str]) -> int:
    config, others = parse(Tokenize, "tokenize", arguments, passing_on=True)
    logging.getLogger().setLevel(logging.ERROR)
    from pipelines.runner import beam_options
    from pipelines.stopping import stoppable
    from pipelines.tokens import TokenOptions, tokenize_dataset
    from schemas.dataset import Dataset

    ours = ["--" + field.name.replace("_", "-") for field in dataclasses.fields(Tokenize)]
    beam = beam_options(others, config.workers, ours, "tokenize")
    options = TokenOptions(
        max_length=config.max_length, range_bytes=config.range_mb * 2**20, threads=config.workers == 1, beam=beam
    )
    with stoppable("run the same command again to go on"):
        manifest = tokenize_dataset(Dataset(config.data), config.tokenizer, config.folder, options)
    rows = ", ".join(f"{table} {entry.rows:,}" for table, entry in manifest.tables.items())
    print(f"{config.data}/tokens/{config.folder}: {rows}")
    return 0


def _import(arguments: list[str]) -> int:
    config = parse(Import, "import", arguments)
    logging.getLogger().setLevel(logging.ERROR)  # as in _build: the tables' writer knows Beam
    from pipelines.importing.run import import_dataset

    import_dataset(config)
    return 0


def _weave(arguments: list[str]) -> int:
    config = parse(Weave, "weave", arguments)
    logging.getLogger().setLevel(logging.ERROR)  # as in _build
    from pipelines.runner import beam_options
    from pipelines.stopping import stoppable
    from pipelines.weaving.run import weave

    options = beam_options([], config.workers, [])
    with stoppable("run the same command again to go on"):
        weave(config, options)
    return 0


COMMANDS: dict[str, Callable[[list[str]], int]] = {
    "build": _build,
    "import": _import,
    "weave": _weave,
    "describe": _describe,
    "show": _show,
    "validate": _validate,
    "audit": _audit,
    "diff": _diff,
    "explain": _explain,
    "train-tokenizer": _train_tokenizer,
    "tokenize": _tokenize,
}
