"""One row per redirect page of the dump."""

import pyarrow as pa

from schemas.table import Table, column

REDIRECTS = Table(
    name="redirects",
    version=2,
    doc="One row per redirect that was read, from the dump or from --redirects.",
    sort_by=["title"],
    columns=[
        column("title", pa.string(), "the redirect's title"),
        column("target", pa.string(), "title it names, as written"),
        column(
            "page_id", pa.int64(), "the redirect's own page id; null if only a list of titles has it", nullable=True
        ),
        column("entity", pa.string(), "entity at the end of the chain", nullable=True),
    ],
)
