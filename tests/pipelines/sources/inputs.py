"""Small dumps that the tests write themselves."""

import bz2
import gzip
import json
import random

from pipelines.sources.members import zstd

HEADER = (
    '<mediawiki xmlns="http://www.mediawiki.org/xml/export-0.11/" version="0.11" xml:lang="en">\n'
    "  <siteinfo>\n    <sitename>Wikipedia</sitename>\n    <case>first-letter</case>\n    <namespaces>\n"
    '      <namespace key="0" case="first-letter" />\n      <namespace key="6" case="first-letter">File</namespace>\n'
    "    </namespaces>\n  </siteinfo>\n"
)
FOOTER = "</mediawiki>\n"


def page(number, text="A [[heron]] waits.", title=None, extra="", namespace=0, revision=None):
    """A <page> as the dumps have it."""
    escaped = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return (
        f"  <page>\n    <title>{title or f'Page {number}'}</title>\n    <ns>{namespace}</ns>\n    <id>{number}</id>\n"
        f"{extra}    <revision>\n      <id>{revision or number * 10}</id>\n"
        f"      <timestamp>2024-01-0{number % 9 + 1}T00:00:00Z</timestamp>\n      <model>wikitext</model>\n"
        f'      <text bytes="{len(escaped)}" xml:space="preserve">{escaped}</text>\n    </revision>\n  </page>\n'
    )


def dump(pages):
    """A whole export file."""
    return (HEADER + "".join(pages) + FOOTER).encode()


def entity(number, label="heron", tails=(), **more):
    """An item's JSON as a dict."""
    return {
        "type": "item",
        "id": f"Q{number}",
        "labels": {"en": {"language": "en", "value": f"{label} {number}"}},
        "descriptions": {},
        "aliases": {},
        "claims": {"P31": [statement(tail) for tail in tails]} if tails else [],
        "sitelinks": {"enwiki": {"site": "enwiki", "title": f"Page {number}", "badges": []}},
        **more,
    }


def statement(tail, rank="normal", **more):
    """A statement whose value is an item."""
    value = {"entity-type": "item", "numeric-id": int(tail[1:]), "id": tail}
    snak = {"snaktype": "value", "datavalue": {"type": "wikibase-entityid", "value": value}}
    return {"mainsnak": snak, "rank": rank, "type": "statement", **more}


def array(entities):
    """Entities as a dump: one a line in an array."""
    return ("[\n" + ",\n".join(json.dumps(one) for one in entities) + "\n]\n").encode()


def compress(data, kind, parts=1):
    """`data` in a container, as `parts` streams or members one behind the other."""
    pack = {"plain": bytes, "bz2": bz2.compress, "gz": gzip.compress, "zst": zstd.compress}[kind]
    step = -(-len(data) // parts)
    return b"".join(pack(data[i : i + step]) for i in range(0, len(data), step))


SKIPPABLE = b"\x5e\x2a\x4d\x18\x05\0\0\0a <p>"
"""A zstd frame without data."""
CONTAINERS = {
    "plain": bytes,
    "bz2 of blocks": lambda data: bz2.compress(data, 1),
    "bz2 of streams": lambda data: b"".join(bz2.compress(part, 1) for part in _parts(data, 160_000)),
    "gzip": gzip.compress,
    "gzip of members": lambda data: b"".join(map(gzip.compress, _parts(data, 9_000))),
    "zstd of frames": lambda data: SKIPPABLE.join(
        zstd.compress(part, options={zstd.CompressionParameter.checksum_flag: 1}) for part in _parts(data, 9_000)
    ),
}
"""Compressors; level 1 makes bz2 blocks of 100 kB."""


def words(count, seed=0):
    """Text that does not compress to nothing: `count` words of random letters."""
    letters = "".join(random.Random(seed).choices("abcdefghijklmnop    ", k=6 * count))
    return " ".join(letters.split()[:count])


def _parts(data, length):
    return [data[start : start + length] for start in range(0, len(data), length)]


def write(folder, name, data):
    """Path of a new file with `data`."""
    path = folder / name
    path.write_bytes(data)
    return str(path)
