"""What a harness tried, and what failed."""

import dataclasses
from collections.abc import Mapping, Sequence

MAX_FAILURES = 100
"""A harness of millions of tries stops behind so many: more would say the same."""


@dataclasses.dataclass(frozen=True)
class Outcome:
    """Of one run of a harness."""

    tried: int
    """Kills, inputs, flips, mutants ...: what its ABOUT counts."""
    failures: Sequence[str] = ()
    """A line each: the seed and number that try it again, what was expected, what was found."""
    figures: Mapping[str, float | str] = dataclasses.field(default_factory=dict)
    """More that was measured, by the words that stand in docs/reliability.md: numbers are printed as they are."""
