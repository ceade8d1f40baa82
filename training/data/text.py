"""Plain text for masked language modelling: pages cut into blocks of equal length, masked afresh each epoch."""

import dataclasses

import numpy as np
from jaxtyping import Bool, Int64, UInt64
from torch import Tensor

from schemas.hashing import below, random_u64
from training.data.batch import Ragged, offsets, pad_mask, ragged, tensor
from training.data.graphs import IGNORE
from training.data.masking import corrupted
from training.data.special import SpecialTokens
from training.data.stream import RowReader


@dataclasses.dataclass(frozen=True)
class TextBatch:
    """Padded texts. B texts, S tokens of the longest; labels are IGNORE or a token id, (B, 0) for no prediction."""

    ids: Int64[Tensor, "B S"]
    real: Bool[Tensor, "B S"]
    labels: Int64[Tensor, "B L"]


class TextBlocks:
    """Blocks of `length` tokens (specials included) of a table's texts, numbered in its sort order.

    The lengths of all texts are read once at the start. `key` is the column that identifies a text.
    """

    def __init__(self, reader: RowReader, key: str, length: int, special: SpecialTokens, vocab_size: int) -> None:
        self._reader, self._key, self._special, self._vocab_size = reader, key, special, vocab_size
        self._own = length - 2
        self._first = offsets(-(-reader.lengths("ids") // self._own))
        self.rows = int(self._first[-1])

    def batch(self, blocks: Int64[np.ndarray, " B"], *, seed: int, stream: str, epoch: int, share: float) -> TextBatch:
        """These blocks, with `share` of their tokens to predict, chosen by (seed, epoch, text, place)."""
        texts, keys, places = self._read(blocks)
        ids = texts.values.astype(np.int64)
        ids_of_text = (epoch, keys[texts.rows], places[texts.rows] + texts.within)
        select, actions, draws = (
            random_u64(seed, f"{stream}/{purpose}", *ids_of_text) for purpose in ("select", "action", "random")
        )
        chosen = (select < below(share)) & ~np.isin(ids, self._special.never_masked)
        shown = np.where(chosen, self._corrupt(ids, actions, draws), ids)
        framed, labels = frame(shown, texts, self._special), frame(np.where(chosen, ids, IGNORE), texts, None)
        return TextBatch(
            ids=tensor(framed.padded(self._special.pad)),
            real=tensor(pad_mask(framed.lengths)),
            labels=tensor(labels.padded(IGNORE)),
        )

    def _corrupt(
        self, ids: Int64[np.ndarray, " N"], actions: UInt64[np.ndarray, " N"], draws: UInt64[np.ndarray, " N"]
    ) -> Int64[np.ndarray, " N"]:
        masks, tables = np.full_like(ids, self._special.mask), np.full_like(ids, self._vocab_size)
        return corrupted(ids, masks, tables, actions, draws)

    def _read(self, blocks: Int64[np.ndarray, " B"]) -> tuple[Ragged, Int64[np.ndarray, " B"], Int64[np.ndarray, " B"]]:
        """Tokens of each block, the key of its text, and where in the text it begins."""
        text = np.searchsorted(self._first, blocks, side="right") - 1
        places = (blocks - self._first[text]) * self._own
        rows = self._reader.take(text)
        whole = ragged(rows["ids"])
        lengths = np.minimum(whole.lengths - places, self._own)
        cu_seqlens = offsets(lengths)
        source = np.repeat(whole.cu_seqlens[:-1] + places - cu_seqlens[:-1], lengths) + np.arange(cu_seqlens[-1])
        return Ragged(whole.values[source], cu_seqlens), rows[self._key].to_numpy().astype(np.int64), places


def frame(values: Int64[np.ndarray, " N"], texts: Ragged, special: SpecialTokens | None) -> Ragged:
    """Each text between <s> and </s>, or between two IGNORE labels."""
    cu_seqlens = offsets(texts.lengths + 2)
    out = np.full(cu_seqlens[-1], IGNORE, dtype=np.int64)
    out[cu_seqlens[texts.rows] + 1 + texts.within] = values
    if special is not None:
        out[cu_seqlens[:-1]], out[cu_seqlens[1:] - 1] = special.bos, special.eos
    return Ragged(out, cu_seqlens)
