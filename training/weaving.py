"""A text and the entities it names -> the word-knowledge graph that CoLAKE reads.

As the pipelines weave and tokenize a dataset's passages: the first mention of an entity is its anchor and stands in
place of its words, each anchor brings at most as many train triples as the dataset's graphs have, and a token that
reaches over an end of an anchor is cut there. A text has no page, so its triples are drawn by the text itself.
"""

import bisect
import dataclasses
import itertools
import json
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Int32, Int64
from tokenizers import Tokenizer

from schemas.dataset import Dataset
from schemas.hashing import hash_string, random_u64
from training.data.graphs import Graph
from training.linking import Link

NEIGHBORS, SEED = 15, 0
"""Of wk_graphs, where a dataset's manifest does not say."""
Token = tuple[int, int, int]
"""Id, first code point, one past the last."""


@dataclasses.dataclass(frozen=True)
class Weaver:
    """Texts -> word-knowledge graphs with the facts of a dataset. E entities, T train triples."""

    tokenizer: "MentionTokenizer"
    offsets: Int64[np.ndarray, " E1"]
    """Entity i's triples are [offsets[i], offsets[i + 1])."""
    relations: Int32[np.ndarray, " T"]
    tails: Int32[np.ndarray, " T"]
    neighbors: int
    seed: int

    @classmethod
    def of(cls, dataset: Dataset, tokenizer: Tokenizer) -> "Weaver":
        """With the train triples of a dataset, which are sorted by their heads."""
        columns = ["head_index", "relation_index", "tail_index"]
        table = dataset.read("triples", "train", columns)
        heads, relations, tails = (table[name].to_numpy() for name in columns)
        told = dataset.manifest.rest.get("parameters", {})
        return cls(
            tokenizer=MentionTokenizer(tokenizer),
            offsets=np.searchsorted(heads, np.arange(dataset.rows("entities") + 1)),
            relations=relations,
            tails=tails,
            neighbors=told.get("neighbors", NEIGHBORS),
            seed=told.get("seed", SEED),
        )

    def weave(self, text: str, links: Sequence[Link]) -> Graph:
        """The graph of a text; `links` are in text order, not empty and apart from each other.

        Special tokens that the text spells out (<mask>) are such tokens, as in an exported model.
        """
        first: dict[int, Link] = {}
        for link in links:
            first.setdefault(link.entity_index, link)
        units = self.tokenizer.units(text, [(link.start, link.end) for link in first.values()])
        facts = [self._facts(text, anchor, entity) for anchor, entity in enumerate(first)]
        return Graph(
            np.array(units, dtype=np.int32),
            np.array(list(first), dtype=np.int32),
            np.concatenate([np.empty((0, 3), dtype=np.int32), *facts]),
        )

    def _facts(self, text: str, anchor: int, entity: int) -> Int32[np.ndarray, "K 3"]:
        """Columns anchor, relation, tail: of an entity with too many those with the smallest hashes, in their order."""
        rows = np.arange(self.offsets[entity], self.offsets[entity + 1])
        if len(rows) > self.neighbors:
            parts = (entity, self.relations[rows], self.tails[rows])
            hashes = random_u64(self.seed, "neighbours", hash_string(text), *parts)
            rows = np.sort(rows[np.argsort(hashes, kind="stable")[: self.neighbors]])
        return np.stack([np.full(len(rows), anchor, np.int32), self.relations[rows], self.tails[rows]], axis=-1)


class MentionTokenizer:
    """Token ids of texts, with a mark in place of each mention; pipelines/transforms/splice.py, one text at a time."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        document = json.loads(tokenizer.to_str())
        _drop_prefix(document.get("pre_tokenizer"))
        self._inside_word = Tokenizer.from_str(json.dumps(document))

    def units(self, text: str, spans: Sequence[tuple[int, int]]) -> list[int]:
        """In text order: ids of the tokens outside of the spans, and -1 - k where span k stands.

        The spans ascend and are apart. A space before one belongs to it: tokenizers write it into the next word.
        """
        ends = [0, *(end for _, end in spans)]
        spans = [
            (start - (start > before and text[start - 1] == " "), end)
            for (start, end), before in zip(spans, ends, strict=False)
        ]
        tokens = self._tokens(text, sorted({edge for span in spans for edge in span}))
        marks = [(start, -1, -1 - number) for number, (start, _) in enumerate(spans)]
        starts = [start for start, _ in spans]
        words = []
        for place, (token, start, _) in enumerate(tokens):
            number = bisect.bisect_right(starts, start) - 1
            if number < 0 or start >= spans[number][1]:
                words.append((start, place, token))
        return [unit for _, _, unit in sorted([*words, *marks])]

    def _tokens(self, text: str, edges: Sequence[int]) -> list[Token]:
        """The text's tokens; those that share characters are encoded anew, together, where an edge lies in them."""
        found: list[Token] = []
        before = -1
        for group in _groups(self._encode(self._tokenizer, text)):
            start, end = group[0][1], max(token[2] for token in group)
            inner = edges[bisect.bisect_right(edges, start) : bisect.bisect_left(edges, end)]
            found += self._pieces(text, [start, *inner, end], before) if inner else group
            before = end
        return found

    def _pieces(self, text: str, edges: Sequence[int], before: int) -> list[Token]:
        """[edges[0], edges[1]), [edges[1], ...) each as the beginning of a word or as what goes on with one.

        `before` is where the tokens before them end, -1 where there are none.
        """
        first = edges[0]
        lead = first > 0 and text[first - 1].isspace() and before < first
        found = []
        for start, end in itertools.pairwise(edges):
            space = lead and start == first
            begins = space or (before < 0 and start == first) or text[start].isspace()
            tokens = self._encode(self._tokenizer if begins else self._inside_word, text[start - space : end])
            found += [(token, max(start, start - space + left), start - space + right) for token, left, right in tokens]
        return found

    @staticmethod
    def _encode(tokenizer: Tokenizer, text: str) -> list[Token]:
        encoding = tokenizer.encode(text, add_special_tokens=False)
        # Where a normalizer reorders characters, a token may begin before the one before it.
        starts = itertools.accumulate((start for start, _ in encoding.offsets), max)
        return list(zip(encoding.ids, starts, (end for _, end in encoding.offsets), strict=True))


def _groups(tokens: Sequence[Token]) -> list[list[Token]]:
    """Tokens that share a character (bytes of it, say) together."""
    groups: list[list[Token]] = []
    reach = -1
    for token in tokens:
        if groups and token[1] < reach:
            groups[-1].append(token)
        else:
            groups.append([token])
        reach = max(reach, token[2])
    return groups


def _drop_prefix(pre_tokenizer: Any) -> None:
    """Let a pre-tokenizer put no space before a text that has none."""
    for part in (pre_tokenizer or {}).get("pretokenizers", [pre_tokenizer or {}]):
        if part.get("type") == "Metaspace":
            part["prepend_scheme"] = "never"
        elif part.get("type") == "ByteLevel":
            part["add_prefix_space"] = False
