"""One's own knowledge graph: triples.tsv (head relation tail[ split]), entities.tsv and relations.tsv (id label
description), tab-separated, without a header."""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.importing.source import FACTS, PARTS, Ledger, Source, Told
from pipelines.sources.benchmarks import fact_batch
from pipelines.sources.published import File, Published
from pipelines.sources.tab_files import Count, Rows, read_columns, read_rows

HEADERS = ("head\trelation\ttail", "id\tlabel\tdescription")
"""First lines that tell what the columns are; read as names they would become entities."""


def read(format: str, files: Published) -> Source:
    """What the three files say; entities and relations that are listed stay also where no triple has them."""
    ledger = Ledger()
    triples = list(_read_triples(files.require("triples.tsv"), ledger))
    entities, relations = files.find("entities.tsv"), files.find("relations.tsv")
    of_entities = _read_names(entities, ledger, "names") if entities else []
    of_relations = _read_names(relations, ledger, "relations") if relations else []
    return Source(
        ledger=ledger,
        facts=pa.Table.from_batches([batch for batch, _ in triples], FACTS),
        has_splits=any(has_split for _, has_split in triples),
        listed=of_entities[0].ids.chunks if of_entities else (),
        listed_relations=of_relations[0].ids.chunks if of_relations else (),
        entities=of_entities,
        relations=of_relations,
    )


def _read_triples(file: File, ledger: Ledger) -> Iterator[tuple[pa.RecordBatch, bool]]:
    """(triples, whether they have a split)."""
    count = ledger.open(file, "triples", "triples")
    expected = f"head TAB relation TAB tail [TAB split: {', '.join(PARTS)}]"
    for rows, columns in read_columns(file, count, expected, [3, 4], required=3):
        _refuse_header(rows)
        parts = np.zeros(len(rows.lines), np.int64)
        if len(columns) == 4:
            parts = pc.fill_null(pc.index_in(columns[3], pa.array(PARTS)), -1).to_numpy().astype(np.int64)
            rows.refuse(parts < 0, expected)
        yield fact_batch(columns[:3], parts), len(columns) == 4


def _read_names(file: File, ledger: Ledger, role: str) -> list[Told]:
    """Labels and descriptions; either may be left out."""
    count = ledger.open(file, role, "names")
    pieces: list[list[pa.Array]] = []
    for rows in read_rows(file, count, most=3):
        _refuse_header(rows)
        pieces.append([rows.column(i) for i in range(3)])
        rows.refuse(pc.equal(pieces[-1][0], "").to_numpy(zero_copy_only=False), "id TAB label TAB description")
    ids, labels, descriptions = (pa.chunked_array([piece[i] for piece in pieces], pa.string()) for i in range(3))
    return [
        Told("label", ids, pc.utf8_trim_whitespace(labels), count),
        Told("description", ids, pc.utf8_trim_whitespace(descriptions), Count("names")),
    ]


def _refuse_header(rows: Rows) -> None:
    first = "\t".join(rows.fields[: rows.counts[0]].to_pylist()).lower() if len(rows.counts) else ""
    is_header = first.startswith(HEADERS) and rows.lines[0] == 1
    rows.refuse(np.arange(len(rows.counts)) == (0 if is_header else -1), "no header: its first line is data")
