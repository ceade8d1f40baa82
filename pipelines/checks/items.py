"""Checks of what a build says of an entity beside its counts: categories, and where its text names it."""

import re
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.checks.known import Known
from pipelines.checks.problems import Problem, where
from pipelines.columns import I64, numbers, values
from pipelines.facts import TRUE_SPLITS
from pipelines.names import ITEM
from pipelines.scan import scan

_RELATION = "P31"


class Items:
    """Entities that are Wikidata's items. Memory: 16 bytes for each fact of P31."""

    def __init__(self, known: Known) -> None:
        self._known = known
        self._heads, self._tails = _instances(known)

    def check(self, rows: pa.Table, own: I64) -> Iterator[Problem]:
        """Some entities, whose indices are `own`."""
        lists = values(rows, "categories")
        of_row = pc.list_parent_indices(lists).to_numpy(zero_copy_only=False).astype(np.int64)
        names = lists.flatten()
        odd = ~pc.match_substring_regex(names, ITEM).to_numpy(zero_copy_only=False)
        yield from where(odd, "categories", lambda i: f"category {names[i].as_py()!r:.60} is no item", of_row)
        if len(own):
            low, high = np.searchsorted(self._heads, [own[0], own[-1] + 1])
            heads, tails = self._heads[low:high] - own[0], self._tails[low:high]
            there = np.isin(heads << 32 | tails, of_row << 32 | self._known.entities.index(names))
            yield from where(
                ~there,
                "categories",
                lambda i: f"categories leave out {self._known.entities[tails[i]]}, of which it is an instance",
                heads,
            )
        yield from self._mentions(rows)

    def _mentions(self, rows: pa.Table) -> Iterator[Problem]:
        """text_mention is the entity's title without what stands in brackets, its label or an alias."""
        texts, labels, titles = (values(rows, name) for name in ("text", "label", "page_title"))
        mentions, aliases = (values(rows, name) for name in ("text_mention", "aliases"))
        wrong = np.zeros(rows.num_rows, bool)
        for row in np.flatnonzero(mentions.is_valid().to_numpy(zero_copy_only=False)).tolist():
            span, title = mentions[row].as_py(), titles[row].as_py() or ""
            known = {re.sub(r" \([^()]*\)$", "", title), labels[row].as_py(), *aliases[row].as_py()}
            wrong[row] = texts[row].as_py()[max(span["start"], 0) : max(span["end"], 0)] not in known
        yield from where(wrong, "text_mention", lambda i: f"text_mention {mentions[i].as_py()} is not one of its names")


def _instances(known: Known) -> tuple[I64, I64]:
    """(heads, tails) of all facts of P31, sorted by head."""
    relation = known.relations.index(pa.array([_RELATION]))[0]
    pieces = [(np.empty(0, np.int64),) * 2]
    if relation >= 0:
        for split in TRUE_SPLITS:
            for rows in scan(known.dataset, "triples", ["head_index", "relation_index", "tail_index"], split=split):
                own = numbers(rows, "relation_index") == relation
                pieces.append((numbers(rows, "head_index")[own], numbers(rows, "tail_index")[own]))
    heads, tails = (np.concatenate(column) for column in zip(*pieces, strict=True))
    order = np.argsort(heads, kind="stable")
    return heads[order], tails[order]
