"""Plain text for masked language modelling: pages cut into blocks of equal length, masked afresh each epoch."""

import dataclasses

import numpy as np
import pyarrow as pa
from jaxtyping import Bool, Int64
from torch import Tensor

from schemas.hashing import below, random_u64
from training.data.batch import Ragged, offsets, pad_mask, ragged, tensor
from training.data.graphs import IGNORE
from training.data.groups import RowGroups
from training.data.masking import corrupted, draw
from training.data.special import SpecialTokens
from training.data.stream import Part


@dataclasses.dataclass(frozen=True)
class TextBatch:
    """Padded texts. B texts, S tokens of the longest; labels are IGNORE or a token id, (B, 0) for no prediction."""

    ids: Int64[Tensor, "B S"]
    real: Bool[Tensor, "B S"]
    labels: Int64[Tensor, "B L"]


class TextBlocks:
    """Blocks of `length` tokens (specials included) of texts: row groups of (text, place, ids).

    `key` is the column that identifies a text; a block is known by it and by its place in the text. All texts are read
    once at the start, to count their blocks.
    """

    schema = pa.schema([("text", pa.int64()), ("place", pa.int64()), ("ids", pa.list_(pa.int32()))])

    def __init__(self, texts: RowGroups, key: str, length: int) -> None:
        self._texts, self._key, self._own = texts, key, length - 2
        counts = [int(self._counts(texts.read(group)).sum()) for group in range(len(texts.sizes))]
        self.sizes: Int64[np.ndarray, " G"] = np.array(counts, dtype=np.int64)

    def read(self, group: int) -> pa.Table:
        """The blocks of one row group of texts."""
        rows = self._texts.read(group)
        texts, counts = ragged(rows["ids"]), self._counts(rows)
        text = np.repeat(np.arange(len(counts)), counts)
        place = (np.arange(len(text)) - (np.cumsum(counts) - counts)[text]) * self._own
        # Blocks lie end to end, as texts do.
        edges = np.append(texts.cu_seqlens[text] + place, len(texts.values)).astype(np.int32)
        keys = rows[self._key].to_numpy().astype(np.int64)[text]
        return pa.table([keys, place, pa.ListArray.from_arrays(edges, texts.values)], schema=self.schema)

    def name(self, group: int) -> str:
        """As the texts' row group's."""
        return self._texts.name(group)

    def _counts(self, rows: pa.Table) -> Int64[np.ndarray, " B"]:
        return -(-ragged(rows["ids"]).lengths // self._own)


@dataclasses.dataclass(frozen=True)
class TextFeed:
    """Blocks -> masked batches: `share` of their tokens are to predict, chosen by (seed, epoch, text, place)."""

    special: SpecialTokens
    vocab_size: int
    share: float
    seed: int
    stream: str

    def batch(self, blocks: Part) -> TextBatch:
        """One micro-batch."""
        texts, numbers = blocks.columns.lists["ids"], blocks.columns.numbers
        ids = texts.values.astype(np.int64)
        keys = random_u64(self.seed, f"{self.stream}/mask", blocks.epochs, numbers["text"])
        draws = draw(keys[texts.rows], numbers["place"][texts.rows] + texts.within)
        chosen = (draws.select < below(self.share)) & ~np.isin(ids, self.special.never_masked)
        masks, tables = np.full_like(ids, self.special.mask), np.full_like(ids, self.vocab_size)
        shown = np.where(chosen, corrupted(ids, masks, tables, draws), ids)
        framed, labels = frame(shown, texts, self.special), frame(np.where(chosen, ids, IGNORE), texts, None)
        return TextBatch(
            ids=tensor(framed.padded(self.special.pad)),
            real=tensor(pad_mask(framed.lengths)),
            labels=tensor(labels.padded(IGNORE)),
        )


def frame(values: Int64[np.ndarray, " N"], texts: Ragged, special: SpecialTokens | None) -> Ragged:
    """Each text between <s> and </s>, or between two IGNORE labels."""
    cu_seqlens = offsets(texts.lengths + 2)
    out = np.full(cu_seqlens[-1], IGNORE, dtype=np.int64)
    out[cu_seqlens[texts.rows] + 1 + texts.within] = values
    if special is not None:
        out[cu_seqlens[:-1]], out[cu_seqlens[1:] - 1] = special.bos, special.eos
    return Ragged(out, cu_seqlens)
