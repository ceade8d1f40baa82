"""OpenKE's files: names beside numbers, and triples of these numbers, each file behind a line with its count."""

import re
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.importing.source import Ledger
from pipelines.sources.published import File
from pipelines.sources.tab_files import Count, Rows, read_rows
from schemas.errors import DataError

I64 = npt.NDArray[np.int64]


def read_ids(file: File, ledger: Ledger) -> pa.Array:
    """The names of entity2id.txt or relation2id.txt, by their numbers."""
    expected = "name TAB number"
    numbers, names, total = [], [], 0
    for rows, size in _counted(file, ledger.open(file, "ids", "ids"), expected, columns=2):
        own = _numbers(rows, 1, size, expected)
        numbers.append(own)
        names.append(rows.column(0))
        total = size
    order = np.argsort(np.concatenate([np.empty(0, np.int64), *numbers]), kind="stable")
    if len(np.unique(np.concatenate([np.empty(0, np.int64), *numbers]))) < total:
        raise DataError(f"{file}: expected each number from 0 to {total - 1:,} once; some stand there twice.")
    return pa.concat_arrays(names).take(pa.array(order)) if names else pa.array([], pa.string())


def read_id_facts(
    file: File, count: Count, entities: pa.Array, relations: pa.Array
) -> Iterator[tuple[pa.Array, pa.Array, pa.Array]]:
    """(heads, relations, tails) by name, block by block, from lines "head tail relation" of numbers."""
    expected = f"numbers of head, tail (below {len(entities):,}) and relation (below {len(relations):,})"
    for rows, _ in _counted(file, count, expected, columns=3):
        heads, tails = (_numbers(rows, column, len(entities), expected) for column in (0, 1))
        of = _numbers(rows, 2, len(relations), expected)
        yield entities.take(pa.array(heads)), relations.take(pa.array(of)), entities.take(pa.array(tails))


def _counted(file: File, count: Count, expected: str, *, columns: int) -> Iterator[tuple[Rows, int]]:
    """(rows, what the first line says their number is), the first line left out; DataError where it is wrong."""
    size, found = -1, 0
    for rows in read_rows(file, count, spaces=columns == 3):
        if size < 0 and len(rows.counts):
            size, rows = _size(rows, expected), rows.slice(1)
            count.drops["count_line"] += 1
        rows.refuse(rows.counts != columns, expected)
        found += len(rows.counts)
        yield rows, size
    if found != size:
        said = f"{size:,} in its first line" if size >= 0 else "a count in its first line"
        raise DataError(f"{file}: expected {said}, found {found:,} lines behind it. Fetch it again.")


def _size(rows: Rows, expected: str) -> int:
    first = rows.column(0)[0].as_py()
    is_count = rows.counts[0] == 1 and re.fullmatch("[0-9]{1,9}", first) is not None
    rows.refuse(np.arange(len(rows.counts)) == (-1 if is_count else 0), "a count")
    return int(first)


def _numbers(rows: Rows, column: int, below: int, expected: str) -> I64:
    texts = rows.column(column)
    whole = pc.match_substring_regex(texts, "^[0-9]{1,9}$").to_numpy(zero_copy_only=False)
    rows.refuse(~whole, expected)
    numbers = texts.cast(pa.int64()).to_numpy()
    rows.refuse(numbers >= below, expected)
    return numbers
