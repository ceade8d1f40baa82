"""What a weaving is told."""

import dataclasses
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import tyro

from schemas.errors import UsageError

WOVEN = "woven"
"""Value of the manifest's parameter `split`: each fact's is that of the dataset which holds it out furthest."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Weave:
    """Weave the texts of one dataset with the knowledge graphs of others into a new dataset."""

    text: Path
    """A dataset with pages, or else with examples: word-knowledge graphs are made of its passages."""
    graph: Annotated[tuple[Path, ...], tyro.conf.UseAppendAction]
    """A dataset with a graph; may be given several times. What several say of an entity, the first has told."""
    exclude_triples: Path | None = None
    """Facts to leave out of the graph: a file of lines "head TAB relation TAB tail"."""
    out: Path
    """Folder of the new dataset; new, empty, or an earlier one of this command."""
    neighbors: int = 15
    """Triples that a word-knowledge graph has of each anchor, at most."""
    seed: int = 0
    """Seed of the samples."""
    workers: int = 1
    """Worker processes."""

    def __post_init__(self) -> None:
        if not self.graph:
            raise UsageError("--graph: expected one dataset or several, found none. See wikiloom weave --help.")
        if not 0 <= self.neighbors <= 1_000:
            raise UsageError(f"--neighbors {self.neighbors}: expected 0 to 1000.")
        if not 1 <= self.workers <= 1_024:
            raise UsageError(f"--workers {self.workers}: expected 1 to 1024.")


def is_woven(parameters: Mapping[str, Any]) -> bool:
    """Were the splits of a dataset with these parameters, and its entities' texts, taken over from others?"""
    return parameters.get("split") == WOVEN


def weave_command(inputs: Sequence[Mapping[str, Any]], parameters: Mapping[str, Any]) -> str:
    """The command line that wove a dataset of these inputs and parameters; empty for one that was not woven."""
    if not is_woven(parameters):
        return ""
    flags = {"text": "--text", "graph": "--graph", "list": "--exclude-triples"}
    words = [f"{flags[file['role']]} {shlex.quote(str(file['name']))}" for file in inputs]
    words += [f"--{name} {parameters[name]}" for name in ("neighbors", "seed")]
    return " \\\n  ".join(["wikiloom weave", *words, "--out DATASET"])
