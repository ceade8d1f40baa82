"""Wikidata5M (Wang et al., TACL 2021): triples of both published splits, aliases and descriptions."""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from pipelines.importing.options import read_texts
from pipelines.importing.source import FACTS, PARTS, VALUES, Ledger, Source, Told
from pipelines.sources.benchmarks import fact_batch
from pipelines.sources.published import File, Published
from pipelines.sources.tab_files import Count, read_columns, read_rows
from schemas.errors import DataError

TRIPLES = "wikidata5m_{}_{}.txt"
"""setting, split"""


def read(format: str, files: Published) -> Source:
    """What the published files say; either setting may be left out, and aliases and texts too."""
    ledger = Ledger()
    settings = {}
    for setting in ("transductive", "inductive"):
        names = [TRIPLES.format(setting, split) for split in PARTS[:3]]
        if any(files.find(name) for name in names):
            settings[setting] = [(split, files.require(name)) for split, name in zip(PARTS[:3], names, strict=True)]
    if not settings:
        wanted = TRIPLES.format("transductive", "train")
        raise DataError(f"{files.source}: expected {wanted} (plain, .gz, or in the published .tar.gz), found none.")
    entities, relations = files.find("wikidata5m_entity.txt"), files.find("wikidata5m_relation.txt")
    texts = files.find("wikidata5m_text.txt")
    return Source(
        ledger=ledger,
        facts=_read_setting(settings.get("transductive", []), ledger),
        inductive=_read_setting(settings["inductive"], ledger) if "inductive" in settings else None,
        kind="item",
        entities=_read_aliases(entities, ledger, "names") if entities else [],
        relations=_read_aliases(relations, ledger, "relations") if relations else [],
        texts=[read_texts(texts, ledger, "texts")] if texts else [],
    )


def _read_setting(files: list[tuple[str, File]], ledger: Ledger) -> pa.Table:
    return pa.Table.from_batches([batch for pair in files for batch in _read_split(*pair, ledger)], FACTS)


def _read_split(split: str, file: File, ledger: Ledger) -> Iterator[pa.RecordBatch]:
    count = ledger.open(file, "triples", "triples")
    for rows, names in read_columns(file, count, "Qhead TAB Prelation TAB Qtail", [3], required=3):
        yield fact_batch(names, np.full(len(rows.lines), PARTS.index(split)))


def _read_aliases(file: File, ledger: Ledger, role: str) -> list[Told]:
    """Labels, the first alias of each line, and aliases, the others."""
    count = ledger.open(file, role, "names")
    pieces: list[tuple[pa.Array, pa.Array, pa.Array]] = []
    for rows in read_rows(file, count):
        rows.refuse(rows.counts < 2, "id TAB alias TAB alias ...")
        pieces.append((rows.column(0), rows.column(1), rows.rest(2)))
    kinds = pa.string(), VALUES["label"], VALUES["aliases"]
    ids, labels, aliases = (
        pa.chunked_array([piece[i].cast(kind) for piece in pieces], kind) for i, kind in enumerate(kinds)
    )
    return [Told("label", ids, labels, count), Told("aliases", ids, aliases, Count("names"))]
