"""The facts of the miniature wiki, read from `examples/facts/*.tsv`.

A table has one row per thing. Columns named P17, P36, ... hold item-valued statements (labels, joined by "; ");
the other columns are words that the sentences use. Labels are unique over all tables, so they serve as keys.
"""

import csv
import dataclasses
import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path

FACTS = Path(__file__).resolve().parent.parent / "facts"

TABLES = (
    *("continents", "countries", "other_countries", "cities", "other_places"),
    *("rivers", "waters", "mountains", "languages", "families", "scripts", "currencies"),
    *("universities", "museums", "people", "works", "solar", "elements"),
    *("classes", "concepts", "other_things"),
)

CLASS_OF_TABLE = {
    "continents": "continent",
    "countries": "country",
    "other_countries": "country",
    "cities": "city",
    "other_places": "city",
    "rivers": "river",
    "languages": "language",
    "families": "language family",
    "scripts": "writing system",
    "currencies": "currency",
    "universities": "university",
    "museums": "art museum",
    "people": "human",
    "elements": "chemical element",
}

INVERSES = {"P36": "P1376", "P397": "P398", "P50": "P800", "P86": "P800", "P170": "P800", "P47": "P47", "P26": "P26"}


@dataclasses.dataclass(frozen=True)
class Thing:
    """One item, and its page where `page` is true."""

    qid: str
    label: str
    title: str
    kind: str
    """Name of the table that holds it."""
    page: bool
    article: bool
    """Whether a sentence writes "the" before the name."""
    cells: dict[str, str]

    def cell(self, name: str) -> str:
        """A word of the table's row; empty where the table has no such column."""
        return self.cells.get(name, "")


@dataclasses.dataclass(frozen=True)
class Statement:
    """An item-valued statement between two labels; `tail` is "novalue" or "somevalue" where `snak` says so."""

    head: str
    relation: str
    tail: str
    rank: str = "normal"
    snak: str = "value"
    qualifier: str = ""
    time: str = ""


def read_table(name: str) -> list[dict[str, str]]:
    """Rows of `facts/NAME.tsv` by column name."""
    with (FACTS / f"{name}.tsv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))


def pick(options: Sequence, *key: str):
    """One of the options, chosen by a stable hash of the key: the same on every machine and run."""
    digest = hashlib.blake2b("\x1f".join(key).encode(), digest_size=8).digest()
    return options[int.from_bytes(digest, "big") % len(options)]


def best_rank(statements: Iterable[Statement]) -> list[tuple[str, str, str]]:
    """(head, relation, tail) of the best rank: preferred where there is one, else normal."""
    groups: dict[tuple[str, str], list[Statement]] = {}
    for statement in statements:
        groups.setdefault((statement.head, statement.relation), []).append(statement)
    triples = []
    for (head, relation), group in groups.items():
        preferred = [s for s in group if s.rank == "preferred"]
        kept = preferred or [s for s in group if s.rank == "normal"]
        triples += [(head, relation, s.tail) for s in kept if s.snak == "value"]
    return triples


class World:
    """All things and statements, with the best-rank ones indexed from both ends."""

    def __init__(self) -> None:
        self.things: dict[str, Thing] = {}
        rows = []
        for table in TABLES:
            for row in read_table(table):
                self._add(table, row)
                rows.append((table, row))
        self.by_title = {thing.title: thing for thing in self.things.values() if thing.page}
        self.statements = self._statements(rows)
        self.out: dict[str, dict[str, list[str]]] = {label: {} for label in self.things}
        self.into: dict[str, dict[str, list[str]]] = {label: {} for label in self.things}
        for head, relation, tail in self.best():
            self.out[head].setdefault(relation, []).append(tail)
            self.into[tail].setdefault(relation, []).append(head)

    def _add(self, table: str, row: dict[str, str]) -> None:
        label = row["label"]
        if label in self.things:
            raise ValueError(f"facts/{table}.tsv: the label {label!r} is already used")
        self.things[label] = Thing(
            qid=row["qid"],
            label=label,
            title=row.get("title") or label[0].upper() + label[1:],
            kind=table,
            page=row["page"] == "yes",
            article=row["the"] == "the",
            cells=row,
        )

    def _statements(self, rows: list[tuple[str, dict[str, str]]]) -> list[Statement]:
        found: dict[tuple[str, str, str], Statement] = {}

        def add(statement: Statement) -> None:
            found.setdefault((statement.head, statement.relation, statement.tail), statement)

        for row in read_table("ranks"):
            add(
                Statement(
                    row["head"], row["property"], row["tail"], row["rank"], "value", row["qualifier"], row["time"]
                )
            )
        for table, row in rows:
            label = row["label"]
            if table in CLASS_OF_TABLE:
                add(Statement(label, "P31", CLASS_OF_TABLE[table]))
            for column, cell in row.items():
                if column[0] == "P" and cell:
                    for tail in cell.split("; "):
                        add(Statement(label, column, tail))
        self._check(found.values())
        for head, relation, tail in best_rank(found.values()):
            if relation == "P36":
                add(Statement(tail, "P31", "capital city"))
            if relation in INVERSES:
                add(Statement(tail, INVERSES[relation], head))
        for row in read_table("snaks"):
            add(Statement(row["head"], row["property"], row["snak"], "normal", row["snak"]))
        order = {label: n for n, label in enumerate(self.things)}
        return sorted(found.values(), key=lambda s: (order[s.head], int(s.relation[1:]), order.get(s.tail, 0)))

    def _check(self, statements: Iterable[Statement]) -> None:
        for statement in statements:
            for label in (statement.head, statement.tail):
                if label not in self.things:
                    raise ValueError(f"facts: {statement} names {label!r}, which no table holds")

    def best(self) -> list[tuple[str, str, str]]:
        """The best-rank triples of all statements."""
        return best_rank(self.statements)

    def kept(self) -> list[tuple[str, str, str]]:
        """The best-rank triples whose two ends both have a page."""
        return [t for t in self.best() if self.things[t[0]].page and self.things[t[2]].page]
