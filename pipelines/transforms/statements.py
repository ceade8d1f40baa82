"""Stage wikidata: one range of the dump -> items with their statements, properties, rejects."""

import dataclasses
from collections import Counter
from pathlib import Path

import msgspec
import pyarrow as pa

from pipelines.records import RecordWriter, write_json
from pipelines.sources import Reject
from pipelines.sources.ranges import Range
from pipelines.sources.wikidata import Item, Property, read_entities
from schemas.hashing import hash_string
from schemas.rejects import REJECTS
from schemas.table import list_of

ITEMS = pa.schema(
    {
        "item": pa.int64(),
        "label": pa.string(),
        "aliases": list_of(pa.string()),
        "description": pa.string(),
        "title": pa.string(),
        "relations": list_of(pa.int64()),
        "tails": list_of(pa.int64()),
        "content": pa.uint64(),
    }
)
"""An item by number; `content` is a hash of the rest, which decides between two records of one item."""

PROPERTIES = pa.schema(
    {
        "relation": pa.int64(),
        "label": pa.string(),
        "aliases": list_of(pa.string()),
        "description": pa.string(),
        "datatype": pa.string(),
        "content": pa.uint64(),
    }
)

_encode = msgspec.json.Encoder().encode


@dataclasses.dataclass(frozen=True)
class WikidataJob:
    """A range of the Wikidata dump and the folder for what it holds."""

    range: Range
    folder: Path
    language: str

    @property
    def marker(self) -> Path:
        """Written last: counts and drops of the range."""
        return self.folder / "done.json"


def read_wikidata_range(job: WikidataJob) -> None:
    """Decode one range into items.arrow, properties.arrow and rejects.arrow."""
    drops: Counter[str] = Counter()
    lost: set[str] = set()
    with (
        RecordWriter(job.folder / "items.arrow", ITEMS) as items,
        RecordWriter(job.folder / "properties.arrow", PROPERTIES) as properties,
        RecordWriter(job.folder / "rejects.arrow", REJECTS.schema) as rejects,
    ):
        for record in read_entities(job.range, job.language, drops):
            match record:
                case Item():
                    items.add(_row(record))
                case Property():
                    properties.add(_row(record))
                case Reject():
                    rejects.add(record._asdict())
                    drops[record.reason] += 1
                    lost.add(record.reason)
    # Two kinds of drops: records of the dump that are left out, and statements of those that stay.
    records = {reason: n for reason, n in drops.items() if reason.startswith("entity_") or reason in lost}
    statements = {reason: n for reason, n in drops.items() if reason not in records}
    counts = {"items": items.count, "properties": properties.count}
    write_json(job.marker, {"out": counts, "drops": records, "statements": statements})


def _row(record: Item | Property) -> dict:
    return {**record._asdict(), "content": hash_string(_encode(record).decode())}
