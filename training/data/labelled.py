"""Examples of text tasks as a model reads them that is fine-tuned: words with markers around the mentions that the task
is about, and of each entity that is linked a node after them (CoLAKE, section 3.3: the mention's words stay), or the
words that name it (JAKET, where its vector is added to each of them).

B examples of a batch, S nodes of the longest, R roles that are marked, P words of linked mentions.
"""

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Int64
from tokenizers import Tokenizer
from torch import Tensor

from training.data.batch import pad_mask, ragged_rows, tensor
from training.data.collate import ENTITY, WORD
from training.data.special import SpecialTokens

Span = tuple[int, int]
"""[first, last) of words."""


@dataclasses.dataclass(frozen=True)
class LabelledInput:
    """One example. W words with <s> and </s>, M entities."""

    words: list[int]
    segments: list[int]
    """0 for the words of the first text, 1 for those of the second."""
    entities: list[tuple[int, int]]
    """(row in the table of entities, soft position) of each."""
    marks: list[int] = dataclasses.field(default_factory=list)
    """Where the marker before the mention of each role is; 0, which is <s>, for a role that is not there or was cut."""
    linked: list[tuple[int, int, int]] = dataclasses.field(default_factory=list)
    """(row in the table of entities, first word, one past the last) of linked mentions, where there are no nodes."""


@dataclasses.dataclass(frozen=True)
class LabelledBatch:
    """Padded examples, entities after the words."""

    ids: Int64[Tensor, "B S"]
    """Word ids; for an entity its row in the table of entities."""
    segments: Int64[Tensor, "B S"]
    types: Int64[Tensor, "B S"]
    positions: Int64[Tensor, "B S"]
    """Soft positions, from 0 for <s>."""
    real: Bool[Tensor, "B S"]
    marks: Int64[Tensor, "B R"]
    """Places of the markers before the mentions."""
    linked: Int64[Tensor, "P 2"]
    """(place in the flattened rectangle, row in the table of entities) of each word of each linked mention."""


@dataclasses.dataclass(frozen=True)
class LabelledReader:
    """Rows of `examples` -> inputs; `counts` says what became of mentions and texts."""

    tokenizer: Tokenizer
    special: SpecialTokens
    markers: Mapping[str, tuple[int, int]]
    """Role of a mention -> the ids of the markers before and after it."""
    entities: Mapping[str, int] | None
    """Entity -> its row; None for a model that reads none."""
    max_length: int
    """Words of an input, <s> and </s> included; entities come on top."""
    nodes: bool = True
    """Whether linked entities are nodes, or words."""
    counts: Counter[str] = dataclasses.field(default_factory=Counter)

    def read(self, row: Mapping[str, Any]) -> LabelledInput:
        """One row. A text that is too long is cut around the marked mentions; of two texts the longer one is cut.

        A probe's row may say `only_mentions`, and `masked` of a mention: training.evaluation.probes.
        """
        words, spans, marked = self._marked(row)
        budget = self.max_length - 2
        separator = [] if row["text_b"] is None else self._separator()
        second = [] if row["text_b"] is None else self.tokenizer.encode(row["text_b"], add_special_tokens=False).ids
        lengths = _shares(len(words), len(second), budget - len(separator))
        first = _window(len(words), lengths[0], marked)
        self.counts["texts_cut"] += (len(words), len(second)) != lengths
        words, second = words[first : first + lengths[0]], second[: lengths[1]]
        linked = self._linked(row, [(start - first, end - first) for start, end in spans], lengths[0])
        framed = [self.special.bos, *words, self.special.eos]
        if row["text_b"] is not None:
            framed = [*framed[:-1], *separator, *second, self.special.eos]
        segments = [0] * (len(framed) - len(second) - 1) + [int(row["text_b"] is not None)] * (len(second) + 1)
        return self._input(framed, segments, self._marks(framed), linked)

    def pair(self, first: LabelledInput, second: LabelledInput) -> LabelledInput:
        """Two inputs as one, framed as two texts are; an entity of both is one node, at its place in the first."""
        framed = [*first.words[:-1], *self._separator()]
        shift = len(framed) - 1  # the second one's <s> is left out
        entities = {row: place + shift for row, place in second.entities} | dict(first.entities)
        segments = [0] * len(framed) + [1] * (len(second.words) - 1)
        marks = [*first.marks, *(place + shift if place else 0 for place in second.marks)]
        linked = [*first.linked, *((row, start + shift, end + shift) for row, start, end in second.linked)]
        return LabelledInput([*framed, *second.words[1:]], segments, list(entities.items()), marks, linked)

    def _input(
        self, words: list[int], segments: list[int], marks: list[int], linked: list[tuple[int, int, int]]
    ) -> LabelledInput:
        """Each linked entity as one node, at the position of its first mention's first word; or as words."""
        if not self.nodes:
            return LabelledInput(words, segments, [], marks, _disjoint(linked))
        places: dict[int, int] = {}
        for row, start, _ in linked:
            places.setdefault(row, start)
        return LabelledInput(words, segments, list(places.items()), marks)

    def _marked(self, row: Mapping[str, Any]) -> tuple[list[int], list[Span], list[int]]:
        """(words with markers, the [first, last) of each mention among them, where the markers are)."""
        ids, spans = self._shown(row)
        put: list[tuple[int, int, int]] = []
        seen = set()
        for mention, (first, last) in zip(row["mentions"], spans, strict=True):
            if mention["role"] in self.markers and mention["role"] not in seen:
                seen.add(mention["role"])
                before, after = self.markers[mention["role"]]
                put += [(first, 1, before), (last, 0 if last > first else 2, after)]
        put.sort()
        words, places = ids, []
        for shift, (place, _, marker) in enumerate(put):
            words.insert(place + shift, marker)
            places.append(place + shift)
        # A mention's first word is after all markers that are put at or before it, but for those that end one there.
        moved = [
            tuple(word + sum(place <= word for place, _, _ in put) for word in (first, last - 1))
            for first, last in spans
        ]
        return words, [(first, max(first, last + 1)) for first, last in moved], places

    def _shown(self, row: Mapping[str, Any]) -> tuple[list[int], list[tuple[int, int]]]:
        """(the words that a probe leaves, the [first, last) of each mention among them)."""
        encoding = self.tokenizer.encode(row["text"], add_special_tokens=False)
        begins, ends = (np.array(edges, dtype=np.int64) for edges in zip(*encoding.offsets, strict=True) or ((), ()))
        spans = []
        for mention in row["mentions"]:
            first = int((ends <= mention["start"]).sum())
            spans.append((first, max(first, int((begins < mention["end"]).sum()))))
        only, masked = row.get("only_mentions", False), [mention.get("masked", False) for mention in row["mentions"]]
        if not only and not any(masked):
            return list(encoding.ids), spans
        covers = [[i for i, (first, last) in enumerate(spans) if first <= word < last] for word in range(len(begins))]
        words, places = [], [0]
        for word, cover in enumerate(covers):
            hidden = any(masked[i] for i in cover)
            # One mask for all words that the same mentions cover, so that their number tells nothing.
            if not (only and not cover) and not (hidden and word and cover == covers[word - 1]):
                words.append(self.special.mask if hidden else encoding.ids[word])
            places.append(len(words))
        return words, [(places[first], places[last]) for first, last in spans]

    def _marks(self, framed: Sequence[int]) -> list[int]:
        # A marker is a word that no text has.
        return [framed.index(before) if before in framed else 0 for before, _ in self.markers.values()]

    def _linked(self, row: Mapping[str, Any], spans: Sequence[Span], length: int) -> list[tuple[int, int, int]]:
        """(row in the table, first word, one past the last) of each linked mention, <s> counted."""
        found: list[tuple[int, int, int]] = []
        for mention, (start, end) in zip(row["mentions"], spans, strict=True):
            if mention["entity"] is None or self.entities is None or mention.get("masked", False):
                continue
            place = self.entities.get(mention["entity"])
            what = "unknown" if place is None else "cut" if not 0 <= start < max(1, length) else "linked"
            self.counts[f"mentions_{what}"] += 1
            if place is not None and what == "linked":
                found.append((place, 1 + start, 1 + min(end, length)))
        return found

    def _separator(self) -> list[int]:
        """Between two texts: RoBERTa has two </s>, BERT one [SEP]."""
        twice = self.tokenizer.id_to_token(self.special.eos) == "</s>"
        return [self.special.eos] * (2 if twice else 1)


def labelled_batch(inputs: Sequence[LabelledInput], pad: int) -> LabelledBatch:
    """These inputs as rectangles; what is padded is a word at position 0 that nobody sees."""
    words = [one.words for one in inputs]
    rows = [[row for row, _ in one.entities] for one in inputs]
    places = [[place for _, place in one.entities] for one in inputs]
    ids = ragged_rows([a + b for a, b in zip(words, rows, strict=True)])
    positions = [[*range(len(a)), *b] for a, b in zip(words, places, strict=True)]
    types = [[WORD] * len(a) + [ENTITY] * len(b) for a, b in zip(words, rows, strict=True)]
    segments = [one.segments + [0] * len(one.entities) for one in inputs]
    return LabelledBatch(
        ids=tensor(ids.padded(pad)),
        segments=tensor(ragged_rows(segments).padded(0)),
        types=tensor(ragged_rows(types).padded(WORD)),
        positions=tensor(ragged_rows(positions).padded(0)),
        real=tensor(pad_mask(ids.lengths)),
        marks=tensor(ragged_rows([one.marks for one in inputs]).padded(0)),
        linked=_linked_words(inputs, int(ids.lengths.max(initial=0))),
    )


def _linked_words(inputs: Sequence[LabelledInput], width: int) -> Int64[Tensor, "P 2"]:
    found = [
        (number * width + word, row)
        for number, one in enumerate(inputs)
        for row, start, end in one.linked
        for word in range(start, end)
    ]
    return tensor(np.array(found, dtype=np.int64).reshape(-1, 2))


def _disjoint(linked: Sequence[tuple[int, int, int]]) -> list[tuple[int, int, int]]:
    """Of mentions that share words the first one."""
    found: list[tuple[int, int, int]] = []
    for row, start, end in linked:
        if all(end <= begun or ended <= start for _, begun, ended in found):
            found.append((row, start, end))
    return found


def _shares(first: int, second: int, budget: int) -> tuple[int, int]:
    """Tokens of two texts that fit together: the longer one loses until they are of one length."""
    if first + second <= budget:
        return first, second
    if min(first, second) <= budget // 2:
        short = min(first, second)
        return (short, budget - short) if first < second else (budget - short, short)
    return budget - budget // 2, budget // 2


def _window(length: int, kept: int, marked: Sequence[int]) -> int:
    """Where the part of a text begins that is kept: its start, or as late as the markers need."""
    if not marked or marked[-1] < kept:
        return 0
    return min(marked[0], marked[-1] + 1 - kept) if marked[-1] + 1 - marked[0] <= kept else marked[0]
