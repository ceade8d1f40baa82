"""`validate` on a dataset whose manifest or footers say anything."""

import json
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines import sinks
from pipelines.validate import validate
from schemas.errors import DataError
from tests.end_to_end.reliability.fuzz_wikidata import VALUES, Record, changed, paths_of
from tests.end_to_end.reliability.mutations import draws, mutated, tolerant
from tests.end_to_end.reliability.outcome import MAX_FAILURES, Outcome
from tests.made_datasets import REST, ROWS, write_dataset

ABOUT = (
    "a small dataset of every table with up to three nodes of its manifest dropped, doubled, retyped, replaced, "
    "renamed, wrapped or swapped, the manifest changed as bytes, or the footer of a shard changed: validate reports or "
    "refuses it, and raises no other exception"
)
COUNT = 5_000

GRAPH = {
    "split": {"triples": {"train": 3, "valid": 2}, "published": False},
    "excluded_triples": {"removed": 0},
    "self_triples": 0,
    "inductive_split": {"triples": {"train": 5}, "entities": {"train": 6}},
    "wk_graphs": {"split_column": "split", "texts": "pages"},
}
PARAMETERS = {"keep": "all", "seed": 3, "valid_pages": 0.2, "test_pages": 0.1, "max_dropped": 0.05, "neighbors": 15}
TOKENS = [*'{}[],:"\\09.- ', "null", "true", "NaN", "1e999", "\\u0000", "\\ud83d", "../", "/", "[" * 2_000, "9" * 5_000]
OTHER_BYTES = (b"", b"\xff", b"\0", b"[", b"[" * 3_000, b"2", b"9" * 5_000, b"null", b'{"a":1}', b"entities")
_OTHER_TYPES = (pa.string(), pa.int32(), pa.float64(), pa.list_(pa.string()), pa.null())


def run(count: int, seed: int) -> Outcome:
    """Change, validate and mend the dataset `count` times."""
    failures: list[str] = []
    tried = 0
    begun = time.process_time()
    with tempfile.TemporaryDirectory() as parent:
        folder = write_dataset(Path(parent, "made"), ROWS, {**REST, "parameters": PARAMETERS, "graph": GRAPH})
        text = (folder / "manifest.json").read_text(encoding="utf-8")
        document = json.loads(text)
        record = Record(document, [path for path in paths_of(document) if path])
        for number, words in draws(seed, "fuzz_validate", count, 5):
            tried += 1
            if fault := tolerant(_change_and_check, folder, record, words):
                failures.append(f"seed {seed}, number {number}: {fault}")
            if len(failures) == MAX_FAILURES:
                break
    return Outcome(tried, failures, {"datasets a CPU second": round(tried / max(time.process_time() - begun, 1e-9), 1)})


def _change_and_check(folder: Path, record: Record, words: Sequence[int]) -> str | None:
    shard, before = None, b""
    if words[0] & 3 == 3:
        shard = shards(record)[(words[0] >> 8) % len(shards(record))]
        before = (folder / shard["path"]).read_bytes()
    try:
        what = change_footer(folder, record, shard, words[1]) if shard else change_manifest(folder, record, words)
        fault = tolerant(check, folder)
    finally:
        if shard:
            (folder / shard["path"]).write_bytes(before)
    return f"{fault}: {what}" if fault else None


def check(folder: Path) -> str | None:
    """What is wrong with how a dataset is validated."""
    try:
        lines = list(validate(folder))
    except DataError as error:
        lines = [str(error)]
    return next((f"not one line: {line!r}" for line in lines if not line), None)


def change_manifest(folder: Path, record: Record, words: Sequence[int]) -> str:
    """Write the manifest with one to three changes; returns it."""
    document: Any = record.document
    text = json.dumps(document)
    if words[0] & 7 == 0:
        text = mutated(text, words[1], TOKENS, text)
    else:
        # Every second change is beside the tables, so that the rows are checked, too.
        paths = [path for path in record.paths if path[0] != "tables"] if words[0] & 8 else record.paths
        for word in words[1 : 2 + (words[0] >> 4) % 3]:
            document = changed(document, paths[(word >> 4) % len(paths)], word, record)
        text = json.dumps(document)
    (folder / "manifest.json").write_text(text, encoding="utf-8", errors="surrogatepass")
    return text if len(text) < 1_000 else _difference(record.document, document)


def change_footer(folder: Path, record: Record, shard: dict[str, Any], bits: int) -> str:
    """Write a shard with another footer, and a manifest that has its checksum; returns what was changed."""
    path = folder / shard["path"]
    rows = pq.read_table(path, partitioning=None)
    column, kind = (bits >> 8) % rows.num_columns, bits & 7
    metadata = dict(rows.schema.metadata)
    if kind < 4:
        key = sorted(metadata)[(bits >> 8) % len(metadata)]
        value = OTHER_BYTES[(bits >> 16) % len(OTHER_BYTES)]
        rows, what = rows.replace_schema_metadata({**metadata, key: value}), f"{key!r} is {value[:20]!r}"
    elif kind == 4:
        rows, what = rows.drop_columns([rows.column_names[column]]), f"no column {column}"
    elif kind == 5:
        names = [*rows.column_names]
        names[column] = str(VALUES[(bits >> 16) % len(VALUES)])
        rows, what = rows.rename_columns(names), f"column {column} is {names[column]!r}"
    elif kind == 6:
        empty = pa.nulls(rows.num_rows, _OTHER_TYPES[(bits >> 16) % len(_OTHER_TYPES)])
        rows, what = rows.set_column(column, rows.column_names[column], empty), f"column {column} is {empty.type}"
    else:
        field = rows.schema.field(column)
        fields = rows.schema.set(column, field.with_nullable(rows.column(column).null_count > 0 or not field.nullable))
        rows, what = pa.Table.from_arrays(rows.columns, schema=fields), f"column {column} nullable or not"
    pq.write_table(rows, path)
    fresh = {**shard, "bytes": path.stat().st_size, "sha256": sinks.file_digest(path)}
    text = json.dumps(record.document).replace(json.dumps(shard), json.dumps(fresh))
    (folder / "manifest.json").write_text(text, encoding="utf-8")
    return f"{shard['path']}: {what}"


def shards(record: Record) -> list[dict[str, Any]]:
    """All shards that the unchanged manifest lists."""
    return [shard for entry in record.document["tables"].values() for shard in entry["shards"]]


def _difference(before: dict[str, Any], after: Any) -> str:
    """The keys of the manifest that differ, with what they are now."""
    if not isinstance(after, dict):
        return repr(after)[:500]
    changes = {key: after.get(key, "(nothing)") for key in {**before, **after} if before.get(key) != after.get(key)}
    return f"{changes}"[:2_000]
