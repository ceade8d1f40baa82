"""Every table of a dataset, by name."""

from schemas.anchors import ANCHORS
from schemas.entities import ENTITIES
from schemas.examples import EXAMPLES
from schemas.pages import PAGES
from schemas.redirects import REDIRECTS
from schemas.rejects import REJECTS
from schemas.relations import RELATIONS
from schemas.table import Table
from schemas.tokens import TOKENS_ENTITIES, TOKENS_PAGES, TOKENS_RELATIONS, TOKENS_WK_GRAPHS
from schemas.triples import TRIPLES
from schemas.wk_graphs import WK_GRAPHS

TABLES: dict[str, Table] = {
    table.name: table
    for table in (ENTITIES, RELATIONS, TRIPLES, PAGES, REDIRECTS, ANCHORS, WK_GRAPHS, EXAMPLES, REJECTS)
}
"""The tables of a dataset folder, by name."""

TOKEN_TABLES: dict[str, Table] = {
    table.folder: table for table in (TOKENS_WK_GRAPHS, TOKENS_ENTITIES, TOKENS_RELATIONS, TOKENS_PAGES)
}
"""The tables of a tokens/NAME folder, by folder name."""
