"""Tokens of texts with mentions: each token inside a mention or outside, and the mentions' marks among the words.

Tokens are those of the running text, so a word behind a mention begins as it does there. Only a token that reaches
over an end of a mention (an anchor inside a word, or in a script without spaces) is cut there, and its pieces are
encoded anew. A space before a mention belongs to it: the tokenizers write it into the word that follows.
"""

import dataclasses
import itertools
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from pipelines.tokenizer import Encoded, Encoder

I32, I64 = npt.NDArray[np.int32], npt.NDArray[np.int64]

SPACE = ord(" ")


@dataclasses.dataclass(frozen=True)
class Mentions:
    """Mentions of some texts: in text order, apart from each other, not empty. M mentions."""

    rows: I64
    """The text of each, ascending."""
    starts: I64
    ends: I64
    """Code points in the text."""


@dataclasses.dataclass(frozen=True)
class Spliced:
    """Tokens of B texts, split at M mentions."""

    units: I32
    """In text order: ids of the tokens outside of mentions, and -1 - k where the text's mention k stands."""
    unit_lengths: I64
    mention_ids: I32
    """The tokens of the mentions, one after the other."""
    mention_lengths: I64
    """Such tokens of each text, shape (B,)."""
    spans: I64
    """[start, end) of each mention in the tokens of its text, shape (M, 2)."""
    cut: int
    """Tokens that reached over an end of a mention."""


@dataclasses.dataclass(frozen=True)
class _Tokens:
    """Tokens at places that grow over all texts: text b begins at first[b]."""

    ids: I32
    starts: I64
    ends: I64


def splice(texts: Sequence[str], mentions: Mentions, encoder: Encoder) -> Spliced:
    """Encode the texts, and put a mark in place of each mention."""
    sizes = np.fromiter(map(len, texts), np.int64, len(texts))
    first = np.append(0, np.cumsum(sizes + 1))  # a separator apart, so that no place belongs to two texts
    whole = "\0".join(texts)
    starts, ends = mentions.starts + first[mentions.rows], mentions.ends + first[mentions.rows]
    starts = _with_space(whole, starts, ends, first[mentions.rows])
    tokens = _placed(encoder.encode(texts, offsets=True), first)
    tokens, cut = _cut_at(tokens, np.stack([starts, ends], axis=-1).ravel(), whole, first, encoder)
    return _marked(tokens, starts, ends, first, mentions, cut)


def _with_space(whole: str, starts: I64, ends: I64, texts: I64) -> I64:
    """The mentions' starts, one less where a space stands before that is in no other mention."""
    points = np.frombuffer(whole.encode("utf-32-le"), np.uint32)
    limits = np.maximum(texts, np.append(0, ends[:-1])) if len(ends) else texts
    spaced = (starts > limits) & (points[starts - 1] == SPACE) if len(starts) else np.zeros(0, np.bool_)
    return starts - spaced


def _placed(encoded: Encoded, first: I64) -> _Tokens:
    texts = np.repeat(first[:-1], encoded.lengths)
    # Where a normalizer reorders characters, a token may begin before the one before it.
    starts = np.maximum.accumulate(encoded.offsets[:, 0] + texts)
    return _Tokens(encoded.ids, starts, encoded.offsets[:, 1] + texts)


def _cut_at(tokens: _Tokens, cuts: I64, whole: str, first: I64, encoder: Encoder) -> tuple[_Tokens, int]:
    """The tokens with none of them over a cut (places, ascending), and how many were."""
    reach = np.maximum.accumulate(tokens.ends)
    behind = np.searchsorted(tokens.starts, cuts)
    if not (np.append(-1, reach)[behind] > cuts).any():
        return tokens, 0
    # Tokens that share a character (bytes of it, say) are cut together.
    leads = np.append(True, tokens.starts[1:] >= reach[:-1])
    group = np.cumsum(leads) - 1
    group_starts = tokens.starts[leads]
    group_ends = reach[np.append(np.flatnonzero(leads)[1:], len(reach)) - 1]
    cuts = cuts[np.append(True, cuts[1:] > cuts[:-1])]  # one mention may follow another
    of_cut = np.searchsorted(group_starts, cuts) - 1
    over = (of_cut >= 0) & (cuts < group_ends[of_cut])
    broken, counts = np.unique(of_cut[over], return_counts=True)
    inner = np.split(cuts[over], np.cumsum(counts)[:-1])
    pieces = _Pieces(whole)
    for number, between in zip(broken.tolist(), inner, strict=True):
        start, end = int(group_starts[number]), int(group_ends[number])
        text = int(first[np.searchsorted(first, start, side="right") - 1])
        before = int(group_ends[number - 1]) if number and group_ends[number - 1] > text else None
        pieces.add(start, [*between.tolist(), end], text, before)
    made = pieces.encode(encoder)
    gone = np.isin(group, broken)
    parts = zip(
        (tokens.ids[~gone], tokens.starts[~gone], tokens.ends[~gone]),
        (made.ids, made.starts, made.ends),
        strict=True,
    )
    ids, starts, ends = (np.concatenate(part) for part in parts)
    order = np.argsort(starts, kind="stable")
    return _Tokens(ids[order], starts[order], ends[order]), int(gone.sum())


class _Pieces:
    """Pieces of words to encode, each as the beginning of a word or as what goes on with one."""

    def __init__(self, whole: str) -> None:
        self._whole = whole
        self._spans: dict[bool, list[tuple[int, int, int]]] = {False: [], True: []}

    def add(self, start: int, ends: Sequence[int], text: int, before: int | None) -> None:
        """[start, ends[0]), [ends[0], ends[1]) ...; `before` is where the text's tokens before them end, if any."""
        lead = start > text and self._whole[start - 1].isspace() and (before is None or before < start)
        inside = not (lead or before is None or self._whole[start].isspace())
        self._spans[inside].append((start - lead, start, ends[0]))
        for left, right in itertools.pairwise(ends):
            self._spans[not self._whole[left].isspace()].append((left, left, right))

    def encode(self, encoder: Encoder) -> _Tokens:
        """Their tokens, in text order."""
        parts = []
        for inside, spans in self._spans.items():
            texts = [self._whole[begin:end] for begin, _, end in spans]
            encoded = encoder.encode(texts, offsets=True, inside_word=inside)
            begins, starts = np.array([span[:2] for span in spans], np.int64).reshape(-1, 2).T
            places = encoded.offsets + begins[encoded.rows][:, None]
            parts.append((encoded.ids, np.maximum(places[:, 0], starts[encoded.rows]), places[:, 1]))
        ids, starts, ends = (np.concatenate(part) for part in zip(*parts, strict=True))
        order = np.argsort(starts, kind="stable")
        return _Tokens(ids[order], starts[order], ends[order])


def _marked(tokens: _Tokens, starts: I64, ends: I64, first: I64, mentions: Mentions, cut: int) -> Spliced:
    count, texts = len(tokens.ids), len(first) - 1
    begin, end, edges = (np.searchsorted(tokens.starts, places) for places in (starts, ends, first))
    opened, closed = (np.cumsum(np.bincount(places, minlength=count + 1)[:count]) for places in (begin, end))
    inside = opened > closed
    words = np.flatnonzero(~inside)
    words_before = np.append(0, np.cumsum(~inside))
    of_texts = np.diff(words_before[edges])
    number = np.arange(len(starts)) - np.searchsorted(mentions.rows, mentions.rows)
    units = np.empty(len(words) + len(starts), np.int32)
    units[np.arange(len(words)) + opened[words]] = tokens.ids[words]
    units[words_before[begin] + np.arange(len(starts))] = -1 - number
    offset = edges[mentions.rows]
    return Spliced(
        units=units,
        unit_lengths=of_texts + np.bincount(mentions.rows, minlength=texts),
        mention_ids=tokens.ids[inside],
        mention_lengths=np.diff(edges) - of_texts,
        spans=np.stack([begin - offset, end - offset], axis=-1),
        cut=cut,
    )
