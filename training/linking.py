"""Entity linking: the parts of a text that name an entity of a dataset, and which one."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Link:
    """A part of a text, text[start:end] in code points, and the entity that it names."""

    start: int
    end: int
    entity_index: int
    score: float = 1.0
    """From 0 to 1, how sure that is."""
