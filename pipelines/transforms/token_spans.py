"""Which tokens of a text are those of a stretch of its characters, and which entity an id is."""

import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipelines.records import save_array
from pipelines.tokenizer import Encoded
from schemas.hashing import hash_strings

I64 = npt.NDArray[np.int64]


@dataclasses.dataclass(frozen=True)
class EntityPlaces:
    """The rows of a dataset's entities by the hashes of their ids; E entities."""

    hashes: npt.NDArray[np.uint64]
    """Ascending, shape (E,)."""
    rows: npt.NDArray[np.int32]
    """entity_index of each."""

    @staticmethod
    def save(entities: pa.ChunkedArray, folder: Path) -> None:
        """Write the folder, whole or not at all, for workers that map it into their memory."""
        hashes = hash_strings(entities.to_pylist())
        order = np.argsort(hashes, kind="stable")
        temporary = folder.with_name(f".{folder.name}.tmp")
        temporary.mkdir(parents=True, exist_ok=True)
        save_array(temporary / "hashes.npy", hashes[order])
        save_array(temporary / "rows.npy", order.astype(np.int32))
        os.replace(temporary, folder)

    @classmethod
    def open(cls, folder: Path) -> "EntityPlaces":
        """What `save` wrote."""
        hashes, rows = (np.load(folder / f"{name}.npy", mmap_mode="r") for name in ("hashes", "rows"))
        return cls(hashes, rows)

    def find(self, entities: pa.Array) -> I64:
        """entity_index of each id; -1 for null and for what is no entity of the dataset."""
        codes = entities.dictionary_encode()
        wanted = hash_strings(codes.dictionary.to_pylist())
        places = np.minimum(np.searchsorted(self.hashes, wanted), max(0, len(self.hashes) - 1))
        known = self.hashes[places] == wanted if len(self.hashes) else np.zeros(len(wanted), bool)
        found = np.append(np.where(known, self.rows[places], -1) if len(self.hashes) else np.full(len(wanted), -1), -1)
        return found[codes.indices.fill_null(len(wanted)).to_numpy(zero_copy_only=False)].astype(np.int64)


def token_spans(texts: Sequence[str], encoded: Encoded, rows: I64, starts: I64, ends: I64) -> I64:
    """[start, end) in its text's tokens of each stretch of characters, shape (M, 2): every token that has one of them.

    `rows` says of which text each is. An empty span where there is no token.
    """
    sizes = np.fromiter(map(len, texts), np.int64, len(texts))
    first = np.append(0, np.cumsum(sizes + 1))  # a separator apart, so that no place belongs to two texts
    token_first = np.append(0, np.cumsum(encoded.lengths))
    # Where a normalizer reorders characters, a token may begin before the one before it.
    begun, done = (np.maximum.accumulate(side + first[encoded.rows]) for side in encoded.offsets.T)
    begin = np.searchsorted(done, starts + first[rows], side="right")
    end = np.searchsorted(begun, ends + first[rows], side="left")
    return np.stack([begin, np.maximum(begin, end)], axis=-1) - token_first[rows][:, None]


def apart(rows: I64, spans: I64) -> npt.NDArray[np.bool_]:
    """Which spans have tokens, none of them in a span before it in its text; `rows` ascend, spans are in text order."""
    fine = spans[:, 0] < spans[:, 1]
    before = np.append(-1, spans[:-1, 1])[: len(spans)]
    return fine & ((np.append(-1, rows[:-1])[: len(rows)] != rows) | (before <= spans[:, 0]))
