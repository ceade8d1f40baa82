"""Datasets written row by row: a hostile one with every table, and parts of it, as imports write them."""

import json

import pyarrow as pa

from pipelines import sinks
from pipelines.card import write_card
from schemas import TABLES
from schemas.digest import dataset_digest
from schemas.manifest import Manifest

HOSTILE = "</title><script>alert(1)</script>\x1b[31m\x00\r\n\t $x_1$ \u202e 'q\" &amp; 世界 שלום | \u2066--> `"
"""Markup, orders to a terminal, ends of lines and of table cells, and text from right to left."""
GIANT = "w" * 10_000
STAGES = {"wikipedia": {"in": 10, "out": {"articles": 6, "redirects": 1}, "cpu_seconds": 0.5, "peak_memory_mb": 90}}
DROPS = {"wikipedia": {"no_text": 3}, "links": {HOSTILE: 4}}
REST = {
    "wikiloom": "0.0",
    "language": "en",
    "inputs": [{"role": "wikipedia", "name": f"{HOSTILE}.xml", "bytes": 7, "sha256": "ab" * 32}],
    "parameters": {"keep": "all", "neighbors": 15, "seed": 3, "valid_pages": 0.2},
    "stages": STAGES,
    "drops": DROPS,
}


def entities():
    for i in range(6):
        yield {
            "entity": f"Q{i + 1}",
            "entity_index": i,
            "label": (HOSTILE, GIANT)[i] if i < 2 else f"entity-{i}" if i < 5 else None,
            "aliases": [],
            "description": HOSTILE,
            "page_id": i,
            "page_title": f"Page {i}",
            "text": f"Some text of {i}.",
            "text_source": "lead" if i else "none",
            "text_mention": {"start": 0, "end": 4} if i % 2 else None,
            "categories": ["Q5"],
            "kind": "item",
            "mention_count": 6 - i,
            "in_degree": i,
            "out_degree": 1,
            "frequency": 7,
            "graph_count": 1,
            "inductive_split": "train",
        }


def pages():
    for i in range(6):
        text = f"Page {i} of {HOSTILE}"
        links = [{"start": 0, "end": 4, "target": HOSTILE, "entity": "Q1" if i else None, "source": "link"}]
        yield {
            "page_id": i,
            "revision_id": i,
            "timestamp": None,
            "title": HOSTILE,
            "entity": f"Q{i + 1}",
            "split": "train",
            "text": text,
            "sections": [],
            "lead_end": len(text),
            "links": links,
        }


def graphs():
    for i in range(5):
        text = f"The first of {HOSTILE} and the second and so on, for long enough that it makes a graph of good size."
        yield {
            "graph_id": i,
            "page_id": i,
            "split": "train",
            "start": 0,
            "end": len(text),
            "text": text,
            "mentions": [{"start": 5 * j, "end": 5 * j + 3, "entity_index": j} for j in range(3)],
            "triples": [{"anchor": 0, "head_index": 0, "relation_index": 0, "tail_index": j} for j in range(6)],
        }


def triples():
    for i in range(1, 6):
        yield {
            "head": "Q1",
            "relation": "P1",
            "tail": f"Q{i + 1}",
            "head_index": 0,
            "relation_index": 0,
            "tail_index": i,
            "label": True,
            "split": "train" if i < 4 else "valid",
            "inductive_split": "train",
        }


def examples():
    for i, split in enumerate(("train", "valid", "test", "test")):
        yield {
            "example_id": f"{i}",
            "task": "linking",
            "split": split,
            "group": HOSTILE,
            "text": f"Page {HOSTILE}",
            "text_b": HOSTILE if i else None,
            "mentions": [{"start": 0, "end": 4, "entity": "Q1", "role": "target"}],
            "label": HOSTILE,
            "labels": [HOSTILE],
            "answers": [],
            "relation": None,
            "options": [HOSTILE, "b"],
        }


ROWS = {
    "entities": list(entities()),
    "relations": [
        {
            "relation": "P1",
            "relation_index": 0,
            "label": HOSTILE,
            "aliases": [],
            "description": None,
            "frequency": 3,
            "graph_count": 1,
        }
    ],
    "triples": list(triples()),
    "pages": list(pages()),
    "redirects": [{"title": HOSTILE, "target": "b", "page_id": None, "entity": None}],
    "anchors": [{"surface": HOSTILE, "entity_index": 0, "count": 2}],
    "wk_graphs": list(graphs()),
    "examples": list(examples()),
    "rejects": [{"stage": "wikipedia", "key": "9", "reason": "broken", "detail": HOSTILE}],
}


def write_dataset(folder, rows, rest, card=True):
    """Write the rows of each table, a manifest and a card; returns the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    tables = {}
    for name in rows:
        table = pa.Table.from_pylist(rows[name], schema=TABLES[name].schema)
        shards = sinks.write_table(TABLES[name], table, folder)
        tables[name] = sinks.table_entry(TABLES[name], folder, shards)
    digest = dataset_digest((name, entry.digest) for name, entry in tables.items())
    manifest = Manifest(digest=digest, tables=tables, rest=rest)
    if card:
        write_card(folder, manifest)
    manifest.save(folder)
    return folder


GRAPH_ONLY = {name: ROWS[name] for name in ("entities", "relations")} | {
    "triples": [
        *ROWS["triples"],
        *(
            {**row, "split": split, "label": False, "tail": f"Q{(row['tail_index'] + 1) % 5 + 1}"}
            for split, row in (("valid_negatives", ROWS["triples"][0]), ("test_negatives", ROWS["triples"][1]))
        ),
    ]
}
"""A knowledge graph with given negatives and no page, as an import writes it."""
EXAMPLES_ONLY = {"examples": ROWS["examples"]}


def write_run(folder, digest, metrics=None):
    """Write a run folder with a config, curves and one result; returns it."""
    (folder / "results").mkdir(parents=True)
    (folder / "config.toml").write_text(
        f'recipe = "kepler-tiny"\n[data]\nfolder = "/home/somebody/data"\ndigest = "{digest}"\n[train]\nsteps = 20\n'
    )
    lines = [{"step": 0, "valid/mlm": 8.5}, *({"step": i, "train/mlm": 8 - i / 10, "lr": 0.1} for i in range(1, 21))]
    lines += [{"step": 20, "valid/mlm": 6.25, "valid/ke": float("nan")}]
    whole = "".join(json.dumps(line) + "\n" for line in lines)
    (folder / "metrics.jsonl").write_text(whole + '{"step": 30, "tr')
    rows = {"both": {"mrr": 0.4321, "mr": 7.0}, "relations": {"P1": {"mrr": 0.25, "triples": 2}}}
    result = {
        "task": "link-prediction",
        "system": "kepler-tiny",
        "metrics": metrics or rows,
        "protocol": {"split": "test", "filtered": True, "filter_splits": ["train", "valid"]},
        "digest": digest,
        "seconds": 1.5,
        "baselines": {"frequency": {"both": {"mrr": 0.5432, "mr": 3.0}}},
    }
    (folder / "results" / "link-prediction-test-00000000.json").write_text(json.dumps(result))
    return folder
