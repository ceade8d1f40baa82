"""The dataset card: README.md with the front matter that `datasets` and the Hub read."""

import html
import json
from collections.abc import Iterator
from pathlib import Path

from pipelines.queries import UPLOAD, filled_splits, queries
from pipelines.records import whole_file
from pipelines.report.about import parameters, parts, title
from pipelines.report.funnel import by_count, read_drops
from pipelines.report.markup import visible
from schemas.manifest import Manifest
from schemas.origin import IN_WORDS, inputs, licences
from schemas.table import column_docs
from schemas.tables import TABLES

DEFAULTS = ("pages", "triples", "examples")
"""The configuration that `load_dataset` takes when none is named: the first that has rows."""


def write_card(folder: Path, manifest: Manifest) -> None:
    """Write FOLDER/README.md: configs and splits, sources, counts, a line per column, queries.

    A manifest without some of its parts (language, inputs, parameters, drops) gives a card without them.
    """
    sections = (_front_matter, _head, _counts, _drops, _columns, _queries, _sharing)
    lines = [line for section in sections for line in section(manifest)]
    with whole_file(folder / "README.md") as temporary:
        temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _front_matter(manifest: Manifest) -> Iterator[str]:
    found = {name: filled_splits(manifest, name) for name in manifest.tables}
    # A table without rows can't be loaded eagerly, so the card does not list it.
    configs = {name: splits for name, splits in found.items() if splits}
    default = next((name for name in DEFAULTS if name in configs), None)
    yield "---"
    yield f"license: {json.dumps(licences(manifest))}"
    if "language" in manifest.rest:
        # Quoted, for a bare no (Norwegian) is false in YAML.
        yield f"language: {json.dumps([str(manifest.rest['language'])])}"
    yield f"pretty_name: {json.dumps(title(manifest))}"
    yield "configs:" if configs else "configs: []"
    for name, splits in configs.items():
        yield f"- config_name: {name}"
        if name == default:
            yield "  default: true"
        yield "  data_files:"
        for split, pattern in splits.items():
            yield from (f"  - split: {split}", f'    path: "{pattern}"')
    yield from ("---", "")


def _head(manifest: Manifest) -> Iterator[str]:
    rest = manifest.rest
    yield from (f"# {_cell(title(manifest))}", "")
    yield f"Made by wikiloom {_cell(rest.get('wikiloom', '(version unknown)'))}; digest `{manifest.digest}`."
    yield "The same inputs and parameters give the same digest, on any machine."
    yield ""
    yield _licence_line(manifest)
    if inputs(manifest):
        yield from ("", "| input | role | bytes | sha256 |", "|---|---|---|---|")
    for file in inputs(manifest):
        size = file.get("bytes")
        shown = f"{size:,}" if isinstance(size, int) else ""
        yield f"| {_cell(file.get('name'))} | {_cell(file.get('role'))} | {shown} | `{_cell(file.get('sha256'))}` |"
    if parameters(manifest):
        settings = ", ".join(f"{_cell(key)} {_cell(value)}" for key, value in parameters(manifest).items())
        yield from ("", f"Parameters: {settings}.")
    yield ""


def _licence_line(manifest: Manifest) -> str:
    return "Licences: " + "; ".join(IN_WORDS.get(name, _cell(name)) for name in licences(manifest)) + "."


def _counts(manifest: Manifest) -> Iterator[str]:
    yield from ("## Tables", "", "| table | split | rows | files | MB |", "|---|---|---|---|---|")
    for name, split, rows, files, size in parts(manifest):
        yield f"| {name} | {split} | {rows:,} | {files} | {size:,.2f} |"
    yield ""


def _drops(manifest: Manifest) -> Iterator[str]:
    drops = read_drops(manifest)
    if drops:
        yield from ("## What was dropped, and why", "")
        for stage, reasons in drops.items():
            yield f"- {_cell(stage)}: " + ", ".join(f"{_cell(reason)} {n:,}" for reason, n in by_count(reasons))
        yield ""


def _columns(manifest: Manifest) -> Iterator[str]:
    yield from ("## Columns", "")
    for name in manifest.tables:
        table = TABLES[name]
        yield from (f"### {name}", "", table.doc, "")
        yield from (f"- `{path}`: {doc}" for path, doc in column_docs(table.columns))
        yield ""


def _queries(manifest: Manifest) -> Iterator[str]:
    yield from ("## Queries", "")
    yield "They run in the dataset's folder. Offsets count Unicode code points, half-open: `text[start:end]` in Python,"
    yield "`substr(text, start + 1, end - start)` in DuckDB (not `substring_grapheme`), `str.slice(start, end - start)`"
    yield "in Polars. `load_dataset` takes a folder, or the name of a repository on the Hub."
    for query in queries(manifest):
        yield from ("", f"{query.title}:", "", f"```{query.language}", query.text, "```")
    yield ""


def _sharing(manifest: Manifest) -> Iterator[str]:
    names = ", ".join(_cell(file.get("name")) for file in inputs(manifest)) or "its sources"
    version = manifest.rest.get("wikiloom", "(version unknown)")
    yield from (
        "## Sharing and citing",
        "",
        "```",
        "hf upload USER/NAME . " + UPLOAD,
        "```",
        "",
    )
    yield "Say which dataset it was by its digest, which any copy of it has:"
    yield ""
    yield f"> {_cell(title(manifest))}, digest {manifest.digest[:16]}, made by wikiloom {_cell(version)} from {names}."


def _cell(value: object) -> str:
    """Text for a line or a table: no markup, and no end of either."""
    return html.escape(" ".join(visible(value).split()), quote=False).replace("|", "\\|").replace("`", "'")
