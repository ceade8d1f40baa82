"""What each stage and table depends on, and its key: a digest of all of it. Equal keys, equal files.

A stage is given its rules, never the whole config, and its key is made from the same rules; a key holds the key of
what the stage reads. So a change leaves every stage alone that does not depend on it.
"""

import dataclasses
import hashlib
import importlib.metadata
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pipelines.config import Build
from pipelines.inputs import Plan, redirect_files
from pipelines.sources.ranges import Range
from pipelines.transforms.graph import SplitRules
from pipelines.transforms.inductive import Sizes
from pipelines.transforms.mentions import MentionRules
from pipelines.transforms.plan_align import AlignRules
from pipelines.transforms.wk_graphs import GraphRules
from schemas.tables import TABLES
from wikiloom import __version__

WORK_FORMAT = 1
"""One more whenever a file in a work folder is written in another way under the same version."""

READS = {
    "titles": ("wikidata", "wikipedia"),
    "align": ("titles",),
    "graph": ("titles",),
    "wk_graphs": ("align", "graph"),
}
"""Stage -> the stages whose keys it holds; through them those that these hold. "titles" is what the graph reads of
align: all but the mentions that pages get beside their links."""

TABLE_READS = {
    "entities": "wk_graphs",
    "relations": "wk_graphs",
    "triples": "graph",
    "pages": "align",
    "redirects": "titles",
    "anchors": "graph",
    "wk_graphs": "wk_graphs",
    "rejects": "titles",
}
"""Table -> the last stage that it is made from."""


@dataclasses.dataclass(frozen=True)
class Rules:
    """What a build's stages are told of its command line, beside the files that they read."""

    align: AlignRules
    mentions: MentionRules
    split: SplitRules
    graphs: GraphRules

    @classmethod
    def of(cls, config: Build) -> "Rules":
        """The rules on a command line."""
        given, seed = config.parameters, config.seed
        return cls(
            align=AlignRules(
                keep=config.keep,
                min_lead_words=given.min_lead_words,
                min_neighbors=given.min_neighbors,
                min_mentions=given.min_mentions,
                seed=seed,
                valid_pages=given.valid_pages,
                test_pages=given.test_pages,
            ),
            mentions=MentionRules(self_mentions=given.self_mentions, repeat_mentions=given.repeat_mentions),
            split=SplitRules(
                seed=seed,
                valid=given.valid_triples,
                test=given.test_triples,
                together=given.keep_pairs_together,
                inductive=Sizes(given.valid_entities, given.test_entities, given.max_dropped),
            ),
            graphs=GraphRules(
                language=config.language,
                sentences=given.sentences,
                passage_chars=given.passage_chars,
                neighbors=config.neighbors,
                seed=seed,
            ),
        )


def key_of(*parts: Any) -> str:
    """A digest of JSON values."""
    return hashlib.sha256(json.dumps([__version__, *parts], sort_keys=True).encode()).hexdigest()


def work_key(*parts: Any) -> str:
    """The same for files in a work folder, which older code may have left there."""
    return key_of(WORK_FORMAT, *parts)


def range_names(plan: Plan, config: Build, digests: Mapping[Path, str]) -> dict[str, list[str]]:
    """Stage -> the name of each range's folder: a digest of the range's bytes and of what they are read with.

    `digests` are those of inputs.digest_files.
    """
    site = {field.name: getattr(plan.site, field.name) for field in dataclasses.fields(plan.site)}
    del site["templates"]  # they follow from the language and the file
    told = {"wikidata": [config.language], "wikipedia": [site, _digests([config.templates], digests)]}
    ranges = {"wikidata": plan.wikidata, "wikipedia": plan.wikipedia}
    return {stage: _names(stage, told[stage], ranges[stage], digests) for stage in told}


def stage_keys(
    names: Mapping[str, Sequence[str]], rules: Rules, config: Build, digests: Mapping[Path, str]
) -> dict[str, str]:
    """The key of each stage, and of each table as "table NAME"; `names` are those of range_names."""
    spacy = importlib.metadata.version("spacy") if rules.graphs.sentences == "spacy" else None
    lists = _digests([*redirect_files(config), config.page_props], digests)
    told: dict[str, list[Any]] = {
        "titles": [dataclasses.asdict(rules.align), lists],
        "align": [dataclasses.asdict(rules.mentions)],
        "graph": [dataclasses.asdict(rules.split), _digests([config.exclude_triples], digests)],
        "wk_graphs": [dataclasses.asdict(rules.graphs), spacy],
    }
    keys = {stage: key_of(stage, list(own)) for stage, own in names.items()}
    for stage, reads in READS.items():
        keys[stage] = key_of(stage, told[stage], [keys[read] for read in reads])
    rows = config.parameters.rows_per_shard
    tables = {
        f"table {name}": key_of(name, TABLES[name].version, rows, keys[read]) for name, read in TABLE_READS.items()
    }
    return {**keys, **tables}


def _names(stage: str, told: list[Any], ranges: Sequence[Range], digests: Mapping[Path, str]) -> list[str]:
    names: list[str] = []
    seen: Counter[str] = Counter()
    for piece in ranges:
        key = work_key(stage, told, digests[Path(piece.path)], piece.start, piece.end)[:16]
        # The same file may be given twice.
        names.append(f"{key}-{seen[key]}" if seen[key] else key)
        seen[key] += 1
    return names


def _digests(paths: Sequence[Path | None], digests: Mapping[Path, str]) -> list[str | None]:
    return [digests[path.absolute()] if path else None for path in paths]
