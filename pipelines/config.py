"""What a build is told: the command line, and the parameters behind --set."""

import dataclasses
import re
import typing
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal

import tyro

from schemas.errors import UsageError, nearest

STAGES = ("wikidata", "wikipedia", "align", "graph", "wk_graphs")

Sentences = Literal["rules", "spacy"]
Join = Literal["lookup", "cogbk"]
Count = int | None
"""A number, or None: as many as suits the data."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Parameters:
    """Parameters of a build with their defaults; change one with --set key=value."""

    passage_chars: int = 600
    """Sentences are packed into a passage of a word-knowledge graph up to so many code points."""
    sentences: Sentences = "rules"
    """What splits sentences: rules for any language, or spaCy's sentencizer (pip install '.[spacy]')."""
    min_lead_words: int = 5
    """--keep paper: words that the lead of an entity's article must have (Wikidata5M's rule)."""
    min_neighbors: int = 0
    """Keep entities with so many neighbours in the graph, or min_mentions; 0 for no such rule (JAKET: 5 and 5)."""
    min_mentions: int = 0
    """Keep entities that so many articles link to, or min_neighbors; 0 for no such rule."""
    valid_pages: float = 0.01
    """Share of the pages, and of the wk_graphs from them, in split valid."""
    test_pages: float = 0.01
    """Share of the pages, and of the wk_graphs from them, in split test."""
    valid_triples: Count = None
    """Triples in split valid; None for 5,000, at most 5 % of all."""
    test_triples: Count = None
    """Triples in split test; None for 5,000, at most 5 % of all."""
    keep_pairs_together: bool = True
    """Keep all triples between the same two entities in one split: symmetric, inverse and duplicate facts."""
    valid_entities: Count = None
    """Entities of the inductive split valid; None for 7,500, at most 5 % of all, or fewer where max_dropped asks."""
    test_entities: Count = None
    """Entities of the inductive split test; None likewise."""
    max_dropped: float = 0.05
    """Share of the triples that the inductive split may lose between its parts; else there is none."""
    self_mentions: bool = False
    """Add the page's own name in its lead to its links (source self)."""
    repeat_mentions: bool = False
    """Add later repeats of linked names, and of the page's own, to its links (source repeat)."""
    join: Join = "lookup"
    """How links find their items: in an index that every host maps into memory, or by a CoGroupByKey. Same dataset."""
    range_mb: int = 64
    """Compressed megabytes that one worker reads at a time."""
    rows_per_shard: int = 0
    """Rows of a Parquet file; 0 for each table's own default."""
    keep_work: bool = True
    """Keep the work files (OUT/.build) of a dataset that is done, so that a build with other parameters or inputs
    redoes only what depends on them. They take about twice the dataset's disk."""

    def __post_init__(self) -> None:
        for name, low, high in (
            ("passage_chars", 20, 100_000),
            ("min_lead_words", 0, 10_000),
            ("min_neighbors", 0, 1_000_000),
            ("min_mentions", 0, 1_000_000),
            ("valid_pages", 0, 0.5),
            ("test_pages", 0, 0.49),
            ("valid_triples", 0, 2**31),
            ("test_triples", 0, 2**31),
            ("valid_entities", 0, 2**31),
            ("test_entities", 0, 2**31),
            ("max_dropped", 0, 0.5),
            ("range_mb", 1, 100_000),
            ("rows_per_shard", 0, 2**31),
        ):
            value = getattr(self, name)
            if value is not None and not low <= value <= high:
                raise UsageError(f"--set {name}={value}: expected {low} to {high}.")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Build:
    """Build a dataset of Parquet tables from a Wikipedia and a Wikidata dump.

    Any other option goes to Apache Beam, for example --runner.
    """

    wikipedia: tuple[Path, ...]
    """pages-articles dump, one or several files: XML, plain or bz2, gz, zst; multistream indexes may stand beside."""
    wikidata: tuple[Path, ...] = ()
    """Wikidata's JSON dump, one entity a line, one or several files: plain, gz, bz2 or zst."""
    redirects: tuple[Path, ...] = ()
    """Redirects beside those in the dump: a file of lines "title TAB target", or redirect.sql and page.sql (found by
    itself beside it); plain, gz, bz2 or zst."""
    page_props: Path | None = None
    """Wikipedia's page_props.sql: page ids to Wikidata items, plain or gz."""
    exclude_triples: Path | None = None
    """Facts to leave out of the graph: a file of lines "head TAB relation TAB tail"."""
    templates: Path | None = None
    """Templates to render beside the built-in ones: a TOML table as in docs/templates.md."""
    out: Path
    """Folder of the dataset; new, empty, or an earlier build to go on with."""
    language: str = "en"
    """Language of the wiki. Labels, aliases and descriptions are Wikidata's in this language, else in a close variant
    (zh: zh-hans, ...), in its base language, in "mul" (any language), in English."""
    keep: Literal["paper", "linked", "all"] = "paper"
    """Entities: with an article and a lead (paper), also those that links reach (linked), all."""
    neighbors: int = 15
    """Triples that a word-knowledge graph has of each anchor, at most."""
    seed: int = 0
    """Seed of splits and samples."""
    workers: int = 1
    """Worker processes."""
    only: Literal["wikidata", "wikipedia", "align", "graph", "wk_graphs"] | None = None
    """Run one stage, on what the stages before it left."""
    dry_run: bool = False
    """Say what would be read and written; write nothing."""
    set: Annotated[tuple[str, ...], tyro.conf.UseAppendAction] = ()
    """A parameter, key=value (docs/dataset.md lists them); may be given several times."""

    def __post_init__(self) -> None:
        if not 0 <= self.neighbors <= 1_000:
            raise UsageError(f"--neighbors {self.neighbors}: expected 0 to 1000.")
        if not re.fullmatch(r"[a-z]{2,20}(-[a-z0-9]{1,20}){0,3}", self.language):
            raise UsageError(f"--language {self.language!r}: expected a wiki's code as in its address, like bg.")
        if not 1 <= self.workers <= 1_024:
            raise UsageError(f"--workers {self.workers}: expected 1 to 1024.")

    @property
    def parameters(self) -> Parameters:
        """The defaults with --set applied."""
        return parse_parameters(self.set)


_READERS: dict[typing.Any, tuple[Callable[[str], float | str], str]] = {
    int: (int, "a whole number"),
    Count: (int, "a whole number"),
    float: (float, "a number"),
    bool: ({"true": True, "false": False}.__getitem__, "true or false"),
    Sentences: ({name: name for name in typing.get_args(Sentences)}.__getitem__, "rules or spacy"),
    Join: ({name: name for name in typing.get_args(Join)}.__getitem__, "lookup or cogbk"),
}
"""How a value of each type is read, and what it is called."""


def parse_parameters(settings: tuple[str, ...]) -> Parameters:
    """Parameters from "key=value" strings; UsageError names an unknown key and the nearest right one."""
    known = typing.get_type_hints(Parameters)
    values: dict[str, float | str] = {}
    for setting in settings:
        key, equals, value = setting.partition("=")
        if not equals:
            raise UsageError(f"--set {setting}: expected key=value.")
        if key not in known:
            raise UsageError(f"--set {key}: unknown parameter.{nearest(key, list(known))} Known: {', '.join(known)}.")
        read, kind = _READERS[known[key]]
        try:
            values[key] = read(value)
        except (KeyError, ValueError) as error:
            raise UsageError(f"--set {key}={value}: expected {kind}.") from error
    return Parameters(**values)  # type: ignore[arg-type]
