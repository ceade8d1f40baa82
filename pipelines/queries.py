"""Queries for readers that never import this project: the card has them, and the page of describe."""

import dataclasses
from collections.abc import Iterator

from schemas.manifest import Manifest
from schemas.table import Table
from schemas.tables import TABLES


@dataclasses.dataclass(frozen=True)
class Query:
    """A piece of SQL or Python that runs in the dataset's folder."""

    title: str
    language: str
    """sql | python."""
    text: str
    needs: tuple[str, ...]
    """Tables, or table/split, that must have rows."""


QUERIES = (
    Query(
        "DuckDB: links with their words",
        "sql",
        'select title, link.target, link.entity, substr(text, link.start + 1, link."end" - link.start) as words\n'
        "from (select title, text, unnest(links) as link from 'pages/*.parquet') limit 5;",
        ("pages",),
    ),
    Query(
        "DuckDB: facts by their labels",
        "sql",
        "select h.label as head, r.label as relation, t.label as tail from 'triples/train-*.parquet' x\n"
        "join 'entities/*.parquet' h on x.head_index = h.entity_index\n"
        "join 'relations/*.parquet' r on x.relation_index = r.relation_index\n"
        "join 'entities/*.parquet' t on x.tail_index = t.entity_index limit 5;",
        ("triples/train", "entities", "relations"),
    ),
    Query(
        "DuckDB: what each column means",
        "sql",
        "select decode(value) as columns from parquet_kv_metadata('{table}/*.parquet')\n"
        "where decode(key) = 'columns' limit 1;",
        (),
    ),
    Query(
        "Polars: links with their words",
        "python",
        "import polars as pl\n"
        'pages = pl.scan_parquet("pages/*.parquet").select("title", "text", "links")\n'
        'links = pages.explode("links").drop_nulls("links").unnest("links")\n'
        'words = pl.col("text").str.slice(pl.col("start"), pl.col("end") - pl.col("start"))\n'
        'print(links.select("title", "target", words.alias("words")).head(5).collect())',
        ("pages",),
    ),
    Query(
        "Polars: the most frequent entities (the table is in that order)",
        "python",
        "import polars as pl\n"
        'print(pl.scan_parquet("entities/*.parquet").select("entity", "label", "frequency").head(5).collect())',
        ("entities",),
    ),
    Query(
        "pandas: how often each relation occurs",
        "python",
        "import pandas as pd\n"
        'triples = pd.read_parquet("triples", columns=["relation"], filters=[("split", "==", "train")])\n'
        'relations = pd.read_parquet("relations", columns=["relation", "label"]).set_index("relation")\n'
        'print(relations.join(triples["relation"].value_counts()).nlargest(5, "count"))',
        ("triples/train", "relations"),
    ),
    Query(
        "pandas: examples",
        "python",
        'import pandas as pd\nprint(pd.read_parquet("examples", columns=["task", "split", "text", "label"]).head())',
        ("examples",),
    ),
    Query(
        "datasets: a table and split in memory",
        "python",
        "import os\nfrom datasets import load_dataset\n"
        'rows = load_dataset(os.getcwd(), "{table}", split="{split}")\nprint(rows)',
        (),
    ),
    Query(
        "datasets: word-knowledge graphs, streamed (eager loading writes a second copy)",
        "python",
        "import os\nfrom datasets import load_dataset\n"
        # To the end of a small split: pyarrow may abort a program that leaves a stream unfinished when it ends.
        'graphs = load_dataset(os.getcwd(), "wk_graphs", split="{held}", streaming=True)\n'
        'print(sum(len(graph["triples"]) for graph in graphs))',
        ("wk_graphs",),
    ),
)
UPLOAD = '--repo-type dataset --exclude ".build/*"'
"""What `hf upload` is told of a dataset's folder: a build's work files stay at home."""
SMALL = ("relations", "triples", "examples", "pages", "wk_graphs")
"""Tables for the queries about any one, the first that has rows."""


def queries(manifest: Manifest) -> Iterator[Query]:
    """Those that have something to read in this dataset."""
    present = {name: filled_splits(manifest, name) for name in manifest.tables if filled_splits(manifest, name)}
    known = {*present, *(f"{name}/{split}" for name, splits in present.items() for split in splits)}
    table = next((name for name in (*SMALL, *present) if name in present), None)
    for query in QUERIES:
        if table is None or not known.issuperset(query.needs):
            continue
        held = [*present.get("wk_graphs", {})][-1:]
        text = query.text.replace("{table}", table).replace("{split}", next(iter(present[table])))
        text = text.replace("{held}", "".join(held))
        yield dataclasses.replace(query, text=text)


def filled_splits(manifest: Manifest, name: str) -> dict[str, str]:
    """Glob by split, of the splits that have rows; `datasets` calls the one part of an unsplit table train."""
    table: Table = TABLES[name]
    filled = [part for part in table.parts if any(shard.rows for shard in manifest.tables[name].split(part))]
    return {part if table.splits else "train": f"{table.folder}/{part}-*.parquet" for part in filled}
