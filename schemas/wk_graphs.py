"""One row per word-knowledge graph: a passage, its linked entities, and facts about them (CoLAKE, section 3.1)."""

import pyarrow as pa

from schemas.table import Table, column, list_of

MENTION = pa.struct(
    [
        column("start", pa.int32(), "first code point in this row's text"),
        column("end", pa.int32(), "one past the last"),
        column("entity_index", pa.int32(), "entity; each appears once, at its first mention"),
    ]
)

GRAPH_TRIPLE = pa.struct(
    [
        column("anchor", pa.int32(), "which mention is the head: an index into mentions"),
        column("head_index", pa.int32(), "the head's entity_index"),
        column("relation_index", pa.int32(), "relation"),
        column("tail_index", pa.int32(), "tail"),
    ]
)

WK_GRAPHS = Table(
    name="wk_graphs",
    version=2,
    doc="One row per word-knowledge graph, sorted by a hash of its id, so any stretch of rows is a random sample.",
    sort_by=["hash(graph_id)"],
    splits=("train", "valid", "test"),
    row_group_rows=1_024,
    columns=[
        column("graph_id", pa.int64(), "page_id * 2^27 + start"),
        column(
            "page_id",
            pa.int64(),
            "page that the passage is from; in a dataset woven from examples a number made of example_id",
        ),
        column("split", pa.string(), "the page's or example's: train | valid | test"),
        column("start", pa.int32(), "first code point of the passage in pages.text, or examples.text"),
        column("end", pa.int32(), "one past the last"),
        column("text", pa.string(), "the passage"),
        column("mentions", list_of(MENTION), "anchors in text order"),
        column("triples", list_of(GRAPH_TRIPLE), "sampled neighbours of the anchors; train triples only"),
    ],
)
