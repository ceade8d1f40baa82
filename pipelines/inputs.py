"""What a build reads: the ranges of its dumps, the wiki's siteinfo, the lists beside the dumps."""

import dataclasses
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from pipelines import sinks
from pipelines.config import Build
from pipelines.sources.ranges import Range, plan_ranges
from pipelines.sources.sql import read_page_props, read_redirects, read_text_lines
from pipelines.sources.wikidata import is_item_id, is_property_id
from pipelines.sources.wikipedia import read_siteinfo
from pipelines.transforms.graph import Statements
from pipelines.wikitext import Site
from schemas.errors import DataError, UsageError
from schemas.hashing import hash_string

TRIPLE = re.compile(r"(Q[0-9]+)[\t ]+(P[0-9]+)[\t ]+(Q[0-9]+)")


@dataclasses.dataclass(frozen=True)
class Plan:
    """The ranges to read, in order, and what is known of the wiki before reading."""

    wikidata: Sequence[Range]
    wikipedia: Sequence[Range]
    site: Site


def plan_inputs(config: Build) -> Plan:
    """Cut every dump into ranges; DataError for a file that is missing or is no dump."""
    target = config.parameters.range_mb * 2**20
    if not config.wikipedia:
        raise UsageError("--wikipedia: expected one dump file or several, found none. See wikiloom build --help.")
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


def read_redirect_list(path: Path | None, site: Site) -> Iterator[tuple[str, str]]:
    """(title, target) of each line of --redirects, normalised; empty for what names no page."""
    for title, target in read_redirects(str(path)) if path else ():
        yield site.normalize_title(title), site.normalize_title(target)


def hash_redirects(redirects: Iterable[tuple[str, str]]) -> npt.NDArray[np.uint64]:
    """(title hash, target hash) of each redirect, shape (N, 2)."""
    rows = [(hash_string(title), hash_string(target)) for title, target in redirects]
    return np.array(rows, np.uint64).reshape(-1, 2)


def read_page_items(path: Path | None) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """(page ids, sorted; item numbers) of --page-props."""
    rows = read_page_props(str(path)) if path else ()
    pairs = sorted((page, int(item[1:])) for page, item in rows if 0 < page < 2**63 and is_item_id(item))
    columns = np.array(pairs, np.int64).reshape(-1, 2)
    pages, first = np.unique(columns[:, 0], return_index=True)
    return pages, columns[first, 1]


def read_excluded(path: Path | None) -> Statements:
    """The facts of --exclude-triples."""
    rows = []
    listed = path is not None and path.stat().st_size > 0
    for number, line in enumerate(read_text_lines(str(path)) if listed else (), start=1):
        if not line.strip():
            continue
        match = TRIPLE.fullmatch(line.strip())
        if match is None or not (is_item_id(match[1]) and is_property_id(match[2]) and is_item_id(match[3])):
            raise DataError(
                f"{path}, line {number}: expected head TAB relation TAB tail (Q42 P31 Q5), found {line!r:.80}."
            )
        rows.append(tuple(int(name[1:]) for name in match.groups()))
    columns = np.array(rows, np.int64).reshape(-1, 3)
    return Statements(columns[:, 0], columns[:, 1], columns[:, 2])
