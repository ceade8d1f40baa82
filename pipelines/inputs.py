"""What a build reads: the ranges of its dumps, the wiki's siteinfo, the lists beside the dumps."""

import dataclasses
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from pipelines import sinks
from pipelines.config import Build
from pipelines.sources.ranges import Range, plan_ranges
from pipelines.sources.sql import read_page_props, read_redirects
from pipelines.sources.wikipedia import read_siteinfo
from pipelines.transforms.graph import Statements
from pipelines.wikitext import Site
from schemas.errors import DataError
from schemas.hashing import hash_string

TRIPLE = re.compile(r"Q([1-9]\d{0,18})[\t ]+P([1-9]\d{0,18})[\t ]+Q([1-9]\d{0,18})\s*")


@dataclasses.dataclass(frozen=True)
class Plan:
    """The ranges to read, in order, and what is known of the wiki before reading."""

    wikidata: Sequence[Range]
    wikipedia: Sequence[Range]
    site: Site


def plan_inputs(config: Build) -> Plan:
    """Cut every dump into ranges; DataError for a file that is missing or is no dump."""
    target = config.parameters.range_mb * 2**20
    for path in (*config.wikipedia, *config.wikidata, config.redirects, config.page_props, config.exclude_triples):
        if path is not None and not path.is_file():
            found = "is a folder, expected a file" if path.is_dir() else "is missing"
            raise DataError(f"{path} {found}. Check the path.")
    headers = [read_siteinfo(str(path)) for path in config.wikipedia]
    siteinfo = next((header for header in headers if header), None)
    return Plan(
        wikidata=[piece for path in config.wikidata for piece in plan_ranges(str(path), target)],
        wikipedia=[piece for path in config.wikipedia for piece in plan_ranges(str(path), target)],
        site=Site.from_siteinfo(siteinfo, config.language),
    )


def input_files(config: Build) -> list[dict]:
    """Name, bytes and sha256 of every input, for the manifest and for knowing a changed input."""
    lists = [path for path in (config.redirects, config.page_props, config.exclude_triples) if path]
    return [
        {"role": role, "name": path.name, "bytes": path.stat().st_size, "sha256": sinks.file_digest(path)}
        for role, paths in (("wikipedia", config.wikipedia), ("wikidata", config.wikidata), ("list", lists))
        for path in paths
    ]


def read_redirect_list(path: Path | None, site: Site) -> npt.NDArray[np.uint64]:
    """(title hash, target hash) of each line of --redirects, shape (N, 2)."""
    rows = [
        (hash_string(site.normalize_title(title)), hash_string(site.normalize_title(target)))
        for title, target in (read_redirects(str(path)) if path else ())
    ]
    return np.array(rows, np.uint64).reshape(-1, 2)


def read_page_items(path: Path | None) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """(page ids, sorted; item numbers) of --page-props."""
    pairs = sorted((page, int(item[1:])) for page, item in (read_page_props(str(path)) if path else ()))
    columns = np.array(pairs, np.int64).reshape(-1, 2)
    pages, first = np.unique(columns[:, 0], return_index=True)
    return pages, columns[first, 1]


def read_excluded(path: Path | None) -> Statements:
    """The facts of --exclude-triples."""
    rows = []
    for number, line in enumerate(path.open(encoding="utf-8") if path else (), start=1):
        if not line.strip():
            continue
        match = TRIPLE.fullmatch(line)
        if match is None:
            raise DataError(
                f"{path}, line {number}: expected head TAB relation TAB tail (Q42 P31 Q5), found {line!r:.80}."
            )
        rows.append(tuple(map(int, match.groups())))
    columns = np.array(rows, np.int64).reshape(-1, 3)
    return Statements(columns[:, 0], columns[:, 1], columns[:, 2])
