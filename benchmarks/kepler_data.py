"""The datasets of benchmarks/kepler.py: connected parts of FB15k-237 and WN18RR with their texts, split anew.

A part is grown from one entity along triples until it has so many entities; its triples are those between them. Both
settings are made by `wikiloom import tsv`: `split` is transductive, `inductive_split` has sub-graphs of entities that
train has not.
"""

import gzip
import os
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

from benchmarks.commands import wikiloom
from schemas.hashing import hash_string

ENTITIES = 8_000
HELD = 400
"""Entities of valid, and as many of test, in the inductive setting."""
TRIPLES = {"fb15k-237": ("train.txt.gz", "valid.txt", "test.txt"), "wn18rr": ("train.tsv", "dev.tsv", "test.tsv")}
TEXTS = {"fb15k-237": "entity2text.txt", "wn18rr": "entity2text.txt.gz"}
GRAPHS = tuple(TRIPLES)
ENCODER = "sentence-transformers/all-MiniLM-L6-v2"
TOKENS = "all-MiniLM-L6-v2"
Triple = tuple[str, str, str]


def dataset_of(graph: str, work: Path) -> Path:
    """The part of a graph as a dataset with MiniLM's token ids, made where it is not there."""
    folder = work / graph / "dataset"
    if (folder / "tokens" / TOKENS / "manifest.json").is_file():
        return folder
    source = Path(os.environ["WIKILOOM_DATA"]) / "kg" / graph
    triples = sorted({triple for name in TRIPLES[graph] for triple in _triples(source / name)})
    part, files = grown(triples, ENTITIES), work / graph / "files"
    files.mkdir(parents=True, exist_ok=True)
    texts = dict(line.split("\t", 1) for line in _lines(source / TEXTS[graph]))
    relations = dict(line.split("\t", 1) for line in _lines(source / "relation2text.txt"))
    kept = [triple for triple in triples if triple[0] in part and triple[2] in part]
    _write(files / "triples.tsv", kept)
    _write(files / "entities.tsv", ((one, *_named(texts.get(one, one))) for one in sorted(part)))
    _write(files / "relations.tsv", ((one, relations.get(one, one)) for one in sorted({r for _, r, _ in kept})))
    sizes = ("--valid", str(HELD), "--test", str(HELD))
    wikiloom("import", "tsv", "--from", files, "--split", "inductive", *sizes, "--out", folder)
    wikiloom("tokenize", folder, "--tokenizer", ENCODER, "--name", TOKENS)
    return folder


def grown(triples: Iterable[Triple], size: int) -> set[str]:
    """The first `size` entities that a breadth-first walk meets, from the entity with the smallest hash; neighbours
    come in the order of their hashes, and where all have been met, it begins anew elsewhere."""
    neighbours: dict[str, set[str]] = defaultdict(set)
    for head, _, tail in triples:
        neighbours[head].add(tail)
        neighbours[tail].add(head)
    met: dict[str, None] = {}
    for root in sorted(neighbours, key=hash_string):
        queue = [root]
        for one in queue:
            if one in met:
                continue
            met[one] = None
            if len(met) == size:
                return set(met)
            queue += sorted(neighbours[one] - met.keys(), key=hash_string)
    return set(met)


def _named(text: str) -> tuple[str, str]:
    """(label, description): FB15k-237 has them apart by " -- ", WN18RR by the first comma."""
    label, dash, description = text.partition(" -- ") if " -- " in text else text.partition(", ")
    return label, (description if dash else label)


def _triples(path: Path) -> Iterator[Triple]:
    for line in _lines(path):
        head, relation, tail = line.split("\t")[:3]
        yield head, relation, tail


def _lines(path: Path) -> list[str]:
    data = path.read_bytes()
    text = (gzip.decompress(data) if path.suffix == ".gz" else data).decode("utf-8")
    return [line for line in text.replace("\r\n", "\n").split("\n") if line]


def _write(path: Path, rows: Iterable[Iterable[str]]) -> None:
    path.write_text("".join("\t".join(row) + "\n" for row in rows), encoding="utf-8")
