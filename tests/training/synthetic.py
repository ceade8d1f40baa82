"""A small made-up dataset with tokens, in the form that wikiloom build and tokenize write."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pyarrow as pa

from pipelines.sinks import table_entry, write_table
from schemas import TABLES, TOKEN_TABLES
from schemas.digest import dataset_digest
from schemas.hashing import random_u64, row_order
from schemas.manifest import Manifest

SPECIAL = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
KINDS = ("country", "city", "person", "job")
RELATIONS = ("country of city", "born in", "citizen of", "works as", "lives in", "capital")


class World:
    """Countries, cities, people and jobs, with facts that hang together."""

    def __init__(self, countries: int = 6, seed: int = 0) -> None:
        self.seed, counts = seed, (countries, 4 * countries, 12 * countries, 8)
        self.names = [f"{kind}{i}" for kind, count in zip(KINDS, counts, strict=True) for i in range(count)]
        first = np.cumsum([0, *counts])
        country, city, person, job = (range(first[i], first[i + 1]) for i in range(4))
        facts = [(c, 0, country[i // 4]) for i, c in enumerate(city)]
        facts += [(c, 5, city[4 * i]) for i, c in enumerate(country)]
        for i, p in enumerate(person):
            home = city[self._draw("home", i, len(city))]
            facts += [(p, 1, home), (p, 2, country[(home - city[0]) // 4])]
            facts += [(p, 3, job[self._draw("job", i, len(job))]), (p, 4, city[self._draw("lives", i, len(city))])]
        self.facts = sorted(set(facts))

    def _draw(self, purpose: str, index: int, count: int) -> int:
        return int(random_u64(self.seed, purpose, index) % np.uint64(count))

    def text(self, entity: int) -> list[str]:
        """The entity's facts in words."""
        words = [self.names[entity], "is", "a", self.names[entity].rstrip("0123456789"), "."]
        for head, relation, tail in self.facts:
            if head == entity:
                words += ["its", *RELATIONS[relation].split(), "is", self.names[tail], "."]
        return words


def make_dataset(
    folder: Path,
    world: World | None = None,
    *,
    pages: bool = True,
    valid_pages: bool = True,
    examples: Sequence[dict] = (),
    sides: Mapping[int, str] = MappingProxyType({}),
    vocabulary: World | None = None,
    categories: bool = False,
) -> Path:
    """DATASET with tokens/tiny, whose words are those of `vocabulary` (the world's own); one page and one graph per
    entity, and these examples. `sides` are the entities of the inductive valid and test; all others are train's. With
    `categories` an entity has its kind as one."""
    world = world or World()
    splits = [["train"] * 8, ["valid"], ["test"]]
    kinds = [kind for group in splits for kind in group]
    fact_split = [kinds[int(random_u64(1, "split", *fact) % np.uint64(10))] for fact in world.facts]
    train = [fact for fact, split in zip(world.facts, fact_split, strict=True) if split == "train"]
    page_split = [kinds[int(random_u64(2, "page", i) % np.uint64(10))] for i in range(len(world.names))]
    if not valid_pages:
        page_split = ["train" if split == "valid" else split for split in page_split]
    tables = {
        "entities": _entities(world, train, sides, categories),
        "relations": _relations(world, train),
        "triples": _triples(world, fact_split, sides),
        "anchors": _anchors(world),
        "examples": _table(TABLES["examples"], list(examples)),
    }
    digest = _write(folder, TABLES, tables, {})
    ids = _word_ids(vocabulary or world)
    _tokens(folder / "tokens" / "tiny", world, ids, train, page_split if pages else [], digest)
    return folder


def _write(folder: Path, definitions: dict, tables: dict[str, pa.Table], rest: dict) -> str:
    entries = {}
    for name, rows in tables.items():
        shards = write_table(definitions[name], rows, folder)
        entries[name] = table_entry(definitions[name], folder, shards)
    digest = dataset_digest((name, entry.digest) for name, entry in entries.items())
    Manifest(digest=digest, tables=entries, rest=rest).save(folder)
    return digest


def _table(definition, rows: list[dict]) -> pa.Table:
    return pa.Table.from_pylist(rows, schema=definition.schema)


def _entities(world: World, train: list, sides: Mapping[int, str], categories: bool) -> pa.Table:
    rows = []
    for index, name in enumerate(world.names):
        out, into = sum(f[0] == index for f in train), sum(f[2] == index for f in train)
        row = dict.fromkeys(TABLES["entities"].schema.names)
        row |= {"entity": f"Q{index + 1}", "entity_index": index, "label": name, "aliases": []}
        row["categories"] = [name.rstrip("0123456789")] if categories else []
        row |= {"text": " ".join(world.text(index)), "text_source": "lead", "kind": "item", "mention_count": 1}
        row |= {"in_degree": into, "out_degree": out, "frequency": 1 + into + out, "graph_count": 1 + into}
        rows.append(row | {"inductive_split": sides.get(index, "train")})
    return _table(TABLES["entities"], rows)


def _relations(world: World, train: list) -> pa.Table:
    rows = [
        {"relation": f"P{i + 1}", "relation_index": i, "label": label, "aliases": [], "description": None}
        | {"frequency": sum(f[1] == i for f in train), "graph_count": sum(f[1] == i for f in train)}
        for i, label in enumerate(RELATIONS)
    ]
    return _table(TABLES["relations"], rows)


def _triples(world: World, splits: list[str], sides: Mapping[int, str]) -> pa.Table:
    of = [[sides.get(end, "train") for end in (head, tail)] for head, _, tail in world.facts]
    rows = [
        {"head": f"Q{h + 1}", "relation": f"P{r + 1}", "tail": f"Q{t + 1}", "head_index": h, "relation_index": r}
        | {"tail_index": t, "label": True, "split": split, "inductive_split": one if one == other else "dropped"}
        for (h, r, t), split, (one, other) in zip(world.facts, splits, of, strict=True)
    ]
    return _table(TABLES["triples"], rows)


def _anchors(world: World) -> pa.Table:
    """Every name leads to its entity; "town" to the cities, the first ones more often."""
    cities = [index for index, name in enumerate(world.names) if name.startswith("city")]
    rows = [{"surface": name, "entity_index": index, "count": 2} for index, name in enumerate(world.names)]
    rows += [{"surface": "town", "entity_index": city, "count": len(cities) - k} for k, city in enumerate(cities)]
    return _table(TABLES["anchors"], sorted(rows, key=lambda row: (row["surface"].encode(), row["entity_index"])))


def _word_ids(world: World) -> dict[str, int]:
    words = sorted(
        {w for i in range(len(world.names)) for w in world.text(i)} | {w for r in RELATIONS for w in r.split()}
    )
    return {word: number for number, word in enumerate([*SPECIAL, *words])}


def _tokens(folder: Path, world: World, ids: dict[str, int], train: list, page_split: list[str], digest: str) -> None:
    entities = [
        {"entity_index": i, "ids": [ids[w] for w in world.text(i)], "name_ids": [ids[name]]}
        | {"mention_start": 0, "mention_end": 1}
        for i, name in enumerate(world.names)
    ]
    relations = [
        {"relation_index": i, "ids": [ids[w] for w in label.split()], "name_ids": [ids[w] for w in label.split()]}
        for i, label in enumerate(RELATIONS)
    ]
    texts = [
        {"page_id": i, "split": s, "ids": entities[i]["ids"], "mentions": _mentions(world, i)}
        for i, s in enumerate(page_split)
    ]
    graphs = [_graph(world, train, ids, i, split) for i, split in enumerate(page_split)]
    graphs.sort(key=lambda graph: int(row_order(graph["graph_id"])))
    rows = {"entities": entities, "relations": relations, "pages": texts, "wk_graphs": graphs}
    tables = {name: _table(TOKEN_TABLES[name], rows[name]) for name in rows}
    folder.mkdir(parents=True)
    tokenizer = _tokenizer_json(ids)
    (folder / "tokenizer.json").write_text(tokenizer, encoding="utf-8")
    rest = {"dataset": digest, "tokenizer": hashlib.sha256(tokenizer.encode()).hexdigest()}
    _write(folder, TOKEN_TABLES, tables, rest | {"max_length": 512, "vocab_size": len(ids)})


def _mentions(world: World, entity: int) -> list[dict]:
    """Every name in the entity's text, a link at its first mention."""
    found = [(place, world.names.index(word)) for place, word in enumerate(world.text(entity)) if word in world.names]
    seen = [name for _, name in found]
    return [
        {"start": place, "end": place + 1, "entity_index": name, "source": 2 if name in seen[:number] else 0}
        for number, (place, name) in enumerate(found)
    ]


def _graph(world: World, train: list, ids: dict[str, int], entity: int, split: str) -> dict:
    """The entity's text with every name an anchor at its first mention."""
    units, anchors = [], []
    for word in world.text(entity):
        if word in world.names and world.names.index(word) not in anchors:
            anchors.append(world.names.index(word))
            units.append(-len(anchors))
        else:
            units.append(ids[word])
    triples = [
        {"anchor": k, "relation_index": r, "tail_index": t}
        for k, anchor in enumerate(anchors)
        for h, r, t in [fact for fact in train if fact[0] == anchor][:15]
    ]
    row = {"graph_id": entity * 2**27, "split": split, "units": units, "anchors": anchors, "triples": triples}
    places = [place for place, unit in enumerate(units) if unit < 0]
    return row | {
        "spans": [{"start": place, "end": place + 1} for place in places],
        "mention_ids": [ids[world.names[anchor]] for anchor in anchors],
    }


def _tokenizer_json(ids: dict[str, int]) -> str:
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Whitespace

    tokenizer = Tokenizer(WordLevel(ids, unk_token="<unk>"))
    tokenizer.pre_tokenizer = Whitespace()
    tokenizer.add_special_tokens(SPECIAL)
    return json.dumps(json.loads(tokenizer.to_str()))
