"""A copy of a dataset to plant faults in: rows are changed, and the manifest is made to fit them again, so that only a
check of the rows can find the fault."""

import dataclasses
import json
import shutil

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines import sinks
from schemas.dataset import Dataset
from schemas.digest import dataset_digest
from schemas.manifest import Manifest, read_manifest
from schemas.tables import TABLES, TOKEN_TABLES

DEFAULTS = {
    "entities": {"aliases": [], "text": "", "text_source": "none", "categories": [], "kind": "item"},
    "relations": {"aliases": []},
    "triples": {"label": True, "inductive_split": "dropped"},
    "pages": {"revision_id": 0, "sections": [], "lead_end": 0, "links": []},
    "wk_graphs": {"triples": []},
}


class Copy:
    """A dataset's folder of one's own."""

    definitions = TABLES

    def __init__(self, dataset, folder):
        shutil.copytree(dataset, folder)
        self.folder = folder

    def tokens(self, name):
        """Its tokens, to be changed in the same way."""
        return CopiedTokens(self.folder / "tokens" / name)

    def shard(self, table, part=None):
        """The first file of a part of a table."""
        return next(iter(sorted((self.folder / table).glob(f"{part or self.definitions[table].name}-*.parquet"))))

    def rows(self, table, part=None):
        return pq.read_table(self.shard(table, part), partitioning=None).to_pylist()

    def write(self, table, part, rows):
        """Replace the rows of a file."""
        path, definition = self.shard(table, part), self.definitions[table]
        sinks.write_parquet(definition, pa.Table.from_pylist(rows, schema=definition.schema), path)
        self.seal(table)

    def edit(self, table, part, change):
        """Change the rows of a file in place."""
        rows = self.rows(table, part)
        change(rows)
        self.write(table, part, rows)

    def seal(self, table):
        """Make the manifest fit the table's files again."""
        manifest = read_manifest(self.folder)
        shards = [self._measured(shard) for shard in manifest.tables[table].shards]
        tables = {**manifest.tables, table: sinks.table_entry(self.definitions[table], self.folder, shards)}
        digest = dataset_digest((name, entry.digest) for name, entry in tables.items())
        Manifest(digest=digest, tables=tables, rest=manifest.rest).save(self.folder)

    def document(self, change):
        """Change manifest.json as it stands there."""
        path = self.folder / "manifest.json"
        document = json.loads(path.read_text())
        change(document)
        path.write_text(json.dumps(document))

    def _measured(self, shard):
        path = self.folder / shard.path
        metadata = pq.ParquetFile(path).metadata
        return dataclasses.replace(
            shard,
            rows=metadata.num_rows,
            row_groups=metadata.num_row_groups,
            bytes=path.stat().st_size,
            sha256=sinks.file_digest(path),
        )


class CopiedTokens(Copy):
    """A tokens/NAME folder of a copy."""

    definitions = TOKEN_TABLES

    def __init__(self, folder):
        self.folder = folder


def insert_fact(rows, fact):
    """Add a fact to rows of triples, in its place."""
    rows.append(fact)
    rows.sort(key=lambda row: (row["head_index"], row["relation_index"], row["tail_index"]))


def new_dataset(folder, tables, **rest):
    """A dataset of these rows by table; columns that a row leaves out are empty, 0 or null. Nothing makes it true."""
    entries = {}
    for name, rows in tables.items():
        schema = TABLES[name].schema
        blank = {
            field.name: None if field.nullable else _EMPTY[str(field.type)]
            for field in schema
            if str(field.type) in _EMPTY
        }
        whole = [{**blank, **DEFAULTS.get(name, {}), **row} for row in rows]
        shards = sinks.write_table(TABLES[name], pa.Table.from_pylist(whole, schema=schema), folder)
        entries[name] = sinks.table_entry(TABLES[name], folder, shards)
    digest = dataset_digest((name, entry.digest) for name, entry in entries.items())
    Manifest(digest=digest, tables=entries, rest=rest).save(folder)
    return Dataset(folder)


def new_graph(folder, facts, labels=None, **tables):
    """A dataset of facts (head, relation, tail, split) by index; entity i is Q<i>, relation i is P<i>."""
    entities = 1 + max((max(head, tail) for head, _, tail, _ in facts), default=0)
    relations = 1 + max((relation for _, relation, _, _ in facts), default=0)
    rows = [
        {
            "head": f"Q{head}",
            "relation": f"P{relation}",
            "tail": f"Q{tail}",
            "head_index": head,
            "relation_index": relation,
            "tail_index": tail,
            "split": split,
        }
        for head, relation, tail, split in sorted(facts)
    ]
    named = [{"entity": f"Q{i}", "entity_index": i, "label": (labels or {}).get(i)} for i in range(entities)]
    texts = tables.pop("texts", {})
    return new_dataset(
        folder,
        {
            "entities": [row | {"text": texts.get(row["entity_index"], "")} for row in named],
            "relations": [{"relation": f"P{i}", "relation_index": i} for i in range(relations)],
            "triples": rows,
            **tables,
        },
    )


_EMPTY = {"string": "", "int32": 0, "int64": 0, "bool": False}
