"""The one console script: knows every command by name and imports only the half of the project that runs it."""

import contextlib
import importlib
import importlib.util
import io
import re
import sys
from collections.abc import Callable, Sequence
from typing import Any

from schemas.errors import UsageError, WikiloomError, nearest, printable

__version__ = "0.1.0"

COMMANDS = {
    "build": ("pipelines", "dumps of Wikipedia and Wikidata -> a dataset of Parquet tables"),
    "import": ("pipelines", "a benchmark's published files, your own graph or plain text -> the same tables"),
    "weave": ("pipelines", "one graph from several datasets, woven with the texts of another"),
    "describe": ("pipelines", "what is in a dataset: counts, drops, splits"),
    "show": ("pipelines", "one word-knowledge graph: its passage and facts, as text and as a drawing"),
    "validate": ("pipelines", "check a dataset: schemas, digests, offsets, references, splits"),
    "audit": ("pipelines", "leaks: held-out facts in graphs, inverse relations, texts that tell"),
    "diff": ("pipelines", "what differs in two datasets: inputs, parameters, counts, rows"),
    "explain": ("pipelines", "why an item or a title is in a dataset or not, and where"),
    "train-tokenizer": ("pipelines", "a SentencePiece vocabulary from a dataset's texts"),
    "tokenize": ("pipelines", "token ids beside a dataset, ready for the trainer"),
    "recipes": ("training", "the training recipes, with their settings"),
    "train": ("training", "pre-train a model by a recipe"),
    "evaluate": ("training", "evaluate a run under the one protocol"),
    "compare": ("training", "runs side by side: mean and standard deviation over their seeds"),
    "predict": ("training", "ask a run: tails, heads, relations or masked words"),
    "link": ("training", "the entities that texts name, by a dataset's links"),
    "export": ("training", "a run as a folder that transformers and sentence-transformers read"),
    "import-weights": ("training", "fairseq's weights of RoBERTa or KEPLER as a Hugging Face folder"),
    "baseline": ("training", "train and evaluate a baseline"),
    "demo": ("demo", "examples -> dataset -> CoLAKE and KEPLER -> evaluation -> report.html"),
}
"""Command -> (which half runs it, its line in the help)."""

PROBES = {"pipelines": ["apache_beam", "lxml", "msgspec"], "training": ["torch", "transformers"]}
"""Extra -> modules that only it brings."""

RUNNERS = {"pipelines": "pipelines.cli", "training": "training.cli", "demo": "pipelines.demo"}
"""Half -> the module whose `run(command, arguments)` runs its commands."""


def main(argv: list[str] | None = None) -> int:
    """Run one command; returns its exit code: 0 done, 1 data or run, 2 command line or config, 75 stopped and saved."""
    arguments = sys.argv[1:] if argv is None else argv
    try:
        return _dispatch(arguments)
    except WikiloomError as error:
        # One message, at most three lines, also where a path or value carries line breaks of its own.
        lines = [line for line in str(error).splitlines() if line.strip()][:3]
        print("error: " + printable("\n".join(lines)), file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 130
    except BrokenPipeError:
        with contextlib.suppress(OSError):
            sys.stdout = None  # the reader is gone; nothing is left to flush to
        return 0


def _dispatch(arguments: list[str]) -> int:
    if not arguments or arguments[0] in ("-h", "--help"):
        print(usage())
        return 0
    if arguments[0] in ("-V", "--version"):
        print(f"wikiloom {__version__}")
        return 0
    command, rest = arguments[0], arguments[1:]
    if command not in COMMANDS:
        raise UsageError(f"Unknown command {command!r}.{nearest(command, list(COMMANDS))} See wikiloom --help.")
    run = _runner(command)
    if not any("://" in word for word in rest):
        return run(command, rest)
    from schemas.store import mirrored

    with mirrored(rest) as words:
        return run(command, words)


def _runner(command: str) -> Callable[[str, list[str]], int]:
    half = COMMANDS[command][0]
    for extra in ("pipelines", "training") if half == "demo" else (half,):
        if not all(importlib.util.find_spec(module) for module in PROBES[extra]):
            raise UsageError(
                f"wikiloom {command} needs the extra {extra!r}: pip install '.[{extra}]' from the checkout."
            )
    run: Callable[[str, list[str]], int] = importlib.import_module(RUNNERS[half]).run
    return run


def parse(kind: type[Any], command: str, arguments: Sequence[str], *, passing_on: bool = False) -> Any:
    """A command's line as `kind`, a dataclass; with `passing_on` a pair of it and the options it does not know.

    A wrong command line is a UsageError of one line, with the nearest right option.
    """
    import tyro

    said = io.StringIO()
    wants_help = any(argument in ("-h", "--help") for argument in arguments)
    try:
        with contextlib.nullcontext() if wants_help else contextlib.redirect_stderr(said):
            if passing_on:
                return tyro.cli(kind, prog=f"wikiloom {command}", args=arguments, return_unknown_args=True)
            return tyro.cli(kind, prog=f"wikiloom {command}", args=arguments)
    except SystemExit as exit_:
        if not exit_.code:
            raise
        # tyro draws a box around its message; one line of it is the message.
        words = " ".join(re.sub(r"[│╭╮╰╯─┌┐└┘]", " ", said.getvalue()).split())
        raise UsageError(f"{_plain(words)[:300].rstrip()} See wikiloom {command} --help.") from None


def _plain(words: str) -> str:
    """tyro's message without what repeats the help; of a wrong choice the known ones in order, and the nearest."""
    words = re.sub(r"-{9,} ?|(Argument helptext:|For full helptext,).*", "", words).rstrip()
    words = re.sub(
        r"^(Parsing error|Invalid choice|Required options|Unrecognized options|Missing required options"
        r"|Missing argument|Value error Error parsing)\s*",
        "",
        words,
    )
    found = re.search(r"invalid choice '(.*)' for argument '(.*)'\. Expected one of \((.*)\)", words)
    if not found:
        return words
    known = sorted(set(re.findall(r"'([^']*)'", found[3])) - {"None"})
    return f"{found[2]} {found[1]}: expected {', '.join(known)}.{nearest(found[1], known)}"


def usage() -> str:
    """The text of wikiloom --help."""
    width = max(map(len, COMMANDS))
    lines = [f"  {name:<{width}}  {line}" for name, (_, line) in COMMANDS.items()]
    return "\n".join(
        ["usage: wikiloom COMMAND ...   (wikiloom COMMAND --help for its options)", "", *lines, "", "  --version"]
    )


if __name__ == "__main__":
    sys.exit(main())
