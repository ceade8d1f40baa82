"""Which statements become triples: those between kept items, distinct, none that is listed as excluded."""

import dataclasses
import itertools
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.columns import repeats
from pipelines.records import read_record_batches, read_records
from pipelines.transforms.align import flatten_statements
from pipelines.transforms.titles import are_in

I64 = npt.NDArray[np.int64]
U64 = npt.NDArray[np.uint64]
Numbers = npt.NDArray[np.int64] | npt.NDArray[np.int32]
Mask = npt.NDArray[np.bool_]


@dataclasses.dataclass(frozen=True)
class Statements:
    """Triples by item and property numbers, shape (N,) each."""

    heads: Numbers
    relations: Numbers
    tails: Numbers

    def where(self, rows: Mask | I64) -> "Statements":
        """The triples that a mask keeps, or those of the row numbers."""
        return Statements(self.heads[rows], self.relations[rows], self.tails[rows])

    def rows(self) -> Iterator[tuple[int, int, int]]:
        """(head, relation, tail) of each."""
        return zip(self.heads.tolist(), self.relations.tolist(), self.tails.tolist(), strict=True)

    def __len__(self) -> int:
        return len(self.heads)


@dataclasses.dataclass
class Tally:
    """What reading the statements counts. statements = triples + drops."""

    statements: int = 0
    """In the dump's item records."""
    drops: Counter[str] = dataclasses.field(default_factory=Counter)
    """Statements that are no triple, by reason."""
    items: Counter[str] = dataclasses.field(default_factory=Counter)
    """Item records that are no entity's, by reason."""
    excluded: Counter[str] = dataclasses.field(default_factory=Counter)
    """Facts to exclude: listed, found among the dump's statements, removed from the graph."""


def read_statements(
    wikidata: Sequence[Path], kept: I64, *, labelled_only: bool, excluded: Statements, tally: Tally
) -> tuple[Statements, list[Mask]]:
    """(triples, for each range which of its item records count), each reason that drops one counted.

    `kept` are the sorted item numbers of the entities; `labelled_only` drops relations without a label in this dump
    (Wikidata5M's rule). The triples are distinct and sorted; self triples (head = tail) are facts like others.
    """
    winning = _winning_items(wikidata, tally)
    labelled = _labelled_relations(wikidata) if labelled_only else None
    facts = _Facts(excluded)
    pieces = [Statements(*(np.empty(0, np.int64) for _ in range(3)))]
    for path, own in zip(wikidata, winning, strict=True):
        row = 0
        for batch in read_record_batches(path / "items.arrow", ["item", "relations", "tails"]):
            triples = _of_kept_items(batch, own[row : row + batch.num_rows], kept, facts, tally)
            row += batch.num_rows
            triples = _drop(triples, ~are_in(triples.tails, kept), "tail_not_kept", tally)
            if labelled is not None:
                triples = _drop(triples, ~are_in(triples.relations, labelled), "relation_without_label", tally)
            pieces.append(triples)
    whole = (np.concatenate([getattr(p, f.name) for p in pieces]) for f in dataclasses.fields(Statements))
    triples = _distinct(Statements(*whole), tally)
    banned = facts.among(triples)
    tally.excluded.update(listed=len(facts.listed), found=len(facts.found), removed=int(banned.sum()))
    return _drop(triples, banned, "excluded", tally), winning


def winners(numbers: I64, content: U64) -> Mask:
    """One row per number: the one with the largest content hash, so that order decides nothing."""
    order = np.argsort(numbers, kind="stable")
    ordered = numbers[order]
    same = ordered[1:] == ordered[:-1]
    # Few numbers come twice, so only their rows are compared.
    several = order[np.append(same, False) | np.append(False, same)] if len(order) else order
    several = several[np.lexsort((-several, content[several], numbers[several]))]
    winning = np.ones(len(numbers), bool)
    winning[several[:-1]] = numbers[several][1:] != numbers[several][:-1]
    return winning


class _Facts:
    """The facts of --exclude-triples, and which of them the dump states."""

    def __init__(self, excluded: Statements) -> None:
        self.listed = set(excluded.rows())
        self.found: set[tuple[int, int, int]] = set()
        self._heads, self._tails = np.unique(excluded.heads), np.unique(excluded.tails)

    def among(self, triples: Statements) -> Mask:
        """Which triples are listed."""
        mask = are_in(triples.heads, self._heads) & are_in(triples.tails, self._tails)
        near = np.flatnonzero(mask)
        mask[near] = [row in self.listed for row in triples.where(near).rows()]
        return mask

    def find(self, triples: Statements) -> None:
        """Take down the listed facts that are among the dump's."""
        self.found.update(triples.where(self.among(triples)).rows())


def _winning_items(wikidata: Sequence[Path], tally: Tally) -> list[Mask]:
    """For each range, which of its item records count: of two records of one item, the one with the larger hash."""
    tables = [read_records(path / "items.arrow", ["item", "content"]) for path in wikidata]
    if not tables:
        return []
    whole = pa.concat_tables(tables)
    winning = winners(whole["item"].to_numpy(), whole["content"].to_numpy())
    tally.items["duplicate_item"] += int((~winning).sum())
    edges = np.cumsum([0, *(table.num_rows for table in tables)])
    return [winning[start:end] for start, end in itertools.pairwise(edges)]


def _labelled_relations(wikidata: Sequence[Path]) -> I64:
    """Sorted numbers of the properties that have a label; of two records of one, that counts which the tables show."""
    tables = [read_records(path / "properties.arrow", ["relation", "label", "content"]) for path in wikidata]
    if not tables:
        return np.empty(0, np.int64)
    whole = pa.concat_tables(tables)
    numbers = whole["relation"].to_numpy().astype(np.int64)
    named = whole["label"].is_valid().to_numpy()
    return np.unique(numbers[winners(numbers, whole["content"].to_numpy()) & named])


def _of_kept_items(batch: pa.RecordBatch, winning: Mask, kept: I64, facts: _Facts, tally: Tally) -> Statements:
    """The statements of a batch's kept items, the others counted."""
    counts = pc.list_value_length(batch["tails"]).to_numpy(zero_copy_only=False)
    ours = are_in(batch["item"].to_numpy(), kept)
    tally.statements += int(counts.sum())
    tally.items["not_kept"] += int((winning & ~ours).sum())
    tally.drops["duplicate_item"] += int(counts[~winning].sum())
    tally.drops["head_not_kept"] += int(counts[winning & ~ours].sum())
    table = pa.Table.from_batches([batch])
    if facts.listed:
        facts.find(Statements(*flatten_statements(table.filter(pa.array(winning)))))
    return Statements(*flatten_statements(table.filter(pa.array(winning & ours))))


def _distinct(triples: Statements, tally: Tally) -> Statements:
    """Sorted by head, relation and tail, each once."""
    triples = triples.where(np.lexsort((triples.tails, triples.relations, triples.heads)))
    same = repeats([triples.heads, triples.relations, triples.tails])
    return _drop(triples, same, "duplicate_triple", tally)


def _drop(triples: Statements, rows: Mask, reason: str, tally: Tally) -> Statements:
    tally.drops[reason] += int(rows.sum())
    return triples.where(~rows)
