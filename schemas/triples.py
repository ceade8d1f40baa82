"""One row per statement between two entities."""

import pyarrow as pa

from schemas.table import Table, column

TRIPLES = Table(
    name="triples",
    version=2,
    doc="One row per statement between two entities; each split sorted by indices, so it is a CSR matrix as it stands.",
    sort_by=["head_index", "relation_index", "tail_index"],
    splits=("train", "valid", "test", "valid_negatives", "test_negatives"),
    columns=[
        column("head", pa.string(), "entity, e.g. Q42"),
        column("relation", pa.string(), "relation, e.g. P31"),
        column("tail", pa.string(), "entity, e.g. Q5"),
        column("head_index", pa.int32(), "head's entity_index"),
        column("relation_index", pa.int32(), "relation's relation_index"),
        column("tail_index", pa.int32(), "tail's entity_index"),
        column("label", pa.bool_(), "false only for a benchmark's given negatives"),
        column("split", pa.string(), "transductive: train | valid | test | valid_negatives | test_negatives"),
        column(
            "inductive_split", pa.string(), "inductive: train | valid | test | dropped (its ends are in different ones)"
        ),
    ],
)
