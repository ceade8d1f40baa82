"""wikiloom import, top to bottom:

    published files -> the reader of their format -> a Source -> graph -> tables, manifest, card

Nothing is written before all triples are read and split.
"""

import dataclasses
import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa

from pipelines import finish, sinks
from pipelines.importing.config import Import, reader
from pipelines.importing.download import download
from pipelines.importing.graph import Imported, import_graph, resolve_split
from pipelines.importing.options import add_options, read_excluded
from pipelines.importing.pages import write_pages
from pipelines.importing.source import FACTS, Source
from pipelines.importing.tables import relation_rows, write_entities, write_triples
from pipelines.sources.published import Published
from pipelines.tables import TableWriter
from pipelines.work import locked, require_ours
from schemas.errors import DataError
from schemas.manifest import Manifest, TableEntry, read_manifest
from schemas.tables import TABLES
from wikiloom import __version__


def import_dataset(config: Import) -> Manifest:
    """Read a format's files and write them as a dataset; says what it made.

    Raises DataError where a file is missing or is not of its format, UsageError where the options do not fit the files.
    """
    require_ours(config.out)
    _require_no_other(config)
    if config.download:
        download(config.format, config.from_)
    started = finish.cpu_seconds()
    files = Published(config.from_, alone=config.format == "text")
    source = add_options(reader(config.format)(config.format, files), config)
    _require_triples(source)
    config = resolve_split(source, config)
    made = import_graph(source, config, read_excluded(config, source.ledger))
    # By now they are in `made`; of Wikidata5M they are half a gigabyte.
    source = dataclasses.replace(source, facts=FACTS.empty_table(), inductive=None)
    work = config.out.absolute() / ".build"
    with locked(work):
        with finish.measured(work / "import.json", "", since=started):
            entries = _write_tables(source, made, config.out, work)
        rest = _describe(config, source, made)
        rest["stages"]["import"] = finish.cost(work / "import.json")
        manifest = finish.publish(config.out, entries, rest)
        shutil.rmtree(work)
    finish.print_summary(config.out, manifest)
    return manifest


def _require_triples(source: Source) -> None:
    """DataError for an empty file of triples: it was not downloaded to its end, or is the wrong one."""
    for role, file in source.ledger.files.items():
        if role.startswith("triples ") and not source.ledger.counts[role.partition(" ")[2]].out:
            raise DataError(f"{file}: expected triples, found no line. Fetch it again.")


def _write_tables(source: Source, made: Imported, out: Path, work: Path) -> dict[str, TableEntry]:
    """Write the tables that have rows."""
    shutil.rmtree(work / "tables", ignore_errors=True)
    writer = TableWriter(work / "tables", out, {f"table {name}": "" for name in TABLES}, rows_per_shard=0, options=None)
    if len(made.entities):
        writer.write_shards("entities", lambda folder: write_entities(source, made, folder))
    if len(made.relations):
        writer.write("relations", lambda: relation_rows(source, made))
    if len(made.graph.heads) or len(made.negatives):
        writer.write_shards("triples", lambda folder: write_triples(made, folder))
    if source.pages is not None:
        pages = source.pages
        writer.write_shards("pages", lambda folder: write_pages(pages, folder))
        source = dataclasses.replace(source, rejects=pa.Table.from_pylist(pages.rejects, TABLES["rejects"].schema))
    for name, rows in (("examples", source.examples), ("rejects", source.rejects)):
        if rows is not None and rows.num_rows:
            writer.write(name, lambda rows=rows, name=name: _sorted(name, rows))
    writer.publish()
    return writer.entries


def _sorted(name: str, rows: pa.Table) -> pa.Table:
    table = TABLES[name]
    return rows.sort_by([(column, "ascending") for column in table.sort_by]).cast(table.schema)


def _describe(config: Import, source: Source, made: Imported) -> dict[str, Any]:
    """The manifest, without tables and digest."""
    counts = source.ledger.counts
    stages = {name: {"in": count.lines, "out": {count.what: count.out}} for name, count in counts.items()}
    drops = {name: dict(count.drops) for name, count in counts.items()}
    if made.stage["in"]:
        stages["graph"], drops["graph"] = made.stage, made.drops
    by_stage = {name: {reason: n for reason, n in sorted(reasons.items()) if n} for name, reasons in drops.items()}
    digests = {path: sinks.file_digest(path) for path in {file.path for file in source.ledger.files.values()}}
    inputs = [
        {
            "role": role.split(" ")[0],
            "name": str(file.path.name) + (f":{file.member}" if file.member else ""),
            "bytes": file.path.stat().st_size,
            "sha256": digests[file.path],
        }
        for role, file in sorted(source.ledger.files.items())
    ]
    return {
        "wikiloom": __version__,
        "format": config.format,
        "licence": source.licence,
        "language": source.language,
        "inputs": inputs,
        "parameters": config.parameters,
        "stages": stages,
        "drops": {name: reasons for name, reasons in sorted(by_stage.items()) if reasons},
        "graph": made.document,
    }


def _require_no_other(config: Import) -> None:
    """DataError where --out holds a dataset that is no import of this format: it would be lost."""
    if not (config.out / "manifest.json").is_file():
        return
    found = read_manifest(config.out).rest.get("format", "a build")
    if found != config.format:
        raise DataError(f"{config.out} holds another dataset ({found}). Give --out a new folder.")
