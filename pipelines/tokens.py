"""A dataset -> token ids beside it, tokens/NAME, by Beam: ranges of rows -> runs -> Parquet and a manifest.

The dataset itself, and so its digest, stays as it is. A killed run goes on at the first range without a marker.
"""

import dataclasses
import importlib.metadata
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pipelines import sinks
from pipelines.keys import key_of, work_key
from pipelines.records import read_json, remove_unfinished, whole_file
from pipelines.runner import run_jobs
from pipelines.tables import TableWriter
from pipelines.tokenizer import Encoder, TokenizerFile, read_tokenizer
from pipelines.transforms.token_spans import EntityPlaces
from pipelines.transforms.tokenize import TokenizeJob, TokenRules, tokenize_range
from pipelines.work import keep_only, locked
from schemas.check import require_schema
from schemas.dataset import Dataset
from schemas.digest import dataset_digest
from schemas.errors import DataError
from schemas.manifest import Manifest, read_manifest
from schemas.tables import TOKEN_TABLES
from wikiloom import __version__


@dataclasses.dataclass(frozen=True, kw_only=True)
class TokenOptions:
    """How tokens are made; only max_length leaves a trace in them."""

    max_length: int
    """Tokens of an entity's or a relation's text, at most."""
    range_bytes: int
    """Of a table, uncompressed, that one worker reads at a time."""
    threads: bool
    """Let one worker use all cores."""
    beam: Any
    """Beam's options."""


def tokenize_dataset(dataset: Dataset, tokenizer: str, name: str, options: TokenOptions) -> Manifest:
    """Write DATASET/tokens/NAME, unless it is there already; its manifest.

    Raises DataError where there is no tokenizer of a masked language model, or where NAME is somebody's link.
    """
    file = read_tokenizer(tokenizer)
    encoder = Encoder(tokenizer, file.data)
    out = dataset.folder.absolute() / "tokens" / name
    if out.is_symlink() or out.parent.is_symlink():
        raise DataError(f"{out} is a symbolic link: tokens are written inside the dataset only. Remove the link.")
    parameters = {"max_length": options.max_length}
    tables = {table: definition.version for table, definition in TOKEN_TABLES.items()}
    key = key_of("tokens", dataset.digest, file.digest, parameters, _versions(), tables)
    if (manifest := _finished(out, key)) is not None:
        return manifest
    work = out / ".build"
    with locked(work):
        jobs = _jobs(dataset, work, key, file, options)
        run_jobs("tokenize", jobs, tokenize_range, options.beam)
        writer = TableWriter(work / "tables", out, _table_keys(key), 0, options.beam, definitions=TOKEN_TABLES)
        writer.merge({table: _runs(jobs, table) for table in TOKEN_TABLES})
        writer.publish()
        _write_tokenizer(file, out)
        rest = {
            "dataset": dataset.digest,
            "name": name,
            "tokenizer_name": file.name,
            "tokenizer": file.digest,
            "vocab_size": encoder.vocab_size,
            "special": encoder.special,
            "parameters": parameters,
            "key": key,
        }
        manifest = _manifest(writer, rest | _counts(jobs))
        remove_unfinished(out)
        manifest.save(out)
        shutil.rmtree(work)
    return manifest


def plan_row_groups(path: Path, sizes: Sequence[int], range_bytes: int) -> Iterator[tuple[Path, int, int]]:
    """Row groups of a shard -> (shard, first, end) of about so many bytes each."""
    first = taken = 0
    for group, size in enumerate(sizes):
        if taken and taken + size > range_bytes:
            yield path, first, group
            first, taken = group, 0
        taken += size
    if first < len(sizes):
        yield path, first, len(sizes)


def _versions() -> dict[str, str]:
    return {"tokenizers": importlib.metadata.version("tokenizers")}


def _finished(out: Path, key: str) -> Manifest | None:
    """The manifest of tokens that were made of the same things, if their files are there."""
    if not (out / "manifest.json").is_file():
        return None
    try:
        manifest = read_manifest(out)
    except DataError:
        return None  # it is written anew
    shards = [shard for entry in manifest.tables.values() for shard in entry.shards]
    whole = all((path := out / s.path).is_file() and path.stat().st_size == s.bytes for s in shards)
    json = out / "tokenizer.json"
    kept = json.is_file() and sinks.file_digest(json) == manifest.rest.get("tokenizer")
    return manifest if manifest.rest.get("key") == key and whole and kept else None


def _manifest(writer: TableWriter, rest: dict[str, Any]) -> Manifest:
    digest = dataset_digest((table, entry.digest) for table, entry in writer.entries.items())
    rest = {"wikiloom": __version__, "versions": _versions(), **rest}
    return Manifest(digest=digest, tables=writer.entries, rest=rest)


def _table_keys(key: str) -> dict[str, str]:
    return {f"table {name}": work_key(name, key) for name in TOKEN_TABLES}


def _jobs(dataset: Dataset, work: Path, key: str, file: TokenizerFile, options: TokenOptions) -> list[TokenizeJob]:
    ranges = work / "ranges"
    planned = [(name, *piece) for name in TOKEN_TABLES for piece in _plan(dataset, name, options.range_bytes)]
    names = [key_of(name, piece.name, first, end)[:16] for name, piece, first, end in planned]
    keep_only(ranges, work_key(key))
    path = ranges / "tokenizer.json"
    if not path.is_file():
        with whole_file(path) as temporary:
            temporary.write_bytes(file.data)
    places = ranges / "entities"
    if not places.is_dir():
        EntityPlaces.save(dataset.read("entities", columns=["entity"])["entity"], places)
    rules = TokenRules(path, file.digest, options.max_length, options.threads, places)
    return [TokenizeJob(*piece, rules, ranges / folder) for piece, folder in zip(planned, names, strict=True)]


def _plan(dataset: Dataset, name: str, range_bytes: int) -> Iterator[tuple[Path, int, int]]:
    for shard in dataset.shards(name):
        path = dataset.folder.absolute() / shard.path
        metadata = require_schema(path, dataset.table(name))
        sizes = [metadata.row_group(group).total_byte_size for group in range(metadata.num_row_groups)]
        yield from plan_row_groups(path, sizes, range_bytes)


def _runs(jobs: Sequence[TokenizeJob], table: str) -> list[Path]:
    return [run for job in jobs if job.table == table for run in sinks.runs(job.folder, TOKEN_TABLES[table])]


def _write_tokenizer(file: TokenizerFile, out: Path) -> None:
    for name, data in (("tokenizer.json", file.data), ("tokenizer_config.json", file.config)):
        if data is not None:
            with whole_file(out / name) as temporary:
                temporary.write_bytes(data)


def _counts(jobs: Sequence[TokenizeJob]) -> dict[str, Any]:
    """Of each table the tokens encoded and written, what was noticed, and the drops by reason."""
    counts: dict[str, Counter[str]] = {name: Counter() for name in TOKEN_TABLES}
    drops: dict[str, Counter[str]] = {name: Counter() for name in TOKEN_TABLES}
    for job in jobs:
        document = read_json(job.marker)
        counts[job.table].update({"in": document["in"], "out": document["out"], **document["figures"]})
        drops[job.table].update(document["drops"])
    by_table = {name: {reason: n for reason, n in sorted(found.items()) if n} for name, found in drops.items()}
    return {
        "tokens": {name: dict(found) for name, found in counts.items()},
        "drops": {name: reasons for name, reasons in by_table.items() if reasons},
    }
