"""Checks of what a build says of an entity beside its counts: categories, and where its text names it."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
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
        there = values(rows, "text_mention").is_valid()
        rows = rows.filter(there)
        mentions, aliases = (values(rows, name) for name in ("text_mention", "aliases"))
        starts, ends = (np.maximum(pc.struct_field(mentions, name).to_numpy(), 0).tolist() for name in ("start", "end"))
        spans = zip(values(rows, "text").to_pylist(), starts, ends, strict=True)
        said = pa.array([text[start:end] for text, start, end in spans], pa.string())
        titles = pc.fill_null(values(rows, "page_title"), "")
        right = _are_equal(said, pc.replace_substring_regex(titles, r" \([^()]*\)$", ""))
        right |= _are_equal(said, values(rows, "label"))
        of_row = pc.list_parent_indices(aliases)
        right[of_row.filter(pa.array(_are_equal(said.take(of_row), aliases.flatten()))).to_numpy()] = True
        yield from where(
            ~right,
            "text_mention",
            lambda i: f"text_mention {mentions[i].as_py()} is not one of its names",
            np.flatnonzero(there.to_numpy(zero_copy_only=False)),
        )


def _are_equal(first: pa.Array, second: pa.Array) -> npt.NDArray[np.bool_]:
    """Row by row; null is equal to nothing."""
    return pc.fill_null(pc.equal(first, second), False).to_numpy(zero_copy_only=False)


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
