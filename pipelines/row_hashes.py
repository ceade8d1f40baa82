"""One 64-bit number for each row of a table, made column by column: rows that say the same have the same number.

Indices of entities and relations count as the names that they stand for, so that rows of two datasets which number
them differently can be compared. Two rows that differ share a number once in 2^64.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.scan import scan
from schemas.dataset import Dataset
from schemas.hashing import hash_string, hash_strings

U64 = npt.NDArray[np.uint64]
_NULL = np.uint64(0x9E3779B97F4A7C15)


@dataclasses.dataclass(frozen=True)
class NameHashes:
    """Hashes of the names of a dataset's entities and relations, by index."""

    entities: U64
    relations: U64

    @classmethod
    def read(cls, dataset: Dataset) -> "NameHashes":
        """One pass over two columns."""
        return cls(*(_column_of(dataset, *pair) for pair in (("entities", "entity"), ("relations", "relation"))))

    def of(self, field: str) -> U64 | None:
        """The hashes that an index field points into; None for a field that holds something else."""
        return self.relations if field == "relation_index" else self.entities if field.endswith("_index") else None


def row_hashes(rows: pa.Table, columns: Sequence[str], names: NameHashes) -> U64:
    """A hash of these columns, shape (rows,)."""
    total = np.zeros(rows.num_rows, np.uint64)
    for name in columns:
        field = rows.schema.field(name)
        array = rows[name].combine_chunks()
        total = mix(total + _hashes(field, array, names) + np.uint64(hash_string(name)))
    return total


def mix(values: U64) -> U64:
    """The finalizer of splitmix64 (Steele et al., OOPSLA 2014): every bit of the result depends on every bit."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def _hashes(field: pa.Field, array: pa.Array, names: NameHashes) -> U64:
    kind = field.type
    if array.null_count:
        found = np.full(len(array), _NULL)
        found[array.is_valid().to_numpy(zero_copy_only=False)] = _hashes(field, array.drop_null(), names)
        return found
    if pa.types.is_list(kind):
        return _list_hashes(array, names)
    if pa.types.is_struct(kind):
        total = np.zeros(len(array), np.uint64)
        for child, values in zip(kind, array.flatten(), strict=True):
            total = mix(total + _hashes(child, values, names) + np.uint64(1))
        return total
    if pa.types.is_string(kind):
        return hash_strings(array.to_pylist())
    numbers = (
        (array.cast(pa.int64()) if not pa.types.is_boolean(kind) else array.cast(pa.uint8()))
        .to_numpy()
        .astype(np.int64)
    )
    known = names.of(field.name)
    if known is not None and len(numbers) and numbers.min() >= 0 and numbers.max() < len(known):
        return known[numbers]
    return mix(numbers.view(np.uint64) + _NULL)


def _list_hashes(array: pa.Array, names: NameHashes) -> U64:
    """The sum over the elements, each mixed with its place; and the length."""
    parents = pc.list_parent_indices(array).to_numpy(zero_copy_only=False).astype(np.int64)
    lengths = np.bincount(parents, minlength=len(array))
    place = np.arange(len(parents)) - (np.cumsum(lengths) - lengths)[parents]
    elements = mix(_hashes(array.type.value_field, array.flatten(), names) + mix(place.astype(np.uint64)))
    total = mix(lengths.astype(np.uint64))
    np.add.at(total, parents, elements)
    return mix(total)


def _column_of(dataset: Dataset, table: str, column: str) -> U64:
    pieces = [hash_strings(rows[column].to_pylist()) for rows in scan(dataset, table, [column])]
    return np.concatenate([np.empty(0, np.uint64), *pieces])
