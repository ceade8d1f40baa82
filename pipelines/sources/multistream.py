"""The index beside a multistream dump: lines offset:page_id:title, an offset for each stream of about 100 pages."""

import bisect
import itertools
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from pipelines.sources.bz2_blocks import Bz2Blocks
from pipelines.sources.ranges import Range, Truncated, plan_ranges, read_blocks, read_head, split
from schemas.errors import DataError, UsageError

_LINE = re.compile(rb"^([0-9]{1,18}):[0-9]+:", re.MULTILINE)
_STREAM = re.compile(rb"BZh[1-9]1AY&SY")
_STREAM_BYTES = 10


def pair_indexes(paths: Sequence[Path]) -> list[tuple[Path, Path | None]]:
    """Each dump with its index, if that is among the files: known by its content, and for its dump by its name.

    UsageError for an index whose dump is not given.
    """
    indexes = [path for path in paths if _LINE.match(read_head(str(path)))]
    pairs: list[tuple[Path, Path | None]] = [(path, None) for path in paths if path not in indexes]
    for index in indexes:
        own = [number for number, (dump, _) in enumerate(pairs) if _stem(dump) == _stem(index)]
        if not own:
            expected = index.name.replace("-index", "").replace(".txt", ".xml")
            raise UsageError(f"--wikipedia {index}: a multistream index; expected its dump, {expected}, beside it.")
        # Dumps of one name may lie in several folders.
        best = min(own, key=lambda number: pairs[number][0].parent != index.parent)
        pairs[best] = (pairs[best][0], index)
    return pairs


def _stem(path: Path) -> str:
    """What the names of a dump and of its index share: enwiki-20240101-pages-articles-multistream1-p1p41242."""
    return re.sub(r"-index|\.xml|\.txt|\.(bz2|gz|zst)$", "", path.name)


def plan_dump(path: str, index: str | None, target_bytes: int) -> list[Range]:
    """Ranges of about `target_bytes`; with an index, cut at streams that it names.

    DataError where a stream that is used, the first or the last one is not where the index says.
    """
    if index is None:
        return plan_ranges(path, target_bytes)
    offsets = list(_offsets(index))
    with open(path, "rb") as file:
        for offset in (*offsets[:1], *offsets[-1:]):
            _check(file, offset, index)
        blocks = Bz2Blocks(file)

        def find(position: int, end: int) -> int | None:
            for offset in offsets[bisect.bisect_left(offsets, position) : bisect.bisect_left(offsets, end)]:
                _check(file, offset, index)
                # Only what is found without an index too: damage then costs the same with and without it.
                if blocks.find(offset, offset + 1) is not None:
                    return offset
            return None

        return split(path, find, target_bytes)


def _offsets(index: str) -> Iterator[int]:
    """Offset of each stream, ascending; a damaged index names fewer."""
    previous, tail = -1, b""
    blocks = read_blocks(Range(index, 0, os.path.getsize(index)))
    for block in itertools.chain(blocks, (b"\n",)):
        if isinstance(block, Truncated):
            tail = b"?"  # what follows is the rest of a line, and no offset
            continue
        lines, newline, tail = (tail + block).rpartition(b"\n")
        for line in _LINE.finditer(lines + newline):
            if (offset := int(line[1])) > previous:
                yield offset
                previous = offset


def _check(file: BinaryIO, offset: int, index: str) -> None:
    """DataError if no stream begins at `offset`; a dump that is cut lacks those behind its end."""
    file.seek(offset)
    head = file.read(_STREAM_BYTES)
    if len(head) == _STREAM_BYTES and not _STREAM.match(head):
        raise DataError(
            f"{index}: says that a bz2 stream of {file.name} begins at byte {offset}, and none does. "
            "Are both of the same dump, and downloaded to their ends?"
        )
