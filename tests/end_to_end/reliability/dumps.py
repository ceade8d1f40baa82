"""The examples' records, written anew: in other orders, other files, other containers."""

import bz2
import functools
import gzip
import itertools
import re
from collections.abc import Callable, Sequence
from pathlib import Path

from pipelines.sources.members import zstd
from tests.conftest import EXAMPLES

PAGES = EXAMPLES / "enwiki-mini.xml.bz2"
LINES = EXAMPLES / "wikidata-mini.json.gz"
REDIRECTS = EXAMPLES / "enwiki-mini-redirects.tsv"
PIECE = 20
"""Records of a member, stream or frame."""

_gzip = functools.partial(gzip.compress, compresslevel=1)
_CONTAINERS: dict[str, tuple[str, Callable[[bytes], bytes], bool]] = {
    "plain": ("", bytes, False),
    "gz": (".gz", _gzip, False),
    "gz members": (".gz", _gzip, True),
    "bz2": (".bz2", functools.partial(bz2.compress, compresslevel=1), False),
    "multistream": (".bz2", bz2.compress, True),
    "zst": (".zst", zstd.compress, True),
}
"""Name -> (suffix, what packs, whether pieces are packed one by one)."""
CONTAINERS = tuple(_CONTAINERS)


def inputs() -> list[str | Path]:
    """The command line of the examples as they are."""
    return ["--wikipedia", PAGES, "--wikidata", LINES, "--redirects", REDIRECTS]


@functools.cache
def _xml() -> tuple[bytes, tuple[bytes, ...]]:
    """(what comes before the first page, the pages)."""
    head, *pages = bz2.decompress(PAGES.read_bytes()).split(b"  <page>")
    pages[-1] = pages[-1].removesuffix(b"</mediawiki>\n")
    return head, tuple(b"  <page>" + page for page in pages)


def pages() -> tuple[bytes, ...]:
    """The pages of the dump of Wikipedia."""
    return _xml()[1]


@functools.cache
def entity_lines() -> tuple[bytes, ...]:
    """The lines of the dump of Wikidata, without brackets, commas and line breaks."""
    lines = (line.strip().removesuffix(b",") for line in gzip.decompress(LINES.read_bytes()).splitlines())
    return tuple(line for line in lines if line not in (b"[", b"]", b""))


def write_pages(records: Sequence[bytes], files: int, container: str, folder: Path) -> list[Path]:
    """Write so many dumps of Wikipedia; container "index" is multistream, and gives the indexes too."""
    packed = "multistream" if container == "index" else container
    paths = []
    for number, part in enumerate(_cut(records, files)):
        groups = _groups(part)
        parts = _packed([_xml()[0], *map(b"".join, groups), b"</mediawiki>\n"], packed)
        paths.append(folder / f"{number}.xml{_CONTAINERS[packed][0]}")
        paths[-1].write_bytes(b"".join(parts))
        if container == "index":
            paths.append(folder / f"{number}-index.txt.bz2")
            paths[-1].write_bytes(bz2.compress(_index(groups, list(map(len, parts)))))
    return paths


def write_lines(records: Sequence[bytes], files: int, container: str, folder: Path) -> list[Path]:
    """Write so many dumps of Wikidata."""
    paths = []
    for number, part in enumerate(_cut(records, files)):
        text = [[line + b",\n" for line in group] for group in _groups(part)]
        text[-1][-1] = text[-1][-1].replace(b",\n", b"\n")
        paths.append(folder / f"{number}.json{_CONTAINERS[container][0]}")
        paths[-1].write_bytes(b"".join(_packed([b"[\n", *map(b"".join, text), b"]\n"], container)))
    return paths


def write_redirects(how: str, folder: Path) -> Path:
    """The list of redirects: plain, gz, or its lines turned around."""
    lines = REDIRECTS.read_bytes().splitlines(keepends=True)
    path = folder / ("redirects.tsv.gz" if how == "gz" else "redirects.tsv")
    text = b"".join(reversed(lines) if how == "turned" else lines)
    path.write_bytes(gzip.compress(text) if how == "gz" else text)
    return path


def _cut(records: Sequence[bytes], files: int) -> list[Sequence[bytes]]:
    edges = [len(records) * number // files for number in range(files + 1)]
    return [records[start:end] for start, end in itertools.pairwise(edges)]


def _groups(records: Sequence[bytes]) -> list[Sequence[bytes]]:
    return [records[start : start + PIECE] for start in range(0, len(records), PIECE)]


def _packed(pieces: Sequence[bytes], container: str) -> list[bytes]:
    """What the file is made of: a part for each piece, or one."""
    _, pack, apart = _CONTAINERS[container]
    return [pack(piece) for piece in (pieces if apart else [b"".join(pieces)])]


def _index(groups: Sequence[Sequence[bytes]], sizes: Sequence[int]) -> bytes:
    """Lines offset:page_id:title; the first of `sizes` is of what comes before the first group."""
    lines, offset = [], sizes[0]
    for group, size in zip(groups, sizes[1:], strict=False):
        for page in group:
            title, page_id = (re.search(pattern, page)[1] for pattern in (rb"<title>(.*?)</title>", rb"<id>(.*?)</id>"))
            lines.append(b"%d:%s:%s\n" % (offset, page_id, title))
        offset += size
    return b"".join(lines)
