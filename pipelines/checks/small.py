"""Checks of the tables that stand for themselves: redirects and examples."""

from collections.abc import Iterator

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.checks.known import Known
from pipelines.checks.problems import Checker, Problem, span_problems, where
from pipelines.columns import elements, lengths, values


class Redirects(Checker):
    """Titles that lead to entities."""

    def __init__(self, known: Known) -> None:
        self._known = known

    def check(self, rows: pa.Table, part: str) -> Iterator[Problem]:
        """Entities are there, titles and targets are not empty."""
        for name in ("title", "target"):
            empty = pc.equal(values(rows, name), "").to_numpy(zero_copy_only=False)
            yield from where(empty, name, lambda i, n=name: f"the {n} is empty")
        names = values(rows, "entity")
        dangling = names.is_valid().to_numpy(zero_copy_only=False) & (self._known.entities.index(names) < 0)
        yield from where(dangling, "entity", lambda i: f"entity {names[i]} is not in table entities")


class Examples(Checker):
    """Text tasks; their entities need not be the dataset's."""

    def check(self, rows: pa.Table, part: str) -> Iterator[Problem]:
        """Mentions lie in the text. Head and tail may overlap, and come in any order."""
        mentions, limits = elements(rows, "mentions"), lengths(rows, "text")
        yield from span_problems(mentions, limits, "mention", ordered=False)
