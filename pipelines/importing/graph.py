"""Triples by name -> the graph by index, with its splits. One process, numpy on columns."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipelines.columns import repeats
from pipelines.facts import Facts
from pipelines.importing.config import Import
from pipelines.importing.source import FACTS, NAME, PARTS, Source
from pipelines.names import Names, name_order
from pipelines.transforms.facts import Numbers, Statements, Tally
from pipelines.transforms.graph import Graph, SplitRules, describe_graph, number, split_triples
from pipelines.transforms.inductive import NONE, Inductive, Sizes, inductive
from pipelines.transforms.split import DROPPED, TRAIN
from schemas.errors import DataError, UsageError
from schemas.hashing import below, random_u64

I64 = npt.NDArray[np.int64]
I8 = npt.NDArray[np.int8]
I32 = npt.NDArray[np.int32]

SEED = 0
FIRST_NEGATIVE = PARTS.index("valid_negatives")
FIND_ROWS = 1 << 20
MAX_DROPPED = (0.05, 0.2, 0.5)
"""Shares of the triples that a new inductive split may lose; the first with which there is one is taken."""


@dataclasses.dataclass(frozen=True)
class Triples:
    """Triples by indices into names that are in the order of equals, shape (N,) each."""

    facts: Statements
    parts: I8
    """Indices into PARTS."""

    def where(self, rows: npt.NDArray[Any]) -> "Triples":
        """Those of a mask or of row numbers."""
        return Triples(self.facts.where(rows), self.parts[rows])

    def __len__(self) -> int:
        return len(self.parts)


@dataclasses.dataclass(frozen=True)
class Imported:
    """The graph of a source. Entity i of the final order is `entities[graph.items[i]]`; relations likewise."""

    entities: Names
    relations: Names
    graph: Graph
    negatives: Triples
    """By final index, in sort order."""
    stage: dict[str, Any]
    """What came into stage graph, and out of it."""
    drops: dict[str, int]
    document: dict[str, Any]
    """The manifest's `graph`."""


def import_graph(source: Source, config: Import, excluded: Sequence[tuple[str, str, str]]) -> Imported:
    """Number entities and relations, leave out what is excluded, split what is to be split.

    `config.split` is set. Raises UsageError where it is not possible, DataError where there is no inductive split.
    """
    (entities, relations), triples, published = _by_index(source)
    taken, tally = len(triples), Tally()
    drops = tally.drops
    triples = leave_out(excluded, triples, entities, relations, tally)
    if config.split != "official":
        once = _first_of_each(triples)
        drops["duplicate_triple"] = len(triples) - len(once)
        triples = triples.where(once)
    true = triples.parts < FIRST_NEGATIVE
    negatives = triples.where(~true)
    if len(negatives):
        triples = triples.where(true)
    rules = _rules(config)
    codes = triples.parts
    if config.split == "transductive" or not source.has_splits:
        codes = split_triples(_stable(triples.facts, entities, relations), rules)
    second = _inductive(triples.facts, published, entities, config)
    train = (codes if config.split != "inductive" else second.triples) == TRAIN
    if config.train_fraction < 1:
        kept = ~train | _share(_stable(triples.facts, entities, relations), config.train_fraction)
        drops["train_fraction"] = int((~kept).sum())
        triples, codes = triples.where(kept), codes[kept]
        second = dataclasses.replace(second, triples=second.triples[kept])
    names = np.arange(len(entities)), np.arange(len(relations))
    graph = number(triples.facts, *names, np.zeros(len(entities), np.int64), codes, second)
    negatives = place_negatives(negatives, graph)
    document = {**describe_graph(graph, second.refused, rules, tally), **_repeats(graph, negatives)}
    document["split"]["published"] = source.has_splits and config.split != "transductive"
    document["inductive_split"]["asked"] = config.split == "inductive" or published is not None
    stage = {"in": taken, "out": {"triples": len(graph.heads) + len(negatives)}}
    return Imported(entities, relations, graph, negatives, stage, dict(drops), document)


def _by_index(source: Source) -> tuple[tuple[Names, Names], Triples, tuple[Facts, I8] | None]:
    """(names of entities and relations, triples, the published inductive split: its facts and their codes)."""
    tables = [source.facts, source.inductive if source.inductive is not None else FACTS.empty_table()]
    entities, (heads, tails, *others) = _vocabulary([t[c] for t in tables for c in ("head", "tail")], source.listed)
    relations, of_tables = _vocabulary([table["relation"] for table in tables], source.listed_relations)
    parts = [table["part"].to_numpy().astype(np.int8) for table in tables]
    triples = Triples(Statements(heads, of_tables[0], tails), parts[0])
    if source.inductive is None:
        return (entities, relations), triples, None
    columns = (others[0], of_tables[1], others[1])
    order = np.lexsort((parts[1], *columns[::-1]))
    second = Triples(Statements(*columns), parts[1]).where(order)
    facts = Facts(*columns_of(second.facts))
    # A fact of the inductive files alone is in the same split of the other setting.
    alone = second.where(find_facts(Facts.of(*columns_of(triples.facts)), second.facts) < 0)
    if not len(alone):
        return (entities, relations), triples, (facts, second.parts)
    whole = Statements(*map(np.concatenate, zip(columns_of(triples.facts), columns_of(alone.facts), strict=True)))
    return (entities, relations), Triples(whole, np.concatenate([triples.parts, alone.parts])), (facts, second.parts)


def _vocabulary(columns: Sequence[pa.ChunkedArray], listed: Sequence[pa.Array]) -> tuple[Names, list[I32]]:
    """(distinct names in the order of equals, for each column the indices into them)."""
    chunks = [chunk for column in columns for chunk in column.chunks]
    chunks += [ids.dictionary_encode().cast(NAME) for ids in listed]
    whole = pa.chunked_array(chunks, NAME).unify_dictionaries()
    names = whole.chunk(0).dictionary if whole.num_chunks else pa.array([], pa.string())
    order = name_order(names)
    place = np.argsort(order).astype(np.int32)
    codes = np.concatenate([np.empty(0, np.int32), *(chunk.indices.to_numpy() for chunk in whole.chunks)])
    ends = np.cumsum([len(column) for column in columns])
    sorted_names = pa.chunked_array([names.take(pa.array(order))])
    return Names(sorted_names), [place[own] for own in np.split(codes, ends)[: len(columns)]]


def leave_out(
    excluded: Sequence[tuple[str, str, str]], triples: Triples, entities: Names, relations: Names, tally: Tally
) -> Triples:
    """The triples without the listed facts, which are counted."""
    found = find_facts(_listed_facts(excluded, entities, relations), triples.facts)
    tally.excluded.update(listed=len(set(excluded)), found=len(np.unique(found[found >= 0])))
    tally.excluded["removed"] = tally.drops["excluded"] = int((found >= 0).sum())
    return triples.where(found < 0) if tally.drops["excluded"] else triples


def _listed_facts(excluded: Sequence[tuple[str, str, str]], entities: Names, relations: Names) -> Facts:
    """The facts to leave out that have names of ours."""
    columns = [pa.array([row[i] for row in sorted(set(excluded))], pa.string()) for i in range(3)]
    indices = [names.index(own) for names, own in zip((entities, relations, entities), columns, strict=True)]
    known = np.minimum(np.minimum(indices[0], indices[1]), indices[2]) >= 0
    return Facts.of(*(index[known] for index in indices))


def find_facts(facts: Facts, wanted: Statements) -> I64:
    """Facts.find, FIND_ROWS at a time: its searches take a hundred bytes for each row."""
    starts = range(0, len(wanted) if len(facts) else 0, FIND_ROWS)
    rows = [facts.find(*(column[start : start + FIND_ROWS] for column in columns_of(wanted))) for start in starts]
    return np.concatenate(rows) if rows else np.full(len(wanted), -1, np.int64)


def _first_of_each(triples: Triples) -> I64:
    """Rows of distinct triples, in the order of the first split that has each; negatives are told apart by split."""
    group = np.where(triples.parts < FIRST_NEGATIVE, 0, triples.parts)
    columns = (group, *columns_of(triples.facts))
    order = np.lexsort((triples.parts, *columns[::-1]))
    return order[~repeats([column[order] for column in columns])]


def _rules(config: Import) -> SplitRules:
    sizes = (config.valid, config.test) if config.split == "transductive" else (None, None)
    entities = (config.valid, config.test) if config.split == "inductive" else (None, None)
    inductive_sizes = Sizes(*entities, max_dropped=MAX_DROPPED[0])
    return SplitRules(seed=SEED, valid=sizes[0], test=sizes[1], together=True, inductive=inductive_sizes)


def _inductive(facts: Statements, published: tuple[Facts, I8] | None, entities: Names, config: Import) -> Inductive:
    """The inductive split that is asked for, else the published one, else none: all of it is train."""
    if config.split == "inductive":
        hashes = random_u64(SEED, "inductive", entities.stable_ids())
        columns = [column.astype(np.int64) for column in columns_of(facts)]
        for share in MAX_DROPPED:
            found = inductive(*columns, hashes, Sizes(config.valid, config.test, share))
            if not found.refused:
                return found
        raise DataError(f"No inductive split: {found.refused}. Ask for fewer entities with --valid and --test.")
    if published is None:
        sides = np.full(len(entities), NONE, np.int8)
        sides[facts.heads] = sides[facts.tails] = TRAIN
        return Inductive(sides, np.zeros(len(facts), np.int8), "not asked for, --split inductive makes one")
    found_rows = find_facts(published[0], facts)
    codes = np.where(found_rows >= 0, published[1][found_rows], DROPPED).astype(np.int8)
    sides = np.full(len(entities), NONE, np.int8)
    for column in (facts.heads, facts.tails):
        np.minimum.at(sides, column[codes != DROPPED], codes[codes != DROPPED])
    crossing = (sides[facts.heads] != codes) | (sides[facts.tails] != codes)
    return Inductive(sides, np.where(crossing, DROPPED, codes).astype(np.int8), "")


def _share(ids: Statements, fraction: float) -> npt.NDArray[np.bool_]:
    return random_u64(SEED, "train_fraction", *columns_of(ids)) < below(fraction)


def _stable(facts: Statements, entities: Names, relations: Names) -> Statements:
    """The facts by hashes of their names, on which neither order nor the other facts have a say."""
    of_entities, of_relations = (names.stable_ids().view(np.int64) for names in (entities, relations))
    return Statements(of_entities[facts.heads], of_relations[facts.relations], of_entities[facts.tails])


def _repeats(graph: Graph, negatives: Triples) -> dict[str, dict[str, int]]:
    """What published splits hold and one of our own never would; it stays, for results on them count it."""
    columns = (graph.heads, graph.relations, graph.tails)
    same = repeats(columns)
    several = np.flatnonzero(same | np.append(same, False)[1:])
    # Few facts stand there twice, so only they are sorted by split.
    rows = several[np.lexsort((graph.codes[several], *(column[several] for column in columns[::-1])))]
    again = repeats([column[rows] for column in columns])
    other_split = again & ~repeats([graph.codes[rows]])
    true = np.empty(0, bool)
    if len(negatives):
        true = find_facts(Facts(*(column.astype(np.int32) for column in columns)), negatives.facts) >= 0
    counts = {
        "duplicate_triples": int((again & ~other_split).sum()) + len(negatives) - len(_first_of_each(negatives)),
        "triples_of_two_splits": int(other_split.sum()),
        "negatives_that_are_facts": int(true.sum()),
    }
    return {"repeats": counts}


def place_negatives(negatives: Triples, graph: Graph) -> Triples:
    """By final index, sorted split by split."""
    place, relation_place = np.argsort(graph.items), np.argsort(graph.properties)
    facts = negatives.facts
    placed = Statements(place[facts.heads], relation_place[facts.relations], place[facts.tails])
    return Triples(placed, negatives.parts).where(np.lexsort((*columns_of(placed)[::-1], negatives.parts)))


def columns_of(facts: Statements) -> tuple[Numbers, Numbers, Numbers]:
    return facts.heads, facts.relations, facts.tails


def _has_facts(source: Source) -> bool:
    return bool(source.facts.num_rows or (source.inductive is not None and source.inductive.num_rows))


def resolve_split(source: Source, config: Import) -> Import:
    """The config with the split that is made: the files' own where they have one."""
    if config.split == "official" and not source.has_splits:
        raise UsageError(
            f"--split official: the files of {config.format} have no split. Leave it out, or ask for another."
        )
    new = config.split not in (None, "official") or (config.valid, config.test) != (None, None)
    if (new or config.train_fraction < 1) and not _has_facts(source):
        raise UsageError(
            f"--split, --valid, --test, --train-fraction: {config.format} has no triples to split; its examples keep "
            "their published splits."
        )
    split = config.split or ("official" if source.has_splits else "transductive")
    if split == "official" and (config.valid, config.test) != (None, None):
        raise UsageError("--valid, --test: the files have splits. Ask for new ones: --split transductive or inductive.")
    return dataclasses.replace(config, split=split)
