"""Token ids beside a dataset (tokens/NAME): what the trainer streams. They never change the dataset's digest."""

import pyarrow as pa

from schemas.table import Table, column, list_of

TOKEN_TRIPLE = pa.struct(
    [
        column("anchor", pa.int32(), "which anchor is the head"),
        column("relation_index", pa.int32(), "relation"),
        column("tail_index", pa.int32(), "tail"),
    ]
)

TOKEN_SPAN = pa.struct([column("start", pa.int32(), "first token"), column("end", pa.int32(), "one past the last")])

TOKEN_MENTION = pa.struct(
    [
        column("start", pa.int32(), "first token"),
        column("end", pa.int32(), "one past the last"),
        column("entity_index", pa.int32(), "what it names"),
        column("source", pa.int32(), "pages.links.source: 0 link | 1 self | 2 repeat"),
    ]
)

TOKENS_WK_GRAPHS = Table(
    name="tokens_wk_graphs",
    version=2,
    doc="wk_graphs with token ids; an anchor's own tokens give way to its mark, and lie beside.",
    sort_by=["hash(graph_id)"],
    splits=("train", "valid", "test"),
    row_group_rows=1_024,
    columns=[
        column("graph_id", pa.int64(), "wk_graphs.graph_id"),
        column("split", pa.string(), "train | valid | test"),
        column("units", list_of(pa.int32()), "in text order: a token id, or -1 - k where anchor k stands"),
        column("anchors", list_of(pa.int32()), "entity_index of anchor k"),
        column("spans", list_of(TOKEN_SPAN), "where anchor k's own tokens stand in the text's, marks undone"),
        column("mention_ids", list_of(pa.int32()), "the anchors' own tokens, one after the other: end - start each"),
        column("triples", list_of(TOKEN_TRIPLE), "facts about the anchors"),
    ],
)

TOKENS_ENTITIES = Table(
    name="tokens_entities",
    version=2,
    doc="entities.text as token ids, no special tokens, cut to the manifest's max_length.",
    sort_by=["entity_index"],
    columns=[
        column("entity_index", pa.int32(), "row number"),
        column("ids", list_of(pa.int32()), "token ids of the text"),
        column("name_ids", list_of(pa.int32()), "token ids of the label (else the id)"),
        column("mention_start", pa.int32(), "first token of the text's text_mention; -1 where ids have none"),
        column("mention_end", pa.int32(), "one past its last token"),
    ],
)

TOKENS_RELATIONS = Table(
    name="tokens_relations",
    version=1,
    doc="Relation labels and descriptions as token ids, no special tokens.",
    sort_by=["relation_index"],
    columns=[
        column("relation_index", pa.int32(), "row number"),
        column("ids", list_of(pa.int32()), "token ids of label and description"),
        column("name_ids", list_of(pa.int32()), "token ids of the label (else the id)"),
    ],
)

TOKENS_PAGES = Table(
    name="tokens_pages",
    version=2,
    doc="pages.text as token ids, no special tokens, with the links to kept entities: the text stream.",
    sort_by=["page_id"],
    splits=("train", "valid", "test"),
    row_group_rows=1_024,
    columns=[
        column("page_id", pa.int64(), "pages.page_id"),
        column("split", pa.string(), "train | valid | test"),
        column("ids", list_of(pa.int32()), "token ids of the text"),
        column("mentions", list_of(TOKEN_MENTION), "links to entities of the dataset, in text order, no token in two"),
    ],
)
