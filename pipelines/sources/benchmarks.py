"""Small benchmarks: three files of triples with their splits, and texts of entities and relations beside them."""

import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.importing.options import read_texts
from pipelines.importing.source import FACTS, PARTS, Ledger, Source, Told
from pipelines.sources.published import File, Published
from pipelines.sources.tab_files import read_columns

SPLITS = {
    "train": ("train.tsv", "train.txt"),
    "valid": ("dev.tsv", "valid.tsv", "valid.txt", "dev.txt"),
    "test": ("test.tsv", "test.txt"),
}
"""Split -> the names that its file goes by."""
LONG = ("entity2textlong.txt",)


@dataclasses.dataclass(frozen=True)
class Layout:
    """How a benchmark writes its texts."""

    names: Sequence[str] = ()
    """Files of lines "id TAB name"."""
    described: Sequence[str] = ()
    """Files of lines "id TAB name and description"."""
    between: str = ""
    """What stands between the two."""
    licence: str = "unknown"


LAYOUTS = {"umls": Layout(names=("entity2text.txt",))}


def read(format: str, files: Published) -> Source:
    """What the benchmark's files say."""
    layout, ledger = LAYOUTS[format], Ledger()
    facts = [piece for split, names in SPLITS.items() for piece in read_facts(files.require(*names), split, ledger)]
    named, relations, long = files.find(*layout.names), files.find("relation2text.txt"), files.find(*LONG)
    return Source(
        facts=pa.Table.from_batches(facts, FACTS),
        entities=[read_names(named, ledger, "names")] if named else [],
        relations=[read_names(relations, ledger, "relations")] if relations else [],
        texts=[read_texts(long, ledger, "texts")] if long else [],
        ledger=ledger,
        licence=layout.licence,
    )


def read_facts(file: File, split: str, ledger: Ledger) -> Iterator[pa.RecordBatch]:
    """Triples of one split (FACTS), block by block."""
    count = ledger.open(file, "triples", "triples")
    for rows, columns in read_columns(file, count, "head TAB relation TAB tail", [3], required=3):
        yield fact_batch(columns, np.full(len(rows.lines), PARTS.index(split), np.int8))


def fact_batch(names: Sequence[pa.Array], parts: np.ndarray) -> pa.RecordBatch:
    """A batch of FACTS from heads, relations and tails."""
    return pa.record_batch([*(own.dictionary_encode() for own in names), pa.array(parts, pa.int8())], schema=FACTS)


def read_names(file: File, ledger: Ledger, role: str) -> Told:
    """Labels from lines "id TAB name"."""
    count = ledger.open(file, role, "names")
    pairs = [c for _, c in read_columns(file, count, "id TAB name", [2], required=1, free_text=True)]
    ids, names = zip(*pairs, strict=True) if pairs else ((), ())
    trimmed = [pc.utf8_trim_whitespace(own) for own in names]
    return Told("label", pa.chunked_array(ids, pa.string()), pa.chunked_array(trimmed, pa.string()), count)
