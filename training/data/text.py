"""Plain text for masked language modelling: pages or passages, cut into blocks, masked afresh each epoch."""

import dataclasses
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import torch
from jaxtyping import Bool, Int64, Integer
from torch import Tensor

from schemas.hashing import below, random_u64
from training.data.batch import Ragged, offsets, pad_mask, ragged, tensor
from training.data.graphs import IGNORE
from training.data.groups import RowGroups
from training.data.masking import corrupted, draw
from training.data.special import SpecialTokens
from training.data.stream import Part

ID_SPACE = 2**40
"""More than any page's id."""


@dataclasses.dataclass(frozen=True)
class TextBatch:
    """Padded texts. B texts, S tokens of the longest; labels are IGNORE or a token id, (B, 0) for no prediction."""

    ids: Int64[Tensor, "B S"]
    real: Bool[Tensor, "B S"]
    labels: Int64[Tensor, "B L"]


@dataclasses.dataclass(frozen=True)
class MlmBatch:
    """A micro-batch of texts, the shortest first, in pieces."""

    pieces: list[TextBatch]

    @property
    def counts(self) -> dict[str, int]:
        """Labels of the one loss term."""
        return {"word": sum(int((piece.labels != IGNORE).sum()) for piece in self.pieces)}

    @property
    def lengths(self) -> Int64[Tensor, " B"]:
        """Tokens of each text."""
        none = torch.empty(0, dtype=torch.int64)
        return torch.cat([none, *(piece.real.sum(dim=1) for piece in self.pieces)])

    @property
    def sizes(self) -> dict[str, int]:
        """Padded tokens."""
        return {"padded_tokens": sum(piece.ids.numel() for piece in self.pieces)}


class Passages:
    """The texts of word-knowledge graphs, mentions written out: row groups of (graph_id, ids)."""

    columns = ("graph_id", "units", "spans", "mention_ids")
    """Of tokens/NAME/wk_graphs."""
    schema = pa.schema([("graph_id", pa.int64()), ("ids", pa.list_(pa.int32()))])

    def __init__(self, graphs: RowGroups) -> None:
        self._graphs, self.sizes = graphs, graphs.sizes

    def read(self, group: int) -> pa.Table:
        """The texts of one row group of graphs."""
        rows = self._graphs.read(group)
        texts = written_out(*(ragged(rows[name]) for name in self.columns[1:]))
        ids = pa.ListArray.from_arrays(texts.cu_seqlens.astype(np.int32), texts.values)
        return pa.table([rows["graph_id"], ids], schema=self.schema)

    def name(self, group: int) -> str:
        """As the graphs' row group's."""
        return self._graphs.name(group)


def written_out(units: Ragged, spans: Ragged, mentions: Ragged) -> Ragged:
    """Token ids of each text: `units` with each anchor's mark replaced by its own tokens, which are `mentions` one
    anchor after the other; `spans` are their places in the text."""
    marks = np.bincount(units.rows[units.values < 0], minlength=len(units.lengths))
    cu_seqlens = offsets(units.lengths - marks + mentions.lengths)
    starts, ends = (spans.values[side].astype(np.int64) for side in ("start", "end"))
    own = np.repeat(cu_seqlens[spans.rows] + starts, ends - starts)
    own += np.arange(len(own)) - np.repeat(np.cumsum(ends - starts) - (ends - starts), ends - starts)
    is_mention = np.zeros(cu_seqlens[-1], dtype=bool)
    is_mention[own] = True
    values = np.empty(cu_seqlens[-1], dtype=np.int32)
    values[own], values[~is_mention] = mentions.values, units.values[units.values >= 0]
    return Ragged(values, cu_seqlens)


class Corpora:
    """Texts of several datasets, one after the other; those of the second and later ones have ids of their own."""

    def __init__(self, parts: Sequence[RowGroups], key: str) -> None:
        self._parts, self._key = parts, key
        self.sizes: Int64[np.ndarray, " G"] = np.concatenate([part.sizes for part in parts])
        self._first = np.cumsum([0, *(len(part.sizes) for part in parts)])
        place = parts[0].schema.get_field_index(key)
        self.schema = parts[0].schema.set(place, pa.field(key, pa.int64()))

    def read(self, group: int) -> pa.Table:
        """The texts of one row group."""
        part, own = self._find(group)
        rows = self._parts[part].read(own)
        # Two texts of one id would be masked in the same places.
        ids = rows[self._key].to_numpy().astype(np.int64) + part * ID_SPACE
        return rows.set_column(rows.schema.get_field_index(self._key), self._key, pa.array(ids)).cast(self.schema)

    def name(self, group: int) -> str:
        """As the row group's in its own dataset."""
        part, own = self._find(group)
        return self._parts[part].name(own)

    def _find(self, group: int) -> tuple[int, int]:
        part = int(np.searchsorted(self._first, group, side="right")) - 1
        return part, group - int(self._first[part])


def corpora(parts: Sequence[RowGroups], key: str) -> RowGroups:
    """The texts of some datasets, known by the column `key`."""
    return parts[0] if len(parts) == 1 else Corpora(parts, key)


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
class MlmFeed:
    """Texts -> micro-batches, padded in pieces of at most `tokens` (or of one text)."""

    text: "TextFeed"
    tokens: int

    def batch(self, blocks: Part) -> MlmBatch:
        """One micro-batch, the shortest texts first."""
        lengths = blocks.columns.lists["ids"].lengths + 2
        order = np.argsort(lengths, kind="stable")
        cuts = self._cuts(lengths[order])
        pieces = np.split(order, cuts) if len(order) else []
        return MlmBatch([self.text.batch(blocks.take(rows)) for rows in pieces])

    def _cuts(self, ascending: Integer[np.ndarray, " B"]) -> list[int]:
        """Where a piece ends: before the text with which it would take more than `tokens`, padded."""
        cuts, first = [], 0
        for place, length in enumerate(ascending.tolist()):
            if place > first and (place + 1 - first) * length > self.tokens:
                cuts.append(place)
                first = place
        return cuts


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
