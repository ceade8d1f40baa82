"""Knowledge graphs written as datasets, as the build writes them."""

import os
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import pyarrow as pa
import pytest

from pipelines.sinks import table_entry, write_table
from schemas import TABLES
from schemas.dataset import Dataset
from schemas.digest import dataset_digest
from schemas.manifest import Manifest

REAL = {"kinships": ("train.txt", "valid.txt", "test.txt"), "umls": ("train.tsv", "dev.tsv", "test.tsv")}
FILES = {**REAL, "nations": REAL["kinships"]}


def write_kg(
    folder: Path,
    splits: dict[str, list[tuple[str, str, str]]],
    sides: Mapping[str, str] = MappingProxyType({}),
    **tables: list[dict],
) -> Dataset:
    """A dataset of triples (and further tables, as rows) whose indices follow the frequency, as the build's do.

    `sides` are the entities of the inductive valid and test; all others are train's.
    """
    triples = [(*triple, split) for split, rows in splits.items() for triple in rows]
    entities = _by_frequency([name for head, _, tail, _ in triples for name in (head, tail)])
    relations = _by_frequency([relation for _, relation, _, _ in triples])
    degrees = Counter(name for head, _, tail, split in triples if split == "train" for name in (head, tail))
    rows = {
        "entities": [_entity(name, index, degrees[name], sides.get(name, "train")) for name, index in entities.items()],
        "relations": [_relation(name, index) for name, index in relations.items()],
        "triples": [_triple(entities, relations, *triple, _side(sides, triple)) for triple in triples],
        **tables,
    }
    rows["triples"].sort(key=lambda row: tuple(row[key] for key in TABLES["triples"].sort_by))
    entries = {}
    for name, content in rows.items():
        table = TABLES[name]
        shards = write_table(table, pa.Table.from_pylist(content, schema=table.schema), folder)
        entries[name] = table_entry(table, folder, shards)
    digest = dataset_digest((name, entry.digest) for name, entry in entries.items())
    Manifest(digest=digest, tables=entries, rest={}).save(folder)
    return Dataset(folder)


def read_real(name: str, folder: Path) -> Dataset:
    """One of the FILES' knowledge graphs; skips the test where WIKILOOM_DATA is not set."""
    data = os.environ.get("WIKILOOM_DATA")
    if not data:
        pytest.skip("WIKILOOM_DATA is not set: no real knowledge graph to read")
    files = [Path(data) / "kg" / name / file for file in FILES[name]]
    lines = [file.read_text(encoding="utf-8").splitlines() for file in files]
    splits = [[tuple(line.split("\t")) for line in part if line] for part in lines]
    return write_kg(folder, dict(zip(("train", "valid", "test"), splits, strict=True)))


def _by_frequency(names: list[str]) -> dict[str, int]:
    counts = Counter(names)
    return {name: index for index, name in enumerate(sorted(counts, key=lambda name: (-counts[name], name.encode())))}


def _side(sides: Mapping[str, str], triple: tuple[str, str, str, str]) -> str:
    head, tail = (sides.get(name, "train") for name in (triple[0], triple[2]))
    return head if head == tail else "dropped"


def _entity(name: str, index: int, degree: int, side: str) -> dict:
    return {
        "entity": name,
        "entity_index": index,
        "label": name.replace("_", " ").title(),
        "aliases": [f"the {name}"],
        "description": None,
        "page_id": None,
        "page_title": None,
        "text": f"About {name}.",
        "text_source": "label",
        "text_mention": None,
        "categories": [],
        "kind": "item",
        "mention_count": 0,
        "in_degree": degree,
        "out_degree": 0,
        "frequency": degree,
        "graph_count": degree,
        "inductive_split": side,
    }


def _relation(name: str, index: int) -> dict:
    label = name.replace("_", " ")
    counts = {"frequency": 0, "graph_count": 0}
    return {"relation": name, "relation_index": index, "label": label, "aliases": [], "description": None, **counts}


def _triple(
    entities: dict[str, int], relations: dict[str, int], head: str, relation: str, tail: str, split: str, side: str
) -> dict:
    return {
        "head": head,
        "relation": relation,
        "tail": tail,
        "head_index": entities[head],
        "relation_index": relations[relation],
        "tail_index": entities[tail],
        "label": not split.endswith("_negatives"),
        "split": split,
        "inductive_split": side,
    }
