"""One row per entity of the knowledge graph; row i has entity_index i."""

import pyarrow as pa

from schemas.table import Table, column, list_of

SPAN = pa.struct(
    [
        column("start", pa.int32(), "first code point"),
        column("end", pa.int32(), "one past the last code point"),
    ]
)

ENTITIES = Table(
    name="entities",
    version=2,
    doc="One row per entity; row i has entity_index i.",
    sort_by=["entity_index"],
    columns=[
        column("entity", pa.string(), "Wikidata item, e.g. Q42, or the id that a benchmark gives"),
        column("entity_index", pa.int32(), "row number; by frequency descending, then Q number, else UTF-8 bytes"),
        column(
            "label", pa.string(), "name in the dataset's language, or the nearest one that Wikidata has", nullable=True
        ),
        column("aliases", list_of(pa.string()), "other names"),
        column("description", pa.string(), "Wikidata's short description", nullable=True),
        column("page_id", pa.int64(), "the entity's article, where this dataset has it", nullable=True),
        column("page_title", pa.string(), "that article's title", nullable=True),
        column("text", pa.string(), "text for a text encoder; text_source says what it is; empty for none"),
        column("text_source", pa.string(), "lead (the article's first section) | description | label | none"),
        column("text_mention", SPAN, "first mention of the entity itself in text", nullable=True),
        column(
            "categories",
            list_of(pa.string()),
            "items it is an instance of (P31), whatever the splits",
        ),
        column("kind", pa.string(), "item | synset | lemma | node"),
        column("mention_count", pa.int64(), "links (source link) to it from train pages"),
        column("in_degree", pa.int64(), "train triples with it as tail"),
        column("out_degree", pa.int64(), "train triples with it as head"),
        column("frequency", pa.int64(), "mention_count + in_degree + out_degree"),
        column("graph_count", pa.int64(), "times it is a node in train wk_graphs; weighs negative sampling"),
        column(
            "inductive_split",
            pa.string(),
            "its side in the inductive setting: train | valid | test | none (no triple of it is left there)",
        ),
    ],
)
