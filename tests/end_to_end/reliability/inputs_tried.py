"""What a kind of input is, and what a reader may do with it."""

import dataclasses
from collections.abc import Callable, Iterable
from pathlib import Path

from tests.pipelines.sources.inputs import array, dump, entity, page, words

PAGES, ENTITIES = "pages", "entities"
COUNT = 6
"""Pages or entities that an input has, unless its kind says otherwise."""
MAKES = Callable[[], "bytes | Iterable[bytes]"]
CANARY = "a heron nobody may see"
"""What stands in the file beside the input, which external entities name."""


@dataclasses.dataclass(frozen=True)
class Kind:
    """An input, and what is expected of the reader: an error whose line has `error`, else `kept` records and rejects
    of these reasons, each at least once and no others."""

    reads: str
    """PAGES | ENTITIES"""
    make: MAKES
    error: str = ""
    kept: int | tuple[int, int] = COUNT
    """Exactly so many, or from one number to another."""
    rejects: tuple[str, ...] = ()
    may_fail: bool = False
    """A clear error is as good: too little is left."""
    name: str = "input"


def whole_pages(count: int = COUNT, text: str = "", **more: str) -> bytes:
    """An export of pages that do not compress to nothing."""
    return dump([page(n, text or words(3_000, n), **more) for n in range(1, count + 1)])


def whole_entities(count: int = COUNT) -> bytes:
    """An array of items, one a line."""
    return array([entity(n, words(3_000, n), tails=[f"Q{n + 1}"]) for n in range(1, count + 1)])


def write(kind: Kind, folder: Path) -> Path:
    """The input's file, and the canary beside it."""
    path = folder / kind.name
    made = kind.make()
    with path.open("wb") as file:
        for block in [made] if isinstance(made, bytes) else made:
            file.write(block.replace(b"FOLDER", str(folder).encode()) if len(block) < 1 << 16 else block)
    (folder / "canary").write_text(CANARY)
    return path
