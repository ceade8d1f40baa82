"""What the tables of a dataset must agree on: names by index, and counts made again from the rows themselves."""

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.columns import I64
from schemas.dataset import Dataset
from schemas.hashing import hash_strings

SIDES = ("train", "valid", "test", "none")
"""entities.inductive_split, by the code that it has in memory."""
HASHED_ROWS = 100_000


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

    def repeated(self) -> list[str]:
        """Names that several indices have (or, once in 2^64, that share a hash)."""
        again = np.flatnonzero(self._hashes[1:] == self._hashes[:-1])
        return [self[int(self._order[place])] for place in again]


class Known:
    """Names of entities and relations, and what the rows of other tables say of them; arrays of shape (E,) and (R,)."""

    def __init__(self, dataset: Dataset) -> None:
        self.dataset = dataset
        table = dataset.read("entities", columns=["entity", "inductive_split"])
        self.entities = Names(table["entity"])
        self.relations = Names(dataset.read("relations", columns=["relation"])["relation"])
        codes = pc.index_in(table["inductive_split"], value_set=pa.array(SIDES))
        self.sides: npt.NDArray[np.int8] = pc.fill_null(codes, -1).to_numpy().astype(np.int8)
        self.counted = {
            name: np.zeros(len(self.entities), np.int64)
            for name in ("mention_count", "in_degree", "out_degree", "graph_count")
        }
        self.counted_relations = {
            name: np.zeros(len(self.relations), np.int64) for name in ("frequency", "graph_count")
        }
        self.surfaces = np.zeros(len(self.entities), np.uint64)
        """For each entity the sum, modulo 2^64, of the hashes of the texts of train links to it."""

    def fact(self, head: int | np.integer, relation: int | np.integer, tail: int | np.integer) -> str:
        """A fact by its names."""
        return f"({self.entities[head]}, {self.relations[relation]}, {self.entities[tail]})"


def add_at(counts: npt.NDArray[np.int64], indices: I64) -> None:
    """Count each of the indices that lies within; others are told of where they are checked."""
    inside = indices[(indices >= 0) & (indices < len(counts))]
    np.add.at(counts, inside, 1)
