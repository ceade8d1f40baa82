"""Which statements become triples, against the rule said slowly; every one that does not is counted."""

import itertools
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.records import RecordWriter
from pipelines.transforms.facts import Statements, Tally, read_statements, winners
from pipelines.transforms.statements import ITEMS, PROPERTIES

NUMBER = st.integers(1, 8)
FACT = st.tuples(NUMBER, st.integers(1, 3), NUMBER)
# An item record: its number, (relation, tail) of each statement, and the hash that decides between two records.
RECORD = st.tuples(NUMBER, st.lists(st.tuples(st.integers(1, 3), NUMBER), max_size=5), st.integers(0, 9))


def arrays(facts):
    return Statements(*np.array(facts, np.int64).reshape(-1, 3).T)


def write_range(folder, records, properties):
    with RecordWriter(folder / "items.arrow", ITEMS) as items:
        for item, statements, content in records:
            relations, tails = ([pair[part] for pair in statements] for part in (0, 1))
            row = {"item": item, "relations": relations, "tails": tails, "content": content, "aliases": []}
            items.add({**dict.fromkeys(("label", "description", "title")), **row})
    with RecordWriter(folder / "properties.arrow", PROPERTIES) as writer:
        for relation, label, content in properties:
            writer.add({"relation": relation, "label": label, "aliases": [], "description": None, "content": content})
    return folder


def slow_facts(records, best, kept, labelled_only):
    """(triples, facts that the dump states, dropped statements by reason), record by record."""
    drops, expected, stated, seen = Counter(), set(), set(), set()
    for item, statements, content in records:
        wins = content == best[item] and item not in seen
        seen |= {item} if wins else set()
        for relation, tail in statements:
            fact = (item, relation, tail)
            stated |= {fact} if wins else set()
            reason = (
                ("duplicate_item" if not wins else "")
                or ("head_not_kept" if item not in kept else "")
                or ("tail_not_kept" if tail not in kept else "")
                or ("relation_without_label" if labelled_only and relation != 1 else "")
                or ("duplicate_triple" if fact in expected else "")
            )
            drops[reason] += 1
            expected |= set() if reason else {fact}
    del drops[""]
    return expected, stated, drops


@settings(max_examples=40)
@given(
    st.lists(st.lists(RECORD, max_size=6, unique_by=lambda record: (record[0], record[2])), max_size=3),
    st.sets(NUMBER),
    st.sets(FACT, max_size=6),
    st.booleans(),
)
def test_triples_are_those_of_the_rule_and_every_other_statement_is_counted(ranges, kept, excluded, labelled_only):
    tally = Tally()
    with tempfile.TemporaryDirectory() as name:
        folders = [
            # Of P3 two records, as of two dumps: the one without a label is what the table of relations shows.
            write_range(Path(name) / str(number), records, [(1, "one", 0), (3, None, 2), (3, "three", 1)])
            for number, records in enumerate(ranges)
        ]
        triples, winning = read_statements(
            folders,
            np.array(sorted(kept), np.int64),
            labelled_only=labelled_only,
            excluded=arrays(sorted(excluded)),
            tally=tally,
        )
    records = list(itertools.chain(*ranges))
    best = {item: max(c for i, _, c in records if i == item) for item, _, _ in records}
    expected, stated, drops = slow_facts(records, best, kept, labelled_only)
    removed = expected & excluded
    assert list(triples.rows()) == sorted(expected - excluded)
    assert tally.excluded == Counter(listed=len(excluded), found=len(stated & excluded), removed=len(removed))
    assert +tally.drops == drops + Counter(excluded=len(removed))
    assert tally.statements == len(triples) + tally.drops.total()
    items = Counter(duplicate_item=len(records) - len(best), not_kept=len(set(best) - kept))
    assert +tally.items == +items
    assert [len(mask) for mask in winning] == [len(records) for records in ranges]


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 3)), max_size=20))
def test_of_records_of_one_number_the_largest_content_wins(rows):
    numbers, content = (np.array([row[part] for row in rows], np.int64) for part in (0, 1))
    winning = winners(numbers, content.astype(np.uint64))
    for number in set(numbers.tolist()):
        own = numbers == number
        assert winning[own].sum() == 1
        assert content[own & winning] == content[own].max()
