"""The samples of word-knowledge-graph completion: a text with the mentions of a fact's head and tail, from `examples`.

What a run has had decides where a sample belongs. Seen are the entities and relations of a train triple or of a node of
a train graph; known are the facts that either states. E entities, R relations.
"""

import dataclasses
from collections import Counter
from collections.abc import Sequence

import numpy as np
import pyarrow.compute as pc
from jaxtyping import Bool, Int64

from schemas.dataset import Dataset
from training.evaluation.facts import Facts
from training.evaluation.masked_rules import TrainGraphs

COLUMNS = ["example_id", "text", "mentions", "relation"]
KNOWN, NO_RELATION = -2, -1
"""A sample whose fact is known, and one whose relation is unseen: in the place of its number of unseen entities."""
Span = tuple[int, int]


@dataclasses.dataclass(frozen=True)
class Sample:
    """One example with a fact. Ids are indices of the dataset."""

    example_id: str
    text: str
    spans: tuple[Span, Span]
    """The first mention of the head and of the tail, which do not overlap."""
    head: int
    relation: int
    tail: int


@dataclasses.dataclass(frozen=True)
class Seen:
    """What a run has had, in the train triples of the graph and in the train graphs."""

    entities: Bool[np.ndarray, " E"]
    relations: Bool[np.ndarray, " R"]
    facts: Int64[np.ndarray, " K"]
    """Keys of the known facts, ascending."""

    @classmethod
    def of(cls, facts: Facts, train: TrainGraphs) -> "Seen":
        """Of a dataset."""
        triples = np.concatenate([facts.splits["train"], train.facts])
        entities, relations = np.zeros(facts.entities, dtype=bool), np.zeros(facts.relations, dtype=bool)
        entities[triples[:, [0, 2]]] = True
        entities[train.anchor_entities] = True
        relations[triples[:, 1]] = True
        return cls(entities, relations, np.unique(_keys(triples, facts.entities, facts.relations)))

    def knows(self, triples: Int64[np.ndarray, "N 3"]) -> Bool[np.ndarray, " N"]:
        """Which facts are known."""
        return np.isin(_keys(triples, len(self.entities), len(self.relations)), self.facts)


def read_samples(dataset: Dataset, examples: Dataset, split: str) -> tuple[list[Sample], Counter[str]]:
    """The split's examples that state a fact of two entities of `dataset`; those left out are counted by reason."""
    entities = dataset.read("entities", columns=["entity"])["entity"]
    relations = dataset.read("relations", columns=["relation"])["relation"]
    rows = examples.read("examples", split, COLUMNS)
    mentioned = pc.list_flatten(rows["mentions"]).combine_chunks()
    if len(rows):
        names = mentioned.field("entity").unique()
        places = dict(zip(names.to_pylist(), pc.index_in(names, entities).to_pylist(), strict=True))
    else:
        places = {}
    index = {name: number for number, name in enumerate(relations.to_pylist())}
    samples, left_out = [], Counter[str]()
    for row in rows.to_pylist():
        found = _sample(row, places, index)
        if isinstance(found, Sample):
            samples.append(found)
        else:
            left_out[found] += 1
    return samples, left_out


def partition(samples: Sequence[Sample], seen: Seen) -> Int64[np.ndarray, " N"]:
    """How many of a sample's two entities are unseen, or KNOWN, or NO_RELATION."""
    triples = triples_of(samples)
    unseen = (~seen.entities[triples[:, [0, 2]]]).sum(axis=1)
    return np.where(seen.knows(triples), KNOWN, np.where(seen.relations[triples[:, 1]], unseen, NO_RELATION))


def triples_of(samples: Sequence[Sample]) -> Int64[np.ndarray, "N 3"]:
    """Head, relation and tail of each."""
    rows = [(sample.head, sample.relation, sample.tail) for sample in samples]
    return np.array(rows, dtype=np.int64).reshape(-1, 3)


def _sample(row: dict, places: dict[str | None, int | None], relations: dict[str, int]) -> Sample | str:
    """The sample, or why there is none."""
    mentions = {role: [m for m in row["mentions"] if m["role"] == role] for role in ("head", "tail")}
    if not all(mentions.values()):
        return "no_head_or_tail"
    named = [[m for m in mentions[role] if m["entity"] is not None] for role in ("head", "tail")]
    if not all(named):
        return "no_entity"
    first = [min(own, key=lambda m: m["start"]) for own in named]
    head, tail = (places[mention["entity"]] for mention in first)
    if head is None or tail is None:
        return "entity_not_in_graph"
    if row["relation"] not in relations:
        return "relation_not_in_graph"
    if head == tail:
        return "head_is_tail"
    spans = tuple((mention["start"], mention["end"]) for mention in first)
    if spans[0][0] < spans[1][1] and spans[1][0] < spans[0][1]:
        return "mentions_overlap"
    return Sample(row["example_id"], row["text"], spans, head, relations[row["relation"]], tail)  # type: ignore[arg-type]


def _keys(triples: Int64[np.ndarray, "N 3"], entities: int, relations: int) -> Int64[np.ndarray, " N"]:
    return (triples[:, 0] * relations + triples[:, 1]) * entities + triples[:, 2]
