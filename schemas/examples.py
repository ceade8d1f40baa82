"""One row per example of a text task (FewRel, MetaQA, LAMA, TACRED, Open Entity, entity linking, GLUE, classes)."""

import pyarrow as pa

from schemas.table import Table, column, list_of

ROLE_MENTION = pa.struct(
    [
        column("start", pa.int32(), "first code point in text"),
        column("end", pa.int32(), "one past the last"),
        column("entity", pa.string(), "entity, where the benchmark gives one", nullable=True),
        column("role", pa.string(), "head | tail | topic | target | context (another one that is linked)"),
    ]
)

EXAMPLES = Table(
    name="examples",
    version=2,
    doc="One row per example of a text task.",
    sort_by=["example_id"],
    splits=("train", "valid", "test"),
    columns=[
        column("example_id", pa.string(), "unique in the table"),
        column(
            "task",
            pa.string(),
            "few-shot | relation-classification | typing | probing | kgqa | linking | glue | entity-classification",
        ),
        column("split", pa.string(), "train | valid | test"),
        column("group", pa.string(), "subset: FewRel's file split, LAMA's subset, MetaQA's hops"),
        column("text", pa.string(), "the text"),
        column("text_b", pa.string(), "a second text, for pairs", nullable=True),
        column("mentions", list_of(ROLE_MENTION), "marked spans"),
        column("label", pa.string(), "the one right label", nullable=True),
        column("labels", list_of(pa.string()), "all right labels, for multi-label tasks"),
        column("answers", list_of(pa.string()), "right answers"),
        column("relation", pa.string(), "relation id", nullable=True),
        column("options", list_of(pa.string()), "labels or answers to choose from"),
    ],
)
