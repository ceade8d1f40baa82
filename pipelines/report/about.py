"""What a manifest says of its dataset, in words. None of it is required: a dataset may be of any origin."""

from collections.abc import Callable, Iterator
from pathlib import PurePosixPath
from shlex import quote
from typing import Any

from pipelines.config import Parameters
from pipelines.importing.config import import_command
from pipelines.weaving.config import weave_command
from schemas.manifest import Manifest
from schemas.origin import inputs
from schemas.table import Table
from schemas.tables import TABLES

KINDS = (
    ("wk_graphs", "Text woven with a knowledge graph"),
    ("triples", "A knowledge graph"),
    ("pages", "Text with its links"),
    ("examples", "Examples of text tasks"),
)
"""The first table of these that has rows says what a dataset is."""
FLAGS = ("keep", "neighbors", "seed")
"""Parameters of a build that are options of their own; the others go by --set."""


def title(manifest: Manifest) -> str:
    """What the dataset is, in a few words."""
    filled = {name for name, entry in manifest.tables.items() if entry.rows}
    kind = next((words for name, words in KINDS if name in filled), "An empty dataset")
    about = [str(manifest.rest[key]) for key in ("format", "language") if manifest.rest.get(key)]
    return kind + (f" ({', '.join(about)})" if about else "")


def origin(manifest: Manifest) -> str:
    """Its inputs and what made it."""
    names = [str(file.get("name")) for file in inputs(manifest)]
    made = f"Made by wikiloom {manifest.rest.get('wikiloom', '(version unknown)')}"
    return f"{made} from {', '.join(names)}." if names else f"{made}."


def parameters(manifest: Manifest) -> dict[str, Any]:
    """The manifest's parameters."""
    found = manifest.rest.get("parameters", {})
    return found if isinstance(found, dict) else {}


def parts(
    manifest: Manifest, table: Callable[[str], Table] = TABLES.__getitem__
) -> Iterator[tuple[str, str, int, int, float]]:
    """(table, split, rows, files, MB) of every part of the dataset that has files; `table` finds a table by name."""
    for name, entry in manifest.tables.items():
        definition = table(name)
        for part in definition.parts:
            shards = entry.split(part)
            if shards:
                rows, size = sum(shard.rows for shard in shards), sum(shard.bytes for shard in shards) / 1e6
                yield name, part if definition.splits else "", rows, len(shards), size


def command(manifest: Manifest) -> str | None:
    """The command line that makes this dataset, with the inputs by name; None where it does not tell."""
    if "format" in manifest.rest:
        return import_command(parameters(manifest), inputs(manifest))
    return weave_command(inputs(manifest), parameters(manifest)) or build_command(manifest)


def build_command(manifest: Manifest) -> str | None:
    """The command line that builds this dataset, with the inputs by name; None for one that no build made."""
    roles = [str(file.get("role")) for file in inputs(manifest)]
    if "wikipedia" not in roles:
        return None
    words = ["wikiloom build"]
    for role in ("wikipedia", "wikidata"):
        names = [
            quote(PurePosixPath(str(file.get("name"))).name) for file in inputs(manifest) if file.get("role") == role
        ]
        words += [f"--{role} {' '.join(names)}"] if names else []
    words += ["--out DATASET", f"--language {quote(str(manifest.rest.get('language', 'en')))}"]
    for key, value in parameters(manifest).items():
        if key in FLAGS:
            words.append(f"--{key} {quote(str(value))}")
        elif value != getattr(Parameters, key, value):
            words.append(f"--set {quote(f'{key}={value}')}")
    lists = [str(file.get("name")) for file in inputs(manifest) if file.get("role") == "list"]
    flags = "--redirects, --page-props, --exclude-triples, --templates"
    return " \\\n  ".join(words) + (f"\n# and the lists {', '.join(lists)} ({flags})" if lists else "")
