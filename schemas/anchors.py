"""How often a surface form links to an entity: what linking is built from."""

import pyarrow as pa

from schemas.table import Table, column

ANCHORS = Table(
    name="anchors",
    version=1,
    doc="One row per surface form and entity, counted over the train pages' links.",
    sort_by=["surface", "entity_index"],
    columns=[
        column("surface", pa.string(), "visible text of the links"),
        column("entity_index", pa.int32(), "entity they reach"),
        column("count", pa.int64(), "how many do"),
    ],
)
