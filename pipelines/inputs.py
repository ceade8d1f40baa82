"""What a build reads: the ranges of its dumps, the wiki's siteinfo, the lists beside the dumps."""

import dataclasses
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from pipelines import sinks
from pipelines.config import Build
from pipelines.sources.lists import read_fact_lines, read_page_props, read_redirect_lines
from pipelines.sources.multistream import pair_indexes, plan_dump
from pipelines.sources.ranges import Range, plan_ranges
from pipelines.sources.sql import table_name
from pipelines.sources.wikipedia import read_siteinfo
from pipelines.transforms.facts import Statements
from pipelines.transforms.title_lists import TitleLists, read_page_items, titles_from_lines, titles_from_tables
from pipelines.wikitext import Site, find_wikis
from pipelines.wikitext.template_tables import parse_table
from schemas.errors import DataError, UsageError

_MAX_TABLE = 1 << 20


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
    for path in (*config.wikipedia, *config.wikidata, *config.redirects, *_lists(config)):
        if not path.is_file():
            found = "is a folder, expected a file" if path.is_dir() else "is missing"
            raise DataError(f"{path} {found}. Check the path.")
    dumps = pair_indexes(config.wikipedia)
    headers = [read_siteinfo(str(path)) for path, _ in dumps]
    for (path, _), header in zip(dumps, headers, strict=True):
        _warn_of_another_language(path, header or b"", config.language)
    siteinfo = next((header for header in headers if header), None)
    return Plan(
        # Absolute: a worker may run in another folder.
        wikidata=[piece for path in config.wikidata for piece in plan_ranges(str(path.absolute()), target)],
        wikipedia=[
            piece
            for path, index in dumps
            for piece in plan_dump(str(path.absolute()), str(index) if index else None, target)
        ],
        site=Site.from_siteinfo(siteinfo, config.language, read_templates(config.templates)),
    )


def _warn_of_another_language(path: Path, siteinfo: bytes, language: str) -> None:
    wikis = sorted(find_wikis(siteinfo))
    if wikis and language not in wikis:
        message = (
            f"{path} is a dump of the wiki {wikis[0]}, read as {language}: links, labels and sitelinks will be wrong. "
        )
        print(f"warning: {message}Give --language {wikis[0]}.", file=sys.stderr)


def digest_files(config: Build) -> dict[Path, str]:
    """sha256 of every input, by its absolute path."""
    return {path.absolute(): sinks.file_digest(path) for _, path in _files(config)}


def describe_files(config: Build, digests: Mapping[Path, str]) -> list[dict]:
    """Role, name, bytes and sha256 of every input, as the manifest has them."""
    return [
        {"role": role, "name": path.name, "bytes": path.stat().st_size, "sha256": digests[path.absolute()]}
        for role, path in _files(config)
    ]


def _files(config: Build) -> list[tuple[str, Path]]:
    lists = (*redirect_files(config), *_lists(config))
    roles = {"wikipedia": config.wikipedia, "wikidata": config.wikidata, "list": lists}
    return [(role, path) for role, paths in roles.items() for path in paths]


def redirect_files(config: Build) -> list[Path]:
    """The files of --redirects: a list of titles, or redirect.sql and then page.sql; told apart by what is in them.

    UsageError where they are neither. page.sql is looked for beside redirect.sql if it is not given.
    """
    by_table = {table_name(str(path)) or "titles": path for path in config.redirects}
    redirect = by_table.get("redirect")
    if redirect is not None and len(config.redirects) == 1:
        beside = redirect.with_name(redirect.name.replace("redirect.sql", "page.sql"))
        if beside == redirect or not beside.is_file():
            raise UsageError(f"--redirects {redirect}: it names pages by id. Give the dump's page.sql behind it.")
        by_table["page"] = beside
    if by_table.keys() not in (set(), {"titles"}, {"redirect", "page"}) or len(by_table) < len(config.redirects):
        found = ", ".join(f"{path} ({table_name(str(path)) or 'titles'})" for path in config.redirects)
        raise UsageError(
            f"--redirects: expected a file of lines title TAB target, or redirect.sql and page.sql; found {found}."
        )
    return [by_table[name] for name in ("titles", "redirect", "page") if name in by_table]


def _lists(config: Build) -> list[Path]:
    """The files beside the dumps that are given, without those of --redirects."""
    paths = (config.page_props, config.exclude_triples, config.templates)
    return [path for path in paths if path is not None]


def read_templates(path: Path | None) -> str:
    """The TOML text of --templates, empty without it; DataError where it is no table of templates."""
    if path is None:
        return ""
    if path.stat().st_size > _MAX_TABLE:
        raise DataError(f"{path} has {path.stat().st_size:,} bytes, expected a table of templates of at most 1 MB.")
    try:
        text = path.read_text("utf-8-sig")
        parse_table(text)
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8. Save it as UTF-8 text.") from error
    except DataError as error:
        raise DataError(f"{path}: {error} See docs/templates.md.") from error
    return text


def read_title_lists(config: Build, site: Site) -> TitleLists:
    """What --redirects and --page-props say of titles."""
    drops: dict[str, Counter[str]] = {"redirect_list": Counter(), "page_props": Counter()}
    files = [str(path) for path in redirect_files(config)]
    if len(files) == 2:
        titles = titles_from_tables(*files, drops["redirect_list"])
    else:
        lines = (pair for file in files for pair in read_redirect_lines(file, drops["redirect_list"]))
        titles = titles_from_lines(lines, site, drops["redirect_list"])
    rows = read_page_props(str(config.page_props), drops["page_props"]) if config.page_props else ()
    return TitleLists(titles, read_page_items(rows), drops)


def read_excluded(path: Path | None) -> Statements:
    """The facts of --exclude-triples."""
    facts = read_fact_lines(path, of_wikidata=True) if path else ()
    rows = np.array([[int(name[1:]) for name in fact] for fact in facts], np.int64).reshape(-1, 3)
    return Statements(rows[:, 0], rows[:, 1], rows[:, 2])
