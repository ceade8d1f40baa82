"""Checks of redirects."""

from collections.abc import Iterator

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.checks.known import Known
from pipelines.checks.problems import Checker, Problem, where
from pipelines.columns import values


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
