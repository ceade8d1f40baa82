"""Checks of splits that are made here; published splits, and woven ones, are what they are."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from pipelines.checks.known import SIDES, Known
from pipelines.checks.problems import MAX_LINES, Problem, where
from pipelines.checks.wk_graphs import PageIndex
from pipelines.columns import I64
from pipelines.facts import TRUE_SPLITS, Facts, pair_codes
from pipelines.report.about import parameters
from pipelines.transforms import split
from schemas.dataset import Dataset


class MadeSplits:
    """The rules of both splits, and what the manifest says of them; for facts of the true splits."""

    def __init__(self, known: Known, held: dict[str, Facts]) -> None:
        self._known, self._told = known, parameters(known.dataset.manifest)
        together = self._told.get("keep_pairs_together") is True
        self._pairs = {name: np.unique(_pairs(facts.heads, facts.tails)) for name, facts in held.items() if together}
        self._filled = np.zeros((3, len(known.entities)), bool)
        """Has the entity a fact on the side?"""
        self._links: dict[int, list[tuple[I64, I64]]] = {1: [], 2: []}
        self._facts = np.zeros(len(split.NAMES), np.int64)
        self._self_triples = 0

    def check(self, heads: I64, tails: I64, codes: npt.NDArray[np.int8], part: str) -> Iterator[Problem]:
        """Some facts of a split; `codes` are their inductive splits, all indices those of entities."""
        names, sides = self._known.entities, self._known.sides
        for other, pairs in self._pairs.items():
            if TRUE_SPLITS.index(other) > TRUE_SPLITS.index(part):
                apart = np.isin(_pairs(heads, tails), pairs)
                yield from where(
                    apart,
                    "pairs",
                    lambda i, o=other: f"{names[heads[i]]} and {names[tails[i]]} have facts in {part} and in {o}",
                )
        inside = (codes == split.DROPPED) & (sides[heads] == sides[tails]) & (sides[heads] < len(TRUE_SPLITS))
        yield from where(
            inside,
            "dropped",
            lambda i: (
                f"inductive_split dropped, but both {names[heads[i]]} and {names[tails[i]]} are in "
                f"{SIDES[sides[heads[i]]]}"
            ),
        )
        self._facts += np.bincount(codes, minlength=len(split.NAMES))
        self._self_triples += int((heads == tails).sum())
        for code in range(3):
            ends = heads[codes == code], tails[codes == code]
            self._filled[code, np.concatenate(ends)] = True
            if code in self._links:
                self._links[code].append(ends)

    def finish(self) -> Iterator[str]:
        """Sides of entities without a fact there, parts that hang apart, a share too large; the manifest's figures."""
        sides = self._known.sides
        for code, side in enumerate(TRUE_SPLITS):
            for entity in np.flatnonzero((sides == code) & ~self._filled[code])[:MAX_LINES].tolist():
                yield f"{self._known.entities[entity]} is in inductive {side}, where it has no fact"
        for code, links in self._links.items():
            parts = _components(*(np.concatenate(ends) for ends in zip(*links, strict=True))) if links else 0
            if parts > 1:
                yield f"inductive {SIDES[code]} is {parts} sub-graphs, expected one connected one"
        dropped, most = int(self._facts[split.DROPPED]), _share(self._told.get("max_dropped"))
        if most is not None and dropped > most * self._facts.sum():
            yield f"the inductive split drops {dropped} of {self._facts.sum()} facts, max_dropped is {most}"
        yield from self._figures()

    def _figures(self) -> Iterator[str]:
        found = {
            "self_triples": self._self_triples,
            "inductive_split.triples": dict(zip(split.NAMES, self._facts.tolist(), strict=True)),
            "inductive_split.entities": {
                side: int((self._known.sides == code).sum()) for code, side in enumerate(SIDES)
            },
        }
        for name, counted in found.items():
            said: Any = self._known.dataset.manifest.rest.get("graph")
            for key in name.split("."):
                said = said.get(key) if isinstance(said, dict) else None
            if said is not None and said != counted:
                yield f"the manifest's graph.{name} is {said}, counted {counted}"


def check_page_splits(dataset: Dataset, pages: PageIndex) -> Iterator[str]:
    """A build splits pages by hash(seed, page_id): a line for each page that is elsewhere."""
    told = parameters(dataset.manifest)
    seed, valid, test = told.get("seed"), _share(told.get("valid_pages")), _share(told.get("test_pages"))
    if type(seed) is not int or valid is None or test is None:
        return
    codes = split.pages(pages.ids, seed=seed, valid=valid, test=test)
    for place in np.flatnonzero(codes != pages.parts)[:MAX_LINES].tolist():
        found, right = (split.NAMES[column[place]] for column in (pages.parts, codes))
        yield f"{dataset.folder}, table pages: page_id {pages.ids[place]} is in {found}, its hash says {right}"


def _share(told: object) -> float | None:
    """What a manifest says to be a share, if it is one."""
    return float(told) if isinstance(told, float | int) and 0 <= told <= 1 else None


def _pairs(heads: npt.ArrayLike, tails: npt.ArrayLike) -> npt.NDArray[np.uint64]:
    """The two ends of each fact, in either order, as one number."""
    return pair_codes(np.minimum(heads, tails), np.maximum(heads, tails))


def _components(heads: I64, tails: I64) -> int:
    """Connected parts of a graph of these links: the smallest number of a part goes round until nothing changes."""
    nodes, ends = np.unique(np.concatenate([heads, tails]), return_inverse=True)
    one, other = np.split(ends, 2)
    label = np.arange(len(nodes))
    while (label[one] != label[other]).any():
        low = np.minimum(label[one], label[other])
        np.minimum.at(label, label[one], low)
        np.minimum.at(label, label[other], low)
        label = label[label]
    return len(np.unique(label))
