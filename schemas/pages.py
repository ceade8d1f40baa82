"""One row per article: plain text, sections and every link as exact offsets."""

import pyarrow as pa

from schemas.table import Table, column, list_of

SECTION = pa.struct(
    [
        column("title", pa.string(), "heading; it is not in the text"),
        column("level", pa.int32(), "2 for ==, 3 for ===, ..."),
        column("start", pa.int32(), "first code point of the section's text"),
        column("end", pa.int32(), "one past the last"),
    ]
)

LINK = pa.struct(
    [
        column("start", pa.int32(), "first code point of the visible text"),
        column("end", pa.int32(), "one past the last"),
        column("target", pa.string(), "title that the link names, normalised, without fragment"),
        column(
            "entity", pa.string(), "the target's entity, redirects followed; null where none is kept", nullable=True
        ),
        column("source", pa.string(), "link | self (bold title in the lead) | repeat (later mention of a linked name)"),
    ]
)

# Naive UTC: DuckDB's Python client needs pytz, which it does not bring, to read a column with a time zone.
PAGES = Table(
    name="pages",
    version=1,
    doc="One row per article; redirects and disambiguation pages are counted, not kept.",
    sort_by=["page_id"],
    splits=("train", "valid", "test"),
    columns=[
        column("page_id", pa.int64(), "the wiki's page id"),
        column("revision_id", pa.int64(), "the revision that was read"),
        column("timestamp", pa.timestamp("ms"), "when that revision was saved, UTC", nullable=True),
        column("title", pa.string(), "title"),
        column("entity", pa.string(), "the article's entity", nullable=True),
        column("split", pa.string(), "train | valid | test"),
        column("text", pa.string(), "plain text; offsets count its Unicode code points, half-open"),
        column("sections", list_of(SECTION), "sections after the lead"),
        column("lead_end", pa.int32(), "text[:lead_end] is the lead section"),
        column("links", list_of(LINK), "text[start:end] is the visible text"),
    ],
)
