"""The logical digest, beside plain loops over the values."""

import hashlib

import numpy as np
import pyarrow as pa
import pytest

from schemas.digest import TableDigest, dataset_digest
from schemas.table import Table, column, list_of
from schemas.tables import TABLES
from tests.made_datasets import ROWS

KINDS = Table(
    name="kinds",
    version=3,
    doc="A column of every kind.",
    sort_by=["number"],
    columns=[
        column("number", pa.int64(), "x"),
        column("small", pa.int32(), "x", nullable=True),
        column("flag", pa.bool_(), "x"),
        column("when", pa.timestamp("s"), "x", nullable=True),
        column("text", pa.string(), "x", nullable=True),
        column("words", list_of(pa.string()), "x"),
        column("spans", list_of(pa.struct([column("start", pa.int32(), "x"), column("end", pa.int32(), "x")])), "x"),
        column("place", pa.struct([column("name", pa.string(), "x", nullable=True)]), "x", nullable=True),
    ],
)
FILLED = [
    {
        "number": number - 2,
        "small": None if number % 3 == 0 else number,
        "flag": number % 2 == 0,
        "when": None if number == 4 else number * 10**9,
        "text": [None, "", "é", "a longer one", "\0"][number % 5],
        "words": ["x", "", "ö"][: number % 4],
        "spans": [{"start": n, "end": number} for n in range(number % 3)],
        "place": None if number % 4 == 1 else {"name": "here" if number % 4 else None},
    }
    for number in range(9)
]


def filled():
    return pa.Table.from_pylist(FILLED, schema=KINDS.schema)


def obvious(table, rows):
    """The digest by the words of TableDigest's docstring, value by value."""
    streams = {}

    def feed(path, kind, nullable, values):
        if nullable:
            streams[path + "?"] = streams.get(path + "?", b"") + bytes(value is not None for value in values)
        values = [value for value in values if value is not None]
        if pa.types.is_struct(kind):
            for child in kind:
                feed(f"{path}.{child.name}", child.type, child.nullable, [value[child.name] for value in values])
            return
        if pa.types.is_list(kind) or pa.types.is_string(kind):
            sized = [value.encode() if isinstance(value, str) else value for value in values]
            streams[path + "#"] = np.array([len(value) for value in sized], "<i4").tobytes()
        if pa.types.is_list(kind):
            feed(path + "[]", kind.value_type, kind.value_field.nullable, [one for value in values for one in value])
        elif pa.types.is_string(kind):
            streams[path] = b"".join(sized)
        else:
            width = {"bool": 1, "int32": 4}.get(str(kind), 8)
            streams[path] = b"".join(int(value).to_bytes(width, "little", signed=True) for value in values)

    for field in table.columns:
        feed(field.name, field.type, field.nullable, [row[field.name] for row in rows])
    whole = hashlib.sha256(f"{table.name}\0{table.version}\0{len(rows)}".encode())
    for path in sorted(streams):
        whole.update(path.encode() + b"\0" + hashlib.sha256(streams[path]).digest())
    return whole.hexdigest()


def digest(table, *pieces):
    found = TableDigest(table)
    for piece in pieces:
        found.update(piece)
    return found.hexdigest()


@pytest.mark.parametrize("count", [0, 1, 5, 9])
def test_a_digest_is_what_plain_loops_make_of_the_values(count):
    assert digest(KINDS, filled().slice(0, count)) == obvious(KINDS, FILLED[:count])


@pytest.mark.parametrize("name", [name for name in TABLES if name != "pages"])  # pages have times, in other words
def test_the_digest_of_a_table_is_what_plain_loops_make_of_it(name):
    rows = pa.Table.from_pylist(ROWS[name], schema=TABLES[name].schema)
    assert digest(TABLES[name], rows) == obvious(TABLES[name], rows.to_pylist())


@pytest.mark.parametrize("cut", range(10))
def test_where_pieces_end_leaves_no_mark(cut):
    rows = filled()
    parts = [rows.slice(0, cut), rows.slice(cut)]
    assert digest(KINDS, *parts) == digest(KINDS, rows)
    assert digest(KINDS, pa.concat_tables(parts)) == digest(KINDS, rows)
    assert digest(KINDS, *(batch for part in parts for batch in part.to_batches())) == digest(KINDS, rows)
    assert TableDigest(KINDS).rows == 0


def test_any_value_any_null_and_any_place_counts():
    changes = [{"text": ""}, {"text": None}, {"words": ["x"]}, {"words": []}, {"flag": False}, {"small": 1}]
    changes += [{"when": 1}, {"when": None}, {"place": None}, {"place": {"name": "there"}}, {"spans": []}]
    found = [obvious(KINDS, FILLED)]
    for change in changes:
        rows = [*FILLED[:2], FILLED[2] | change, *FILLED[3:]]
        found.append(digest(KINDS, pa.Table.from_pylist(rows, schema=KINDS.schema)))
    assert len(set(found)) == len(found)


def test_the_digest_of_a_dataset_is_of_the_sorted_pairs():
    expected = hashlib.sha256(b"a\0001\nb\0002\n").hexdigest()
    assert dataset_digest([("b", "2"), ("a", "1")]) == dataset_digest([("a", "1"), ("b", "2")]) == expected


def test_empty_texts_have_lengths_and_no_bytes():
    table = Table(name="t", version=1, doc="x", sort_by=[], columns=[column("text", pa.string(), "x")])
    found = {n: digest(table, pa.table([[""] * n], schema=table.schema)) for n in range(3)}
    assert found == {n: obvious(table, [{"text": ""}] * n) for n in range(3)} and len(set(found.values())) == 3
