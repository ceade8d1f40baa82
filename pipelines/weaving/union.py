"""The graphs of several datasets as one: entities and relations by id, every triple once. numpy on columns."""

import dataclasses
from collections import Counter
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.columns import repeats, whole
from pipelines.facts import INDICES
from pipelines.importing.graph import (
    FIRST_NEGATIVE,
    Imported,
    Triples,
    columns_of,
    leave_out,
    place_negatives,
)
from pipelines.importing.source import PARTS
from pipelines.names import Names, name_order
from pipelines.scan import scan
from pipelines.transforms.facts import Statements, Tally
from pipelines.transforms.graph import SplitRules, describe_graph, number
from pipelines.transforms.inductive import NONE, SIDES, Inductive, Sizes
from pipelines.transforms.split import DROPPED, TEST, TRAIN, VALID
from schemas.dataset import Dataset

I64 = npt.NDArray[np.int64]
I8 = npt.NDArray[np.int8]

STRENGTH = np.array([0, 1, 2, 0, 1], np.int8)
"""Of each of PARTS: of two splits that have the same triple, the one that is held out further wins."""
SIDE_STRENGTH = np.array([1, 2, 3, 0], np.int8)
"""The same of the inductive sides."""


@dataclasses.dataclass(frozen=True)
class Vocabulary:
    """Ids of all datasets, in the order of equals, and for each dataset the place of its row i."""

    names: Names
    places: Sequence[I64]

    @classmethod
    def of(cls, columns: Sequence[pa.ChunkedArray]) -> "Vocabulary":
        """From the column of ids of each dataset."""
        chunks = pa.chunked_array([chunk for column in columns for chunk in column.chunks], pa.string())
        encoded = whole(chunks).dictionary_encode()
        order = name_order(encoded.dictionary)
        places = np.argsort(order)[encoded.indices.to_numpy()]
        ends = np.cumsum([len(column) for column in columns])
        names = pa.chunked_array([encoded.dictionary.take(pa.array(order))])
        return cls(Names(names), np.split(places, ends[:-1]))


def unite(
    datasets: Sequence[Dataset],
    vocabularies: tuple[Vocabulary, Vocabulary],
    excluded: Sequence[tuple[str, str, str]],
    anchors: tuple[pa.Array, I64],
) -> Imported:
    """Unite the graphs. `vocabularies` are of entities and relations; `anchors`: ids of entities and how often train
    pages link to each."""
    (entities, relations), tally = vocabularies, Tally()
    triples = _read_triples(datasets, entities, relations)
    taken = len(triples)
    triples = _once(leave_out(excluded, triples, entities.names, relations.names, tally), tally.drops)
    true = triples.parts < FIRST_NEGATIVE
    negatives, triples = triples.where(~true), triples.where(true)
    mentions = np.zeros(len(entities.names), np.int64)
    linked = entities.names.index(anchors[0])
    np.add.at(mentions, linked[linked >= 0], anchors[1][linked >= 0])
    second = _sort_out(triples.facts, _sides(datasets, entities), len(relations.names))
    every = (np.arange(len(vocabulary.names)) for vocabulary in vocabularies)
    graph = number(triples.facts, *every, mentions, triples.parts, second)
    refused = "" if (second.entities % NONE != TRAIN).any() else "none of the graphs has one"
    rules = SplitRules(seed=0, valid=None, test=None, together=False, inductive=Sizes(None, None, 0.0))
    return Imported(
        entities.names,
        relations.names,
        graph,
        place_negatives(negatives, graph),
        {"in": taken, "out": {"triples": len(triples) + len(negatives)}},
        dict(tally.drops),
        describe_graph(graph, refused, rules, tally),
    )


def _read_triples(datasets: Sequence[Dataset], entities: Vocabulary, relations: Vocabulary) -> Triples:
    """The triples of all datasets, one after the other, by place in the vocabularies."""
    columns: list[list[np.ndarray]] = [[np.empty(0, np.int32)] for _ in INDICES]
    parts = [np.empty(0, np.int8)]
    for at, dataset in enumerate(datasets):
        own = entities.places[at], relations.places[at], entities.places[at]
        for code, part in enumerate(PARTS):
            for rows in scan(dataset, "triples", INDICES, split=part):
                for column, name, place in zip(columns, INDICES, own, strict=True):
                    column.append(place[rows[name].to_numpy()].astype(np.int32))
                parts.append(np.full(rows.num_rows, code, np.int8))
    return Triples(Statements(*(np.concatenate(column) for column in columns)), np.concatenate(parts))


def _once(triples: Triples, drops: Counter[str]) -> Triples:
    """Each triple in the strongest of its splits, sorted; true ones and given negatives apart."""
    columns = (triples.parts >= FIRST_NEGATIVE, *columns_of(triples.facts))
    order = np.lexsort((-STRENGTH[triples.parts], *columns[::-1]))
    first = ~repeats([column[order] for column in columns])
    parts = triples.parts[order]
    winning = parts[first][np.cumsum(first) - 1]
    drops["duplicate_triple"] = int((~first & (winning == parts)).sum())
    drops["held_out_elsewhere"] = int((winning != parts).sum())
    return triples.where(order[first])


def _sides(datasets: Sequence[Dataset], entities: Vocabulary) -> I8:
    """Each entity's side in the inductive setting, the one held out furthest; NONE where no dataset has it there."""
    strength = np.zeros(len(entities.names), np.int8)
    for dataset, places in zip(datasets, entities.places, strict=True):
        column = dataset.read("entities", columns=["inductive_split"])["inductive_split"]
        own = SIDE_STRENGTH[pc.fill_null(pc.index_in(column, pa.array(SIDES)), NONE).to_numpy()]
        strength[places] = np.maximum(strength[places], own)
    return np.array([NONE, TRAIN, VALID, TEST], np.int8)[strength]


def _sort_out(facts: Statements, sides: I8, relations: int) -> Inductive:
    """A triple is on the side that both its ends are on, else dropped; so are relations that train does not have."""
    codes = np.where((sides[facts.heads] == sides[facts.tails]) & (sides[facts.heads] != NONE), sides[facts.heads], -1)
    of_train = np.zeros(relations, bool)
    of_train[facts.relations[codes == TRAIN]] = True
    codes = np.where((codes < 0) | ~of_train[facts.relations], DROPPED, codes).astype(np.int8)
    left = np.zeros(len(sides), bool)
    for ends in (facts.heads, facts.tails):
        left[ends[codes != DROPPED]] = True
    return Inductive(np.where(left, sides, NONE).astype(np.int8), codes, "")
