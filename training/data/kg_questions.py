"""Questions of a knowledge graph: what their topics lead to in so many steps, and the text that an entity has there.

N walks, T triples, E entities, R relations, Q questions, C candidates of one.
"""

import dataclasses
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Bool, Int64

from schemas.dataset import Dataset
from schemas.hashing import below, hash_string, hash_strings, random_u64
from training.data.batch import offsets
from training.data.neighbours import Neighbours, neighbours_of
from training.data.setting import TRIPLE, as_array

AT_ONCE = 256
"""Questions whose walks are in memory together: two steps through a hub make some 10,000."""
TOPIC = "topic"
Row = Mapping[str, Any]
"""A row of `examples`."""


@dataclasses.dataclass(frozen=True)
class Graph:
    """A graph whose triples are walked in both directions."""

    edges: Neighbours
    """With inverse ones."""
    relations: int
    """R; an edge of relation R + r is a triple's that is walked backwards."""

    @classmethod
    def of(cls, triples: Int64[np.ndarray, "T 3"], entities: int, relations: int) -> "Graph":
        """Both directions of each triple."""
        return cls(neighbours_of(triples, entities, relations, inverse=True), relations)


@dataclasses.dataclass(frozen=True)
class Walks:
    """Walks of so many steps from some topics; none ends where it began."""

    rows: Int64[np.ndarray, " N"]
    """Which topic."""
    paths: Int64[np.ndarray, " N"]
    """The relations of its edges as one number, 2R to a digit: R + r is one that is walked backwards."""
    ends: Int64[np.ndarray, " N"]


def walk(graph: Graph, topics: Int64[np.ndarray, " Q"], steps: int) -> Walks:
    """All walks of `steps` edges; a topic of -1, which the graph has not, has none."""
    edges, rows = graph.edges, np.flatnonzero(topics >= 0)
    ends, paths = topics[rows], np.zeros(len(rows), dtype=np.int64)
    for _ in range(steps):
        every = edges.sample(ends, len(edges.others), np.zeros(len(ends), dtype=np.uint64))
        rows, paths = rows[every.which], paths[every.which] * 2 * graph.relations + edges.relations[every.edges]
        ends = edges.others[every.edges]
    away = ends != topics[rows]
    return Walks(rows[away], paths[away], ends[away])


@dataclasses.dataclass(frozen=True)
class Question:
    """One question, with what its topic leads to."""

    row: Row
    topic: int
    """-1 for one that the graph has not."""
    steps: int
    answers: Int64[np.ndarray, " A"]
    """Entities, sorted; those that the graph does not lead to are there as well."""
    candidates: Int64[np.ndarray, " C"]
    """Entities at the end of a walk, sorted."""
    right: Bool[np.ndarray, " C"]
    """Which of them are answers."""

    @property
    def has_distractor(self) -> bool:
        """Whether some candidate is no answer; where none is, any choice is right."""
        return not self.right.all()

    @property
    def teaches(self) -> bool:
        """Whether it can be learned from: an answer is among its candidates, and something to tell it from."""
        return bool(self.right.any()) and self.has_distractor


def open_questions(rows: Sequence[Row], ids: pa.Array, graph: Graph) -> list[Question]:
    """Rows of `examples`, with group N-hop; `ids` are the entities by index."""
    topics = pa.array([_topic(row)["entity"] for row in rows], pa.string())
    places = _indices(topics, ids)
    answers = _indices(pa.array([answer for row in rows for answer in row["answers"]], pa.string()), ids)
    ends = offsets(np.array([len(row["answers"]) for row in rows], dtype=np.int64))
    steps = np.array([int(row["group"].partition("-")[0]) for row in rows], dtype=np.int64)
    candidates: list[Int64[np.ndarray, " C"]] = [np.empty(0, np.int64)] * len(rows)
    for _, chosen, walks in walks_of(graph, places, steps):
        keys = np.unique(walks.rows * len(ids) + walks.ends)
        of_row, found = np.divmod(keys, len(ids))
        for row, own in zip(chosen, np.split(found, np.searchsorted(of_row, np.arange(1, len(chosen)))), strict=True):
            candidates[row] = own
    found = []
    for i, row in enumerate(rows):
        own = np.unique(answers[ends[i] : ends[i + 1]])
        right = np.isin(candidates[i], own, assume_unique=True)
        found.append(Question(row, int(places[i]), int(steps[i]), own, candidates[i], right))
    return found


def walks_of(
    graph: Graph, topics: Int64[np.ndarray, " Q"], steps: Int64[np.ndarray, " Q"]
) -> Iterator[tuple[int, Int64[np.ndarray, " B"], Walks]]:
    """(steps, which questions, their walks), AT_ONCE questions of equally many steps at a time."""
    for number in np.unique(steps).tolist():
        own = np.flatnonzero(steps == number)
        for begin in range(0, len(own), AT_ONCE):
            chosen = own[begin : begin + AT_ONCE]
            yield number, chosen, walk(graph, topics[chosen], number)


def template(row: Row) -> str:
    """The question with its topic replaced."""
    topic = _topic(row)
    return f"{row['text'][: topic['start']]}[{TOPIC}]{row['text'][topic['end'] :]}"


def entity_texts(
    ids: Sequence[str], names: Sequence[str], rows: Sequence[Row], topics: Sequence[int], seed: int
) -> list[Row]:
    """What stands for each entity as a row of `examples`: one of the questions about it, chosen by a hash, with the
    topic as its mention; of an entity without a question its name. `topics` are those of `rows`."""
    order = np.argsort(random_u64(seed, "kgqa/text", hash_strings(row["example_id"] for row in rows)), kind="stable")
    chosen: dict[int, Row] = {}
    for place in order:
        chosen.setdefault(topics[place], rows[place])
    return [chosen.get(i) or _named(entity, name) for i, (entity, name) in enumerate(zip(ids, names, strict=True))]


def _named(entity: str, name: str) -> Row:
    mention = {"start": 0, "end": len(name), "entity": entity, "role": TOPIC}
    return {"text": name, "text_b": None, "mentions": [mention]}


def _topic(row: Row) -> Mapping[str, Any]:
    return next(mention for mention in row["mentions"] if mention["role"] == TOPIC)


@dataclasses.dataclass(frozen=True)
class Thinned:
    """The triples of a graph of which a share is dropped."""

    table: pa.Table
    """The columns head, relation and tail, and their indices."""
    all: int

    @property
    def triples(self) -> Int64[np.ndarray, "T 3"]:
        """By index."""
        return as_array(self.table)

    def lines(self) -> Iterator[str]:
        """head TAB relation TAB tail, in the dataset's order."""
        for facts in zip(*(self.table[name].to_pylist() for name in ("head", "relation", "tail")), strict=True):
            yield "\t".join(facts) + "\n"

    def digest(self) -> str:
        """sha256 of the lines."""
        return hashlib.sha256("".join(self.lines()).encode()).hexdigest()


def thin(dataset: Dataset, share: float, seed: int) -> Thinned:
    """The train triples, each kept with probability `share` by a hash of (seed, triple), once each."""
    table = dataset.read("triples", "train", ["head", "relation", "tail", *TRIPLE])
    columns = [_hashes(table[name]) for name in ("head", "relation", "tail")]
    kept = pa.array(random_u64(seed, "kgqa/keep", *columns) < below(share)) if share < 1 else None
    return Thinned(table if kept is None else table.filter(kept), len(table))


def _hashes(names: pa.ChunkedArray) -> np.ndarray:
    """Of each name; uint64 (N,)."""
    distinct = names.combine_chunks().dictionary_encode()
    of_each = np.array([hash_string(name) for name in distinct.dictionary.to_pylist()], dtype=np.uint64)
    return of_each[distinct.indices.to_numpy()]


def _indices(wanted: pa.Array, ids: pa.Array) -> Int64[np.ndarray, " N"]:
    """Place of each among `ids`, -1 for one that is not there."""
    found = pc.fill_null(pc.index_in(wanted, value_set=ids), -1)
    return np.asarray(found.to_numpy(zero_copy_only=False)).astype(np.int64)
