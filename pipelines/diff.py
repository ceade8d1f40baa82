"""wikiloom diff: what is different in two datasets, from the manifest down to the rows.

Rows are found by their key and compared by a hash, 16 bytes a row and side at a time for at most PART_ROWS of them.
"""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipelines.row_hashes import NameHashes, row_hashes
from pipelines.scan import count_rows, groups, read_group, scan
from schemas.dataset import Dataset
from schemas.origin import inputs

U64 = npt.NDArray[np.uint64]
KEYS = {
    "entities": ["entity"],
    "relations": ["relation"],
    "triples": ["head", "relation", "tail", "label"],
    "pages": ["page_id"],
    "redirects": ["title"],
    "anchors": ["surface", "entity_index"],
    "wk_graphs": ["graph_id"],
    "examples": ["task", "example_id"],
    "rejects": ["stage", "key", "reason", "detail"],
}
"""What a row is known by in both datasets."""
PART_ROWS = 2**25
EXAMPLES = 3
MEASURED = ("cpu_seconds", "peak_memory_mb")
"""Of the manifest's stages: figures of the machine, not of the data."""


@dataclasses.dataclass(frozen=True)
class Side:
    """One of the two datasets."""

    dataset: Dataset
    names: NameHashes

    def keys(self, rows: pa.Table, table: str) -> U64:
        """Hashes of the rows' keys."""
        return row_hashes(rows, KEYS[table], self.names)


@dataclasses.dataclass(frozen=True)
class Changes:
    """Hashes of the keys of the rows that differ."""

    only_a: U64
    only_b: U64
    changed: U64


def diff(a: Path, b: Path) -> Iterator[str]:
    """Yield a line for each difference; nothing where two datasets are equal but for what their files say of the build.

    DataError where one of them is no dataset.
    """
    one, other = Dataset(a), Dataset(b)
    yield from manifest_differences(one, other)
    if one.digest == other.digest:
        return
    sides = Side(one, NameHashes.read(one)), Side(other, NameHashes.read(other))
    for table in KEYS:
        yield from _table_differences(table, *sides)


def manifest_differences(a: Dataset, b: Dataset) -> Iterator[str]:
    """Version, language, inputs, parameters, counts of the stages and drops, as "name: in a -> in b"."""
    one, other = (_flat(_said(dataset)) for dataset in (a, b))
    for name in sorted({*one, *other}):
        if one.get(name) != other.get(name):
            yield f"{name}: {one.get(name, 'none')} -> {other.get(name, 'none')}"


def _said(dataset: Dataset) -> dict[str, Any]:
    files = {
        f"{file.get('role')} {file.get('name')}": f"{file.get('bytes')} bytes, sha256 {str(file.get('sha256'))[:16]}"
        for file in inputs(dataset.manifest)
    }
    return {name: value for name, value in dataset.manifest.rest.items() if name != "key"} | {"inputs": files}


def _flat(document: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """{"drops.graph.excluded": 3} of nested mappings."""
    flat = {}
    for name, value in document.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{name}.")
        elif name not in MEASURED:
            flat[prefix + name] = value
    return flat


def _table_differences(table: str, a: Side, b: Side) -> Iterator[str]:
    entries = [side.dataset.manifest.tables.get(table) for side in (a, b)]
    if entries[0] is None or entries[1] is None:
        if entries[0] is not entries[1]:
            yield f"table {table}: only in {'A' if entries[0] else 'B'}"
        return
    versions = [entry.schema_version for entry in entries]
    if versions[0] != versions[1]:
        yield f"table {table}: schema version {versions[0]} -> {versions[1]}; rows are not compared"
        return
    if entries[0].digest == entries[1].digest:
        return
    changes = find_changes(table, a, b)
    counts = len(changes.only_a), len(changes.only_b), len(changes.changed)
    yield (
        f"table {table}: {entries[0].rows:,} rows -> {entries[1].rows:,} rows, digest {entries[0].digest[:8]} -> "
        f"{entries[1].digest[:8]}: {counts[0]:,} only in A, {counts[1]:,} only in B, {counts[2]:,} changed"
    )
    if not any(counts):
        yield f"  {table}: the same rows, in another order or numbering"
    for column, count in _changed_columns(table, changes.changed, a, b):
        yield f"  {table}.{column}: {count:,} changed"
    yield from _examples(table, changes, a, b)


def find_changes(table: str, a: Side, b: Side) -> Changes:
    """Compare all rows of a table, a part of the keys at a time."""
    columns = [name for name in a.dataset.table(table).schema.names if name in KEYS[table] or _compared(table, name)]
    parts = max(1, -(-max(count_rows(side.dataset, table) for side in (a, b)) // PART_ROWS))
    found = [_compare(*(_read_hashes(table, columns, side, part, parts) for side in (a, b))) for part in range(parts)]
    return Changes(
        *(np.concatenate([getattr(one, field.name) for one in found]) for field in dataclasses.fields(Changes))
    )


def _read_hashes(table: str, columns: Sequence[str], side: Side, part: int, parts: int) -> tuple[U64, U64]:
    """(keys, rows) as hashes, sorted by key, of the keys that fall to this part.

    Equal rows of `rejects`, the one table that may have them, are told apart by their number.
    """
    pieces = [(np.empty(0, np.uint64), np.empty(0, np.uint64))]
    for rows in scan(side.dataset, table, columns):
        keys = side.keys(rows, table)
        own = keys % np.uint64(parts) == part
        pieces.append((keys[own], row_hashes(rows, columns, side.names)[own]))
    keys, hashes = (np.concatenate(column) for column in zip(*pieces, strict=True))
    order = np.lexsort((hashes, keys))
    keys, hashes = keys[order], hashes[order]
    first = np.searchsorted(keys, keys)
    return keys + (np.arange(len(keys)) - first).astype(np.uint64), hashes


def _compare(a: tuple[U64, U64], b: tuple[U64, U64]) -> Changes:
    both, rows_a, rows_b = np.intersect1d(a[0], b[0], assume_unique=True, return_indices=True)
    changed = both[a[1][rows_a] != b[1][rows_b]]
    return Changes(np.setdiff1d(a[0], b[0], assume_unique=True), np.setdiff1d(b[0], a[0], assume_unique=True), changed)


def _changed_columns(table: str, changed: U64, a: Side, b: Side) -> Iterator[tuple[str, int]]:
    """(column, in how many of the changed rows it differs)."""
    changed = np.sort(changed)
    for column in a.dataset.table(table).schema.names:
        if not _compared(table, column) or not len(changed):
            continue
        values = [np.zeros(len(changed), np.uint64) for _ in (a, b)]
        for side, of_side in zip((a, b), values, strict=True):
            for rows in scan(side.dataset, table, [*KEYS[table], column]):
                keys = side.keys(rows, table)
                own = np.isin(keys, changed)
                of_side[np.searchsorted(changed, keys[own])] = row_hashes(rows, [column], side.names)[own]
        count = int((values[0] != values[1]).sum())
        if count:
            yield column, count


def _examples(table: str, changes: Changes, a: Side, b: Side) -> Iterator[str]:
    for what, keys, side in (("A", changes.only_a, a), ("B", changes.only_b, b)):
        for row in _rows_of(table, np.sort(keys)[:EXAMPLES], side).values():
            yield f"  {table}, only in {what}: {_key(table, row, side)}"
    wanted = np.sort(changes.changed)[:EXAMPLES]
    before, after = (_rows_of(table, wanted, side) for side in (a, b))
    for key, row in before.items():
        other = after[key]
        different = [name for name in row.column_names if _compared(table, name) and _differ(row, other, name, a, b)]
        said = "; ".join(f"{name} {_short(row, name)} -> {_short(other, name)}" for name in different)
        yield f"  {table}, changed: {_key(table, row, a)}: {said}"


def _compared(table: str, column: str) -> bool:
    """Is the column one that says something about the row? Its key and a number that follows from it do not."""
    return column not in KEYS[table] and not column.endswith("_index")


def _differ(row: pa.Table, other: pa.Table, column: str, a: Side, b: Side) -> bool:
    return bool(row_hashes(row, [column], a.names)[0] != row_hashes(other, [column], b.names)[0])


def _rows_of(table: str, wanted: U64, side: Side) -> dict[int, pa.Table]:
    """Key hash -> row, a table of one, for these keys."""
    found: dict[int, pa.Table] = {}
    for path, group, _ in groups(side.dataset, table) if len(wanted) else ():
        keys = side.keys(read_group(path, group, KEYS[table]), table)
        places = np.flatnonzero(np.isin(keys, wanted))
        if len(places):
            rows = read_group(path, group, None)
            found |= {int(keys[place]): rows.slice(place, 1) for place in places}
    return found


def _key(table: str, row: pa.Table, side: Side) -> str:
    """The row's key in words, an entity by its name."""
    words = []
    for name in KEYS[table]:
        if name == "entity_index":
            words.append(_entity(side.dataset, row[name][0].as_py()))
        elif name != "label":
            words.append(_short(row, name))
    return ", ".join(words)


def _entity(dataset: Dataset, index: int) -> str:
    start = 0
    for path, group, size in groups(dataset, "entities"):
        if index < start + size:
            return str(read_group(path, group, ["entity"])["entity"][index - start])
        start += size
    return f"index {index}"


def _short(row: pa.Table, column: str) -> str:
    value = row[column][0].as_py()
    if isinstance(value, list):
        return f"{len(value)} elements"
    text = " ".join(str(value).split())
    return text if len(text) <= 60 else f"{text[:57]}..."
