"""The typed decoder against the slow reader: the same records and the same counts, whatever the line."""

import copy
import json
from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.sources import Reject
from pipelines.sources.lines import Line, read_lines
from pipelines.sources.ranges import plan_ranges
from pipelines.sources.wikidata import MAX_LINE, EntityReader, Item, Property
from tests.pipelines.sources.inputs import entity, statement
from tests.pipelines.sources.slow_wikidata import count_qualifiers, count_statements, read_slowly

TEXTS = {"en": {"language": "en", "value": "heron"}, "de": {"language": "de", "value": "Reiher"}}
TIME = {"snaktype": "value", "datavalue": {"type": "time", "value": {"time": "+2001-01-01T00:00:00Z", "precision": 9}}}
WHOLE = entity(
    5,
    labels=TEXTS,
    aliases={"en": [TEXTS["en"], TEXTS["de"], TEXTS["en"]]},
    descriptions={"mul": {"language": "mul", "value": "bird"}},
    datatype="wikibase-item",
    claims={
        "P31": [statement("Q6"), statement("Q7", "preferred"), statement("Q8", "deprecated")],
        "P279": [statement("Q9", qualifiers={"P580": [TIME], "P582": [TIME, TIME]}), statement("Q9")],
        "P569": [{"mainsnak": TIME, "rank": "normal"}],
        "P22": [{"mainsnak": {"snaktype": "somevalue"}, "rank": "normal"}],
    },
)
NAMES = ("item", "property", "lexeme", "labels", "Q5", "P31", "Q0", "numeric-id", "wikibase-entityid")
RANKS_AND_KINDS = ("normal", "preferred", "deprecated", "value", "novalue", "")
words = st.sampled_from([*NAMES, *RANKS_AND_KINDS])
numbers = st.integers() | st.sampled_from([0, 2**63]) | st.floats(allow_nan=False, allow_infinity=False)
json_values = st.recursive(
    st.none() | st.booleans() | numbers | words | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words | st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


def nodes(value, path=()):
    """The path of every node of a document."""
    yield path
    for key in value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ():
        yield from nodes(value[key], (*path, key))


@st.composite
def changed_entities(draw):
    """An entity of which one to three nodes are replaced, removed, renamed, doubled or joined by another."""
    document = copy.deepcopy(WHOLE)
    for _ in range(draw(st.integers(1, 3))):
        path = draw(st.sampled_from(list(nodes(document))[1:]))
        *above, last = path
        parent = document
        for key in above:
            parent = parent[key]
        change = draw(st.sampled_from(["replace", "remove", "rename", "add"]))
        if change == "replace":
            parent[last] = draw(words | json_values)
        elif change == "remove":
            del parent[last]
        elif change == "rename" and isinstance(parent, dict):
            parent[draw(words)] = parent.pop(last)
        elif isinstance(parent, list):
            parent.insert(last, copy.deepcopy(parent[last]))
        else:
            parent[draw(words | st.text(max_size=5))] = draw(json_values)
        if not document:
            break
    return document


def check(document, language="en"):
    """Read `document` both ways; returns what it is."""
    drops = Counter()
    line = json.dumps(document).encode() + b",\n"
    records = EntityReader(language, drops).read(line.strip())
    expected, expected_drops = read_slowly(document, language)
    assert +drops == +expected_drops
    assert [one.reason if isinstance(one, Reject) else one for one in records] == ([expected] if expected else [])
    if isinstance(expected, Item):
        statements = drops.total() - drops["qualifier"]
        assert len(expected.tails) + statements == count_statements(document)
        assert drops["qualifier"] == count_qualifiers(document)
    else:
        assert len(records) + sum(n for reason, n in drops.items() if reason.startswith("entity_")) == 1
    return expected


def test_the_unchanged_entity_is_kept():
    assert check(WHOLE) == Item(5, "heron", ["heron", "Reiher"], "bird", "Page 5", [31, 279], [7, 9])


@settings(max_examples=1_000, deadline=None)
@given(changed_entities())
def test_a_changed_entity_is_a_record_a_counted_drop_or_a_reject(document):
    check(document)


@settings(max_examples=300, deadline=None)
@given(json_values.filter(lambda value: not isinstance(value, list)))
def test_any_value_is_a_record_a_counted_drop_or_a_reject(value):
    check(value)


@settings(max_examples=300, deadline=None)
@given(st.lists(changed_entities(), min_size=2, max_size=4))
def test_an_array_on_one_line_is_its_entities(documents):
    drops, expected_drops, expected = Counter(), Counter(), []
    records = EntityReader("en", drops).read(json.dumps(documents).encode())
    for document in documents:
        one, counted = read_slowly(document)
        expected += [one] if one else []
        expected_drops += counted
    assert [one.reason if isinstance(one, Reject) else one for one in records] == expected
    assert +drops == expected_drops


@settings(max_examples=500, deadline=None)
@given(st.binary(max_size=60) | st.text(max_size=60).map(str.encode), st.integers(0, 400), st.integers(0, 20))
def test_any_bytes_give_no_exception(junk, start, length):
    line = json.dumps(WHOLE).encode()
    for damaged in (junk, line[:start] + junk + line[start + length :]):
        drops = Counter()
        records = EntityReader("en", drops).read(damaged)
        assert all(isinstance(one, Item | Property | Reject) for one in records)
        assert records or drops or not damaged.strip(b" \t\r\n\v\f,[]\xef\xbb\xbf")


def test_real_dumps_are_read_as_the_slow_reader_reads_them(real_data):
    for name, items, properties in (
        ("mock-dump-with-bugs.json", 55, 46),
        ("wikidata-20151109-1000.json.gz", 542, 458),
        ("wikidata-100-items.json.bz2", 100, 0),
    ):
        kinds = Counter()
        for line in read_lines(plan_ranges(str(real_data / "wikidata" / name))[0], MAX_LINE):
            if isinstance(line, Line) and b"{" in line.data:
                kinds[type(check(json.loads(line.data.rstrip(b","))))] += 1
        assert kinds == Counter({Item: items, Property: properties})
