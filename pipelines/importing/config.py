"""What an import is told, and the formats that there are."""

import dataclasses
import importlib
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from schemas.errors import UsageError, nearest

FORMATS = {
    "codex": "benchmarks",
    "elevant": "elevant",
    "entity-classification": "entity_classification",
    "fb13": "benchmarks",
    "fb15k-237": "benchmarks",
    "fewrel": "fewrel",
    "glue": "glue",
    "kinships": "benchmarks",
    "lama": "lama",
    "metaqa": "metaqa",
    "nations": "benchmarks",
    "open-entity": "open_entity",
    "tacred": "tacred",
    "text": "plain_text",
    "tsv": "tsv",
    "umls": "benchmarks",
    "wikidata5m": "wikidata5m",
    "wn11": "benchmarks",
    "wn18rr": "benchmarks",
    "wordnet": "wordnet",
}
"""Format -> the module of pipelines.sources whose `read(format, files)` returns what is in its files (a Source)."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Import:
    """Write a benchmark's published files, or one's own knowledge graph, as a dataset of Parquet tables."""

    format: Annotated[
        tyro.conf.Positional[str],
        tyro.conf.arg(metavar="FORMAT", help=f"{', '.join(FORMATS)}; docs/imports.md says what files each has."),
    ]
    from_: Annotated[Path, tyro.conf.arg(name="from")]
    """Folder with the files' published names: plain, .gz, or inside the published archive. For text, a folder of *.txt
    or one file."""
    out: Path
    """Folder of the dataset; new, empty, or an earlier import."""
    split: Literal["official", "transductive", "inductive"] | None = None
    """The files' own splits (the default where they have some), or new ones: entities of valid and test all in train
    (transductive), or valid and test on entities of their own (inductive)."""
    valid: int | None = None
    """Size of a new split's valid: triples if transductive, entities if inductive."""
    test: int | None = None
    """Size of a new split's test."""
    train_fraction: float = 1.0
    """Keep so large a share of the train triples, chosen by hash: a smaller share is part of a larger one."""
    exclude_triples: Path | None = None
    """Facts to leave out: a file of lines "head TAB relation TAB tail"."""
    types: Path | None = None
    """Categories of entities: CoDEx's entity2types.json, or lines "id TAB type"."""
    text: Path | None = None
    """Longer descriptions: lines "id TAB text"; they win over the files' own."""
    download: bool = False
    """First fetch the published files that --from does not have, each checked; docs/imports.md says from where."""

    def __post_init__(self) -> None:
        if self.format not in FORMATS:
            known = sorted(FORMATS)
            raise UsageError(f"Unknown format {self.format!r}.{nearest(self.format, known)} Known: {', '.join(known)}.")
        for name, size in (("valid", self.valid), ("test", self.test)):
            if size is not None and not 0 <= size < 2**31:
                raise UsageError(f"--{name} {size}: expected 0 to {2**31 - 1}.")
            if size is not None and self.split == "official":
                raise UsageError(
                    f"--{name}: the official splits have their size. Give --split transductive or inductive."
                )
        if not 0 < self.train_fraction <= 1:
            raise UsageError(f"--train-fraction {self.train_fraction}: expected a share above 0, at most 1.")

    @property
    def parameters(self) -> dict[str, Any]:
        """What the dataset depends on beside its files."""
        names = ("format", "split", "valid", "test", "train_fraction")
        told = {name: getattr(self, name) for name in names}
        return {name: value for name, value in told.items() if value is not None}


def import_command(parameters: Mapping[str, Any], inputs: Sequence[Mapping[str, Any]]) -> str:
    """The command line that makes a dataset with these parameters from these inputs again."""
    words = [f"wikiloom import {shlex.quote(str(parameters.get('format')))} --from PATH --out DATASET"]
    for name, value in parameters.items():
        if name != "format" and (name, value) != ("train_fraction", 1.0):
            words.append(f"--{name.replace('_', '-')} {shlex.quote(str(value))}")
    options = [file for file in inputs if str(file.get("role")).startswith("--")]
    return " ".join([*words, *(f"{file['role']} {shlex.quote(str(file.get('name')))}" for file in options)])


def reader(name: str) -> Any:
    """The function that reads a format: (format, pipelines.sources.published.Published) -> Source."""
    return importlib.import_module(f"pipelines.sources.{FORMATS[name]}").read
