"""Names of entities and relations by index and back."""

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.columns import I64
from schemas.dataset import Dataset
from schemas.hashing import hash_strings

HASHED_ROWS = 100_000
ITEM = "^[QP][1-9][0-9]{0,17}$"
"""Names of Wikidata's, with numbers that fit 64 bits."""


class Names:
    """Names by index and back. Exact: a hash only says where to look."""

    def __init__(self, names: pa.ChunkedArray) -> None:
        self._names = names.cast(pa.large_string()).combine_chunks()
        self._hashes, self._order = np.empty(0, np.uint64), np.empty(0, np.int64)
        if len(self._names):
            pieces = range(0, len(self._names), HASHED_ROWS)
            hashes = np.concatenate([hash_strings(self._names[i : i + HASHED_ROWS].to_pylist()) for i in pieces])
            self._order = np.argsort(hashes, kind="stable")
            self._hashes = hashes[self._order]

    def __len__(self) -> int:
        return len(self._names)

    def __getitem__(self, index: int | np.integer) -> str:
        return self._names[int(index)].as_py() if 0 <= index < len(self) else f"index {index}"

    def index(self, names: pa.Array) -> I64:
        """The index of each name, -1 for one that is not ours and for null."""
        encoded = names.dictionary_encode()
        distinct = encoded.dictionary.cast(pa.large_string())
        found = np.full(len(distinct) + 1, -1, np.int64)  # the last is null's
        if len(self) and len(distinct):
            places = np.searchsorted(self._hashes, hash_strings(distinct.to_pylist()))
            candidates = self._order[np.minimum(places, len(self) - 1)]
            same = pc.equal(self._names.take(pa.array(candidates)), distinct).to_numpy(zero_copy_only=False)
            found[:-1] = np.where(same, candidates, -1)
        return found[pc.fill_null(encoded.indices, len(distinct)).to_numpy(zero_copy_only=False)]

    def at(self, indices: I64) -> pa.Array:
        """The name at each index; all must be ours."""
        return self._names.take(pa.array(indices))

    def stable_ids(self) -> npt.NDArray[np.uint64]:
        """xxh3_64 of each name, shape (N,): what is drawn by hash depends on names alone."""
        hashes = np.empty(len(self), np.uint64)
        hashes[self._order] = self._hashes
        return hashes

    def repeated(self) -> list[str]:
        """Names that several indices have (or, once in 2^64, that share a hash)."""
        again = np.flatnonzero(self._hashes[1:] == self._hashes[:-1])
        return [self[int(self._order[place])] for place in again]


def name_order(names: pa.Array) -> I64:
    """The order of names whose frequency is equal: by the number of a Q or P name, before all others by their UTF-8."""
    is_item = pc.match_substring_regex(names, ITEM).to_numpy(zero_copy_only=False)
    numbers = np.zeros(len(names), np.int64)
    items = names.filter(pa.array(is_item))
    numbers[is_item] = pc.utf8_slice_codeunits(items, 1, None).cast(pa.int64()).to_numpy()
    bytes_rank = np.empty(len(names), np.int64)
    bytes_rank[pc.sort_indices(names.cast(pa.binary()))] = np.arange(len(names))
    return np.lexsort((bytes_rank, numbers, ~is_item))


def read_names(dataset: Dataset) -> tuple[Names, Names]:
    """Those of entities and of relations."""
    tables = {"entities": "entity", "relations": "relation"}
    entities, relations = (Names(dataset.read(name, columns=[column])[column]) for name, column in tables.items())
    return entities, relations
