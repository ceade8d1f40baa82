"""One row per relation (Wikidata property); row i has relation_index i."""

import pyarrow as pa

from schemas.table import Table, column, list_of

RELATIONS = Table(
    name="relations",
    version=1,
    doc="One row per relation; row i has relation_index i.",
    sort_by=["relation_index"],
    columns=[
        column("relation", pa.string(), "Wikidata property, e.g. P31, or the id that a benchmark gives"),
        column("relation_index", pa.int32(), "row number; by frequency descending, then P number, else UTF-8 bytes"),
        column("label", pa.string(), "name", nullable=True),
        column("aliases", list_of(pa.string()), "other names"),
        column("description", pa.string(), "Wikidata's short description", nullable=True),
        column("frequency", pa.int64(), "train triples with this relation"),
        column("graph_count", pa.int64(), "times it is a node in train wk_graphs"),
    ],
)
