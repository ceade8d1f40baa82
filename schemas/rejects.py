"""One row per input record that could not be parsed."""

import pyarrow as pa

from schemas.table import Table, column

REJECTS = Table(
    name="rejects",
    version=1,
    doc="One row per input record that could not be parsed; never a time, a path or an address.",
    sort_by=["stage", "key", "reason", "detail"],
    columns=[
        column("stage", pa.string(), "stage that rejected it"),
        column("key", pa.string(), "page id, item or title where one could be read, else empty"),
        column("reason", pa.string(), "short name, also counted in the manifest's drops"),
        column("detail", pa.string(), "what was found"),
    ],
)
