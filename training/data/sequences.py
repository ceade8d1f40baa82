"""Facts as text: the parts of each (head, relation, tail) one behind the other, cut to fit, in flat token ids.

    <s> [holder] part [</s> [holder] part ...] </s>

N sequences of P parts, L tokens of all of them together; of a piece: B sequences, S tokens of the longest.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Int64
from torch import Tensor

from training.data.batch import Ragged, offsets, pad_mask, tensor
from training.data.special import SpecialTokens

HIDDEN = -1
"""In place of a part's row: the part has no text, but for its holder."""
EVEN = 0.9
"""Sequences of a piece are at least so long, as a share of its longest one."""
SMALLEST = 16
"""But a piece that has less than one in so many of the tokens it may have takes shorter ones too."""


@dataclasses.dataclass(frozen=True)
class Layout:
    """What stands around the parts, and how long they may be."""

    special: SpecialTokens
    max_length: int
    """Tokens of a sequence, specials and holders included."""
    budgets: tuple[int, ...] = ()
    """Tokens that each part's text may have; none for max_length alone."""
    separated: bool = False
    """One </s> between two parts."""
    holders: bool = False
    """One token before each part's text, in whose place a model puts a vector of its own. It is <mask>."""

    def around(self, parts: int) -> int:
        """Tokens of a sequence of so many parts that are no part's text."""
        return 2 + self.separated * (parts - 1) + self.holders * parts


@dataclasses.dataclass(frozen=True)
class Piece:
    """Some sequences of like length, padded."""

    ids: Int64[Tensor, "B S"]
    real: Bool[Tensor, "B S"]
    starts: Int64[Tensor, "B P"]
    """Where each part's text begins in its sequence, its holder left out."""
    ends: Int64[Tensor, "B P"]
    holders: Int64[Tensor, "B H"]
    """Where each part's holder lies: H is P, or 0 for a layout without."""
    rows: Int64[Tensor, " B"]
    """Which of the N sequences each one is."""


@dataclasses.dataclass(frozen=True)
class Sequences:
    """Token ids, and where each part lies in its sequence."""

    tokens: Ragged
    starts: Int64[np.ndarray, "N P"]
    ends: Int64[np.ndarray, "N P"]
    holders: Int64[np.ndarray, "N H"]
    pad: int

    def pieces(self, tokens: int) -> list[Piece]:
        """All sequences in pieces of at most `tokens` padded tokens (or of one sequence), the longest ones first. A
        piece ends before a sequence that is much shorter than its first one, if it is large enough by then."""
        lengths = self.tokens.lengths
        order, pieces, first = np.argsort(-lengths, kind="stable"), [], 0
        descending = lengths[order]
        while first < len(order):
            longest = int(descending[first])
            alike = int(np.searchsorted(-descending, -EVEN * longest, side="right")) - first
            count = max(1, min(tokens // longest, max(alike, tokens // SMALLEST // longest)))
            pieces.append(self._piece(order[first : first + count]))
            first += count
        return pieces

    def _piece(self, rows: Int64[np.ndarray, " B"]) -> Piece:
        texts = self.tokens.take(rows)
        return Piece(
            ids=tensor(texts.padded(self.pad)),
            real=tensor(pad_mask(texts.lengths)),
            starts=tensor(self.starts[rows]),
            ends=tensor(self.ends[rows]),
            holders=tensor(self.holders[rows]),
            rows=tensor(rows),
        )


def sequences(tables: Sequence[Ragged], rows: Int64[np.ndarray, "N P"], layout: Layout) -> Sequences:
    """Put part p of each sequence, row rows[n, p] of tables[p] or none for HIDDEN, behind the ones before it.

    A part is first cut to its own budget; then the longest one loses tokens until all fit (see `fitted`).
    """
    lengths = np.stack(
        [np.where(own >= 0, table.lengths[own], 0) for table, own in zip(tables, rows.T, strict=True)], axis=1
    )
    parts = len(tables)
    if layout.budgets:
        lengths = np.minimum(lengths, layout.budgets)
    kept = fitted(lengths, layout.max_length - layout.around(parts))
    starts = 1 + np.cumsum(kept + layout.holders + layout.separated, axis=1) - kept - layout.separated
    ends = starts + kept
    cu_seqlens = offsets(kept.sum(axis=1) + layout.around(parts))
    holders = starts[:, : parts * layout.holders] - 1
    # What no text is written over: separators and last tokens.
    values = np.full(cu_seqlens[-1], layout.special.eos, dtype=np.int64)
    values[cu_seqlens[:-1]] = layout.special.bos
    values[cu_seqlens[:-1, None] + holders] = layout.special.mask
    for table, own, start, count in zip(tables, rows.T, starts.T, kept.T, strict=True):
        within = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
        place = np.repeat(cu_seqlens[:-1] + start, count) + within
        values[place] = table.values[np.repeat(table.cu_seqlens[own], count) + within]
    return Sequences(Ragged(values, cu_seqlens), starts, ends, holders, layout.special.pad)


def fitted(lengths: Int64[np.ndarray, "N P"], room: int) -> Int64[np.ndarray, "N P"]:
    """How much of each part is kept where the currently longest one loses its last token until all fit into `room`; of
    equally long ones the first loses it, else the last (LASS, `_truncate_seq_triple` of the authors' code)."""
    parts = lengths.shape[1]
    ascending = np.sort(lengths, axis=1)
    shorter, left = np.cumsum(ascending, axis=1) - ascending, parts - np.arange(parts)
    # The parts from the first one on that would not fit, were all the longer ones as long as it, are cut to one level.
    first = (shorter + left * ascending >= room).argmax(axis=1)[:, None]
    level = (room - np.take_along_axis(shorter, first, axis=1)) // left[first]
    level = np.where(lengths.sum(axis=1, keepdims=True) <= room, lengths.max(initial=0), level)
    kept = np.minimum(lengths, level)
    spare = room - kept.sum(axis=1)
    for part in [*range(1, parts), 0]:
        more = (lengths[:, part] > level[:, 0]) & (spare > 0)
        kept[:, part] += more
        spare -= more
    return kept


def filled(texts: Ragged, otherwise: Ragged, longest: int | None = None) -> Ragged:
    """Each row of `texts`, or of `otherwise` where it is empty; at most `longest` tokens of it."""
    own = texts.lengths > 0
    lengths = np.where(own, texts.lengths, otherwise.lengths)
    starts = np.where(own, texts.cu_seqlens[:-1], otherwise.cu_seqlens[:-1] + len(texts.values))
    lengths = lengths if longest is None else np.minimum(lengths, longest)
    cu_seqlens = offsets(lengths)
    source = np.repeat(starts - cu_seqlens[:-1], lengths) + np.arange(cu_seqlens[-1])
    return Ragged(np.concatenate([texts.values, otherwise.values])[source].astype(np.int64), cu_seqlens)


def named(texts: Ragged, names: Ragged) -> Ragged:
    """Each row of `texts` with its name before it, unless it begins with it already."""
    can = names.lengths <= texts.lengths
    inside = np.flatnonzero(can[names.rows])
    rows = names.rows[inside]
    other = texts.values[texts.cu_seqlens[rows] + names.within[inside]] != names.values[inside]
    lacks = ~can | (np.bincount(rows[other], minlength=len(can)) > 0)
    before = lacks * names.lengths
    cu_seqlens = offsets(before + texts.lengths)
    values = np.empty(cu_seqlens[-1], dtype=np.int64)
    values[(cu_seqlens[:-1] + before)[texts.rows] + texts.within] = texts.values
    put = lacks[names.rows]
    values[(cu_seqlens[:-1][names.rows] + names.within)[put]] = names.values[put]
    return Ragged(values, cu_seqlens)
